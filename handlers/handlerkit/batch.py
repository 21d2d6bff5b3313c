"""The rows that TorchServe hands to a worker at once, and the answer that each is given."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Literal

from handlerkit.errors import RequestError

JSON = "application/json"
Kind = Literal["predict", "explain", "describe"]


class Row(dict[str, Any]):
    """One request: TorchServe's row (its parts by name), with its headers, its kind and, later, its answer.

    Attributes:
        index: position in the batch.
        request_id: TorchServe's id of the request.
        headers: the request's headers, their names in lower case (HTTP's are case-insensitive, TorchServe's are not).
        status: of the answer; None while there is none.
        body: of the answer.
        content_type: of the body; None where a handler answers with text or bytes and does not say.
    """

    def __init__(self, parts: Mapping[str, Any], index: int, request_id: str, headers: Mapping[str, Any]) -> None:
        super().__init__(parts)
        self.index = index
        self.request_id = request_id
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.status: HTTPStatus | None = None
        self.body: str | bytes = ""
        self.content_type: str | None = None

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

    def reply(self, answer: Any, content_type: str | None = None) -> None:
        """Answer the row: text and bytes go out as they are, anything else as JSON.

        Raises:
            ValueError: JSON cannot say it, for example a number that is none (NaN).
            TypeError: likewise, for example a tensor.
        """
        if isinstance(answer, (str, bytes, bytearray)):
            self.body, self.content_type = answer if isinstance(answer, str) else bytes(answer), content_type
        else:
            self.body, self.content_type = json.dumps(answer, allow_nan=False) + "\n", JSON
        self.status = HTTPStatus.OK

    def refuse(self, error: RequestError) -> None:
        """Answer the row with an error; its batch-mates do not notice."""
        self.reply(error.body())
        self.status = error.status


class Batch(list[Row]):
    """Rows that are answered together. Whatever is known of a batch is known here, never on the handler."""

    @classmethod
    def read(cls, data: Iterable[Mapping[str, Any]], context: Any) -> Batch:
        """The batch that TorchServe passes to ``handle``, with its ``ts.context.Context``."""
        return cls(
            Row(parts, index, context.get_request_id(index) or "", context.get_all_request_header(index))
            for index, parts in enumerate(data)
        )

    @property
    def open(self) -> Batch:
        """The rows that still have no answer, in order."""
        return Batch(row for row in self if row.is_open)

    def of_kind(self, kind: Kind) -> Batch:
        """The rows that ask for one thing, in order."""
        return Batch(row for row in self if row.kind == kind)

    def halves(self) -> tuple[Batch, Batch]:
        """Both halves of the batch, the first no longer than the second."""
        middle = len(self) // 2
        return Batch(self[:middle]), Batch(self[middle:])

    def write(self, context: Any, headers: Mapping[str, str]) -> list[str | bytes]:
        """Set status and headers of every row, and return the bodies in TorchServe's order."""
        for row in self:
            status = row.status or HTTPStatus.INTERNAL_SERVER_ERROR
            context.set_response_status(status.value, status.phrase, row.index)
            if row.content_type:
                context.set_response_content_type(row.index, row.content_type)
            for name, value in headers.items():
                context.set_response_header(row.index, name, value)
        return [row.body for row in self]
