"""model-config.yaml: what TorchServe reads in an archive, and what our handlers read there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, ValidationError

from marina.config.findings import Finding, Found, Level, error, note, warning
from marina.config.place import Place
from marina.errors import MarinaError
from marina.reading import NotYaml, Strict, complaints, nearest_of, parse_yaml, shown
from marina.store.contents import opened, read_member
from marina.store.spec import LimitsSpec

NAME = "model-config.yaml"
NUMBERS = {  # whole numbers, and the least that is taken; what is below is ignored
    "minWorkers": 1,
    "maxWorkers": 1,
    "batchSize": 1,
    "maxBatchDelay": 0,
    "responseTimeout": 1,
    "startupTimeout": 1,
    "parallelLevel": 1,
    "maxRetryTimeoutInSec": 1,
    "clientTimeoutInMills": 0,
    "jobQueueSize": 1,
    "sequenceMaxIdleMSec": 0,
    "sequenceTimeoutMSec": 0,
    "maxSequenceJobQueueSize": 1,
    "maxNumSequence": 1,
}
SWITCHES = ("useJobTicket", "continuousBatching", "sequenceBatching", "asyncCommunication", "useVenv")
CHOICES = {"deviceType": ("cpu", "gpu"), "parallelType": ("pp", "tp", "pptp", "custom")}
OTHERS = ("deviceIds", "torchrun")
OF_PYTHON = ("handler", "handlerkit", "pt2", "deepspeed", "pippy", "dali", "micro_batching")  # read in the worker
TORCHRUN = (
    "nnodes",
    "nproc-per-node",
    "rdzv-backend",
    "rdzv-endpoint",
    "rdzv-conf",
    "max-restarts",
    "monitor-interval",
    "node-rank",
    "OMP_NUMBER_THREADS",
)
KEYS = (*NUMBERS, *SWITCHES, *CHOICES, *OTHERS)
LONG_DELAY_MS = 1000
LARGEST = 2**31 - 1  # whole number that TorchServe reads


class Running(Strict):
    """How a runtime runs, in an archive of ours."""

    method: str = "forward"
    precision: str = "fp32"
    channels_last: bool = False
    compile: bool = False
    threads: PositiveInt | None = None
    device: Literal["cpu", "cuda"] | None = None


class SampleOf(Strict):
    """The request that a version must answer rightly."""

    request: str
    label: str | None = None


class Handlerkit(Strict):
    """The section of our handlers; the build writes it from a spec."""

    runtime: Literal["eager", "torchscript", "export", "aotinductor", "onnx", "openvino"]
    running: Running = Running()
    limits: LimitsSpec = LimitsSpec()
    options: dict[str, Any] = Field(default_factory=dict)
    labels: Any = None
    sample: SampleOf | None = None


def check_model_config(path: Path, place: Place) -> list[Finding]:
    """The findings of a model-config.yaml, or of the one in an archive."""
    try:
        text = _in_archive(path) if path.suffix == ".mar" else path.read_text(encoding="utf-8")
        document = parse_yaml(text, "rt") if text is not None else {}
    except (OSError, UnicodeDecodeError, NotYaml, MarinaError) as failure:
        return [Finding(Level.ERROR, str(path), 0, "YAML", f"cannot be read: {' '.join(str(failure).split())}")]
    if document is None:
        document = {}
    if not isinstance(document, dict):
        return [Finding(Level.ERROR, str(path), 1, "YAML", f"must be keys with values; found a {type(document).__name__}")]
    found = findings_of(document, place)
    return [Finding(one.level, str(path), _line(document, one.key), one.key, one.text) for one in found]


def findings_of(document: dict[str, Any], place: Place) -> list[Found]:
    """What is wrong in the content of a model-config.yaml."""
    return [*_values(document), *_together(document, place), *_ours(document)]


def _values(document: dict[str, Any]) -> Iterator[Found]:
    for name, value in document.items():
        least = NUMBERS.get(name)
        if least is not None and (not _is_whole(value) or value < least):
            yield error(name, f"must be a whole number of {least} or more, and is ignored otherwise; found {_shown(value)}")
        elif name in SWITCHES and not isinstance(value, bool):
            yield error(name, f"must be true or false, and is ignored otherwise; found {_shown(value)}")
        elif name in CHOICES and str(value).lower() not in CHOICES[name]:
            yield error(name, f"must be one of {', '.join(CHOICES[name])}, and is ignored otherwise; found {_shown(value)}")
        elif name == "deviceIds" and not (isinstance(value, list) and all(_is_whole(one) for one in value)):
            yield error(name, f"must be a list of whole numbers, and is ignored otherwise; found {_shown(value)}")
        elif name == "torchrun":
            yield from _torchrun(value)
        elif name not in (*KEYS, *OF_PYTHON):
            yield _unknown(str(name))


def _together(document: dict[str, Any], place: Place) -> Iterator[Found]:
    number = {name: document[name] for name in NUMBERS if _is_whole(document.get(name))}
    least, most = number.get("minWorkers", 1), number.get("maxWorkers")
    if most is not None and least > most:
        yield error("maxWorkers", f"is {most}, less than minWorkers {least}")
    if most is None and least > 1 and "maxWorkers" not in document:
        yield error("minWorkers", f"is {least}, and maxWorkers is not given: TorchServe does not load it")
    if least > place.cores:
        yield warning("minWorkers", f"{least} workers on {place.cores} cores; each would take all of them")
    batch, delay = number.get("batchSize", 1), number.get("maxBatchDelay", 0)
    if delay >= 1000 * number.get("responseTimeout", 120):
        yield error("maxBatchDelay", f"{delay} ms is no less than responseTimeout: it is in milliseconds")
    elif delay > LONG_DELAY_MS:
        yield warning(
            "maxBatchDelay", f"a lone request waits {delay} ms for others: while workers are busy a queue fills by itself"
        )
    if batch > number.get("jobQueueSize", batch):
        yield error(
            "batchSize", f"a batch of {batch} never fills, since {number['jobQueueSize']} requests wait at most (jobQueueSize)"
        )
    if document.get("asyncCommunication") is True and batch > 1:
        yield error("asyncCommunication", f"takes batches of 1; batchSize is {batch}")
    if document.get("parallelType") and "torchrun" not in document and str(document["parallelType"]).lower() != "custom":
        yield error("parallelType", "needs torchrun with nproc-per-node")


def _ours(document: dict[str, Any]) -> Iterator[Found]:
    if "handlerkit" in document:
        try:
            Handlerkit.model_validate(_plain(document["handlerkit"]))
        except ValidationError as failure:
            for complaint in complaints(failure, Handlerkit):
                yield error("handlerkit", complaint)


def _torchrun(value: Any) -> Iterator[Found]:
    if not isinstance(value, dict):
        yield error("torchrun", f"must be keys with values; found {_shown(value)}")
        return
    for name in value:
        if name not in TORCHRUN:
            yield error("torchrun", f"unknown key '{name}', which TorchServe ignores: {nearest_of(str(name), list(TORCHRUN))}")


def _unknown(name: str) -> Found:
    nearest = nearest_of(name.replace("_", ""), list(KEYS))
    if nearest.startswith("did you mean"):
        return error(name, f"unknown key, which TorchServe ignores: {nearest}")
    return note(name, "is not TorchServe's; the handler may read it")


def _in_archive(path: Path) -> str | None:
    with opened(path) as (archive, contents):
        return read_member(archive, NAME).decode() if NAME in contents.names else None


def _line(document: Any, key: str) -> int:
    try:
        return int(document.lc.key(key)[0]) + 1
    except (AttributeError, KeyError, TypeError):
        return 0


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(value)
    return int(value) if _is_whole(value) else value


def _shown(value: Any) -> str:
    return shown(_plain(value))
