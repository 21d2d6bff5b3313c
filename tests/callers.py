"""Callers who ask a gateway all the while, each as somebody new, and remember what they were told."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests


@dataclass
class Callers:
    """What they were told.

    Attributes:
        statuses: how often which version was assigned, and which status came.
        failed: requests that no answer came to at all.
    """

    address: str
    payloads: list[bytes]
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def of(self, version: str) -> set[int]:
        """The statuses that came where a version was assigned."""
        return {status for (assigned, status), _ in self.statuses.items() if assigned == version}

    def ask(self) -> None:
        """Ask until the callers are stopped."""
        session = requests.Session()
        while not self._stopping.is_set():
            for payload in self.payloads:
                try:
                    answer = session.post(self.address, data=payload, headers={"X-User-Id": uuid.uuid4().hex}, timeout=60)
                    self.statuses[answer.headers.get("X-Assigned-Version", ""), answer.status_code] += 1
                except requests.RequestException as error:
                    self.failed.append(str(error))

    def stop(self) -> None:
        """Have them stop after their next answer."""
        self._stopping.set()


@contextmanager
def calling(address: str, payloads: list[bytes], connections: int = 4) -> Iterator[Callers]:
    """Callers on so many connections, until the end of the block."""
    callers = Callers(address, payloads)
    threads = [threading.Thread(target=callers.ask) for _ in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield callers
    finally:
        callers.stop()
        for thread in threads:
            thread.join()
