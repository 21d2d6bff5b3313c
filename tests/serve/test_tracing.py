"""A real TorchServe, asked by callers with traces of their own: each finds its request in its trace, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import requests
from collectors import Collector, Seen, collector
from pictures import plain
from servers import READY, Serving, eventually, serving

from marina.paths import Store
from marina.serving.free_ports import free_ports

STAGES = ["preprocess", "inference", "postprocess"]


@dataclass
class Traced:
    """A server that sends its spans, and where it sends them."""

    server: Serving
    collector: Collector
    open: ExitStack

    def ask(self, number: int, path: str, content: bytes, **headers: str) -> requests.Response:
        """Ask as a caller with a trace of its own."""
        return self.server.ask(path, content, TRACEPARENT=f"00-{number:032x}-{number:016x}-01", **headers)

    def tree(self, number: int, stages: int) -> tuple[Seen, list[Seen]]:
        """A caller's server span and the stages below it, which are all of its trace."""
        found = self.collector.wait_for(f"{number:032x}", 1 + stages)
        (server,) = [one for one in found if one.kind == "SERVER"]
        below = [one for one in found if one is not server]
        assert len(below) == stages
        assert server.parent == f"{number:016x}"
        assert {one.parent for one in below} == {server.span}
        return server, below


@pytest.fixture(scope="module")
def traced(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """Both versions of digits, of which 2.0 waits long enough for batches to form."""
    folder = tmp_path_factory.mktemp("traced")
    deployment = folder / "deployment.yaml"
    deployment.write_text(
        'models: {digits: {default: "1.0", versions: {"1.0": {}, "2.0": {batch_size: 8, max_batch_delay_ms: 400}}}}'
    )
    with ExitStack() as opened, pytest.MonkeyPatch.context() as variables:
        collected = opened.enter_context(collector())
        variables.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
        variables.setenv("OTEL_SERVICE_NAME", "digits-here")
        variables.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer SecretCollector")
        with serving(free_ports(), store, folder, "--deployment", deployment) as server:
            server.wait_for_output(READY)
            yield Traced(server, collected, opened)


def test_every_caller_of_a_batch_finds_its_own_request(traced: Traced, seven: bytes) -> None:
    """Predictions, explanations and bad rows at once: the right parent, stages and status for each, in its trace alone."""
    asked = {
        number: ("/explanations" if number % 4 == 0 else "/predictions", b"no image" if number % 4 == 1 else seven)
        for number in range(101, 117)
    }
    with ThreadPoolExecutor(len(asked)) as callers:
        answers = dict(
            zip(asked, callers.map(lambda one: traced.ask(one, f"{asked[one][0]}/digits/2.0", asked[one][1]), asked), strict=True)
        )
    shared = set()
    for number, (route, content) in asked.items():
        stages = ["preprocess"] if content != seven else ["preprocess", "explain"] if route == "/explanations" else STAGES
        server, below = traced.tree(number, len(stages))
        assert [one.name for one in below] == stages
        assert server.name == f"{'explain' if route == '/explanations' else 'predict'} digits"
        status = 200 if content == seven else 422
        assert answers[number].status_code == server.attributes["http.response.status_code"] == status
        assert not server.is_error
        assert server.attributes["marina.model.version"] == answers[number].headers["X-Model-Version"] == "2.0"
        assert server.resource["service.name"] == "digits-here"
        shared.add(server.attributes["marina.batch.rows"])
    assert max(shared) > 1, "no batch was formed: nothing was shown"


def test_two_versions_are_told_apart(traced: Traced, seven: bytes) -> None:
    """The request names no version: its span does, and the runtime."""
    assert traced.ask(201, "/predictions/digits", seven).headers["traceparent"].startswith(f"00-{201:032x}")
    server, _ = traced.tree(201, 3)
    assert (server.attributes["marina.model.version"], server.attributes["marina.runtime"]) == ("1.0", "torchscript")


def test_the_gateway_passes_a_trace_on(traced: Traced, seven: bytes) -> None:
    """Unchanged: the worker's span is below the caller's, as if it had been asked directly."""
    header = {"TRACEPARENT": f"00-{251:032x}-{251:016x}-01"}
    answer = requests.post(traced.server.url("/predictions/digits/2.0", "gateway"), seven, headers=header, timeout=60)
    assert (answer.status_code, answer.headers["traceparent"]) == (200, header["TRACEPARENT"])
    server, _ = traced.tree(251, 3)
    assert server.attributes["marina.request.id"] == answer.headers["x-request-id"]


def test_nothing_that_a_caller_sends_is_in_a_span(traced: Traced) -> None:
    """Neither the body nor the address, a key, a cookie, a user: the request's id alone, by which the log is found."""
    headers = {"Authorization": "Bearer SecretToken", "Cookie": "who=SecretCookie", "X-User-Id": "SecretUser"}
    more = {"X-Request-Id": "mine-301", "baggage": "user=SecretBaggage"}
    for number, content in ((301, b"SecretBody"), (302, plain(file_format="PNG") + b"SecretTail")):
        traced.ask(number, "/predictions/digits?name=SecretQuery", content, **headers, **more)
        spans = traced.collector.wait_for(f"{number:032x}", 2)
        assert "mine-301" in [one.attributes.get("marina.request.id") for one in spans]
    assert not any(b"Secret" in body for body in traced.collector.bodies)
    assert traced.collector.headers[0]["authorization"] == "Bearer SecretCollector"


def test_only_requests_have_spans(traced: Traced) -> None:
    """The preflight of a build and the description that status screens ask for have none."""
    assert requests.get(traced.server.url("/models/digits/2.0?customized=true", "management"), timeout=30).ok
    traced.ask(401, "/predictions/digits", b"")
    traced.tree(401, 1)
    assert {one.name for one in traced.collector.spans} <= {"predict digits", "explain digits", *STAGES, "explain"}


def test_a_collector_that_goes_and_comes_back_is_no_caller_s_matter(traced: Traced, seven: bytes) -> None:
    """Meanwhile requests are answered as before; afterwards spans arrive again, without a restart."""
    traced.open.close()
    for number in range(501, 509):
        assert traced.ask(number, "/predictions/digits", seven).status_code == 200
    log = traced.server.folder / "logs" / "model_log.log"
    assert eventually(lambda: "encountered while exporting spans batch" in log.read_text())
    with collector(urlsplit(traced.collector.url).port or 0) as again:
        assert eventually(lambda: traced.ask(601, "/predictions/digits", seven).ok and bool(again.of_trace(f"{601:032x}")))
    assert traced.server.ask("/predictions/digits", seven).ok
    logs = [path.read_text() for path in (traced.server.folder / "logs").iterdir()]
    assert not any("SecretCollector" in text for text in [*logs, traced.server.output])
