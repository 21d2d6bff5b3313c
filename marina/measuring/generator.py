"""The load generator's own process: Locust's users, each of which sends one request at a time.

Locust keeps the users; they send by geventhttpclient, which is what its FastHttpUser sends by, without the session and the
statistics that FastHttpUser puts around it: these cost as much again as the request, and round latencies.
"""

from __future__ import annotations

import os

os.environ.setdefault("GEVENT_BACKEND", "select")  # epoll's timers are a millisecond coarse, by which requests would be late

import contextlib
import itertools
import logging
import sys
import time
from pathlib import Path

import gevent
import numpy as np
from gevent.event import Event
from gevent.queue import SimpleQueue
from geventhttpclient import HTTPClient
from locust import User, task
from locust.env import Environment
from locust.exception import StopUser

from marina.measuring.order import CUT, Answers, Order, read_order, write_answers

REPLY_SECONDS = 150.0
CONNECT_SECONDS = 10.0
EXAMPLE_BYTES = 300
OK = 200
LOST_TRIES, LOST_SECONDS = 10, 1.0  # without any answer, after which there is no server any more
Asked = tuple[str, bytes, dict[str, str]]
Due = tuple[float, bool, Asked]  # the moment, whether a connection was free then, the request


class Caller(User):
    """Sends what is due, one after the other."""

    load: Run

    @task
    def ask(self) -> None:
        """Send the next request, and note what came of it."""
        due = self.load.next()
        if due is None:
            raise StopUser
        self.load.send(*due)


class Run:
    """One load: what is due, and what came of it."""

    def __init__(self, order: Order, requests: list[Asked]) -> None:
        self.order = order
        self._requests = itertools.cycle(requests)
        self._queue: SimpleQueue[Due | None] = SimpleQueue()
        self._client = _client(order)
        self._in_work = 0
        self._answered: list[tuple[float, float, float, int, bool]] = []
        self._cut: list[float] = []
        self._trouble, self._tries = 0.0, 0  # since when no answer comes, and requests that were sent since
        self._examples: dict[str, str] = {}
        self._lost: str | None = None
        self._over = Event()
        self._used = self._waited = 0.0
        self._begin = self._end = 0.0

    def run(self) -> Answers:
        """Send all of it, and wait for the last answer."""
        Caller.load = self
        environment = Environment(user_classes=[Caller], stop_timeout=REPLY_SECONDS)
        runner = environment.create_local_runner()
        self._begin = time.perf_counter() + self.order.warm_up_seconds
        self._end = self._begin + self.order.seconds
        runner.start(self.order.connections, spawn_rate=self.order.connections)
        used = gevent.spawn(self._measure_processor)
        if self.order.rate is not None:
            self._put_when_due(self.order.rate)
        self._wait_until(self._end)
        unsent = self._take_back()
        runner.stop()
        used.join()
        return self._answers(unsent)

    def next(self) -> Due | None:
        """When a request is due, and which; waits for it in an open loop. None at the end."""
        if self.order.rate is not None:
            waited: Due | None = self._queue.get()
            return waited
        now = time.perf_counter()
        return None if now >= self._end or self._lost else (now, True, next(self._requests))

    def send(self, due: float, free: bool, asked: Asked) -> None:
        """Send a request and note what came of it."""
        self._in_work += 1
        try:
            self._send(due, free, asked)
        finally:
            self._in_work -= 1

    def _send(self, due: float, free: bool, asked: Asked) -> None:
        path, body, headers = asked
        sent = time.perf_counter()
        try:
            reply = self._client.post(path, body=body, headers=headers)
            content = reply.read()
        except Exception as error:  # whatever it is: Locust would log it, and go on
            self._note_cut(due, sent, error)
            return
        self._answered.append((due, sent, time.perf_counter(), reply.status_code, free))
        self._tries = 0
        if reply.status_code != OK:
            self._examples.setdefault(str(reply.status_code), content[:EXAMPLE_BYTES].decode(errors="replace"))

    def _note_cut(self, due: float, sent: float, error: Exception) -> None:
        now = time.perf_counter()
        self._cut.append(due)
        self._trouble = self._trouble if self._tries else now
        self._tries += 1 if not self._tries or sent > self._trouble else 0
        self._examples.setdefault(CUT, f"{type(error).__name__}: {error}")
        if self._tries > LOST_TRIES and now > self._trouble + LOST_SECONDS:
            self._lost = f"{type(error).__name__}: {error}"
            self._over.set()

    def _put_when_due(self, rate: float) -> None:
        first = time.perf_counter()
        for number in itertools.count():
            due = first + number / rate
            if due >= self._end or self._lost:
                return
            self._wait_until(due)
            free = self._in_work + self._queue.qsize() < self.order.connections
            self._queue.put((due, free, next(self._requests)))

    def _wait_until(self, moment: float) -> None:
        self._over.wait(max(moment - time.perf_counter(), 0.0))

    def _take_back(self) -> int:
        """What is still waiting for a connection, of what was due while measuring; callers end."""
        waiting = [self._queue.get() for _ in range(self._queue.qsize())]
        for _ in range(self.order.connections):
            self._queue.put(None)
        return sum(one is not None and one[0] >= self._begin for one in waiting)

    def _measure_processor(self) -> None:
        self._wait_until(self._begin)
        used, waited = time.process_time(), _waited_for_a_processor()
        self._wait_until(self._end)
        self._used, self._waited = time.process_time() - used, _waited_for_a_processor() - waited

    def _answers(self, unsent: int) -> Answers:
        columns = np.array(self._answered, dtype=np.float64).reshape(-1, 5).T
        due, sent, ended = columns[:3] - self._begin
        cut = np.array(self._cut, dtype=np.float64) - self._begin
        status, free = columns[3].astype(np.int64), columns[4].astype(np.bool_)
        return Answers(due, sent, ended, status, free, cut, unsent, self._examples, self._used, self._waited, self._lost)


def _client(order: Order) -> HTTPClient:
    """One pool of connections, of which the last that was used is used again first."""
    trusted = str(order.cacert) if order.cacert else os.environ.get("REQUESTS_CA_BUNDLE")  # as marina.serving.access has it
    return HTTPClient.from_url(
        order.base_url,
        concurrency=order.connections,
        connection_timeout=CONNECT_SECONDS,
        network_timeout=REPLY_SECONDS,
        ssl_options={"ca_certs": trusted} if trusted else None,
    )


def _waited_for_a_processor() -> float:
    """Seconds for which this process was ready to run and did not, the second figure of Linux's schedstat."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    return 0.0


def main() -> None:
    """Read the order of a folder, and write what came of it there."""
    logging.disable(logging.WARNING)
    folder = Path(sys.argv[1])
    write_answers(folder, Run(*read_order(folder)).run())


if __name__ == "__main__":
    main()
