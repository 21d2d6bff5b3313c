"""The worker's side of preflight: run as a script, knows nothing of marina, loads an archive with TorchServe's own code.

Called with a folder, which has the unpacked archive and the requests, and with the server's metrics.yaml;
leaves report.json and outputs.pt there. What does not load ends it with a traceback, whose last line is the reason.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from ts.context import RequestProcessor
from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
from ts.model_loader import TsModelLoader
from ts.service import Service

BATCH = 8
SEED = 0  # as in parity.py: a network that draws random numbers draws the same there
NO_INPUT = b"\xff no input of any model: no image, no JSON, no text in UTF-8"


def load(folder: Path, metrics_config: str, gpu: int | None = None) -> Service:
    """The archive as a worker holds it, on the GPU of that number where it takes one."""
    manifest = json.loads((folder / "MAR-INF" / "MANIFEST.json").read_text(encoding="utf-8"))
    handler = manifest["model"]["handler"]
    module = handler.partition(":")[0].removesuffix(".py")
    if (folder / f"{module}.py").exists():  # else it is one of TorchServe's own
        importlib.import_module(module)  # TorchServe's loader hides why a handler does not import
    metrics = MetricsCacheYamlImpl(metrics_config)
    metrics.initialize_cache()
    metrics.model_name = manifest["model"]["modelName"]
    return TsModelLoader().load(metrics.model_name, str(folder), handler, gpu, BATCH, None, True, metrics)


def ask(service: Service, requests: list[bytes], header: str | None = None) -> list[dict[str, Any]]:
    """Status and body of the answer to each request, asked as one batch."""
    context = service.context
    headers = {header: "True"} if header else {}
    context.request_ids = {index: f"preflight-{index}" for index in range(len(requests))}
    context.request_processor = [RequestProcessor(dict(headers)) for _ in requests]
    context.metrics.request_ids = context.request_ids
    try:
        bodies = service._entry_point([{"body": bytearray(request)} for request in requests], context)
    except Exception as error:  # as a worker answers a handler of others
        return [{"status": 503, "body": f"{type(error).__name__}: {error}"} for _ in requests]
    if not isinstance(bodies, list) or len(bodies) != len(requests):
        return [{"status": 503, "body": "the handler must return a list of one answer for each request"} for _ in requests]
    statuses = [context.get_response_status(index)[0] for index in range(len(requests))]
    return [{"status": status, "body": _text(body)} for status, body in zip(statuses, bodies, strict=True)]


def description(service: Service) -> Any:
    """What the handler says of itself; None of one that says nothing."""
    try:
        return json.loads(ask(service, [b""], header="describe")[0]["body"])
    except ValueError:
        return None


Pairs = list[tuple[tuple[torch.Tensor, ...], Any]]


def network_pairs(service: Service, folder: Path) -> Pairs:
    """Inputs and outputs of the network alone, where the handler says what runs it."""
    runtime = getattr(getattr(service._entry_point, "__self__", None), "runtime", None)
    inputs = torch.load(folder / "inputs.pt", weights_only=True)
    return [(one, _run(runtime, one)) for one in inputs] if runtime else []


def sample_pair(service: Service, request: bytes) -> Pairs:
    """The network's input that the handler makes of the sample, and its output."""
    handler: Any = getattr(service._entry_point, "__self__", None)
    if not hasattr(handler, "preprocess_row"):
        return []
    from handlerkit import Batch, Row

    inputs = handler.preprocess(Batch([Row({"body": request}, "preflight")]))
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    if not all(isinstance(one, torch.Tensor) for one in inputs):
        return []
    return [(tuple(one.cpu() for one in inputs), _run(handler.runtime, inputs))]


def read_pairs(service: Service, requests: list[bytes]) -> Pairs:
    """The network's inputs that the handler makes of requests, and its outputs; of those that become tensors.

    Raises:
        ValueError: the handler refuses one.
    """
    pairs: Pairs = []
    for number, request in enumerate(requests):
        if (answer := ask(service, [request])[0])["status"] != 200:
            raise ValueError(f"request {number + 1} of {len(requests)} to calibrate or compare with is refused: {answer['body']}")
        pairs += sample_pair(service, request)
    return pairs


def main(folder: Path, metrics_config: str) -> None:
    """Load, ask, and write down what came."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    service = load(folder / "archive", metrics_config)
    loaded = taken()
    sample = (folder / "sample").read_bytes()
    held_out = [path.read_bytes() for path in sorted((folder / "held_out").iterdir())]
    report = {
        "sample": ask(service, [sample])[0],
        "refused": ask(service, [NO_INPUT])[0],
        "held_out": [answer for at in range(0, len(held_out), BATCH) for answer in ask(service, held_out[at : at + BATCH])],
        "description": description(service),
        "load": loaded,
        "files": files_in_use(),
    }
    if (folder / "inputs.pt").exists():
        torch.save(sample_pair(service, sample) + network_pairs(service, folder), folder / "outputs.pt")
        asked = [path.read_bytes() for path in sorted((folder / "read").iterdir())]
        torch.save(read_pairs(service, asked), folder / "read.pt")
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")


def taken() -> dict[str, float]:
    """Seconds since this process began, and the bytes of memory that it takes: all, and what no other process shares."""
    process = psutil.Process()
    memory = process.memory_full_info()
    seconds = round(time.time() - process.create_time(), 2)
    return {"seconds": seconds, "memory_bytes": memory.rss, "own_memory_bytes": memory.uss}


def files_in_use() -> list[str]:
    """The files of modules that were imported and of libraries that were loaded."""
    modules = {str(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    regions = psutil.Process().memory_maps() if hasattr(psutil.Process, "memory_maps") else []  # not on macOS
    return sorted(modules | {region.path for region in regions if region.path.startswith("/")})


def _end_with_parent() -> None:
    """Our standard input is a pipe to the build: it ends with it, however that happens."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _run(runtime: Any, inputs: tuple[torch.Tensor, ...]) -> Any:
    torch.manual_seed(SEED)
    try:
        return _kept(runtime.run(*inputs))
    except Exception as error:
        shapes = [list(one.shape) for one in inputs]
        raise RuntimeError(
            f"the network does not run on inputs of shape {shapes}: {' '.join(str(error).split())[:200]}"
        ) from error


def _kept(output: Any) -> Any:
    """An output on the CPU, with memory of its own."""
    if isinstance(output, torch.Tensor):
        return output.cpu().clone()
    if isinstance(output, dict):
        return {name: _kept(value) for name, value in output.items()}
    return type(output)(_kept(value) for value in output)


def _text(body: Any) -> str:
    if isinstance(body, (bytes, bytearray)):
        return body.decode("utf-8", "replace")
    return body if isinstance(body, str) else json.dumps(body)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
