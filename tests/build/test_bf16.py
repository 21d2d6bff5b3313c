"""A network in bf16: compared with fp32 by what it answers, as int8 is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from handlerkit.machine import CPUINFO
from scripts_of_ours import Ended, call_script
from shades import NETWORK, write_shades

COMPUTES = re.search(r"avx512_bf16|amx_bf16|avx_ne_convert|\bbf16", CPUINFO.read_text() if CPUINFO.exists() else "")
REFUSED = "precision bf16: this machine's cpu has no instructions for it; build with precision fp32"
FAR = """

class Far(Shades):
    def forward(self, images):
        return super().forward(images) + 5000  # where bf16 has steps of 32
"""


def version(**changes: Any) -> dict[str, Any]:
    return {"1": {"source": {"network": "network.py"}, "runtime": "torchscript", "precision": "bf16"} | changes}


def build(capsys: pytest.CaptureFixture[str], model: Path, *options: str) -> Ended:
    return call_script(capsys, "build_mar", model, "--store", model.parent / "store", *options)


def entry_of(done: Ended) -> dict[str, Any] | None:
    """What the index has of the build; None on a processor that does not compute bf16, and refuses it."""
    if not COMPUTES:
        assert REFUSED in done.error
        return None
    assert done.code == 0, done.err
    entry: dict[str, Any] = json.loads(done.out)[0]
    return entry


def test_bf16_agrees_with_fp32_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a tolerance: on the held-out requests it answers as the eager network does, and the index has how often."""
    entry = entry_of(build(capsys, write_shades(tmp_path / "model", versions=version()), "--json"))
    if entry:
        assert entry["bf16"] == {"agreement": 1.0, "compared": 40, "compared_on": "held-out requests"}
        assert entry["parity"]["tolerance"] is None
        assert 0 < entry["parity"]["largest_difference"] < 0.5


def test_without_held_out_requests_those_to_calibrate_on_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And where there are none, generated inputs."""
    for calibration, expected in (({"requests": "shades"}, (26, "calibration requests")), ({}, (140, "generated inputs"))):
        model = write_shades(tmp_path / "model", versions=version(), calibration=calibration)
        if entry := entry_of(build(capsys, model, "--json", "--random-weights")):
            assert (entry["bf16"]["compared"], entry["bf16"]["compared_on"]) == expected


def test_bf16_that_answers_otherwise_stops_the_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says how often it does; a tolerance limits its numbers in place of that."""
    files = {"network.py": f"{NETWORK}{FAR}"}
    far = {"source": {"network": "network.py", "class": "Far"}}
    done = build(capsys, write_shades(tmp_path / "model", files, versions=version(**far)))
    assert done.code == 1
    assert REFUSED in done.error or re.fullmatch(
        r"the best class in bf16 is the one in fp32 for 0\.\d+ of 40 held-out requests; "
        "the spec's calibration.agreement is 0.98: "
        "choose precision fp32, or another runtime; a 'tolerance' of the version limits its numbers instead",
        done.error,
    )
    done = build(capsys, write_shades(tmp_path / "model", files, versions=version(**far, tolerance=0.05)))
    assert REFUSED in done.error or "; the spec's tolerance is 0.05" in done.error
