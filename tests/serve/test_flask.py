"""The development server answers as TorchServe does, and says to a developer what is wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from bad_rows import bad_rows
from flask_servers import FlaskServing, flask_serving
from models import write_model
from pictures import plain
from ruamel.yaml import YAML
from scripts_of_ours import run_script
from servers import READY, Serving, serving
from task_table import NETWORKS

from marina.paths import Store
from marina.serving.free_ports import free_ports

JSON = {"Content-Type": "application/json"}
COMPARED = ("Content-Type", "X-Model-Version", "X-Client-Request-Id", "traceparent")
TASKS = {network.model: network for network in NETWORKS if network.model in ("wine", "docstrings", "digit_masks")}
Asking = Callable[[str], requests.Response]

HANDLER = '''"""Says how light an image is."""

from handlerkit import ModelHandler
from handlerkit.images import ImageOptions, read_image
from handlerkit.payload import binary


class LightMeter(ModelHandler):
    """Says whether an image is light."""

    def preprocess_row(self, row):
        word = "first"
        return read_image(binary(row), ImageOptions(size=(4, 4), mode="L"))

    def postprocess_row(self, output, row):
        return [{"label": self.labels[int(output.argmax())]}]
'''


@dataclass(frozen=True)
class Case:
    """A request that both servers are sent."""

    name: str
    path: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Any] | None = None
    method: str = "POST"

    def ask(self, url: str) -> requests.Response:
        """Send it."""
        headers = {"X-Request-Id": "the-same", **self.headers}
        return requests.request(self.method, url + self.path, data=self.content, files=self.files, headers=headers, timeout=60)


def of_digits(seven: bytes) -> list[Case]:
    encoded = base64.b64encode(seven).decode()
    v1 = json.dumps({"instances": [{"b64": encoded}, {"b64": encoded, "top_k": 1}]}).encode()
    v2 = json.dumps(
        {"id": "a", "inputs": [{"name": "image", "shape": [2], "datatype": "BYTES", "data": [encoded, encoded]}]}
    ).encode()
    predictions = "/predictions/digits"
    return [
        Case("a file", predictions, seven),
        Case("a file by PUT", predictions, seven, method="PUT"),
        Case("version 1.0", f"{predictions}/1.0", seven),
        Case("version 2.0", f"{predictions}/2.0", seven),
        Case("more behind the version", f"{predictions}/1.0/x/y", seven),
        Case("a query", f"{predictions}?top_k=1", seven),
        Case("an explanation", "/explanations/digits", seven),
        Case("an explanation of 2.0", "/explanations/digits/2.0", seven),
        Case("a form", predictions, files={"data": seven, "top_k": (None, "1")}),
        Case("a form with a type", predictions, files={"data": ("x.png", seven, "image/png")}),
        Case("a form with text for a file", predictions, files={"data": ("x.txt", b"seven", "text/plain")}),
        Case("a form with too many parts", predictions, files={"one": seven, "two": seven}),
        Case("a form of fields", predictions, b"x=1&y=%20", {"Content-Type": "application/x-www-form-urlencoded"}),
        Case("a form without a border", predictions, b"x", {"Content-Type": "multipart/form-data"}),
        Case("JSON", predictions, json.dumps({"data": encoded, "top_k": 2}).encode(), JSON),
        Case("JSON with a charset", predictions, json.dumps({"data": encoded}).encode(), _json("; charset=utf-8")),
        Case("broken JSON", predictions, b"{", JSON),
        Case("text", predictions, b"seven", {"Content-Type": "text/plain; charset=utf-8"}),
        Case("a picture for an answer", "/explanations/digits", seven, {"Accept": "image/png"}),
        Case("a trace", predictions, seven, {"traceparent": "00-1-2-01"}),
        Case("too late", predictions, seven, {"X-Request-Deadline": "1"}),
        Case("nothing", predictions, b""),
        Case("nothing by GET", predictions, method="GET"),
        Case("too large", predictions, bytes(6_553_501)),
        Case("as large as may be", predictions, bytes(6_553_500)),
        Case("KServe v1", "/v1/models/digits:predict", v1, JSON),
        Case("KServe v1 explained", "/v1/models/digits:explain", v1, JSON),
        Case("KServe v2", "/v2/models/digits/infer", v2, JSON),
        Case("KServe v2 to a version", f"{predictions}/2.0", v2, JSON),
        Case("KServe v1, one bad", "/v1/models/digits:predict", b'{"instances": [{"b64": "AAAA"}]}', JSON),
        Case("KServe v2, none", "/v2/models/digits/infer", b'{"inputs": []}', JSON),
        Case("ping", "/ping", method="GET"),
        Case("no such model", "/predictions/digitz", seven),
        Case("no such version", f"{predictions}/9.0", seven),
        Case("no such model explained", "/explanations/digitz", seven),
        Case("no such model by KServe", "/v1/models/digitz:predict", b"{}", JSON),
        Case("a name in other letters", "/predictions/dig%69ts", seven),
        Case("no model", "/predictions", seven),
        Case("no such path", "/nothing", seven),
        Case("no path", "/", method="GET"),
    ]


def of_task(model: str) -> list[Case]:
    network = TASKS[model]
    path, explained = f"/predictions/{model}", network.explained or network.sample
    headers = JSON if network.explained else {}
    return [
        Case("its sample", path, network.sample),
        Case("its sample, explained", f"/explanations/{model}", explained, headers),
        *(Case(bad.name, path, bad.content, bad.headers) for bad in bad_rows(network)),
    ]


def _json(more: str) -> dict[str, str]:
    return {"Content-Type": JSON["Content-Type"] + more}


def what_came(answer: requests.Response) -> tuple[Any, ...]:
    return answer.status_code, [answer.headers.get(name) for name in COMPARED], answer.content


def assert_alike(case: Case, one: str, other: str) -> None:
    """Both answer the same; an explanation that a busy machine cut short is asked for again."""
    answers = [what_came(case.ask(url)) for url in (one, other)]
    for _ in range(3):
        if "expla" in case.path and answers[0] != answers[1]:
            answers = [what_came(case.ask(url)) for url in (one, other)]
    assert answers[1] == answers[0], case.name


@pytest.fixture(scope="module")
def digits(store: Store) -> Iterator[FlaskServing]:
    """The development server for digits."""
    with flask_serving(store, "digits") as started:
        yield started


@pytest.fixture(scope="module")
def tasks(specs_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Addresses of TorchServe and of the development server, with three tasks' models."""
    folder = tmp_path_factory.mktemp("tasks")
    models = {task: {"default": "1", "versions": {"1": {}}} for task in TASKS}
    with (folder / "deployment.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump({"models": models}, file)
    with serving(free_ports(), specs_store, folder, "--deployment", folder / "deployment.yaml") as started:
        started.wait_for_output(READY, 900)
        with flask_serving(specs_store, *TASKS) as flask:
            yield started.url(""), flask.url


@pytest.mark.timeout(400)
def test_digits_are_answered_as_torchserve_answers(server: Serving, digits: FlaskServing, seven: bytes) -> None:
    """Status, body, content type and version are the same bytes: forms, JSON, KServe, errors, explanations."""
    for case in of_digits(seven):
        assert_alike(case, server.url(""), digits.url)


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("model", TASKS)
def test_other_tasks_are_answered_as_torchserve_answers(tasks: tuple[str, str], model: str) -> None:
    """Numbers, texts and masks: the sample, its explanation, and every kind of bad request."""
    for case in of_task(model):
        assert_alike(case, *tasks)


def test_models_are_listed_as_the_management_api_lists_them(server: Serving, digits: FlaskServing) -> None:
    """The list is the same; a model's own page has the part of it that there is without workers."""
    theirs = requests.get(server.url("/models", "management"), timeout=30)
    assert requests.get(f"{digits.url}/models", timeout=30).content == theirs.content
    (page,) = requests.get(f"{digits.url}/models/digits/2.0", timeout=30).json()
    (full,) = requests.get(server.url("/models/digits/2.0", "management"), timeout=30).json()
    assert page.items() <= full.items()
    assert requests.delete(f"{digits.url}/models/digits", timeout=30).status_code == 405
    assert requests.get(f"{digits.url}/models/digitz", timeout=30).status_code == 404


def test_the_form_of_a_first_flask_tutorial_works(digits: FlaskServing, seven: bytes) -> None:
    """A file posted to /predict is answered by the first model."""
    answer = requests.post(f"{digits.url}/predict", files={"file": seven}, timeout=30)
    assert answer.json() == digits.ask("/predictions/digits", seven).json()


def test_it_says_that_it_is_not_for_production(digits: FlaskServing) -> None:
    """At its start, and in its help."""
    assert "For development only" in digits.output
    assert "Not for production" in run_script("serve_flask", "--help").out


def test_it_listens_on_loopback_alone(digits: FlaskServing) -> None:
    """Whoever reaches it runs the developer's code."""
    assert digits.url.startswith("http://127.0.0.1:")
    port = f":{int(digits.url.rpartition(':')[2]):04X}"
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(port)] == [f"0100007F{port}"]


def write_light_meter(folder: Path) -> Path:
    """A spec with a handler of its own."""
    return write_model(folder / "brightness", {"light_meter.py": HANDLER}, handler="light_meter.py", options={})


@pytest.fixture(scope="module")
def light_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Version 1 of it, built."""
    folder = tmp_path_factory.mktemp("light")
    done = run_script("build_mar", write_light_meter(folder), "--version", "1", "--store", folder / "store")
    assert done.code == 0, done.err
    return Store(folder / "store")


@pytest.fixture
def light(light_store: Store, tmp_path: Path) -> Iterator[tuple[FlaskServing, Path]]:
    """A development server for a model and a handler of a person's own, and their folder."""
    folder = write_light_meter(tmp_path)
    with flask_serving(light_store, folder) as started:
        yield started, folder


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_edited_handler_answers_the_next_request(light: tuple[FlaskServing, Path]) -> None:
    """Handler and spec are read again when they are saved; a mistake is shown with its line, and mended in the same way."""
    flask, folder = light
    handler, white = folder / "light_meter.py", plain("L", (9, 9), 255)
    assert flask.ask("/predictions/brightness", white).json() == [{"label": "light"}]
    edit(handler, '{"label": self', '{"named": self')
    assert flask.ask("/predictions/brightness", white).json() == [{"named": "light"}]
    edit(folder / "model.yaml", "dark", "black")
    assert flask.ask("/predictions/brightness", plain("L", (9, 9), 0)).json() == [{"named": "black"}]
    edit(handler, "def postprocess_row", "deff postprocess_row")
    answer = flask.ask("/predictions/brightness", white)
    assert answer.status_code == 503
    assert "brightness 1 does not load: SyntaxError: invalid syntax" in answer.json()["message"]
    assert f'File "{handler}", line' in flask.output
    edit(handler, "deff postprocess_row", "def postprocess_row")
    edit(folder / "model.yaml", "handler:", "handlr:")
    assert "unknown key 'handlr': did you mean 'handler'?" in flask.ask("/predictions/brightness", white).json()["message"]
    edit(folder / "model.yaml", "handlr:", "handler:")
    assert flask.ask("/predictions/brightness", white).json() == [{"named": "light"}]


def test_what_a_handler_raises_is_shown_where_it_stands(light: tuple[FlaskServing, Path]) -> None:
    """The caller gets what TorchServe would answer, the developer a traceback into the file that is edited."""
    flask, folder = light
    edit(folder / "light_meter.py", '{"label": self', '{"label": 1 / 0, "x": self')
    answer = flask.ask("/predictions/brightness", plain("L", (9, 9), 255))
    assert answer.status_code == 500
    assert answer.json()["type"] == "ServerFault"
    assert "ZeroDivisionError: division by zero" in flask.output
    assert f'File "{folder / "light_meter.py"}", line' in flask.output


def test_a_breakpoint_in_a_handler_is_a_debugger_at_the_terminal(light: tuple[FlaskServing, Path]) -> None:
    """One stop a row, at the line of the file, also in a request of several rows; what is typed is seen, then it goes on."""
    flask, folder = light
    edit(folder / "light_meter.py", 'word = "first"\n', 'word = "first"\n        breakpoint()\n')
    white = base64.b64encode(plain("L", (9, 9), 255)).decode()
    body = json.dumps({"instances": [{"b64": white}] * 2}).encode()
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(flask.ask, "/predictions/brightness", body, **JSON)
        for _ in range(2):
            flask.type_at_prompt("print(word.upper(), type(self).__name__)")
            flask.type_at_prompt("import threading; threading.current_thread() is threading.main_thread()")
            flask.type_at_prompt("continue")
        assert answer.result(60).json() == {"predictions": [[{"label": "light"}]] * 2}
    assert flask.output.count("FIRST LightMeter") == 2
    assert flask.output.count("\nTrue") == 2
    assert f"> {folder / 'light_meter.py'}(" in flask.output


def test_an_archive_that_is_built_again_is_served_again(tmp_path: Path) -> None:
    """With --as-built the sources do not count, and a new archive does."""
    folder, store = write_model(tmp_path / "brightness"), Store(tmp_path / "store")
    with flask_serving(store, folder, "--as-built") as flask:
        white = plain("L", (9, 9), 255)
        before = flask.ask("/predictions/brightness", white).json()
        edit(folder / "model.yaml", "light", "white")
        (folder / "white.png").write_bytes(white)
        assert flask.ask("/predictions/brightness", white).json() == before
        done = run_script("build_mar", folder, "--version", "1", "--store", store.folder)
        assert done.code == 0, done.err
        assert flask.ask("/predictions/brightness", white).json()[0]["label"] == "white"


def test_mistakes_are_told_in_a_line(tmp_path: Path, store: Store, digits: FlaskServing) -> None:
    """A model that is none, a version that is none, a port that is taken."""
    empty = tmp_path / "store"
    assert f"no spec and no model of {empty} is named 'digitz'" in run_script("serve_flask", "digitz", "--store", empty).error
    done = run_script("serve_flask", "digits", "--default", "9.0", "--store", empty)
    assert (done.code, done.error) == (2, "digits has no version 9.0; it has: 1.0, 2.0, 3.0")
    assert run_script("serve_flask", "digits", "--port", "70000").error == "--port must be 0 to 65535; found 70000"
    several = run_script("serve_flask", "digits", "wine", "--default", "1")
    assert several.error == "--default goes with one model; found several"
    taken = digits.url.rpartition(":")[2]
    assert (
        f"port {taken} is taken by python" in run_script("serve_flask", "digits", "--port", taken, "--store", store.folder).error
    )
