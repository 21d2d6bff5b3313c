"""Notice what becomes of workers while a server runs."""

from __future__ import annotations

from marina.errors import MarinaError
from marina.serving.management import Management, Worker

Key = tuple[str, str, str]


class Watch:
    """Looks at a server's workers and says what changed since the last look."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._ready: dict[Key, Worker] = {}
        self._lost: dict[Key, Worker] = {}

    def look(self) -> list[str]:
        """One sentence for each change since the last look; the first look finds what is there."""
        try:
            workers = self._workers()
        except MarinaError as error:
            return [f"the Management API does not answer: {error}"]
        keys = sorted(workers.keys() | self._ready.keys())
        return [change for key in keys for change in self._changes(key, workers.get(key))]

    def _changes(self, key: Key, now: Worker | None) -> list[str]:
        model, version, number = key
        before = self._ready.get(key)
        name = f"{model} {version}: worker {number}"
        changes = []
        if before and now is None:
            del self._ready[key]
            return [f"{name} (pid {before.pid}) was removed"]
        if before and now and (not now.is_ready or now.pid != before.pid):
            changes.append(f"{name} (pid {before.pid}) was lost")
            self._lost[key] = self._ready.pop(key)
        if now and now.is_ready and key not in self._ready:
            changes.append(f"{name} (pid {now.pid}) is READY" + (" again" if self._lost.pop(key, None) else ""))
            self._ready[key] = now
        return changes

    def _workers(self) -> dict[Key, Worker]:
        return {
            (model, version, worker.id): worker
            for model, versions in self._management.all_versions().items()
            for version, running in versions.items()
            for worker in running.workers
        }
