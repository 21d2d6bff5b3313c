"""Ask a candidate recorded requests before the first caller is sent to it, and compare its answers with the current arm's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from marina.errors import UsageError
from marina.serving.inference import Answer, Inference
from marina.serving.payloads import Payload, read_payloads
from marina.serving.service import Server
from marina.store.index import find_entry
from marina.store.samples import best_label, sample_of_entry

LEAST_ASKED = 20  # so that a median means something, with one recorded request too
SURE = 0.01


@dataclass(frozen=True)
class Asked:
    """One recorded request, and what both versions answered."""

    name: str
    candidate: Answer
    current: Answer

    @property
    def is_failure(self) -> bool:
        """Whether the current arm answered it, and the candidate did not."""
        return self.candidate.error is not None and self.current.error is None

    @property
    def agrees(self) -> bool | None:
        """Whether the best label is the same; None where an answer has none."""
        ours, theirs = best_label(self.candidate.body), best_label(self.current.body)
        return None if ours is None or theirs is None else ours == theirs


@dataclass(frozen=True)
class Replay:
    """What came of it; ``seconds`` are medians."""

    candidate: str
    current: str
    asked: list[Asked]

    @property
    def compared(self) -> list[bool]:
        """Of each request whose answers have labels, whether they are the same."""
        return list({one.name: one.agrees for one in self.asked if one.agrees is not None}.values())

    @property
    def agreement(self) -> float | None:
        """Share of the requests that both answer alike, 0 to 1; None where answers have no labels."""
        return sum(self.compared) / len(self.compared) if self.compared else None

    def __str__(self) -> str:
        requests = len({one.name for one in self.asked})
        alike = "answers without labels, not compared" if self.agreement is None else f"{100 * self.agreement:.1f} % alike"
        ours, theirs = (median(times) * 1000 for times in self._seconds())
        return (
            f"{requests} recorded request{'s' * (requests != 1)}: {alike}; {self.candidate} {ours:.1f} ms, {self.current} "
            f"{theirs:.1f} ms (medians)"
        )

    def trouble(self, least_agreement: float, slower: float) -> str | None:
        """Why the candidate should not be given callers, or None.

        Args:
            least_agreement: share of the requests that both must answer alike.
            slower: ratio of the times that the candidate may take; that more than half of the pairs exceed it is told by the
                sign test.
        """
        if failed := [one for one in self.asked if one.is_failure]:
            first = failed[0]
            return (
                f"{self.candidate} does not answer {first.name}: {first.candidate.status}: {first.candidate.error}; "
                f"{self.current} does"
            )
        if self.agreement is not None and self.agreement < least_agreement:
            differing = next(one for one in self.asked if one.agrees is False)
            return (
                f"{self.candidate} answers {100 * self.agreement:.1f} % of {len(self.compared)} as {self.current} does, required "
                f"{100 * least_agreement:.0f} %; for example {differing.name}: {best_label(differing.candidate.body)!r}, "
                f"{best_label(differing.current.body)!r}"
            )
        return self._slowness(slower)

    def _slowness(self, slower: float) -> str | None:
        from scipy.stats import binom

        pairs = list(zip(*self._seconds(), strict=True))
        slow = sum(ours > theirs * slower for ours, theirs in pairs)
        if float(binom.sf(slow - 1, len(pairs), 0.5)) >= SURE:
            return None
        return f"{self.candidate} took more than {slower:g} times as long as {self.current} for {slow} of {len(pairs)}"

    def _seconds(self) -> tuple[list[float], list[float]]:
        return [one.candidate.seconds for one in self.asked], [one.current.seconds for one in self.asked]


def recorded(source: str | None, server: Server, models: list[tuple[str, str]]) -> list[Payload]:
    """The requests to ask: those of a folder or file, else the samples that the versions' archives carry.

    Args:
        source: a file or a folder of payloads.
        server: whose store has the archives.
        models: (model in the store, version).

    Raises:
        UsageError: there are none.
    """
    if source is not None:
        if not Path(source).exists():
            raise UsageError(f"--replay: {source} is neither a file nor a folder")
        return list(read_payloads(source))
    entries = [find_entry(server.store, model, version) for model, version in models]
    samples = {sample_of_entry(server.store, entry)[0]: entry.sample.request for entry in entries}
    return [Payload(name, content) for content, name in samples.items()]


def replay(
    inference: Inference, model: str, arms: tuple[str, str], payloads: list[Payload], tick: Callable[[], None] = lambda: None
) -> Replay:
    """Ask both arms each request, one right after the other, so that what else the machine does falls on both.

    Args:
        inference: the server.
        model: its name.
        arms: candidate and current.
        payloads: to ask; few ones are asked several times.
        tick: called before each; what it raises ends it.

    Raises:
        MarinaError: the server does not answer at all.
    """
    candidate, current = arms

    def ask() -> Iterator[Asked]:
        for turn in range(-(-LEAST_ASKED // len(payloads))):
            for number, payload in enumerate(payloads):
                tick()
                order = arms if (turn + number) % 2 else arms[::-1]
                answers = {one: inference.ask(model, payload.content, one, headers=payload.headers) for one in order}
                yield Asked(payload.name, answers[candidate], answers[current])

    return Replay(candidate, current, list(ask()))
