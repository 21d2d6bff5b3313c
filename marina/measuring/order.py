"""What the generator's process is told, and what it tells: files in a folder of one load."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CUT = "no answer"  # beside the statuses, where examples are listed
ORDER, ANSWERS, TOLD = "order.json", "answers.npz", "told.json"


@dataclass(frozen=True)
class Order:
    """A load, as its process reads it; the fields are those of Load, and where it goes."""

    base_url: str
    connections: int
    rate: float | None
    seconds: float
    warm_up_seconds: float
    cacert: Path | None


@dataclass(frozen=True)
class Answers:
    """What came of a load; moments are seconds from the end of the warm-up.

    Attributes:
        due: when each request that was answered was due, in the order of the answers; float64.
        sent: when it was sent: later where the connections were all taken, or the generator was.
        ended: when its answer had come whole.
        status: HTTP status of the answer.
        free: whether a connection was free when it was due.
        cut: when each request that no answer came to was due.
        unsent: requests that were due, and for which no connection was free until the end.
        examples: the first answer's text by status, and why the first had none, under CUT.
        processor_seconds: that the generator used while it measured.
        waited_seconds: that it could have gone on and had no processor, as Linux says; elsewhere 0.
        lost: why the load ended before its time: no server any more; else None.
    """

    due: NDArray[np.float64]
    sent: NDArray[np.float64]
    ended: NDArray[np.float64]
    status: NDArray[np.int64]
    free: NDArray[np.bool_]
    cut: NDArray[np.float64]
    unsent: int
    examples: dict[str, str]
    processor_seconds: float
    waited_seconds: float
    lost: str | None


def write_order(folder: Path, order: Order, requests: Sequence[tuple[str, bytes, dict[str, str]]]) -> None:
    """Write an order; each different body once."""
    bodies = {body: f"body-{number}" for number, body in enumerate(dict.fromkeys(body for _, body, _ in requests))}
    for body, name in bodies.items():
        (folder / name).write_bytes(body)
    listed = [{"path": path, "body": bodies[body], "headers": headers} for path, body, headers in requests]
    document = asdict(order) | {"cacert": str(order.cacert) if order.cacert else None, "requests": listed}
    (folder / ORDER).write_text(json.dumps(document), encoding="utf-8")


def read_order(folder: Path) -> tuple[Order, list[tuple[str, bytes, dict[str, str]]]]:
    """The order of a folder, and its requests: path, body, headers."""
    document: dict[str, Any] = json.loads((folder / ORDER).read_text(encoding="utf-8"))
    listed = document.pop("requests")
    bodies = {name: (folder / name).read_bytes() for name in {one["body"] for one in listed}}
    requests = [(one["path"], bodies[one["body"]], one["headers"]) for one in listed]
    return Order(**document | {"cacert": Path(document["cacert"]) if document["cacert"] else None}), requests


def write_answers(folder: Path, answers: Answers) -> None:
    """Write what came of a load."""
    arrays = {name: value for name, value in vars(answers).items() if isinstance(value, np.ndarray)}
    np.savez(folder / ANSWERS, allow_pickle=False, **arrays)
    told = {name: value for name, value in vars(answers).items() if name not in arrays}
    (folder / TOLD).write_text(json.dumps(told), encoding="utf-8")


def read_answers(folder: Path) -> Answers:
    """What came of the folder's load."""
    with np.load(folder / ANSWERS) as arrays:
        return Answers(**arrays, **json.loads((folder / TOLD).read_text(encoding="utf-8")))
