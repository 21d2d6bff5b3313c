"""A network in 8 bits: calibrated by its own handler, compared with fp32 on requests it was not calibrated on."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from handlerkit.runtimes import Setting, load_runtime
from handlerkit.testing import Worker
from PIL import Image
from scripts_of_ours import Ended, call_script, run_script
from shades import TRAINING, write_shades

from marina import paths
from marina.paths import Store
from marina.store.exporters import INT8
from marina.store.index import read_index
from marina.store.int8 import requests_of
from marina.store.spec import find_spec

ALL = {name: {"source": {"network": "network.py"}, "runtime": name, "precision": "int8"} for name in INT8}
BY_FOLDER = {"requests": "shades"}


def build(capsys: pytest.CaptureFixture[str], model: Path, store: Path, *options: str) -> Ended:
    return call_script(capsys, "build_mar", model, "--store", store, *options)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The classifier in int8, for every runtime that has it."""
    folder = tmp_path_factory.mktemp("int8")
    model = write_shades(folder / "model", versions=ALL, calibration=BY_FOLDER)
    done = run_script("build_mar", model, "--store", folder / "store", "--json", environment={"CI": ""})
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert "Statistics" not in done.out + done.err  # as NNCF's bars have it
    json.loads(done.out)
    return Store(folder / "store")


@pytest.mark.parametrize("runtime", INT8)
def test_int8_agrees_with_fp32_and_says_what_it_costs(built: Store, runtime: str) -> None:
    """The index has the agreement on held-out requests, and the accuracy before and after."""
    entry = read_index(built).models["brightness"][runtime]
    assert entry.int8 is not None
    assert (entry.precision, entry.int8.calibrated_on) == ("int8", 26)
    assert (entry.int8.compared, entry.int8.compared_on) == (30, "held-out requests")  # ten of the forty were calibrated on
    assert entry.int8.agreement == 1.0
    assert entry.accuracy == entry.int8.accuracy_in_fp32
    assert entry.accuracy is not None
    assert entry.accuracy.value == 1.0
    assert entry.parity is not None
    assert 0 < entry.parity.largest_difference < 2  # not fp32 under another name
    assert entry.parity.tolerance is None


@pytest.mark.parametrize("runtime", INT8)
@pytest.mark.filterwarnings("ignore")  # of TorchServe's loader
def test_a_worker_serves_int8_and_says_so(built: Store, runtime: str) -> None:
    """Answers come in batches of any size, and describe names the precision."""
    with Worker.load(built.archives / f"brightness-{runtime}.mar") as worker:
        dark, light = io.BytesIO(), io.BytesIO()
        Image.new("RGB", (30, 30), (20, 20, 20)).save(dark, "PNG")
        Image.new("RGB", (30, 30), (230, 230, 230)).save(light, "PNG")
        answers = worker.ask(dark.getvalue(), light.getvalue(), light.getvalue(), dark.getvalue())
        assert [one.body[0]["label"] for one in answers] == ["dark", "light", "light", "dark"]
        assert worker.handler.handle.__self__.describe()["precision"] == "int8"


def test_an_int8_archive_needs_nothing_of_what_made_it(built: Store, tmp_path: Path) -> None:
    """A worker imports neither NNCF nor torchao."""
    from loading import load_in_a_process, unpacked

    for runtime in INT8:
        done = load_in_a_process(unpacked(built.archives / f"brightness-{runtime}.mar", tmp_path / runtime))
        assert done.returncode == 0, done.stderr
        loaded = json.loads(done.stdout.splitlines()[-1])
        assert not [name for name in loaded if name.startswith(("nncf", "torchao"))]


def test_a_build_reports_to_nobody(tmp_path: Path) -> None:
    """OpenVINO's converter and NNCF send how they are used to their makers; here they are kept from it."""
    code = (
        "from marina.store.exporters.quiet import unobserved\n"
        "with unobserved():\n"
        "    import nncf, openvino_telemetry\n"
        "print(openvino_telemetry.Telemetry().consent)\n"
    )
    without_ci = {
        name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_CURRENT_TEST", "PYTEST_VERSION")
    }
    environment = without_ci | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["False"], done.stderr


def test_calibration_may_come_from_the_training_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """calibration() yields requests; no more than the limit are used."""
    code = TRAINING + "\n\ndef calibration():\n    yield from map(png, range(0, 256, 2))\n"
    model = write_shades(tmp_path / "model", {"training.py": code}, calibration={"limit": 20, "agreement": 0})
    done = build(capsys, model, tmp_path / "store", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["int8"]["calibrated_on"] == 20


def test_of_too_many_files_some_are_taken_from_all_over(tmp_path: Path) -> None:
    """Where files are in order of their class, the first hundred would all be of one."""
    model = write_shades(tmp_path / "model", calibration=BY_FOLDER | {"limit": 2})
    expected = [(model / "shades" / name).read_bytes() for name in ("000.png", "130.png")]
    assert requests_of(find_spec(str(model)), "1") == expected


def test_without_held_out_requests_some_are_held_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One in four is compared on, and not calibrated on; where there are fewer, generated inputs must do."""
    for limit, expected in ((26, (20, 6, "requests held back")), (3, (3, 140, "generated inputs"))):
        model = write_shades(tmp_path / "model", calibration=BY_FOLDER | {"limit": limit})
        done = build(capsys, model, tmp_path / "store", "--json", "--random-weights")
        assert done.code == 0, done.err
        cost = json.loads(done.out)[0]["int8"]
        assert (cost["calibrated_on"], cost["compared"], cost["compared_on"]) == expected


BAD = {"requests": "shades/000.png"}  # one black image: nothing of the ranges that others have


AGREEMENT = (
    r"the best class in int8 is the one in fp32 for 0\.\d+ of 40 held-out requests; the spec's calibration.agreement is 0.98: "
    "calibrate on more requests, or on others, or choose precision bf16"
)
ACCURACY = (
    r"top1 is 0\.\d+ in int8 and 1.0000 in fp32; the spec's calibration.accuracy_loss is 0.01: "
    "calibrate on more requests, or on others"
)


@pytest.mark.parametrize(("allowed", "message"), [({}, AGREEMENT), ({"agreement": 0, "accuracy_loss": 0.01}, ACCURACY)])
def test_int8_that_loses_more_than_the_spec_allows_stops_the_build(
    allowed: dict[str, float], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says by how much: one black image has nothing of the ranges that others have."""
    model = write_shades(tmp_path / "model", calibration=BAD | allowed)
    done = build(capsys, model, tmp_path / "store")
    assert done.code == 1
    assert re.fullmatch(message, done.error)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "version 1 has precision int8, which needs requests to calibrate with: add calibration: {requests: FOLDER}"),
        ({"calibration": {"requests": "shadows"}}, "calibration.requests names shadows, but no file is there"),
        ({"calibration": {"requests": "*.jpg"}}, "calibration.requests names *.jpg, but no file is there"),
        ({"calibration": {"requests": "../"}}, "names ../, but calibration requests must lie beside model.yaml"),
        ({"calibration": {"requests": "network.py"}}, "request 1 of 1 to calibrate or compare with is refused: "),
        ({"calibration": {"agreement": 98}}, "'calibration.agreement': Input should be less than or equal to 1"),
        ({"calibration": {"limit": 0}}, "'calibration.limit': Input should be greater than 0"),
        ({"calibration": {"request": "shades"}}, "unknown key 'calibration.request': did you mean 'requests'?"),
        ({"tolerance_of": 1}, "unknown key 'tolerance_of'"),
        (
            {"versions": {"1": ALL["openvino"] | {"tolerance": 1e-6}}, "calibration": BY_FOLDER},
            "; the spec's tolerance is 1e-06",
        ),
    ],
)
def test_a_mistake_with_calibration_is_one_line(
    changes: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is required, what was found."""
    assert message in build(capsys, write_shades(tmp_path / "model", **changes), tmp_path / "store").error


def test_calibration_that_yields_no_bytes_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """held_out() yields pairs; calibration() yields requests alone."""
    code = TRAINING + "\n\ndef calibration():\n    yield from held_out()\n"
    done = build(capsys, write_shades(tmp_path / "model", {"training.py": code}), tmp_path / "store")
    assert "calibration() must yield requests, as bytes; it yields tuple" in done.error


@pytest.mark.parametrize("runtime", ["eager", "torchscript", "export"])
def test_a_runtime_without_int8_is_refused_before_anything_is_trained(
    runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason, and the runtimes that have it."""
    version = {"source": {"network": "network.py"}, "runtime": runtime, "precision": "int8"}
    done = build(capsys, write_shades(tmp_path / "model", versions={"1": version}), tmp_path / "store")
    assert done.code == 2
    assert done.error.startswith(f"runtime {runtime}: no int8: ")
    assert done.error.endswith("; use one of aotinductor, onnx, openvino")
    assert not (tmp_path / "store" / "weights").exists()


def test_int8_is_for_cpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A version that also asks for a GPU is refused."""
    model = write_shades(tmp_path / "model", versions={"1": ALL["openvino"] | {"device": "cuda"}})
    done = build(capsys, model, tmp_path / "store")
    assert done.error == "precision int8: is for CPUs; leave device: cuda out, or use precision bf16"


def test_a_worker_refuses_int8_where_its_runtime_has_none(tmp_path: Path) -> None:
    """An archive that was written by hand is not served in fp32 under the name of int8."""
    with pytest.raises(ValueError, match="runtime eager: no precision int8; there is for: aotinductor, onnx, openvino"):
        load_runtime("eager", Setting(tmp_path, "model.pt", precision="int8"))


def test_the_shipped_digits_in_int8_are_as_accurate_as_in_fp32(specs_store: Store) -> None:
    """Version 3.0 is digits 2.0 in 8 bits: calibrated on training images, measured on those held out."""
    done = run_script("build_mar", "digits", "--version", "3.0", "--store", specs_store.folder)
    assert done.code == 0, done.err
    entry = read_index(specs_store).models["digits"]["3.0"]
    assert entry.int8 is not None
    assert entry.int8.agreement is not None
    assert entry.int8.agreement >= 0.98
    assert (entry.int8.calibrated_on, entry.int8.compared) == (300, 360)
    assert entry.accuracy is not None
    assert entry.accuracy.value >= 0.97
    assert (paths.SPECS / "digits" / "model.yaml").read_text().count("int8") == 1
