"""How throughput and latency go with the rate, or with the number of connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from marina.errors import UsageError
from marina.measuring.load import Load
from marina.measuring.measurement import Measurement


@dataclass(frozen=True)
class Curve:
    """Measurements of growing loads.

    Attributes:
        loads: rates of an open loop, or connections of a closed one, in growing order.
        measurements: one for each.
    """

    loads: list[Load]
    measurements: list[Measurement]

    @property
    def is_open(self) -> bool:
        """Whether it goes over the rate; else over connections."""
        return self.loads[0].rate is not None

    @property
    def over(self) -> list[float]:
        """The rates, or the numbers of connections."""
        return [load.rate if load.rate is not None else float(load.connections) for load in self.loads]


def curve(ask: Callable[[Load], Measurement], loads: Sequence[Load]) -> Curve:
    """Measure one load after the other, the smallest first.

    Args:
        ask: puts a load on what is measured.
        loads: all open or all closed.

    Raises:
        UsageError: there are none, or of both kinds.
    """
    if not loads or len({load.rate is None for load in loads}) != 1:
        raise UsageError("a curve goes over rates or over connections: give one load at least, all of one kind")
    ordered = sorted(loads, key=lambda load: (load.rate or 0.0, load.connections))
    return Curve(ordered, [ask(load) for load in ordered])
