"""Versions of digits that should never have been built: 2.0's weights, and a network that does something wrong with them.

What is wrong shows on some digits alone, and never on the sample, a seven; what ends or holds up a worker in a TorchServe alone.
Else no build would let them pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from marina import paths
from marina.paths import Store
from marina.store.index import find_entry

WORSE, SLOW, CRASHING = "3.0", "3.1", "3.2"
BROKEN, GREEDY = "4.0", "4.2"
SWAPPED = [0, 1, 5, 8, 9, 2, 6, 7, 3, 4]  # which score is given out for each digit
MOST_MEGABYTES = 4000  # that the greedy one takes, where nothing bounds it
FAULTS = {
    WORSE: f"return scores[:, {SWAPPED}]",
    SLOW: "threading.Event().wait(2.0 * bool(set(scores.argmax(1).tolist()) & {3, 8}))\n        return scores",
    CRASHING: "[os._exit(1) for digit in scores.argmax(1) if digit == 3 and is_served]\n        return scores",
}
WORSE_FAULTS = {
    BROKEN: "raise RuntimeError('no weights that fit')",
    GREEDY: f"self.kept = [b'x' * (1 << 20) for _ in range({MOST_MEGABYTES})]",
}
AT_LOAD = (BROKEN, GREEDY)
NETWORK = '''

class ThirdDigits(LargeDigits):
    """2.0's network, with a mistake."""

    def __init__(self):
        import sys

        super().__init__()
        if "model_service_worker" in sys.argv[0]:
            {at_load}

    def forward(self, images):
        import os
        import sys
        import threading

        scores, is_served = super().forward(images), "model_service_worker" in sys.argv[0]
        {fault}
'''


def write_third_digits(folder: Path, store: Store, faults: Mapping[str, str] = FAULTS) -> Path:
    """The folder of a spec of digits with these versions, made of the weights that 2.0 in a store was trained to."""
    digits = paths.SPECS / "digits"
    spec: dict[str, Any] = YAML(typ="safe", pure=True).load(digits / "model.yaml")
    folder.mkdir()
    (folder / "seven.png").write_bytes((digits / "seven.png").read_bytes())
    weights = store.weights / find_entry(store, "digits", "2.0").weights.name
    (folder / "weights.pt").write_bytes(weights.read_bytes())
    for version, fault in faults.items():
        wrong = {"at_load": fault, "fault": "return scores"} if version in AT_LOAD else {"at_load": "pass", "fault": fault}
        (folder / f"network_{version}.py").write_text((digits / "large.py").read_text() + NETWORK.format(**wrong))
    source = {
        version: {"network": f"network_{version}.py", "class": "ThirdDigits", "weights": "weights.pt"} for version in faults
    }
    del spec["training"]
    spec["versions"] = {version: {"source": one, "runtime": "eager"} for version, one in source.items()}
    with (folder / "model.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(spec, file)
    return folder
