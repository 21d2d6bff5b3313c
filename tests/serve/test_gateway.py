"""The gateway that ``serve_models.py`` starts, in front of a real TorchServe: two versions of digits, half and half."""

from __future__ import annotations

import importlib
import io
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from PIL import Image
from servers import READY, SAMPLE, Serving, eventually, serving

from marina import paths
from marina.comparing.split import Split
from marina.gateway.gateway import Gateway
from marina.paths import State, Store
from marina.serving.free_ports import free_ports
from marina.serving.management import Management

PROTO = paths.CONFIG / "inference.proto"
DEPLOYMENT = {
    "models": {
        "digits": {
            "default": "1.0",
            "versions": {"1.0": {"workers": 1}, "2.0": {"workers": 1}},
            "split": {"weights": {"1.0": 50.0, "2.0": 50.0}},
            "shadow": {"version": "2.0", "percent": 100.0, "in_flight": 4},
        }
    }
}


@pytest.fixture(scope="module")
def served(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """As ``make serve`` has it, and a shadow."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "deployment.yaml").write_text(json.dumps(DEPLOYMENT))
    with serving(free_ports(), store, folder, "--deployment", folder / "deployment.yaml") as started:
        started.wait_for_output(READY)
        yield started


@pytest.fixture
def gateway(served: Serving) -> Gateway:
    """What the rest of Marina asks."""
    return Gateway(state_of(served), served.url("", "gateway_internal"))


def state_of(served: Serving) -> State:
    """The server's own state folder."""
    return State(served.folder / "state")


def ask(served: Serving, path: str = "/predictions/digits", content: bytes | None = None, user: str = "") -> requests.Response:
    """Ask the gateway."""
    sent = SAMPLE.read_bytes() if content is None else content
    return requests.post(served.url(path, "gateway"), data=sent, headers={"X-User-Id": user}, timeout=60)


def percent(first: float) -> Split:
    """So many percent to 1.0, the others to 2.0."""
    return Split(weights={"1.0": first, "2.0": 100.0 - first})


def log_of(served: Serving) -> list[dict[str, Any]]:
    """The access log."""
    return [json.loads(line) for line in (state_of(served).traffic / "access.log").read_text().splitlines()]


def test_serving_is_ready_when_the_gateway_is(served: Serving) -> None:
    """Its address is printed, and answers at once; the arms are ready as well."""
    assert f"gateway     {served.url('', 'gateway')}\n" in served.output
    for path, said in (("/healthz", "alive"), ("/ready", "ready"), ("/ready?strict", "ready")):
        answer = requests.get(served.url(path, "gateway"), timeout=10)
        assert (answer.status_code, answer.json()) == (200, {"status": said})


def test_callers_are_shared_and_keep_their_version(served: Serving) -> None:
    """Both versions answer, each caller's answers come from one, and both labels agree."""
    versions = {}
    for user in map(str, range(10)):
        answers = [ask(served, user=user) for _ in range(2)]
        labels = {(one.headers["X-Model-Version"], one.headers["X-Assigned-Version"]) for one in answers}
        assert len(labels) == 1
        assert [one.json()[0]["label"] for one in answers] == ["7", "7"]
        ((answered, assigned),) = labels
        assert answered == assigned
        versions[user] = answered
    assert set(versions.values()) == {"1.0", "2.0"}


def test_what_a_model_says_comes_through_as_it_is(served: Serving) -> None:
    """A named version, an explanation, a refusal, an unknown model: as from TorchServe itself."""
    for path in ("/predictions/digits/2.0", "/explanations/digits/1.0", "/predictions/nobody", "/predictions/digits/9.9"):
        direct = requests.post(served.url(path), data=SAMPLE.read_bytes(), timeout=60)
        through = ask(served, path)
        assert (through.status_code, through.headers["Content-Type"]) == (direct.status_code, direct.headers["Content-Type"])
        assert (
            through.json().keys() == direct.json().keys() if isinstance(direct.json(), dict) else through.json() == direct.json()
        )
    assert ask(served, content=b"no image").json()["type"] == "UnprocessableInput"
    explained = ask(served, "/explanations/digits", user="ada")
    assert explained.json()["method"]
    assert explained.headers["X-Assigned-Version"] == explained.headers["X-Model-Version"]


@pytest.mark.timeout(300)
def test_fifty_changes_of_weights_cost_no_request(served: Serving, gateway: Gateway) -> None:
    """Under 16 keep-alive connections: no error, no answer with a wrong label, nobody on an arm that has no weight."""
    stop, wrong, answered = threading.Event(), [], []
    url, content = served.url("/predictions/digits", "gateway"), SAMPLE.read_bytes()

    def call(user: int) -> None:
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.post(url, content, headers={"X-User-Id": f"{user}"}, timeout=60)
                answered.append(answer.headers.get("X-Model-Version"))
                if answer.status_code != 200 or answer.headers["X-Assigned-Version"] != answer.headers["X-Model-Version"]:
                    wrong.append((answer.status_code, dict(answer.headers), answer.text))

    with ThreadPoolExecutor(16) as callers:
        futures = [callers.submit(call, user) for user in range(16)]
        try:
            for number in range(50):
                gateway.set_split("digits", percent(random.Random(number).choice([0.0, 1.0, 10.0, 50.0, 90.0, 100.0])))  # noqa: S311
        finally:
            stop.set()
        for future in futures:
            future.result()
    gateway.set_split("digits", percent(50.0))
    assert wrong == []
    assert set(answered) == {"1.0", "2.0"}
    assert gateway.splits()["digits"] == percent(50.0)


def test_a_dead_arm_is_stood_in_for_and_stays_visible(served: Serving, gateway: Gateway) -> None:
    """Callers of 2.0 are answered by 1.0, labelled; the log and the figures have 2.0's failures; readiness tells them apart."""
    management = Management(served.url("", "gateway_internal"))
    users = [str(user) for user in range(20)]
    of_second = [user for user in users if ask(served, user=user).headers["X-Assigned-Version"] == "2.0"]
    before = gateway.arms("digits")["2.0"]
    management.scale("digits", "2.0", 0)
    try:
        assert eventually(lambda: not management.versions("digits")["2.0"].workers)
        answers = [ask(served, user=user) for user in of_second]
        assert {one.status_code for one in answers} == {200}
        assert {one.headers["X-Assigned-Version"] for one in answers} == {"2.0"}
        assert {one.headers["X-Model-Version"] for one in answers} == {"1.0"}
        assert eventually(lambda: requests.get(served.url("/ready?strict", "gateway"), timeout=10).status_code == 503)
        assert requests.get(served.url("/ready", "gateway"), timeout=10).status_code == 200
        assert gateway.arms("digits")["2.0"].errors == before.errors + len(of_second)
        ids = {one.headers["X-Request-Id"] for one in answers}
        assert eventually(lambda: ids <= {one["request_id"] for one in log_of(served)})
        lines = [one for one in log_of(served) if one["request_id"] in ids]
        assert {(one["status"], one["first_status"], one["attempts"]) for one in lines} == {(200, 503, 2)}
    finally:
        management.scale("digits", "2.0", 1)
        assert eventually(lambda: management.versions("digits")["2.0"].is_ready, 60)
    assert eventually(lambda: requests.get(served.url("/ready?strict", "gateway"), timeout=10).ok)


def test_both_versions_note_what_they_said_to_a_copied_request(served: Serving, gateway: Gateway) -> None:
    """By the id that the caller is told and that the log has; the caller's answer comes from the arm that it was given."""
    gateway.set_split("digits", percent(100.0))
    try:
        answer = ask(served)
    finally:
        gateway.set_split("digits", percent(50.0))
    name = answer.headers["X-Request-Id"]
    assert eventually(lambda: set(notes_of(served, name)) == {"1.0", "2.0"})
    notes = notes_of(served, name)
    assert {note["label"] for note in notes.values()} == {"7"}
    assert notes["1.0"]["probabilities"]["7"] == answer.json()[0]["probability"]
    assert eventually(lambda: any(one["request_id"] == name and one["sampled_shadow"] == "2.0" for one in log_of(served)))


def notes_of(served: Serving, request_id: str) -> dict[str, dict[str, Any]]:
    """What versions noted of a request, by version."""
    files = (state_of(served).traffic / "summaries").glob("*.jsonl")
    notes = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    return {note["version"]: note for note in notes if note["request_id"] == request_id}


def test_the_access_log_is_for_its_owner_and_tells_what_it_should(served: Serving) -> None:
    """Every field of a request that is known by a header; the file is 0600, opened anew on request with the same mode."""
    answer = ask(served, user="grace")
    name = answer.headers["X-Request-Id"]
    assert eventually(lambda: any(one["request_id"] == name for one in log_of(served)))
    line = next(one for one in log_of(served) if one["request_id"] == name)
    known = {"model": "digits", "route": "predictions", "experiment": "digits", "key": "grace", "key_from": "header"}
    assert {field: line[field] for field in known} == known
    assert line["assigned"] == line["answered"] == answer.headers["X-Model-Version"]
    assert (line["status"], line["first_status"], line["attempts"]) == (200, 200, 1)
    assert line["request_bytes"] == len(SAMPLE.read_bytes())
    assert 0 <= line["upstream_seconds"] <= line["seconds"] <= line["microseconds"] / 1e6 + 0.001
    log = state_of(served).traffic / "access.log"
    log.rename(log.with_suffix(".read"))
    assert requests.post(served.url("/reopen_logs", "gateway_internal"), timeout=10).ok
    ask(served)
    assert eventually(log.is_file)
    assert log.stat().st_mode & 0o777 == 0o600


def test_large_images_go_through_and_larger_ones_are_refused(served: Serving) -> None:
    """A 12-megapixel JPEG under the limit is answered, in spite of the shadow; one over it gets 413 as JSON."""
    small, large = (photograph(quality) for quality in (40, 95))
    assert len(small) < 6_500_000 < len(large)
    assert ask(served, content=small).status_code == 200
    refused = ask(served, content=large)
    assert (refused.status_code, refused.json()["type"]) == (413, "PayloadTooLarge")


def photograph(quality: int) -> bytes:
    """Noise of 12 megapixels, as a JPEG."""
    noise = Image.frombytes("RGB", (1000, 750), random.Random(1).randbytes(1000 * 750 * 3))  # noqa: S311
    file = io.BytesIO()
    noise.resize((4000, 3000), Image.Resampling.NEAREST).save(file, "JPEG", quality=quality)
    return file.getvalue()


def test_grpc_goes_through_on_the_same_port(served: Serving, tmp_path: Path) -> None:
    """Calls and streams, to TorchServe's Inference API and to no other."""
    outputs = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", str(PROTO.parent), *outputs, str(PROTO)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        messages, services = importlib.import_module("inference_pb2"), importlib.import_module("inference_pb2_grpc")
        with grpc.insecure_channel(f"127.0.0.1:{served.ports.gateway_port}") as channel:
            stub = services.InferenceAPIsServiceStub(channel)
            request = messages.PredictionsRequest(model_name="digits", model_version="2.0", input={"data": SAMPLE.read_bytes()})
            assert json.loads(stub.Predictions(request, timeout=60).prediction)[0]["label"] == "7"
            (streamed,) = stub.StreamPredictions(request, timeout=60)
            assert json.loads(streamed.prediction)[0]["label"] == "7"
            call = channel.unary_unary("/org.pytorch.serve.grpc.management.ManagementAPIsService/ListModels")
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=60)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_killed_gateway_runs_again_with_the_same_weights(served: Serving, gateway: Gateway) -> None:
    """It is started by who started it, and says so; nothing that was told to it is lost."""
    gateway.set_split("digits", percent(90.0))
    envoy = next(one for one in served.remember_family() if one.is_running() and one.name() == "envoy")
    envoy.send_signal(signal.SIGKILL)
    served.wait_for_output(r"the gateway was lost, and runs again \(pid \d+\)", 60)
    assert gateway.splits()["digits"] == percent(90.0)
    assert ask(served).status_code == 200
    gateway.set_split("digits", percent(50.0))


def test_the_gateway_can_be_left_out(store: Store, tmp_path: Path) -> None:
    """With --no-gateway nothing listens on its port, and callers ask TorchServe."""
    with serving(free_ports(), store, tmp_path / "server", "--no-gateway") as started:
        started.wait_for_output(READY)
        assert "gateway     http" not in started.output
        with pytest.raises(requests.ConnectionError):
            requests.get(started.url("/healthz", "gateway"), timeout=10)
        assert started.ask("/predictions/digits", SAMPLE.read_bytes()).status_code == 200
