"""A small model whose versions differ in how they misbehave: on dark images alone, so that the build's sample says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models import write_model
from pictures import plain

from marina import paths

MISBEHAVIOUR = '''
def misbehave(version, output):
    """What a version does with a dark image."""
    if int(output.argmax()) != 0:
        return output
    if version == "failing":
        raise RuntimeError("this version fails")
    if version == "slow":
        import threading

        threading.Event().wait(1.0)
    if version == "crashing":
        import os

        os._exit(1)
    return output.flip(0) if version == "disagreeing" else output


class'''
HOOK = "return best_classes(output"
GOOD, BAD = ("1", "2"), ("failing", "slow", "crashing", "disagreeing")


def write_misbehaving(folder: Path) -> Path:
    """The folder of a spec with two good versions and one of each kind that is bad; and a dark image beside its light one."""
    source: dict[str, Any] = {"source": {"network": "network.py"}, "runtime": "eager"}
    text = (paths.HANDLERS / "image_classifier.py").read_text()
    assert HOOK in text
    handler = text.replace("\nclass", MISBEHAVIOUR, 1).replace(HOOK, "return best_classes(misbehave(self.version, output)")
    spec = write_model(
        folder, {"moody.py": handler}, handler="moody.py", versions=dict.fromkeys((*GOOD, *BAD), source), name="moody"
    )
    (folder / "requests").mkdir()
    (folder / "requests" / "dark.png").write_bytes(plain("L", (9, 9), 0))
    (folder / "requests" / "light.png").write_bytes(plain("L", (9, 9), 255))
    return spec
