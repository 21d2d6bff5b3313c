"""The table of docs/reliability.md: what each fault did to a steady load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from marina import paths

DOCUMENT = paths.ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- measured by make faults -->\n", "<!-- end of what was measured -->\n"
HEAD = ("fault", "requests a second", "sent", "right", "error", "refused", "cut", "lost", "wrong", "seconds to recover")


@dataclass(frozen=True)
class Outcome:
    """What became of the requests around one fault.

    Attributes:
        rate: requests a second.
        lost: without a reply by the deadline, or answered and not in the record.
        recovered: seconds from the fault to the last request that was not answered rightly; 0 where there was none.
    """

    rate: float
    sent: int
    right: int
    error: int
    refused: int
    cut: int
    lost: int
    wrong: int
    recovered: float

    def cells(self) -> list[str]:
        """As the table has it."""
        counts = (self.sent, self.right, self.error, self.refused, self.cut, self.lost, self.wrong)
        return [f"{self.rate:g}", *map(str, counts), f"{self.recovered:.1f}"]


def as_table(faults: Sequence[str], measured: Mapping[str, Outcome]) -> str:
    """The table in Markdown: what was measured now, and else what stood there, by the faults' names."""
    rows = [list(HEAD), ["---"] * len(HEAD)]
    rows += [[name, *(measured[name].cells() if name in measured else cells)] for name, cells in _standing(faults).items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def read_table(document: Path = DOCUMENT) -> dict[str, dict[str, str]]:
    """The cells of the document's table by fault and column."""
    text = document.read_text().partition(BEGIN)[2].partition(END)[0]
    lines = [line.strip("|\n ").split(" | ") for line in text.splitlines()[2:]]
    return {name: dict(zip(HEAD[1:], cells, strict=True)) for name, *cells in lines}


def write_table(table: str, document: Path = DOCUMENT) -> None:
    """Put a table in the place of the document's."""
    before, _, rest = document.read_text().partition(BEGIN)
    document.write_text(before + BEGIN + table + END + rest.partition(END)[2])


def _standing(faults: Sequence[str]) -> dict[str, list[str]]:
    before = read_table()
    return {name: list(before.get(name, dict.fromkeys(HEAD[1:], "not measured")).values()) for name in faults}
