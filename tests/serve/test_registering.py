"""register_model.py and query_model.py, used as a person uses them, against a real server."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import threading
from functools import partial
from pathlib import Path

import pytest
from pictures import plain
from scripts_of_ours import Ended, run_script
from servers import SAMPLE, Serving


def register_model(own: Serving, *arguments: str) -> Ended:
    return run_script("register_model", "--store", own.store.folder, *arguments, environment=own.environment)


def query_model(own: Serving, *arguments: str | Path, stdin: bytes = b"") -> Ended:
    return run_script("query_model", *arguments, stdin=stdin, environment=own.environment)


def registered(own: Serving) -> dict[tuple[str, str], dict[str, object]]:
    done = register_model(own, "--json", "list")
    assert done.code == 0, done.err
    return {(row["model"], row["version"]): row for row in json.loads(done.out)}


def test_the_printed_curl_lines_ask_as_the_gateway_wants(own: Serving) -> None:
    """With its certificate, and with the key that the caller has in $KEY; the metrics need neither."""
    lines = [line.strip() for line in own.output.splitlines() if line.startswith("  curl ")]
    key = (own.folder.parent / "keys").read_text().split()[1]
    for line, key_given in ((lines[0], key), (lines[1], key), (lines[2], ""), (lines[0], "wrong" * 6)):
        command = ["bash", "-c", f"{line} -sS -o /dev/null -w '%{{http_code}}'"]
        done = subprocess.run(command, env=os.environ | {"KEY": key_given}, capture_output=True, text=True, check=True)
        assert done.stdout == ("401" if key_given.startswith("wrong") else "200"), line
    assert key not in own.output


def test_a_model_goes_through_its_life(own: Serving) -> None:
    """Register two versions, scale one, move the default, describe, unregister: each waited for, each seen in the list."""
    assert register_model(own, "register", "brightness", "1", "--batch-size", "4", "--max-batch-delay", "7").code == 0
    row = registered(own)["brightness", "1"]
    assert (row["ready"], row["batch_size"], row["max_batch_delay_ms"], row["default"]) == (1, 4, 7, True)
    assert register_model(own, "register", "brightness", "2").code == 0
    assert register_model(own, "scale", "brightness", "2", "--workers", "2").code == 0
    assert registered(own)["brightness", "2"]["ready"] == 2
    assert register_model(own, "scale", "brightness", "2", "--workers", "1").code == 0
    assert register_model(own, "set-default", "brightness", "2").code == 0
    assert registered(own)["brightness", "2"]["default"] is True
    described = json.loads(register_model(own, "describe", "brightness", "2").out)
    assert described["is_what_the_store_has"] is True
    assert described["handler"]["runtime"] == "eager"
    assert register_model(own, "unregister", "brightness", "2").error.startswith(
        "brightness 2 is the default, and other versions"
    )
    assert register_model(own, "unregister", "brightness", "1").code == 0
    assert register_model(own, "unregister", "brightness", "2").code == 0
    assert ("brightness", "2") not in registered(own)


def test_a_version_can_be_served_under_a_second_name(own: Serving) -> None:
    """With workers of its own, so that what is asked there, as explanations, holds up nobody who asks the first name."""
    assert register_model(own, "register", "digits", "2.0", "--as", "digits-explained", "--workers", "1").code == 0
    assert registered(own)["digits-explained", "2.0"]["archive"] == registered(own)["digits", "2.0"]["archive"]
    described = json.loads(register_model(own, "describe", "digits-explained", "2.0").out)
    assert described["is_what_the_store_has"] is True
    answer = own.ask("/explanations/digits-explained", SAMPLE.read_bytes())
    assert (answer.status_code, answer.headers["x-model-version"], answer.json()["label"]) == (200, "2.0", "7")
    assert register_model(own, "unregister", "digits-explained", "2.0").code == 0
    assert ("digits", "2.0") in registered(own)


def test_an_archive_registered_twice_is_one_line(own: Serving) -> None:
    """TorchServe's own words, and the running version stays."""
    done = register_model(own, "register", "digits", "1.0")
    assert done.code == 1
    assert done.error == "Model version 1.0 is already registered for model digits"
    assert registered(own)["digits", "1.0"]["ready"] == 1


@pytest.mark.parametrize("command", ["scale", "set-default", "unregister", "describe"])
def test_a_model_that_is_not_registered_is_one_line(own: Serving, command: str) -> None:
    """What is registered is named."""
    options = ["--workers", "1"] if command == "scale" else []
    assert register_model(own, command, "digitz", "1.0", *options).error == "no model 'digitz' is registered; registered: digits"
    done = register_model(own, command, "digits", "3.0", *options)
    assert done.error == "digits 3.0 is not registered; registered: 1.0, 2.0"
    assert done.code == 1


def test_what_was_not_built_is_not_registered(own: Serving) -> None:
    """The command that builds it is named."""
    assert "build it with scripts/build_mar.py digits --version 9.0" in register_model(own, "register", "digits", "9.0").error


def test_an_archive_that_was_changed_is_not_registered(own: Serving) -> None:
    """Our scripts serve no archive whose digest is not the one that was built."""
    archive = own.store.archives / "brightness-1.mar"
    content = archive.read_bytes()
    archive.write_bytes(content + b"x")
    try:
        done = register_model(own, "register", "brightness", "1")
        assert "is not the archive that was built" in done.error
        assert ("brightness", "1") not in registered(own)
    finally:
        archive.write_bytes(content)


def test_no_server_is_one_line(own: Serving) -> None:
    """The address that was tried, and what to start."""
    done = run_script("register_model", "list", environment={"MANAGEMENT_PORT": "1"})
    assert done.error == "no Management API answers at http://127.0.0.1:1: start one with make serve"
    done = run_script("query_model", "digits", SAMPLE, environment={"INFERENCE_PORT": "1"})
    assert done.error == "no Inference API answers at http://127.0.0.1:1: start one with make serve"
    assert own.process.poll() is None


def test_a_file_is_asked_of_one_version_or_of_all(own: Serving) -> None:
    """A table for people; side by side where all versions are asked."""
    done = query_model(own, "digits", SAMPLE)
    assert done.code == 0
    assert "1.0" in done.out
    done = query_model(own, "digits", SAMPLE, "--all-versions")
    rows = [line.split() for line in done.out.splitlines()[1:]]
    assert [(row[1], row[2]) for row in rows] == [("1.0", "7"), ("2.0", "7")]


def test_answers_come_as_json(own: Serving) -> None:
    """--json is for programs: source, version, status and the answer itself."""
    one = json.loads(query_model(own, "digits", SAMPLE, "--version", "2.0", "--json").out)[0]
    assert (one["source"], one["version"], one["status"], one["answer"][0]["label"]) == (str(SAMPLE), "2.0", 200, "7")


def test_an_explanation_is_drawn(own: Serving) -> None:
    """The map of an explanation is shown in shades: eight lines for an image of eight."""
    done = query_model(own, "digits", SAMPLE, "--explain")
    heading, *picture = done.out.splitlines()
    assert "version 1.0: 7" in heading
    assert len(picture) == 8
    assert "█" in done.out


def test_folders_addresses_and_standard_input_are_asked(own: Serving, tmp_path: Path) -> None:
    """Whatever the images come from, each is a row; a bad one is a row with its reason, and the exit code says so."""
    shutil.copy(SAMPLE, tmp_path / "b.png")
    (tmp_path / "a.txt").write_text("no image")
    handler = partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{web.server_port}"
        done = query_model(own, "digits", tmp_path, f"{address}/b.png", "-", "--json", stdin=plain())
        missing = query_model(own, "digits", f"{address}/missing.png")
        web.shutdown()
    answers = json.loads(done.out)
    assert [one["status"] for one in answers] == [422, 200, 200, 200]
    assert answers[0]["error"].startswith("Not an image")
    assert done.code == 1
    assert "could not be fetched: 404" in missing.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "no.png"], "no.png: cannot be read: No such file or directory"),
        (["digits", "-", "-"], "standard input can be read once"),
        (["digitz", SAMPLE, "--all-versions"], "Model not found: digitz; see scripts/register_model.py list"),
    ],
)
def test_a_wrong_question_is_one_line(own: Serving, arguments: list[str | Path], message: str) -> None:
    """What was required, what was found."""
    assert message in query_model(own, *arguments).error


def test_an_empty_folder_is_one_line(own: Serving, tmp_path: Path) -> None:
    """There is nothing to ask."""
    assert query_model(own, "digits", tmp_path).error.endswith("the folder has no files")


def test_a_payload_over_the_limit_is_explained(own: Serving, tmp_path: Path) -> None:
    """TorchServe's 413 has no text; ours has."""
    (tmp_path / "big").write_bytes(bytes(20_000_000))
    assert "larger than the server takes" in query_model(own, "digits", tmp_path / "big").out


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""
