"""Which runtimes a source's network can be built for, and why the others not; decided before anything is loaded."""

from __future__ import annotations

NO_CODE = "eager runs a network's Python, which {what} does not hold"
NO_SCRIPT = "torch.export does not take TorchScript"
NO_TORCH = "PyTorch does not run ONNX"
REFUSED = {
    "torchscript": {
        "eager": NO_CODE.format(what="a TorchScript file"),
        "export": NO_SCRIPT,
        "aotinductor": f"it compiles what torch.export made, and {NO_SCRIPT}",
    },
    "onnx": dict.fromkeys(("eager", "torchscript", "export", "aotinductor"), NO_TORCH),
    "export": {"eager": NO_CODE.format(what="an exported program")},
}
RUNTIMES = ("eager", "torchscript", "export", "aotinductor", "onnx", "openvino")
WHAT = {"torchscript": "a TorchScript file", "onnx": "an ONNX file", "export": "an exported program"}
AT_LOAD = "openvino"  # brings any network to its precision when a worker loads it


def runtimes_of(kind: str) -> tuple[str, ...]:
    """The runtimes that a kind of source can be built for."""
    return tuple(runtime for runtime in RUNTIMES if runtime not in REFUSED.get(kind, {}))


def check_runtime(kind: str, runtime: str, method: str, precision: str, channels_last: bool) -> None:
    """See that a version's runtime, method and precision can be had of its source.

    Raises:
        ValueError: they cannot: the reason, and what can.
    """
    if (reason := REFUSED.get(kind, {}).get(runtime)) is not None:
        raise ValueError(f"runtime {runtime}: {reason}; source {kind} goes with {', '.join(runtimes_of(kind))}")
    if kind in ("onnx", "export") and method != "forward":
        raise ValueError(f"method {method}: {WHAT[kind]} holds one method alone, its forward; leave method out")
    if kind in ("onnx", "export") and precision != "fp32" and runtime != AT_LOAD:
        raise ValueError(f"precision {precision}: {WHAT[kind]} keeps the precision it has; use fp32, or runtime {AT_LOAD}")
    if kind in ("onnx", "export") and channels_last:
        raise ValueError(f"channels_last: {WHAT[kind]} keeps the layout it has; leave channels_last out")
