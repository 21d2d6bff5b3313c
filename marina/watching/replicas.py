"""Several TorchServes that answer by one name: each is looked at, and what they say is added up."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from marina.errors import MarinaError
from marina.watching.exported import Sample
from marina.watching.sources import FAILURES, Server, Source

RESTARTS = "marina_worker_restarts_total"
NOT_ADDED = ("marina_version_default", "marina_worker_memory_bytes")  # the largest is told
Labels = tuple[str, ...]


def addresses_of(host: str) -> set[str]:
    """What a name stands for now.

    Raises:
        MarinaError: nothing.
    """
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)}
    except OSError as error:
        raise MarinaError(f"{host}: no TorchServe answers by that name: {error.strerror or error}") from error


@dataclass
class _Replica:
    server: Server
    restarts: Counter[Labels] = field(default_factory=Counter)

    def look(self) -> list[Sample]:
        samples = list(self.server.look())
        self.restarts = Counter({one.labels: int(one.value) for one in samples if one.name == RESTARTS})
        return samples


class Replicas(Source):
    """The TorchServes behind a name, those that come and go among them; restarts of those that went stay counted."""

    name = "torchserve"

    def __init__(self, url: str, server: Callable[[str], Server], resolve: Callable[[str], set[str]] = addresses_of) -> None:
        """Nothing is asked yet.

        Args:
            url: of the Management API, with the name for its host.
            server: makes what looks at one of them, by its own URL.
            resolve: what a name stands for.
        """
        self._url, self._server, self._resolve = urlsplit(url), server, resolve
        self._replicas: dict[str, _Replica] = {}
        self._gone: Counter[Labels] = Counter()

    def look(self) -> Iterable[Sample]:
        """Sums over those that answer.

        Raises:
            MarinaError: none does.
        """
        self._follow(self._resolve(self._url.hostname or ""))
        said, failed = list[Sample](), list[Exception]()
        for replica in self._replicas.values():
            try:
                said += replica.look()
            except FAILURES as error:
                failed.append(error)
        if len(failed) == len(self._replicas):
            raise failed[0]
        return self._together(said)

    def _follow(self, addresses: set[str]) -> None:
        for address in self._replicas.keys() - addresses:
            self._gone += self._replicas.pop(address).restarts
        for address in sorted(addresses - self._replicas.keys()):
            url = self._url._replace(netloc=f"{address}:{self._url.port}")
            self._replicas[address] = _Replica(self._server(url.geturl()))

    def _together(self, said: list[Sample]) -> list[Sample]:
        totals: dict[tuple[str, Labels], float] = {}
        for name, labels, value in said:
            before = totals.get((name, labels), 0.0)
            totals[name, labels] = max(before, value) if name in NOT_ADDED else before + value
        restarts = sum((one.restarts for one in self._replicas.values()), self._gone.copy())
        totals.update({(RESTARTS, labels): restarts[labels] for name, labels in totals if name == RESTARTS})
        return [Sample(name, labels, value) for (name, labels), value in totals.items()]
