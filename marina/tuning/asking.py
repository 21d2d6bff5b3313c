"""Ask a point as the person's callers would, and say what came."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from marina.measuring.load import Load, Request, measure
from marina.serving.payloads import Payload
from marina.tuning.objective import Served

WARM_UP_S = 0.5
OK = 200


@dataclass(frozen=True)
class Asked:
    """What is asked.

    Attributes:
        requests: in turn.
        connections: that ask at once, each its next request as soon as it has its answer.
    """

    requests: tuple[Payload, ...]
    connections: int

    @property
    def contents(self) -> list[bytes]:
        """The requests' bodies."""
        return [one.content for one in self.requests]


def ask(address: str, asked: Asked, seconds: float) -> Served:
    """Ask for some seconds, after a warm-up.

    Args:
        address: of the model, as http://127.0.0.1:8080/predictions/digits/1.0.
        asked: what, and by how many connections.
        seconds: that are measured.
    """
    place = urlsplit(address)
    requests = [Request(place.path, one.content, one.headers) for one in asked.requests]
    load = Load(connections=asked.connections, rate=None, seconds=seconds, warm_up_seconds=WARM_UP_S)
    found = measure(f"{place.scheme}://{place.netloc}", requests, load)
    good = found.statuses.get(OK, 0)
    return Served(
        throughput=found.throughput,
        p50_s=found.percentile(50) if good else 0.0,
        p99_s=found.percentile(99) if good else 0.0,
        sent=found.sent,
        failures=sum(found.statuses.values()) - good + found.cut,
        seconds=found.seconds,
        generator_share=found.generator_share,
        warnings=tuple(found.warnings),
    )
