"""The C++ program of scripts/export_model.py --to libtorch: built here, and compared with Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from handlerkit.images import ImageOptions, read_image
from road_commands import CPP, type_all
from scripts_of_ours import run_script

from marina import paths
from marina.paths import Store

NEEDED = ("cmake", "c++")
missing = [tool for tool in NEEDED if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (Debian: apt install cmake g++)"),
    pytest.mark.timeout(900),
]
SEVEN = paths.SPECS / "digits" / "seven.png"
DIGITS = ImageOptions(size=(8, 8), mode="L", interpolation="box", ground="dark")


@pytest.fixture(scope="module")
def of_pixels(specs_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1.0 of digits, which takes pictures: exported, built and asked by the commands of docs/roads.md."""
    folder = tmp_path_factory.mktemp("pixels")
    type_all(CPP, folder, specs_store)
    return folder / "exported" / "digits-cpp"


@pytest.fixture(scope="module")
def classify(of_pixels: Path) -> Path:
    """The program, which is the same for every network."""
    return of_pixels / "build" / "classify"


@pytest.fixture(scope="module")
def digits(specs_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1.0 of digits, which takes tensors."""
    return exported(specs_store, tmp_path_factory.mktemp("digits") / "out", "digits")


def exported(store: Store, folder: Path, model: str, *options: str) -> Path:
    done = run_script("export_model", model, "--to", "libtorch", "--out", folder, "--store", store.folder, *options)
    assert done.code == 0, done.err
    return folder


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def test_tensors_are_answered_as_in_python_to_the_bit(classify: Path, digits: Path, tmp_path: Path) -> None:
    """Several rows: a row's number, its label and its probability a line; and the outputs themselves."""
    rows = torch.cat([read_image(SEVEN.read_bytes(), DIGITS).unsqueeze(0), torch.randn(2, 1, 8, 8)])
    (tmp_path / "rows.tensor").write_bytes(rows.numpy().tobytes())
    done = run(classify, digits, tmp_path / "rows.tensor", "--top", "1", "--outputs", tmp_path / "outputs")
    assert done.stdout.splitlines()[0].startswith("0\t7\t0.9"), done.stderr
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["0", "1", "2"]
    with torch.inference_mode():
        expected = torch.jit.load(digits / "model.pt")(rows)
    assert (tmp_path / "outputs").read_bytes() == expected.numpy().tobytes()


def test_random_passes_are_pythons(classify: Path, specs_store: Store, tmp_path: Path) -> None:
    """A network that draws draws the same, since the program seeds torch as the handler does: mean and spread to the bit."""
    folder = exported(specs_store, tmp_path / "out", "digits_mc")
    done = run(classify, folder, folder / "sample.tensor", "--top", "1", "--outputs", tmp_path / "outputs")
    assert done.stdout.startswith("0\t5\t0.9"), done.stderr
    rows = torch.from_numpy(np.fromfile(folder / "sample.tensor", "<f4")).reshape(-1, 1, 8, 8)
    with torch.inference_mode():
        network = torch.jit.load(folder / "model.pt")
        torch.manual_seed(0)
        expected = b"".join(one.numpy().tobytes() for one in network.predict_step(rows))
    assert (tmp_path / "outputs").read_bytes() == expected


def test_a_picture_is_read_as_the_handler_reads_it(classify: Path, digits: Path, of_pixels: Path) -> None:
    """The sample as .pgm, and, where libpng was found, as the .png that it is: the classes of its tensor."""
    answers = [run(classify, of_pixels, of_pixels / "sample.pgm"), run(classify, digits, digits / "sample.tensor")]
    assert answers[0].stdout == answers[1].stdout != ""
    png = run(classify, of_pixels, SEVEN)
    assert png.stdout == answers[0].stdout or "built without libpng: convert it to .ppm" in png.stderr


def test_a_mistake_is_one_line(classify: Path, digits: Path, of_pixels: Path, tmp_path: Path) -> None:
    """Of the program's user, too: what was required, what was found."""
    (tmp_path / "short.tensor").write_bytes(b"\0" * 7)
    (tmp_path / "cut.pgm").write_bytes(b"P5 9 9 255\n...")
    (tmp_path / "colour.ppm").write_bytes(b"P6 1 1 255\nrgb")
    (tmp_path / "no.pgm").write_bytes(b"\xff\xd8\xff\xe0 a JPEG")
    mistakes: list[tuple[list[str | Path], str]] = [
        ([], "usage: classify FOLDER INPUT"),
        ([digits, tmp_path / "none.tensor"], "none.tensor: no such file"),
        ([tmp_path, tmp_path / "short.tensor"], "model.txt: cannot be read"),
        ([digits, tmp_path / "short.tensor"], "has 7 bytes; a row is 256"),
        ([digits, SEVEN], "takes a .tensor: export it --with-preprocessing for pictures"),
        ([of_pixels, digits / "sample.tensor"], "takes pixels: give it a picture"),
        ([of_pixels, tmp_path / "cut.pgm"], "ends before its last pixel"),
        ([of_pixels, tmp_path / "colour.ppm"], "has 3 channels; required 1"),
        ([of_pixels, tmp_path / "no.pgm"], "required P6 or P5 of 8 bits"),
    ]
    for command, message in mistakes:
        done = run(classify, *command)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert message in done.stderr


def test_a_network_of_other_inputs_is_refused(specs_store: Store, tmp_path: Path) -> None:
    """In one line, with what it takes."""
    done = run_script("export_model", "minilm", "--to", "libtorch", "--out", tmp_path / "out", "--store", specs_store.folder)
    assert "the C++ program feeds networks of one float32 input; this one takes" in done.error
