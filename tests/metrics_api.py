"""What a server of a test's says of itself on the Metrics API."""

from __future__ import annotations

from collections.abc import Callable

import requests
from servers import Serving

from marina.serving.polling import wait_for


def samples(server: Serving, name: str) -> dict[str, float]:
    """The values of a metric, by its labels."""
    text = requests.get(server.url("/metrics", "metrics"), timeout=30).text
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(name + "{")]
    return {labels: float(value) for labels, value in lines}


def of_version(server: Serving, name: str, version: str) -> float:
    """The sum of a metric over everything that one version counted."""
    return sum(value for labels, value in samples(server, name).items() if f'model_version="{version}"' in labels)


def answers_of(server: Serving, version: str, kind: str, status: int) -> float:
    """How often a version gave answers of a kind and a status."""
    wanted = f'model_version="{version}",kind="{kind}",status="{status}"'
    return sum(value for labels, value in samples(server, "marina_answers_total").items() if wanted in labels)


def settled(probe: Callable[[], float]) -> float:
    """What a metric is once everything before has been written: workers write once a second."""
    seen: list[float] = []

    def twice_the_same() -> bool:
        seen.append(probe())
        return len(seen) > 1 and seen[-1] == seen[-2]

    assert wait_for(twice_the_same, 30, interval=1.5)
    return seen[-1]
