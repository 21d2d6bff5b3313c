"""Try an archive before it ships: loaded as a worker loads it, in a process of its own, without Java."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from marina import paths
from marina.errors import MarinaError
from marina.store.contents import unpack
from marina.store.index import Accuracy
from marina.store.samples import best_label, sample_of
from marina.store.sources import HeldOut

WORKER = Path(__file__).with_name("preflight_worker.py")


@dataclass(frozen=True)
class Tried:
    """What an archive did when it was tried.

    Attributes:
        pairs: the network's inputs and outputs, for the sample and for the inputs that were asked for.
        content_sha256: as the archive describes itself.
        accuracy: on held-out requests; None where there were none.
    """

    pairs: list[tuple[tuple[torch.Tensor, ...], Any]]
    content_sha256: str
    accuracy: Accuracy | None


def try_archive(
    archive: Path, inputs: list[tuple[torch.Tensor, ...]], held_out: HeldOut | None, any_answer: bool = False
) -> Tried:
    """Load an archive and ask it: its sample, a bad request, inputs of the network, held-out requests.

    Args:
        archive: a built ``.mar``.
        inputs: for the network alone, each tensor of shape [rows, …].
        held_out: requests with what is right; None measures nothing.
        any_answer: whether the sample's label does not matter, since the weights are random.

    Raises:
        MarinaError: it does not load (with the real reason), answers its sample wrongly, or takes a bad request.
    """
    with tempfile.TemporaryDirectory(prefix="marina-preflight-") as name:
        folder = Path(name)
        request, label = sample_of(archive)
        torch.save(inputs, folder / "inputs.pt")
        report = _asked(archive, folder, request, held_out)
        _check_sample(archive, report, None if any_answer else label)
        _check_refusal(archive, report["refused"])
        outputs = torch.load(folder / "outputs.pt", weights_only=True)
    return Tried(outputs, report["description"]["content_sha256"], _accuracy(report["held_out"], held_out))


def ask_archive(archive: Path, request: bytes) -> dict[str, Any]:
    """Load any archive, also one whose handler is not of ours, and ask it.

    Args:
        archive: a ``.mar``.
        request: what it should take.

    Returns:
        ``sample`` and ``refused``, status and body of its answers to the request and to one that is no input, and
        ``description``, what its handler says of itself, or None.

    Raises:
        MarinaError: it does not load; the message has the real reason.
    """
    with tempfile.TemporaryDirectory(prefix="marina-preflight-") as name:
        return _asked(archive, Path(name), request, None)


def _asked(archive: Path, folder: Path, request: bytes, held_out: HeldOut | None) -> dict[str, Any]:
    unpack(archive, folder / "archive")
    _write_requests(folder, request, held_out)
    return _run_worker(archive, folder)


def _write_requests(folder: Path, sample: bytes, held_out: HeldOut | None) -> None:
    (folder / "sample").write_bytes(sample)
    (folder / "held_out").mkdir()
    for number, (request, _) in enumerate(held_out.requests if held_out else []):
        (folder / "held_out" / f"{number:06}").write_bytes(request)


def _run_worker(archive: Path, folder: Path) -> dict[str, Any]:
    """Run the worker's side with the surroundings that TorchServe gives: the archive's folder first on the path."""
    environment = os.environ | {"PYTHONPATH": str(folder / "archive"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", str(WORKER), str(folder), str(paths.METRICS_CONFIG)],
        cwd=folder / "archive",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    report = folder / "report.json"
    if done.returncode or not report.exists():
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:] or [f"exit code {done.returncode}"]
        raise MarinaError(f"{archive.name} does not load: {last[0]}")
    content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return content


def _check_sample(archive: Path, report: dict[str, Any], label: str | None) -> None:
    answer = report["sample"]
    if answer["status"] != 200:
        raise MarinaError(f"{archive.name} does not answer its sample: {answer['status']}: {answer['body']}")
    best = best_label(json.loads(answer["body"]))
    if label is not None and best != label:
        raise MarinaError(f"{archive.name} answers its sample with {best!r}; the spec says {label!r}")


def _check_refusal(archive: Path, answer: dict[str, Any]) -> None:
    if not 400 <= answer["status"] < 500:
        raise MarinaError(f"{archive.name} answers a request that is no input with {answer['status']}; it must refuse it (4xx)")


def _accuracy(answers: list[dict[str, Any]], held_out: HeldOut | None) -> Accuracy | None:
    if held_out is None or not held_out.requests:
        return None
    expected = [one for _, one in held_out.requests]
    pairs = [(one, json.loads(answer["body"])) for one, answer in zip(expected, answers, strict=True)]
    metric, value = (held_out.measure or _top1)(pairs)
    return Accuracy(metric=metric, value=round(value, 4), requests=len(pairs))


def _top1(pairs: list[tuple[Any, Any]]) -> tuple[str, float]:
    return "top1", sum(best_label(answer) == label for label, answer in pairs) / len(pairs)
