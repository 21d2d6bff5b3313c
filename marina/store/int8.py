"""What an int8 version is calibrated on, and what its 8 bits cost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from marina.errors import MarinaError, UsageError
from marina.store import agreement, archive, exporters, parity, preflight
from marina.store.index import Accuracy, Int8
from marina.store.sources import HeldOut, Network, load_module
from marina.store.spec import FILE_NAME, SpecFile

FP32 = {"openvino": "openvino", "onnx": "onnx", "aotinductor": "export"}  # the runtime of the archive to compare with
HELD_BACK = 4  # where no held-out requests are, one in so many calibration requests is compared on instead
COMPARED = 1000  # at most
GENERATED = 128
ADVICE = "calibrate on more requests, or on others, or choose precision bf16"


@dataclass(frozen=True)
class Calibration:
    """What an archive in fp32 made of the requests.

    Attributes:
        inputs: of the network, for the requests to calibrate on.
        requests: to compare int8 with fp32 on; none of them was calibrated on.
        compared_on: what these are.
        accuracy: of the archive in fp32.
    """

    inputs: list[exporters.Inputs]
    requests: list[bytes]
    compared_on: Any
    accuracy: Accuracy | None


def requests_of(found: SpecFile, version: str) -> list[bytes]:
    """The requests to calibrate a version on: files beside the spec, or what the training file yields; none without int8.

    Raises:
        UsageError: the version needs some, and there are none.
    """
    if found.spec.versions[version].precision != "int8":
        return []
    requests, where = named_requests(found), found.folder / FILE_NAME
    if not requests:
        what = "add calibration: {requests: FOLDER}, or calibration() to the training file"
        raise UsageError(f"{where}: version {version} has precision int8, which needs requests to calibrate with: {what}")
    return requests


def named_requests(found: SpecFile) -> list[bytes]:
    """The requests that a spec names to calibrate on; none where it names none.

    Raises:
        UsageError: it names what is not there.
    """
    spec = found.spec.calibration
    named = _files(found, spec.requests, spec.limit) if spec.requests else _of_training(found)
    return list(islice(named, spec.limit))


def calibrate(
    found: SpecFile, version: str, network: Network, requests: list[bytes], held_out: HeldOut | None
) -> Calibration | None:
    """Read calibration requests by the handler's own preprocessing, in an archive in fp32, tried as any other.

    Raises:
        MarinaError: one is refused by the handler, or the archive is no good.
    """
    if not requests:
        return None
    compared = [request for request, _ in held_out.requests if request not in set(requests)] if held_out else []
    compared_on = "held-out requests"
    if not compared:
        compared, compared_on = requests[HELD_BACK - 1 :: HELD_BACK], "requests held back"
        requests = [request for number, request in enumerate(requests) if (number + 1) % HELD_BACK]
    if not compared:
        compared_on = "generated inputs"
    wanted = found.version(version).model_copy(update={"precision": "fp32", "runtime": FP32[found.version(version).runtime]})
    changed = found.spec.model_copy(update={"versions": {version: wanted}})
    reference = found.model_copy(update={"spec": changed})
    with tempfile.TemporaryDirectory(prefix="marina-fp32-") as name:
        folder = Path(name)
        exported = exporters.export_network(network, wanted, found.spec.tensors, folder)
        made = folder / archive.archive_name(found.spec.name, version)
        archive.write_archive(reference, version, exported, network.labels, made)
        random = network.weights.source == "random"
        tried = preflight.try_archive(made, [], held_out, any_answer=random, read=requests)
    inputs = [one for one, _ in tried.read]
    if len(inputs) < len(requests):
        raise MarinaError("precision int8: the handler's preprocess gives no tensors, so that nothing can be calibrated")
    return Calibration(inputs, compared[:COMPARED], compared_on, tried.accuracy)


def measure(found: SpecFile, network: Network, calibration: Calibration, tried: preflight.Tried) -> Int8:
    """How often the archive in int8 has the best class of the eager network in fp32, and how accurate it is.

    Raises:
        MarinaError: it loses more than the spec's ``calibration`` allows.
    """
    spec = found.spec.calibration
    parity.compare(network, tried.pairs, None)  # numbers, and of the right shapes, also on what it was not calibrated for
    agreed = torch.tensor(agreement.shares(network, tried.read or tried.pairs))
    cost = Int8(
        calibrated_on=len(calibration.inputs),
        agreement=round(float(agreed.mean()), 4) if len(agreed) else None,
        compared=len(agreed),
        compared_on=calibration.compared_on,
        accuracy_in_fp32=calibration.accuracy,
    )
    if network.weights.source != "random":  # whose answers are all but alike
        if cost.agreement is not None:
            agreement.check("int8", cost.agreement, f"{cost.compared} {cost.compared_on}", spec.agreement, ADVICE)
        _check_accuracy(cost, tried.accuracy, spec.accuracy_loss)
    return cost


def more_inputs(found: SpecFile, calibration: Calibration) -> list[exporters.Inputs]:
    """Inputs to compare on where there are no requests to."""
    return [] if calibration.requests else generated(found)


def generated(found: SpecFile) -> list[exporters.Inputs]:
    """Inputs to compare two precisions on; the same each time."""
    return [exporters.example_inputs(found.spec.tensors, GENERATED, GENERATED)]


def _files(found: SpecFile, named: str, limit: int) -> list[bytes]:
    """The files that are named; where there are more than the limit, from all over them, as each class may have a folder."""
    where = f"{found.folder / FILE_NAME}: calibration.requests names {named}, but"
    if Path(named).is_absolute() or ".." in Path(named).parts:
        raise UsageError(f"{where} calibration requests must lie beside model.yaml")
    pattern = f"{named}/*" if (found.folder / named).is_dir() else named
    files = sorted(path for path in found.folder.glob(pattern) if path.is_file() and not path.name.startswith("."))
    if not files:
        raise UsageError(f"{where} no file is there")
    chosen = files if len(files) <= limit else [files[number * len(files) // limit] for number in range(limit)]
    return [path.read_bytes() for path in chosen]


def _of_training(found: SpecFile) -> Iterator[bytes]:
    if not found.spec.training:
        return
    file = found.beside(found.spec.training)
    for request in getattr(load_module(file), "calibration", tuple)():
        if not isinstance(request, bytes):
            raise UsageError(f"{file}: calibration() must yield requests, as bytes; it yields {type(request).__name__}")
        yield request


def _check_accuracy(cost: Int8, accuracy: Accuracy | None, most: float | None) -> None:
    before = cost.accuracy_in_fp32
    if most is not None and accuracy and before and before.value - accuracy.value > most:
        found = f"{accuracy.metric} is {accuracy.value:.4f} in int8 and {before.value:.4f} in fp32"
        raise MarinaError(f"{found}; the spec's calibration.accuracy_loss is {most:g}: calibrate on more requests, or on others")
