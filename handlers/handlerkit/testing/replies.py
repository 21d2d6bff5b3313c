"""What TorchServe's worker sends to its frontend, read as the frontend reads it.

A message is a status and a text for the whole batch, then for each row its id, content type, status, phrase, headers and
body; numbers and lengths are 32-bit, big-endian.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

FAILURE_TYPE = "InternalServerException"


@dataclass(frozen=True)
class Answer:
    """What one row was answered.

    Attributes:
        status: HTTP's.
        body: a JSON value where it is one, else text; bytes where the content type says so, or nothing else fits.
        headers: that the handler set.
        failure: where the batch failed as a whole, why: what ``handle`` raised, or what TorchServe says of its result.
    """

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    failure: str | None = None


def read_replies(message: bytes | bytearray, raised: BaseException | None) -> list[Answer]:
    """The answers of a batch, in the order in which its rows came.

    Args:
        message: of a worker, for rows whose ids are ``id-0``, ``id-1`` and so on.
        raised: by ``handle``, which TorchServe tells nobody but the log.
    """
    reader = _Reader(io.BytesIO(message))
    code, text = reader.number(), reader.text()
    rows = dict(iter(reader.row, None))
    if code != HTTPStatus.OK:  # the frontend then answers all of them the same
        body = {"code": code, "type": FAILURE_TYPE, "message": text}
        return [Answer(code, body, failure=f"{type(raised).__name__}: {raised}" if raised else text) for _ in rows]
    return [rows[f"id-{index}"] for index in range(len(rows))]


class _Reader:
    def __init__(self, message: io.BytesIO) -> None:
        self._message = message

    def number(self) -> int:
        return int.from_bytes(self._message.read(4), "big", signed=True)

    def content(self) -> bytes:
        return self._message.read(self.number())

    def text(self) -> str:
        return self.content().decode("utf-8")

    def row(self) -> tuple[str, Answer] | None:
        """The next row's id and answer; None after the last."""
        length = self.number()
        if length < 0:
            return None
        request_id, content_type, status, _ = self._message.read(length).decode(), self.text(), self.number(), self.text()
        headers = {self.text(): self.text() for _ in range(self.number())}
        return request_id, Answer(status, _body(self.content(), content_type), headers)


def _body(content: bytes, content_type: str) -> Any:
    if content_type and not content_type.startswith(("text/", "application/json")):
        return content
    try:
        text = content.decode("utf-8")
        return text if content_type.startswith("text/") else json.loads(text)
    except UnicodeDecodeError:
        return content
    except ValueError:
        return text
