"""Predictions of many inputs: each input once, in order, whatever the processes and whatever becomes of them."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batches import parts_of, processes_of, rows_of, running, wait_for_parts
from documents import commands
from models import write_model
from pictures import plain
from ruamel.yaml import YAML
from scripts_of_ours import call_script, load_file, run_script
from servers import eventually

from marina import paths
from marina.digests import file_digest
from marina.serving.free_ports import free_port

COUNT, BAD, MISSING, SLOW = 44, 7, 19, 30  # inputs, and which of them is no image, is not there, and is a pipe
PART = 4
FAILING = """
from torch import nn


class Fails(nn.Module):
    def forward(self, images):
        if bool((images == 1).any()):
            raise RuntimeError("too light for me")
        return images.mean((2, 3)).repeat(1, 2)
"""


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The spec of a model that tells light images from dark, and a store with its version 1."""
    folder = tmp_path_factory.mktemp("light")
    spec, store = write_model(folder / "brightness"), folder / "store"
    done = run_script("build_mar", spec, "--version", "1", "--store", store)
    assert done.code == 0, done.err
    return spec, store


def write_images(folder: Path) -> Path:
    """A table of COUNT paths: even ones dark, odd ones light; one no image, one not there, and one that is a pipe."""
    folder.mkdir()
    for index in range(COUNT):
        (folder / f"{index:03}.png").write_bytes(image(index))
    (folder / f"{BAD:03}.png").write_bytes(b"no image")
    (folder / f"{MISSING:03}.png").unlink()
    (folder / f"{SLOW:03}.png").unlink()
    os.mkfifo(folder / f"{SLOW:03}.png")  # whoever reads it waits until somebody writes
    with (folder.parent / "images.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["name", "image"], *([index, f"images/{index:03}.png"] for index in range(COUNT))])
    return folder.parent / "images.csv"


def image(index: int) -> bytes:
    return plain("L", (9, 9), 255 * (index % 2))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images")


def arguments(light: tuple[Path, Path], table: Path, output: Path, *more: str | Path) -> list[str | Path]:
    spec, store = light
    run: list[str | Path] = [
        "--column",
        "image",
        "--store",
        store,
        "--output",
        output,
        "--part-rows",
        str(PART),
        "--batch-rows",
        "3",
    ]
    return [spec, table, *run, *more]


def feed(table: Path) -> threading.Thread:
    """Write to the pipe what its reader waits for."""
    pipe = table.parent / "images" / f"{SLOW:03}.png"
    thread = threading.Thread(target=pipe.write_bytes, args=(image(SLOW),), daemon=True)
    thread.start()
    return thread


def assert_right(rows: list[dict[str, Any]]) -> None:
    """Each input's own answer; of those that have none the reason."""
    assert [row["source"] for row in rows] == [f"images/{index:03}.png" for index in range(COUNT)]
    for row in rows:
        if row["index"] == BAD:
            assert (row["status"], row["answer"], row["label"]) == (422, None, None)
            assert row["reason"].startswith("Not an image that can be read")
        elif row["index"] == MISSING:
            assert (row["status"], row["reason"]) == (None, "cannot be read: No such file or directory")
        else:
            assert (row["status"], row["reason"], row["version"]) == (200, None, "1")
            assert row["label"] == ("light" if row["index"] % 2 else "dark")
            assert row["answer"].startswith(f'[{{"label": "{row["label"]}", "probability": ')


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_a_killed_process_loses_and_repeats_nothing(light: tuple[Path, Path], table: Path, tmp_path: Path) -> None:
    """One of two is killed in its middle: a line says so, and three go on with what is missing, a torn part included."""
    output = tmp_path / "out.parquet"
    with running(*arguments(light, table, output, "--processes", "2")) as run:
        written = wait_for_parts(output, 9)  # all but those of the second process from the pipe's on
        processes = processes_of(run)
        processes[1].kill()
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "error: process 2 of 2 was killed (SIGKILL)" in errors.decode()
    assert "run the same command again and it goes on" in errors.decode()
    assert eventually(lambda: not alive(processes))
    assert not output.exists()
    written = parts_of(output)
    kept = {path: path.stat().st_mtime_ns for path in written[1:]}
    written[0].write_bytes(written[0].read_bytes()[:-5])
    feeding = feed(table)
    with running(*arguments(light, table, output, "--processes", "3")) as run:
        assert eventually(lambda: len(processes_of(run)) == 3, 60)
        assert {path: path.stat().st_mtime_ns for path in kept} == kept
        answer, errors = run.communicate(timeout=200)
    assert run.returncode == 0, errors.decode()
    feeding.join(10)
    assert f"going on: {len(kept) * PART} of {COUNT} inputs are there" in errors.decode()
    assert f"44 rows (42 200, 1 422, 1 unreadable); {COUNT - len(kept) * PART} computed now" in answer.decode()
    assert_right(rows_of(output))


def test_a_killed_run_leaves_nobody_behind(light: tuple[Path, Path], table: Path, tmp_path: Path) -> None:
    """Its process ends with it, and so by Ctrl-C; nobody else can write its output; changed inputs are another run."""
    output = tmp_path / "out.parquet"
    with running(*arguments(light, table, output)) as run:
        wait_for_parts(output, 7)  # the next has the pipe
        second = run_script("predict_batch", *arguments(light, table, output))
        assert second.error == f"{output}: another predict_batch.py is at it: let it finish, or end it"
        processes = processes_of(run)
        assert len(processes) == 1
        run.kill()
        run.wait(30)
        assert eventually(lambda: not alive(processes))
    written = {path: file_digest(path) for path in parts_of(output)}
    assert len(written) == 7
    with running(*arguments(light, table, output)) as run:
        assert eventually(lambda: len(processes_of(run)) == 1, 60)
        processes = processes_of(run)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "stopped" in errors.decode()
    assert eventually(lambda: not alive(processes))
    assert {path: file_digest(path) for path in parts_of(output)} == written
    (tmp_path / "images" / "000.png").write_bytes(image(1) + b" ")
    other = run_script("predict_batch", *arguments(light, table, output))
    told = f"{output}.parts has an unfinished run of another archive, or of other inputs"
    assert (other.code, other.error.partition(": run")[0]) == (2, told)


def test_torchrun_starts_the_processes_as_well(light: tuple[Path, Path], tmp_path: Path) -> None:
    """Two processes for two inputs of one part: the second has nothing to do, and nobody waits for ever."""
    folder, output = tmp_path / "images", tmp_path / "out.parquet"
    folder.mkdir()
    for index in range(2):
        (folder / f"{index}.png").write_bytes(image(index))
    spec, store = light
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = [paths.ROOT / "scripts" / "predict_batch.py", spec, folder, "--store", store, "--output", output]
    done = subprocess.run([*torchrun, *map(str, script)], cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 rows (2 200); 2 computed now" in done.stdout
    assert [row["label"] for row in rows_of(output)] == ["dark", "light"]


def test_a_folder_and_a_parquet_table_are_taken(light: tuple[Path, Path], tmp_path: Path) -> None:
    """Fewer inputs than processes; a second run finds that all is done; one of other inputs is refused."""
    folder, output = tmp_path / "images", tmp_path / "out.parquet"
    (folder / "deeper").mkdir(parents=True)
    (folder / "b.png").write_bytes(image(1))
    (folder / "deeper" / "a.png").write_bytes(image(0))
    (folder / ".hidden").write_bytes(b"")
    spec, store = light
    given: list[str | Path] = [spec, folder, "--store", store, "--output", output, "--processes", "4"]
    done = run_script("predict_batch", *given, "--json")
    assert done.code == 0, done.err
    assert '"statuses": {"200": 2}' in done.out
    assert [(row["source"], row["label"]) for row in rows_of(output)] == [("b.png", "light"), ("deeper/a.png", "dark")]
    assert f"{output} is finished: nothing to do" in run_script("predict_batch", *given).err
    pq.write_table(pa.table({"path": [str(folder / "b.png")] * 3}), tmp_path / "table.parquet")
    given[1] = tmp_path / "table.parquet"
    refused = run_script("predict_batch", *given)
    assert (refused.code, refused.error.partition(": name")[0]) == (
        2,
        f"{output} is there, and not of this archive and these inputs",
    )


def test_a_row_that_fails_in_the_model_is_one_row(tmp_path: Path) -> None:
    """Its neighbours are answered, and what the model raised is kept, with the row's index."""
    version = {"source": {"network": "network.py", "weights": "random"}, "runtime": "eager"}
    changes = {"versions": {"2": version}, "training": None, "sample": {"request": "dark.png"}}
    spec = write_model(tmp_path / "fails", {"network.py": FAILING}, **changes)
    (spec / "dark.png").write_bytes(image(0))
    folder, output = tmp_path / "images", tmp_path / "out.parquet"
    folder.mkdir()
    for index in range(4):
        (folder / f"{index}.png").write_bytes(image(int(index == 2)))
    done = run_script("predict_batch", spec, folder, "--store", tmp_path / "store", "--output", output)
    assert done.code == 0, done.err
    assert [row["status"] for row in rows_of(output)] == [200, 200, 500, 200]
    log = (tmp_path / "out.parquet.log").read_text()
    assert "request 2 failed in the model" in log
    assert "RuntimeError: too light for me" in log


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["{folder}/none"], "{folder}/none: a folder, or a table (.csv, .parquet), is required; found nothing"),
        (
            ["{folder}/notes.txt"],
            "{folder}/notes.txt: a folder, or a table (.csv, .parquet), is required; found a file of type .txt",
        ),
        (["{folder}/table.csv"], "{folder}/table.csv: no column 'path'; it has: file, label; name one by --column"),
        (["{folder}/table.csv", "--column", "file"], "{folder}/table.csv: row 2 has no path; found ''"),
        (["{folder}/table.parquet"], "{folder}/table.parquet: is no Parquet file: "),
        (["{folder}/empty"], "{folder}/empty has no files: there is nothing to predict"),
        (["{folder}/empty.csv"], "{folder}/empty.csv has no rows: there is nothing to predict"),
        (["{folder}", "--processes", "0"], "--processes must be at least 1; found 0"),
        (["{folder}", "--output", "out.csv"], "--output must be a .parquet file; found out.csv"),
    ],
)
def test_mistakes_are_told_in_a_line(
    light: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], message: str
) -> None:
    """What was required, what was found."""
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "table.csv").write_text("file,label\na.png,1\n,2\n")
    (tmp_path / "table.parquet").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.csv").write_text("path\n")
    spec, store = light
    source, *more = [one.format(folder=tmp_path) for one in given]
    output: list[str | Path] = ["--output", tmp_path / "out.parquet"] if "--output" not in more else []
    done = call_script(capsys, "predict_batch", spec, source, "--store", store, *output, *more)
    assert done.code in (1, 2)
    assert done.error.startswith(message.format(folder=tmp_path))


def test_without_lightning_the_way_to_get_it_is_told(
    light: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Archives and servers do not need it, so that make setup does not install it."""
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "lightning" else object())
    done = call_script(capsys, "predict_batch", light[0], tmp_path, "--output", tmp_path / "out.parquet")
    assert done.error == "lightning is required and not installed: .venv/bin/pip install lightning"


@pytest.fixture(scope="module")
def digits_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten thousand images of digits, made of scikit-learn's by size and brightness; every thousandth is none."""
    import numpy as np
    from sklearn.datasets import load_digits

    png = load_file(paths.SPECS / "digits" / "training.py").png
    folder, images = tmp_path_factory.mktemp("digits") / "images", (load_digits().images / 16).astype(np.float32)
    folder.mkdir()
    for index in range(10_007):
        content = png(images[index % len(images)] * (1 - 0.02 * (index // len(images))), 32)
        (folder / f"{index:05}.png").write_bytes(content if index % 1000 else b"no image")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_ten_thousand_images_by_one_two_and_four_processes(digits_images: Path, tmp_path: Path) -> None:
    """The same table each time, although the run of four loses one in its middle."""
    tables = {}
    for processes in (1, 2, 4):
        output = tmp_path / f"{processes}.parquet"
        given: list[str | Path] = ["digits", digits_images, "--version", "2.0", "--store", tmp_path / "store", "--output", output]
        given += ["--processes", str(processes), "--part-rows", "256"]
        if processes == 4:
            with running(*given) as run:
                wait_for_parts(output, 10, 600)
                processes_of(run)[2].kill()
                assert run.wait(60) == 1
            assert 10 <= len(parts_of(output)) < 40
        done = run_script("predict_batch", *given, seconds=1500)
        assert done.code == 0, done.err
        tables[processes] = rows_of(output)
        if processes == 2:
            (said,) = [one for one in commands(paths.ROOT / "docs" / "roads.md") if "predict_batch.py" in one.line]
            assert said.printed(done.out.replace(str(output), "predictions.parquet")), done.out
    assert [row["source"] for row in tables[1]] == [f"{index:05}.png" for index in range(10_007)]
    assert sum(row["status"] == 422 for row in tables[1]) == 11
    for processes in (2, 4):
        assert [(row["status"], row["label"], row["reason"]) for row in tables[processes]] == [
            (row["status"], row["label"], row["reason"]) for row in tables[1]
        ]


def manifest_command(given: str, store: Path, output: Path) -> str:
    """What a pod of config/kubernetes/predict-batch.yaml runs, with this machine's paths and address."""
    _, job = list(YAML(typ="safe", pure=True).load_all((paths.CONFIG / "kubernetes" / "predict-batch.yaml").read_text()))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    command: str = container["command"][-1]
    for there, here in {
        "exec python": f"exec {sys.executable}",
        "predict-batch-0.predict-batch": "127.0.0.1",
        "29500": str(free_port()),
        "digits /data/images --version 2.0": given,
        "/data/model_store": str(store),
        "/data/predictions.parquet": str(output),
    }.items():
        assert there in command
        command = command.replace(there, here)
    return command


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_kubernetes_job_goes_on_after_a_lost_pod(light: tuple[Path, Path], table: Path, tmp_path: Path) -> None:
    """Two pods of two processes, as the manifest starts them: one is lost, the other ends, both are started again."""
    output, (spec, store) = tmp_path / "out.parquet", light
    command = manifest_command(f"{spec} {table} --column image --part-rows {PART}", store, output)

    def start(pod: int) -> subprocess.Popen[bytes]:
        told = os.environ | {"PODS": "2", "PROCESSES": "2", "JOB_COMPLETION_INDEX": str(pod)}
        return subprocess.Popen(["sh", "-c", command], cwd=paths.ROOT, env=told)

    pods = [start(pod) for pod in range(2)]
    try:
        written = wait_for_parts(output, COUNT // PART - 1)  # all but the pipe's
        times = {path: path.stat().st_mtime_ns for path in written}
        lose(pods[1])
        assert eventually(lambda: pods[0].poll() is not None, 200)
        assert pods[0].returncode != 0
        assert {path: path.stat().st_mtime_ns for path in written} == times
        feeding = feed(table)
        pods = [start(pod) for pod in range(2)]
        assert [pod.wait(300) for pod in pods] == [0, 0]
        feeding.join(10)
    finally:
        for pod in pods:
            lose(pod)
    assert_right(rows_of(output))


def lose(pod: subprocess.Popen[bytes]) -> None:
    """End all of a pod's processes, as a machine does that is switched off."""
    if pod.poll() is None:
        started = psutil.Process(pod.pid).children(recursive=True)
        pod.kill()
        for process in started:
            process.kill()
        pod.wait()
