"""The rows that TorchServe hands to a worker at once, and the answer that each is given."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from handlerkit.errors import RequestError

if TYPE_CHECKING:
    from handlerkit.tracing import Passed

JSON = "application/json"
DEADLINE = "x-request-deadline"
Kind = Literal["predict", "explain", "describe"]


class Row(dict[str, Any]):
    """One input: its parts by name, with its request's headers and, later, its answer.

    Attributes:
        request_id: the caller's ``X-Request-Id``, else TorchServe's.
        headers: the request's headers, their names in lower case (HTTP's are case-insensitive, TorchServe's are not).
        status: of the answer; None while there is none.
        answer: a JSON value, text or bytes.
        json: the answer as JSON, where it is a JSON value.
        content_type: of text or bytes, where the handler says it.
        kept: what ``preprocess_row`` learned of the row and ``postprocess_row`` needs, such as where an image was placed.
        passed: the stages that it went through, where requests are traced.
    """

    def __init__(self, parts: Mapping[str, Any], request_id: str = "", headers: Mapping[str, Any] | None = None) -> None:
        super().__init__(parts)
        self.headers = {name.lower(): value for name, value in (headers or {}).items()}
        self.request_id = str(self.headers.get("x-request-id") or request_id)
        self.status: HTTPStatus | None = None
        self.answer: Any = None
        self.json = ""
        self.content_type: str | None = None
        self.kept: Any = None
        self.passed: list[Passed] = []

    @property
    def kind(self) -> Kind:
        """What the caller asks for: TorchServe marks /explanations and ?customized=true by headers."""
        if self.headers.get("explain") == "True":
            return "explain"
        return "describe" if self.headers.get("describe") == "True" else "predict"

    @property
    def is_open(self) -> bool:
        """Whether the row still has no answer."""
        return self.status is None

    @property
    def is_late(self) -> bool:
        """Whether the caller's ``X-Request-Deadline``, a Unix time in seconds, has passed."""
        try:
            return time.time() > float(self.headers.get(DEADLINE, "inf"))
        except (TypeError, ValueError):
            return False

    def accepts(self, content_type: str) -> bool:
        """Whether the caller's ``Accept`` names a content type."""
        return content_type in str(self.headers.get("accept", ""))

    def option(self, name: str) -> Any:
        """An option of this request alone: a form's part, or a key of its JSON; None where it has none."""
        body = self.get("body", self.get("data"))
        value = body.get(name) if isinstance(body, dict) else self.get(name)
        return value.decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else value

    def reply(self, answer: Any, content_type: str | None = None) -> None:
        """Answer the row: text and bytes go out as they are, anything else as JSON.

        Raises:
            ValueError: JSON cannot say it, for example a number that is none (NaN).
            TypeError: likewise, for example a tensor.
        """
        if not isinstance(answer, (str, bytes)):
            self.json = json.dumps(answer, allow_nan=False)
        self.answer, self.content_type, self.status = answer, content_type, HTTPStatus.OK

    def refuse(self, error: RequestError) -> None:
        """Answer the row with an error; its batch-mates do not notice."""
        self.answer, self.content_type, self.status = error.body(), None, error.status


class Batch(list[Row]):
    """Rows that are answered together. Whatever is known of a batch is known here, never on the handler."""

    @property
    def open(self) -> Batch:
        """The rows that still have no answer, in order."""
        return Batch(row for row in self if row.is_open)

    def of_kind(self, kind: Kind) -> Batch:
        """The rows that ask for one thing and have no answer yet, in order."""
        return Batch(row for row in self if row.is_open and row.kind == kind)

    def halves(self) -> tuple[Batch, Batch]:
        """Both halves of the batch, the first no longer than the second."""
        middle = len(self) // 2
        return Batch(self[:middle]), Batch(self[middle:])
