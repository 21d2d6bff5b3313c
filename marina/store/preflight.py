"""Try an archive before it ships: loaded as a worker loads it, in a process of its own, without Java."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from marina import paths
from marina.errors import MarinaError
from marina.store.contents import unpack
from marina.store.index import Accuracy, Load
from marina.store.samples import answer_of, best_label, sample_of
from marina.store.sources import HeldOut

Pairs = list[tuple[tuple[torch.Tensor, ...], Any]]
WORKER = Path(__file__).with_name("preflight_worker.py")
TIMEOUT_S = 900.0
TAIL = 10_000  # bytes of what a worker printed, in which its last line is looked for


@dataclass(frozen=True)
class Tried:
    """What an archive did when it was tried.

    Attributes:
        pairs: the network's inputs and outputs, for the sample and for the inputs that were asked for.
        content_sha256: as the archive describes itself.
        accuracy: on held-out requests; None where there were none.
        load: what it took to load it.
        files: of modules and libraries that it used.
        read: the network's inputs that the handler made of the requests to read, one row each, and its outputs.
    """

    pairs: Pairs
    content_sha256: str
    accuracy: Accuracy | None
    load: Load
    files: list[str]
    read: Pairs


def try_archive(  # noqa: PLR0913, PLR0917 - builds and adoptions of archives ask for different parts
    archive: Path,
    inputs: list[tuple[torch.Tensor, ...]],
    held_out: HeldOut | None,
    any_answer: bool = False,
    timeout_s: float = TIMEOUT_S,
    within: Path | None = None,
    read: Sequence[bytes] = (),
) -> Tried:
    """Load an archive and ask it: its sample, a bad request, inputs of the network, held-out requests.

    Args:
        archive: a built ``.mar``.
        inputs: for the network alone, each tensor of shape [rows, …].
        held_out: requests with what is right; None measures nothing.
        any_answer: whether the sample's label does not matter, since the weights are random.
        timeout_s: how long all this may take, in seconds.
        within: a folder to unpack it in; the system's temporary one if None.
        read: requests whose way into and out of the network is wanted.

    Raises:
        MarinaError: it does not load (with the real reason), answers its sample wrongly, takes a bad request, or hangs.
    """
    with tempfile.TemporaryDirectory(prefix="marina-preflight-", dir=within) as name:
        folder = Path(name)
        request, label = sample_of(archive)
        _write_requests(folder, request, held_out, read)
        torch.save(inputs, folder / "inputs.pt")
        report = _asked(archive, folder, timeout_s)
        _check_sample(archive, report, None if any_answer else label)
        _check_refusal(archive, report["refused"])
        outputs, pairs = (torch.load(folder / name, weights_only=True) for name in ("outputs.pt", "read.pt"))
    accuracy = _accuracy(report["held_out"], held_out)
    digest = report["description"]["content_sha256"]
    return Tried(outputs, digest, accuracy, Load(**report["load"]), report["files"], pairs)


def ask_archive(archive: Path, request: bytes, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Load any archive, also one whose handler is not of ours, and ask it.

    Args:
        archive: a ``.mar``.
        request: what it should take.
        timeout_s: how long all this may take, in seconds.

    Returns:
        ``sample`` and ``refused``, status and body of its answers to the request and to one that is no input, ``load``,
        what it took to load it, and ``description``, what its handler says of itself, or None.

    Raises:
        MarinaError: it does not load, or hangs; the message has the real reason.
    """
    with tempfile.TemporaryDirectory(prefix="marina-preflight-") as name:
        folder = Path(name)
        _write_requests(folder, request, None, ())
        return _asked(archive, folder, timeout_s)


def _asked(archive: Path, folder: Path, timeout_s: float) -> dict[str, Any]:
    unpack(archive, folder / "archive")
    return _run_worker(archive, folder, timeout_s)


def _write_requests(folder: Path, sample: bytes, held_out: HeldOut | None, read: Sequence[bytes]) -> None:
    (folder / "sample").write_bytes(sample)
    for name, requests in (("held_out", [request for request, _ in held_out.requests] if held_out else []), ("read", read)):
        (folder / name).mkdir()
        for number, request in enumerate(requests):
            (folder / name / f"{number:06}").write_bytes(request)


def _run_worker(archive: Path, folder: Path, timeout_s: float) -> dict[str, Any]:
    """Run the worker's side with the surroundings that TorchServe gives: the archive's folder first on the path."""
    own = {"PYTHONPATH": str(folder / "archive"), "PYTHONDONTWRITEBYTECODE": "1", "OTEL_SDK_DISABLED": "true"}
    with (folder / "printed").open("wb") as printed:
        worker = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), str(folder), str(paths.METRICS_CONFIG)],
            cwd=folder / "archive",
            env=os.environ | own,
            stdin=subprocess.PIPE,  # by which it notices that we are gone
            stdout=subprocess.DEVNULL,
            stderr=printed,
            start_new_session=True,  # so that what it starts ends with it
        )
        try:
            code = worker.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            last = f"; its last words: {words}" if (words := _last_words(folder)) else ""
            hint = f"give it more time by --preflight-timeout, or look why its handler waits{last}"
            raise MarinaError(f"{archive.name} did not finish its preflight in {timeout_s:g} seconds: {hint}") from error
        finally:
            _end(worker)
    report = folder / "report.json"
    if code or not report.exists():
        raise MarinaError(f"{archive.name} does not load: {_reason(code, folder)}")
    content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return content


def _end(worker: subprocess.Popen[bytes]) -> None:
    """End a worker and what it started, and wait for it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    if worker.stdin:
        worker.stdin.close()
    worker.wait()


def _reason(code: int, folder: Path) -> str:
    """Why a worker ended, in a line."""
    if code == -signal.SIGKILL:
        return "its process was killed (SIGKILL), as Linux does when memory runs out: free some, or make the model smaller"
    words = _last_words(folder)
    if code < 0:
        return f"its process crashed ({signal.Signals(-code).name})" + (f"; its last words: {words}" if words else "")
    return words or f"its process ended with exit code {code} and without a word"


def _last_words(folder: Path) -> str:
    with (folder / "printed").open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return ([line for line in lines if line.strip()] or [""])[-1][:500]


def _check_sample(archive: Path, report: dict[str, Any], label: str | None) -> None:
    answer = report["sample"]
    if answer["status"] != 200:
        raise MarinaError(f"{archive.name} does not answer its sample: {answer['status']}: {answer['body']}")
    best = best_label(answer_of(answer["body"]))
    if label is not None and best != label:
        raise MarinaError(f"{archive.name} answers its sample with {best!r}; the spec says {label!r}")


def _check_refusal(archive: Path, answer: dict[str, Any]) -> None:
    if not 400 <= answer["status"] < 500:
        raise MarinaError(f"{archive.name} answers a request that is no input with {answer['status']}; it must refuse it (4xx)")


def _accuracy(answers: list[dict[str, Any]], held_out: HeldOut | None) -> Accuracy | None:
    if held_out is None or not held_out.requests:
        return None
    expected = [one for _, one in held_out.requests]
    pairs = [(one, answer_of(answer["body"])) for one, answer in zip(expected, answers, strict=True)]
    metric, value = (held_out.measure or _top1)(pairs)
    return Accuracy(metric=metric, value=round(value, 4), requests=len(pairs))


def _top1(pairs: list[tuple[Any, Any]]) -> tuple[str, float]:
    return "top1", sum(best_label(answer) == label for label, answer in pairs) / len(pairs)
