"""TorchServe's own descriptions of its APIs, tried by schemathesis: what they allow is answered, and is nobody's fault."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from servers import Serving

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or 10)
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
TRIED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
OPERATIONS = {
    "inference": [
        ("/predictions/{model_name}", "POST"),
        ("/predictions/{model_name}/{model_version}", "POST"),
    ],
    "management": [
        ("/models", "GET"),
        ("/models/{model_name}", "GET"),
        ("/models/{model_name}/{model_version}", "GET"),
    ],
}
ASKED = [(api, path, method) for api, listed in OPERATIONS.items() for path, method in listed]


Described = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def described(server: Serving) -> Described:
    """The description of each API, as the server gives it."""
    return cache(lambda api: requests.options(server.url("/", api), timeout=30).json())


def _cases(description: dict[str, Any], path: str, method: str) -> st.SearchStrategy[Case[Any]]:
    operation = schemathesis.openapi.from_dict(description)[path][method]
    return st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in MODES))


@pytest.mark.parametrize("asked", ASKED, ids=" ".join)
@TRIED
@given(data=st.data())
def test_what_is_described_is_answered(
    server: Serving, described: Described, asked: tuple[str, str, str], data: st.DataObject
) -> None:
    """By an answer or a refusal, of any model, version, query and body, as described and against it; also by the gateway."""
    api, path, method = asked
    case = data.draw(_cases(described(api), path, method))
    if "model_name" in case.path_parameters and data.draw(st.booleans()):
        case.path_parameters["model_name"] = "digits"
    for through in (api, "gateway") if api == "inference" else (api,):
        answer = case.call(base_url=server.url("", through), timeout=60)
        assert answer.status_code < 500, answer.content
