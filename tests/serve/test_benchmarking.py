"""Loads on a real TorchServe, by the script that people use."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from documents import commands
from scripts_of_ours import Ended, call_script, run_script
from servers import SAMPLE, Serving

from marina import paths

SHORT = {r"--seconds \d+": "--seconds 2 --warm-up 0.5", r"--rounds \d+": "--rounds 1"}
BRIEF = ("--seconds", "1", "--warm-up", "0.1", "--json")


Calling = Callable[..., Ended]


def benchmark(server: Serving, *arguments: str | Path) -> Ended:
    """Run the script against a server."""
    return run_script("benchmark_model", *arguments, environment=server.environment)


@pytest.fixture
def calling(server: Serving, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Calling:
    """The script in this process, with the server's ports: where it ends before a load."""
    for variable, port in server.environment.items():
        monkeypatch.setenv(variable, port)
    return partial(call_script, capsys, "benchmark_model")


def test_a_model_is_measured_with_its_own_sample(server: Serving) -> None:
    """Nothing fails, what was sent is what was answered, and the percentiles are in order."""
    done = benchmark(server, "digits", "--version", "1.0", "--connections", "2", *BRIEF)
    assert done.code == 0, done.err
    (found,) = (document := json.loads(done.out))["measurements"]
    assert (document["model"], document["version"], document["requests"]) == ("digits", "1.0", 1)
    assert found["statuses"] == {"200": found["sent"]}
    assert found["throughput_per_second"] > 0
    latencies = list(found["latency_seconds"].values())
    assert latencies == sorted(latencies)
    assert 0 < found["generator_share"] < 1


def test_a_version_that_waits_for_its_batch_is_found_to_be_slower(server: Serving) -> None:
    """2.0 waits 400 ms for a batch, which one connection never fills: it answers later, and less."""
    done = benchmark(server, "--compare", "digits/1.0", "digits/2.0", "--connections", "1", "--rounds", "2", *BRIEF)
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert (document["of"], document["to"], document["rounds"]) == ("digits/2.0", "digits/1.0", 2)
    assert document["ratios"]["p50"]["low"] > 1.5
    assert document["ratios"]["throughput"]["high"] < 0.7
    assert {name: len(found) for name, found in document["measurements"].items()} == {"digits/1.0": 2, "digits/2.0": 2}


def test_files_of_a_folder_are_sent_and_refused_ones_counted_apart(server: Serving, tmp_path: Path) -> None:
    """A text among the pictures is refused by itself, and the warning has what the server says of it; pictures are answered."""
    (tmp_path / "a.png").write_bytes(SAMPLE.read_bytes())
    (tmp_path / "b.png").write_bytes(b"no picture")
    done = benchmark(server, "digits", "--version", "1.0", "--requests", tmp_path, "--rate", "20", *BRIEF)
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)["measurements"]
    assert set(found["statuses"]) == {"200", "422"}
    warning = " ".join(done.err.split())
    assert re.search(r"warning: 20 a second: \d+ of \d+ requests failed: \d+ × 422", warning)
    assert 'warning: 422, for example: {"code": 422, "type": "UnprocessableInput"' in warning


def test_the_gateway_is_measured_too(server: Serving) -> None:
    """By its port, each request a new caller."""
    done = benchmark(server, "digits", "--by-gateway", "--connections", "2", *BRIEF)
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["address"].endswith(f":{server.ports.gateway_port}")
    assert set(document["measurements"][0]["statuses"]) == {"200"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["digits", "--version", "7.0"],
            1,
            r"digits/7.0 is not served at http.*: .*7.0 does not exist.*; see scripts/register_model.py list",
        ),
        (["other", "--requests", str(SAMPLE)], 1, r"other is not served at http.*: Model not found: other; see .*"),
        (["other"], 2, r"no spec 'other': .* or name a folder of requests with --requests"),
        (
            ["digits", "--requests", str(paths.ROOT / "README.md")],
            1,
            r"digits answers .*README.md with 422: Not an image that can be read; .*",
        ),
        (["digits", "--inference", "http://127.0.0.1:1"], 1, r"no Inference API answers at http://127.0.0.1:1: start one .*"),
    ],
    ids=["version", "model", "spec", "payload", "server"],
)
def test_a_mistake_is_one_line_before_the_load(calling: Calling, arguments: list[str], code: int, message: str) -> None:
    """One request is tried, and says what is wrong."""
    done = calling(*arguments)
    assert done.code == code
    assert re.fullmatch(message, done.error)
    assert len(done.err.splitlines()) == 1


def test_the_commands_of_the_page_print_what_it_says(server: Serving, tmp_path: Path) -> None:
    """docs/performance.md, Measuring, as it stands, but for less time and fewer rounds; its pictures are drawn."""
    text = (paths.ROOT / "docs" / "performance.md").read_text()
    section = tmp_path / "section.md"
    section.write_text(text.partition("\n## Measuring")[2].partition("\n## ")[0])
    (tmp_path / "scripts").symlink_to(paths.ROOT / "scripts")
    found = commands(section)
    assert len(found) == 3
    for command in found:
        printed = typed(command.line, server, tmp_path)
        assert command.printed(printed), printed
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")


def typed(line: str, server: Serving, folder: Path) -> str:
    """What a command prints, in a folder that has the scripts."""
    for pattern, shorter in SHORT.items():
        line = re.sub(pattern, shorter, line)
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=os.environ | server.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout
