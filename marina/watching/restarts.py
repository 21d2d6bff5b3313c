"""Count the workers that TorchServe started in the place of lost ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from marina.serving.management import Running

Version = tuple[str, str]


class Restarts:
    """Compares workers' process ids from look to look; what happens between two looks counts as one restart at most."""

    def __init__(self) -> None:
        self._pids: dict[tuple[str, str, str], int] = {}
        self._counted: Counter[Version] = Counter()

    def look(self, versions: Sequence[Running]) -> dict[Version, int]:
        """Restarts so far, since the first look, of every version that is registered now."""
        there = [(running, worker) for running in versions for worker in running.workers]
        seen = {(running.model, running.version, worker.id): worker.pid for running, worker in there}
        for (model, version, number), pid in seen.items():
            self._counted[model, version] += 0 < self._pids.get((model, version, number), pid) != pid > 0
        self._pids = {key: pid if pid > 0 else self._pids.get(key, 0) for key, pid in seen.items()}  # 0: it has not come yet
        return {(running.model, running.version): self._counted[running.model, running.version] for running in versions}

    def forget_processes(self) -> None:
        """The server is gone: workers of the next one are no restarts of its."""
        self._pids = {}
