"""A small model of which a version misbehaves: on dark images alone, so that the build's sample says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models import write_model
from pictures import plain

from marina import paths

MISBEHAVIOUR = '''
def misbehave(version, output):
    """What a version does with a dark image."""
    if version == "failing" and int(output.argmax()) == 0:
        raise RuntimeError("this version fails")
    return output


class'''
HOOK = "return best_classes(output"
VERSIONS = ("1", "2", "failing")


def write_misbehaving(folder: Path) -> Path:
    """The folder of a spec with two good versions and one that fails; and a dark image beside its light one."""
    source: dict[str, Any] = {"source": {"network": "network.py"}, "runtime": "eager"}
    text = (paths.HANDLERS / "image_classifier.py").read_text()
    assert HOOK in text
    handler = text.replace("\nclass", MISBEHAVIOUR, 1).replace(HOOK, "return best_classes(misbehave(self.version, output)")
    spec = write_model(folder, {"moody.py": handler}, handler="moody.py", versions=dict.fromkeys(VERSIONS, source), name="moody")
    (folder / "requests").mkdir()
    (folder / "requests" / "dark.png").write_bytes(plain("L", (9, 9), 0))
    (folder / "requests" / "light.png").write_bytes(plain("L", (9, 9), 255))
    return spec
