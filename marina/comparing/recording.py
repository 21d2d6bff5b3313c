"""The recorder at its work: a thread that looks at the logs, beside the server that takes outcomes."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread

from marina.comparing.recorder import Recorder
from marina.console import step
from marina.errors import MarinaError

LOOK_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0


class Recording:
    """Looks until it is told to end; trouble is told once, and the look is made again."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.trouble: str | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)

    @asynccontextmanager
    async def lifespan(self, _: object) -> AsyncIterator[None]:
        """Record while the server runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._ending.set()
            await to_thread.run_sync(self._thread.join)

    def _work(self) -> None:
        pause = LOOK_SECONDS
        while not self._ending.wait(pause):
            pause = LOOK_SECONDS if self._look() else min(2 * pause, LONGEST_PAUSE_SECONDS)
        self._look(for_the_last_time=True)

    def _look(self, *, for_the_last_time: bool = False) -> bool:
        """Whether a look went well."""
        try:
            if for_the_last_time:
                self.recorder.look_for_the_last_time()
            else:
                self.recorder.look()
        except (MarinaError, OSError) as error:
            self.recorder.metrics.troubles.inc()
            if self.trouble != str(error):
                step(f"not recording: {error}")
            self.trouble = str(error)
            return False
        if self.trouble:
            step("recording again")
        self.trouble = None
        return True
