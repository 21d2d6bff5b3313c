"""What a model is asked under a load: real requests, of which the first is tried before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import requests

from marina.errors import MarinaError, UsageError
from marina.measuring.load import Load, Request, measure
from marina.measuring.measurement import Measurement
from marina.serving.access import Access
from marina.serving.inference import Inference, Route, path_of
from marina.serving.payloads import Payload, read_payloads
from marina.store.spec import find_spec


@dataclass(frozen=True)
class Place:
    """Where models are asked.

    Attributes:
        address: of TorchServe's Inference API, or of a gateway.
        access: the way in.
        headers: that every request has, such as a gateway's key.
    """

    address: str
    access: Access
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Asked:
    """A model, or one version of it, with what it is asked, and where."""

    place: Place
    model: str
    version: str | None
    requests: list[Request]

    @property
    def name(self) -> str:
        """As ``--compare`` takes it."""
        return f"{self.model}/{self.version}" if self.version else self.model

    def measure(self, load: Load) -> Measurement:
        """Put a load on it.

        Raises:
            MarinaError: the server stops answering.
        """
        return measure(self.place.address, self.requests, load, cacert=self.place.access.cacert)


def payloads_of(model: str, given: str | None) -> tuple[str, list[Payload]]:
    """The model's name on the server, and what it is asked.

    Args:
        model: a name; or the path of its spec.
        given: a file or a folder; the sample of the model's spec, where it is not given.

    Raises:
        UsageError: there is nothing to ask.
    """
    if given is not None:
        return model, list(read_payloads(given))
    try:
        spec = find_spec(model)
    except UsageError as error:
        raise UsageError(f"{error}; or name a folder of requests with --requests") from error
    return spec.spec.name, list(read_payloads(str(spec.beside(spec.sample.request))))


def tried(place: Place, model: str, version: str | None, payloads: list[Payload], route: Route) -> Asked:
    """The model with its requests, once it has answered the first of them.

    Raises:
        MarinaError: nobody answers there, or with a refusal.
    """
    first = payloads[0]
    headers = {**first.headers, **place.headers}
    answer = Inference(place.address, place.access).ask(model, first.content, version, route, headers)
    name = f"{model}/{version}" if version else model
    if answer.status == requests.codes.not_found:
        raise MarinaError(f"{name} is not served at {place.address}: {answer.error}; see scripts/register_model.py list")
    if answer.error is not None:
        raise MarinaError(f"{name} answers {first.name} with {answer.status}: {answer.error}")
    path = path_of(route, model, version)
    let_in = {**place.headers, **place.access.headers("inference")}
    return Asked(place, model, version, [Request(path, one.content, {**one.headers, **let_in}) for one in payloads])
