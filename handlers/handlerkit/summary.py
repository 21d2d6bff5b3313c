"""Notes of answers, so that what two versions said to one request can be compared afterwards.

A gateway throws a shadow's answer away. So it marks the requests that it copies by a header, and each version that
answers a marked one adds a line of JSON to a file of its worker's own, in the folder that MARINA_SUMMARIES names: request
id, model, version, kind, label, probabilities, seconds. Without the folder nothing is written. Callers wait for none of it:
a thread writes, what it cannot keep up with is left out, and a worker keeps the last LARGEST_BYTES to twice that.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

from handlerkit.batch import Row

logger = logging.getLogger(__name__)
HEADER = "x-marina-summary"
FOLDER = "MARINA_SUMMARIES"
MOST_LABELS = 20
MOST_WAITING = 1000
LARGEST_BYTES = 4 << 20
KEPT_SECONDS = 24 * 3600.0  # of workers that are no more


class Summaries:
    """The notes of one worker."""

    def __init__(self, model: str, version: str) -> None:
        """Nothing is opened before the first note."""
        folder = os.environ.get(FOLDER)
        self._of = {"model": model, "version": version}
        self._path = (
            Path(folder) / f"{re.sub(r'[^A-Za-z0-9._-]', '_', f'{model}-{version}')}-{os.getpid()}.jsonl" if folder else None
        )
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None

    def note(self, rows: list[Row], seconds: float) -> None:
        """Note the answers that are asked for; of a request with several rows the first.

        Args:
            rows: a batch that has been answered.
            seconds: that it took.
        """
        if self._path is None:
            return
        asked = {row.request_id: row for row in reversed(rows) if row.headers.get(HEADER) and row.status is HTTPStatus.OK}
        if asked and self._thread is None:
            self._thread = threading.Thread(target=self._write_forever, args=(self._path,), name="summaries", daemon=True)
            self._thread.start()
        for request_id, row in asked.items():
            note = {"request_id": request_id, **self._of, "kind": row.kind, **said(row.answer), "seconds": round(seconds, 6)}
            try:
                self._waiting.put_nowait(note)
            except queue.Full:
                return

    def _write_forever(self, path: Path) -> None:
        while True:
            notes = [self._waiting.get()]
            while not self._waiting.empty():
                notes.append(self._waiting.get())
            try:
                _write(path, notes)
            except OSError as error:
                logger.warning("summaries cannot be written: %s: %s", error.filename, error.strerror)


def _write(path: Path, notes: list[dict[str, Any]]) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        forget_old(path.parent)
    elif path.stat().st_size > LARGEST_BYTES:
        path.replace(path.with_suffix(".1.jsonl"))
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
        file.write("".join(f"{json.dumps(note)}\n" for note in notes))


def said(answer: Any) -> dict[str, Any]:
    """The best label of an answer and the probabilities of its labels; nothing of answers that have no labels."""
    entries = answer if isinstance(answer, list) else [answer]
    labelled = [one for one in entries if isinstance(one, dict) and isinstance(one.get("label"), str)]
    if not labelled:
        return {}
    probabilities: dict[str, float] = {}
    for one in labelled[:MOST_LABELS]:
        if isinstance(one.get("probability"), float):
            probabilities.setdefault(one["label"], one["probability"])
    return {"label": labelled[0]["label"], **({"probabilities": probabilities} if probabilities else {})}


def forget_old(folder: Path) -> None:
    """Delete what workers that are no more have left, a day after their last note."""
    for path in folder.glob("*.jsonl"):
        try:
            if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                path.unlink()
        except OSError:  # another worker was faster
            continue
