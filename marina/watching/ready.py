"""Whether a TorchServe does what its deployment says, from what the exporter saw last: cheap enough to be asked each second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from marina.watching.exported import SOURCE_UP, Sample

SERVER, WRITTEN = "torchserve", "deployment"


def missing(samples: Iterable[Sample], *, strict: bool) -> list[str]:
    """What is missing, a sentence each; nothing where requests can be sent.

    Args:
        samples: of the exporter's last looks.
        strict: whether every worker of each version must be READY, and not one of them.
    """
    said = list(samples)
    down = [name for name in (SERVER, WRITTEN) if Sample(SOURCE_UP, (name,), True) not in said]
    if down:
        return [f"{name}: not seen" for name in down]
    ready, wanted = (_by_version(said, f"marina_workers_{word}") for word in ("ready", "wanted"))
    deployed = [sample.labels for sample in said if sample.name == "marina_version_deployed"]
    found = ((labels, ready.get(labels, 0), wanted.get(labels, 0)) for labels in deployed)
    return [
        f"{' '.join(labels)}: {have:g} of {want:g} workers are READY"
        for labels, have, want in found
        if not have or (strict and have < want)
    ]


def _by_version(samples: Sequence[Sample], name: str) -> dict[tuple[str, ...], float]:
    return {sample.labels: sample.value for sample in samples if sample.name == name}
