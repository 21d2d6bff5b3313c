"""What can be chosen: how a network is run, by how many workers and threads, and how requests are batched."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

BATCHES = (1, 4, 8, 16)
DELAYS_MS = (1, 5, 20)


class Choice(BaseModel):
    """A part of what is chosen; written down as it is, and good for a key of a dictionary."""

    model_config = ConfigDict(frozen=True)


class Format(Choice):
    """How a network is run."""

    runtime: str
    precision: str = "fp32"
    channels_last: bool = False

    @property
    def name(self) -> str:
        """As a version may be called: ``openvino-int8``."""
        return "-".join([self.runtime, self.precision] + ["channels_last"] * self.channels_last)

    def __str__(self) -> str:
        return self.name.replace("-", " ")


class Layout(Choice):
    """How many processes hold the network, and how many threads each of them computes with."""

    workers: int
    threads: int

    def __str__(self) -> str:
        return f"{self.workers} × {self.threads}"


class Point(Choice):
    """A whole choice."""

    format: Format
    layout: Layout
    batch_size: int
    max_batch_delay_ms: int

    def __str__(self) -> str:
        waits = f", {self.max_batch_delay_ms} ms" if self.batch_size > 1 else ""
        return f"{self.format}, {self.layout}, batch {self.batch_size}{waits}"


class Space(Choice):
    """All choices. A batch of one waits for nobody, and has the least delay alone."""

    formats: tuple[Format, ...]
    layouts: tuple[Layout, ...]
    batches: tuple[int, ...] = BATCHES
    delays_ms: tuple[int, ...] = DELAYS_MS

    def points(self) -> list[Point]:
        """Every point, in order."""
        every = itertools.product(self.formats, self.layouts, self.batches, self.delays_ms)
        return [self.point(*one) for one in every if one[2] > 1 or one[3] == self.delays_ms[0]]

    def point(self, how: Format, layout: Layout, batch_size: int, delay_ms: int) -> Point:
        """A point of the space."""
        waits = delay_ms if batch_size > 1 else self.delays_ms[0]
        return Point(format=how, layout=layout, batch_size=batch_size, max_batch_delay_ms=waits)

    def beside(self, point: Point) -> list[Point]:
        """The points that differ from one in batch size or delay by a step, or in layout; likeliest gains first."""
        how, layout, batch, delay = point.format, point.layout, point.batch_size, point.max_batch_delay_ms
        batches = [self.point(how, layout, one, delay) for one in _next_to(self.batches, batch)]
        layouts = [self.point(how, one, batch, delay) for one in self.layouts if one != layout]
        delays = [self.point(how, layout, batch, one) for one in _next_to(self.delays_ms, delay)] if batch > 1 else []
        return [*batches, *layouts, *delays]


def layouts(cores: int) -> tuple[Layout, ...]:
    """Workers and threads that share the cores, and twice as many, so that some decode requests while others compute.

    Workers are powers of two, from one to the cores.
    """
    workers = [one for one in (2**power for power in range(cores.bit_length())) if one <= cores]
    shared = [Layout(workers=one, threads=max(1, cores // one)) for one in workers]
    twice = [Layout(workers=one, threads=max(1, 2 * cores // one)) for one in workers[1:]]
    return tuple(dict.fromkeys([*shared, *twice]))


def _next_to(values: Sequence[int], value: int) -> list[int]:
    """The values on both sides of one; the greater first, as it may lie between two of them."""
    greater, less = [one for one in values if one > value], [one for one in values if one < value]
    return [*greater[:1], *less[-1:]]
