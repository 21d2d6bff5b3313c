"""The counters of a Metrics API, at one moment."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import requests
from prometheus_client.parser import text_string_to_metric_families

from marina.errors import MarinaError
from marina.serving.access import Access
from marina.serving.management import Unreachable

TIMEOUT_SECONDS = 10
ADDED = "_total"  # what the parser adds to the name of a counter that does not end so
Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Counters:
    """Values of all counters by name and labels; those of several hosts are not added up.

    Attributes:
        at: when they were read, in seconds of a clock that never goes back.
    """

    at: float
    values: dict[str, dict[Labels, float]]

    def sum(self, name: str, **labels: str) -> float:
        """The sum over all series of a counter that carry these labels; 0 where there is none."""
        wanted = labels.items()
        return sum(value for has, value in self.values.get(name, {}).items() if wanted <= set(has))

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Sums of a counter's series that carry these labels, by the value of one more label."""
        sums: defaultdict[str, float] = defaultdict(float)
        wanted = labels.items()
        for has, value in self.values.get(name, {}).items():
            if wanted <= set(has):
                sums[dict(has).get(label, "")] += value
        return dict(sums)

    def since(self, earlier: Counters) -> Counters:
        """What was counted between an earlier reading and this one, where ``at`` is the seconds between them.

        A counter that fell, since its server was started anew, counts from 0, as Prometheus has it.
        """
        values = {
            name: {labels: _grown(value, earlier.values.get(name, {}).get(labels, 0.0)) for labels, value in series.items()}
            for name, series in self.values.items()
        }
        return Counters(self.at - earlier.at, values)


def read_counters(address: str, access: Access) -> Counters:
    """What a Metrics API says now.

    Raises:
        Unreachable: nothing answers there.
        MarinaError: what answers is no Metrics API.
    """
    url = f"{address.rstrip('/')}/metrics"
    try:
        answer = access.send(access.session(), "management", "GET", url, timeout=TIMEOUT_SECONDS)
    except requests.RequestException as error:
        raise Unreachable(f"no Metrics API answers at {address}: start one with make serve") from error
    try:
        answer.raise_for_status()
        return Counters(time.monotonic(), parse(answer.text))
    except (requests.HTTPError, ValueError) as error:
        raise MarinaError(f"{url} does not answer with metrics: {' '.join(str(error).split())[:150]}") from error


def parse(text: str) -> dict[str, dict[Labels, float]]:
    """Metrics in Prometheus's text format, by the names that TorchServe writes.

    Raises:
        ValueError: it is none.
    """
    try:
        return _parsed(text)
    except (LookupError, TypeError, AttributeError) as error:  # of prometheus_client, on a line that is cut off
        raise ValueError(f"no metrics: {error}") from error


def _parsed(text: str) -> dict[str, dict[Labels, float]]:
    values: dict[str, dict[Labels, float]] = {}
    declared = set(_names(text.splitlines()))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            bare = sample.name.removesuffix(ADDED)
            name = bare if bare in declared else sample.name
            values.setdefault(name, {})[frozenset(sample.labels.items())] = sample.value
    return values


def _names(lines: Iterable[str]) -> Iterable[str]:
    return (line.split()[2] for line in lines if line.startswith("# TYPE ") and len(line.split()) > 2)


def _grown(now: float, before: float) -> float:
    return now - before if now >= before else now
