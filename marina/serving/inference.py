"""A client of TorchServe's Inference API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import requests

from marina.errors import MarinaError
from marina.serving.access import Access
from marina.serving.management import Unreachable, message_of
from marina.serving.payloads import BYTES

TIMEOUT_SECONDS = 150
Route = Literal["predictions", "explanations"]


@dataclass(frozen=True)
class Answer:
    """An answer, or a refusal.

    Attributes:
        status: HTTP status.
        version: the version that answered, as the handler says; None where no handler was reached.
        body: the JSON value, bytes of a picture, text of anything else, or None where there is none.
        error: what a refusal says; None where the answer is good.
        seconds: from sending to having it all.
    """

    status: int
    version: str | None
    body: Any
    error: str | None
    seconds: float


class Inference:
    """The Inference API at one address."""

    def __init__(self, address: str, access: Access | None = None) -> None:
        self.address = address.rstrip("/")
        self._access = access or Access(self.address)
        self._session = self._access.session()

    def ask(
        self,
        model: str,
        payload: bytes,
        version: str | None = None,
        route: Route = "predictions",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one payload to a model, to one version of it or to its default.

        Args:
            model: which.
            payload: the request's body.
            version: that is asked; the default one, or by a gateway's split, where it is None.
            route: predictions or explanations.
            headers: besides ``Content-Type: application/octet-stream``, or in its place.

        Raises:
            Unreachable: nothing answers.
            MarinaError: no answer in time.
        """
        path = self.address + path_of(route, model, version)
        sent = {"Content-Type": BYTES, **(headers or {})}
        try:
            answer = self._access.send(
                self._session, "inference", "POST", path, data=payload, headers=sent, timeout=TIMEOUT_SECONDS
            )
        except requests.Timeout as error:
            raise MarinaError(f"{path} did not answer within {TIMEOUT_SECONDS} s") from error
        except requests.ConnectionError as error:
            raise Unreachable(f"no Inference API answers at {self.address}: start one with make serve") from error
        return _answer(answer)

    def assigned(self, model: str, headers: Mapping[str, str]) -> str:
        """The arm that a caller with these headers would get, as a gateway at the address says.

        Raises:
            Unreachable: nothing answers.
            MarinaError: the model has no split.
        """
        path = f"{self.address}/assignments/{model}"
        try:
            answer = self._access.send(self._session, "inference", "GET", path, headers=dict(headers), timeout=TIMEOUT_SECONDS)
        except requests.RequestException as error:
            raise Unreachable(f"no gateway answers at {self.address}: start one with make serve") from error
        if not answer.ok:
            raise MarinaError(f"{path}: {answer.status_code}: {message_of(answer)}")
        return str(answer.json()["version"])


def path_of(route: Route, model: str, version: str | None) -> str:
    """Where a model is asked, from the root of the API."""
    return f"/{route}/{model}" + (f"/{version}" if version else "")


def _answer(answer: requests.Response) -> Answer:
    version = answer.headers.get("X-Model-Version")
    seconds = answer.elapsed.total_seconds()
    if answer.ok:
        if answer.headers.get("Content-Type", "").startswith("image/"):
            return Answer(answer.status_code, version, answer.content, None, seconds)
        try:
            return Answer(answer.status_code, version, answer.json(), None, seconds)
        except ValueError:
            return Answer(answer.status_code, version, answer.text, None, seconds)
    error = message_of(answer)
    if answer.status_code == requests.codes.request_entity_too_large and not answer.content:
        error = "the payload is larger than the server takes (max_request_size of TorchServe, 6.5 MB by default)"
    return Answer(answer.status_code, version, None, error, seconds)
