"""A steady load on a gateway, in which every request has a fate."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
from handlerkit.testing import alike

Fate = Literal["right", "error", "refused", "cut", "lost", "wrong"]
DEADLINE_SECONDS = 130.0  # the gateway gives up after 120


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        due, done: when it was sent, and when its fate was known, on the clock of ``time.monotonic``.
        fate: *right*: the answer that its version gives it alone; *error*: a full reply that says what went wrong; *refused*:
            no connection was to be had; *cut*: the connection was closed on the caller; *lost*: nothing by the deadline; *wrong*:
            another answer than its own.
        request_id: by which the record knows it, where it was answered.
        said: what a person would want to see of it.
    """

    due: float
    done: float
    fate: Fate
    request_id: str | None
    said: str


@dataclass
class SteadyLoad:
    """So many requests a second, sent when they are due, however long the others take.

    Attributes:
        url: that is asked.
        payloads: in turn.
        alone: what each version answers to each payload when nothing else is asked.
        rate: requests a second.
        asked: what became of each, in the order of its end.
    """

    url: str
    payloads: Sequence[bytes]
    alone: Mapping[str, Sequence[Any]]
    rate: float
    asked: list[Asked] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def fates(self) -> Counter[Fate]:
        """How often each came."""
        return Counter(one.fate for one in self.asked)

    def last_trouble(self) -> float | None:
        """When the last request was sent that was not answered rightly."""
        return max((one.due for one in self.asked if one.fate != "right"), default=None)

    def rightly_answered_since(self, moment: float) -> int:
        """How many requests that were sent after a moment have been answered rightly; 0 as long as any was not."""
        since = [one.fate for one in self.asked if one.due > moment]
        return len(since) if all(fate == "right" for fate in since) else 0

    def stop(self) -> None:
        """Send no more."""
        self._stopping.set()

    def run(self) -> None:
        """Send until it is stopped, then wait for what is on its way."""
        asyncio.run(self._send_all())

    async def _send_all(self) -> None:
        limits = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=limits, timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS)) as session:
            began, sent = time.monotonic(), set[asyncio.Task[None]]()
            while not self._stopping.is_set():
                sent.add(asyncio.create_task(self._send(session, len(sent) % len(self.payloads))))
                await asyncio.sleep(max(0.0, began + len(sent) / self.rate - time.monotonic()))
            await asyncio.gather(*sent)

    async def _send(self, session: aiohttp.ClientSession, number: int) -> None:
        due, headers = time.monotonic(), {"X-User-Id": f"caller {time.monotonic_ns()}"}
        try:
            async with session.post(self.url, data=self.payloads[number], headers=headers) as answer:
                body = await answer.read()
                fate = self._fate(number, answer, body)
                said = f"{answer.status} {body[:200].decode(errors='replace')}"
                self._note(due, fate, said, answer.headers.get("X-Request-Id"))
        except aiohttp.ClientConnectorError as error:
            self._note(due, "refused", str(error))
        except TimeoutError:
            self._note(due, "lost", f"nothing within {DEADLINE_SECONDS:g} s")
        except (aiohttp.ClientError, ConnectionError) as error:
            self._note(due, "cut", f"{type(error).__name__}: {error}")

    def _note(self, due: float, fate: Fate, said: str, request_id: str | None = None) -> None:
        self.asked.append(Asked(due, time.monotonic(), fate, request_id, said))

    def _fate(self, number: int, answer: aiohttp.ClientResponse, body: bytes) -> Fate:
        try:
            document = json.loads(body)
        except ValueError:
            return "wrong"
        if answer.status == 200:
            of_version = self.alone.get(answer.headers.get("X-Model-Version", ""))
            return "right" if of_version is not None and alike(document, of_version[number]) else "wrong"
        return "error" if document.get("code") == answer.status and document.get("message") else "wrong"


@contextmanager
def steady_load(url: str, payloads: Sequence[bytes], alone: Mapping[str, Sequence[Any]], rate: float) -> Iterator[SteadyLoad]:
    """A load that is there until the end of the block, and has all its answers after it."""
    load = SteadyLoad(url, payloads, alone, rate)
    thread = threading.Thread(target=load.run)
    thread.start()
    try:
        yield load
    finally:
        load.stop()
        thread.join()
