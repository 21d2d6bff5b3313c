"""Which classes a classifier answers, and in which form; pure Python, since training reads options too."""

from __future__ import annotations

from typing import Literal, Protocol

from handlerkit.options import check_whole

FORMS = ("marina", "stock")
Form = Literal["marina", "stock"]


class Choice(Protocol):
    """The options of a handler that say which classes an answer lists."""

    @property
    def top_k(self) -> int:
        """How many."""

    @property
    def threshold(self) -> float:
        """Least probability of one."""

    @property
    def form(self) -> Form:
        """Of an answer: ours, or that of TorchServe's own handlers."""


def check_choice(options: Choice) -> None:
    """Refuse values that could only fail at the first request.

    Raises:
        ValueError: a value is none that the option can have.
    """
    check_whole("top_k", options.top_k, 1)
    if type(options.threshold) not in (int, float) or not 0 <= options.threshold <= 1:
        raise ValueError(f"threshold must be a number from 0 to 1, not {options.threshold!r}")
    if options.form not in FORMS:
        raise ValueError(f"form must be marina or stock, not {options.form!r}")
