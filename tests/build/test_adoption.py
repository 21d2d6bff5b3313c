"""Archives that were built elsewhere are looked into, tried as a worker would, and indexed as what they are."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hostile_archives import HOSTILE, MANIFEST, manifest
from models import SPEC, write_model
from scripts_of_ours import Ended, call_script, run_script

from marina.paths import Store
from marina.store.build import entry_without_spec
from marina.store.contents import BadArchive, look_into
from marina.store.index import find_entry, read_index
from marina.store.samples import sample_of_entry
from marina.store.tgz import to_mar

SHOUTING = """
from ts.torch_handler.base_handler import BaseHandler


class Shouting(BaseHandler):
    def initialize(self, context):
        self.ending = open(context.system_properties["model_dir"] + "/ending.txt").read()

    def handle(self, data, context):
        texts = [row.get("body").decode() for row in data]
        return [[{"label": text.upper() + self.ending}] for text in texts]
"""
FUNCTION = """
def answer(data, context):
    return data and [row.get("body").decode("utf-8", "replace") for row in data]
"""


@dataclass(frozen=True)
class Adopting:
    """Calls the script for a store of the test's own; ``hello`` is a request."""

    store: Store
    hello: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, archive: Path, *arguments: str | Path) -> Ended:
        return call_script(self.capture, "check_store", "--store", self.store.folder, "--adopt", archive, *arguments)


@pytest.fixture
def adopt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Adopting:
    (tmp_path / "hello.txt").write_text("hello")
    return Adopting(Store(tmp_path / "store"), tmp_path / "hello.txt", capsys)


def archived(folder: Path, handler: str, *options: str, code: str = SHOUTING) -> Path:
    """What torch-model-archiver, run as its users run it, makes of a handler."""
    folder.mkdir()
    (folder / "shouting.py").write_text(code)
    (folder / "ending.txt").write_text("!")
    temporary = folder / "tmp"  # it deletes a folder of the model's name where temporary files lie
    temporary.mkdir()
    asked = ["--model-name", "loud", "--version", "1.0", "--handler", handler, "--extra-files", "ending.txt", *options]
    program = Path(sys.executable).with_name("torch-model-archiver")
    subprocess.run([program, *asked], cwd=folder, env={"TMPDIR": str(temporary)}, capture_output=True, check=True)
    (made,) = [path for path in folder.iterdir() if path.name in ("loud.mar", "loud.tar.gz")]
    return made


def test_an_archive_of_the_official_archiver_is_adopted(adopt: Adopting, tmp_path: Path) -> None:
    """Here a function, as a tgz: what the index cannot know of it is said to be unknown."""
    archive = archived(tmp_path / "theirs", "shouting:answer", "--archive-format", "tgz", code=FUNCTION)
    done = adopt(archive, "--sample", adopt.hello, "--json")
    assert done.code == 0, done.err
    assert "loud.mar answers a request that is no input: mistakes of its callers will look like answers" in done.err
    entry = find_entry(adopt.store, "loud", "1.0")
    assert json.loads(done.out) == {"model": "loud", "version": "1.0", **entry.model_dump()}
    assert (entry.weights.source, entry.weights.name, entry.archive) == ("adopted", "loud.tar.gz", "loud-1.0.mar")
    assert (entry.parity, entry.accuracy, entry.spec, entry.runtime, entry.content_sha256) == (None, None, None, "unknown", None)
    assert sample_of_entry(adopt.store, entry) == (b"hello", None)
    assert "ending.txt" in look_into(adopt.store.archives / "loud-1.0.mar", "loud", "1.0").names
    assert run_script("check_store", "--store", adopt.store.folder).err == "nothing is wrong\n"


def test_an_archive_of_marina_from_another_machine_is_adopted(adopt: Adopting, tmp_path: Path) -> None:
    """It brings its sample, and says which runtime it has and what it holds; its own spec then takes its name only by force."""
    model = write_model(tmp_path / "model", versions={"1": SPEC["versions"]["1"]})
    assert run_script("build_mar", model, "--store", tmp_path / "elsewhere").code == 0
    there = Store(tmp_path / "elsewhere")
    done = adopt(there.archives / "brightness-1.mar")
    assert done.code == 0, done.err
    built, entry = find_entry(there, "brightness", "1"), find_entry(adopt.store, "brightness", "1")
    assert (entry.sha256, entry.content_sha256, entry.runtime) == (built.sha256, built.content_sha256, "torchscript")
    assert sample_of_entry(adopt.store, entry)[1] == "light"
    done = run_script("build_mar", model, "--store", adopt.store.folder)
    assert done.error.startswith("brightness 1 was adopted from brightness-1.mar, which a build would replace: give --force")
    assert entry_without_spec("brightness", "1", adopt.store) == entry
    assert adopt(there.archives / "brightness-1.mar").code == 0  # the same bytes once more change nothing
    shutil.rmtree(adopt.store.samples)
    assert f"samples/{entry.sample.request} is gone" in " ".join(
        run_script("check_store", "--store", adopt.store.folder).out.split()
    )


def test_a_built_version_is_not_replaced_unasked(adopt: Adopting, tmp_path: Path) -> None:
    """What has the name already is named, whether the index knows it or not; --replace is the way."""
    first = archived(tmp_path / "first", "shouting.py")
    done = adopt(first, "--sample", adopt.hello, "--label", "HELLO!")
    assert done.code == 0
    assert "loud 1.0: adopted as archives/loud-1.0.mar; parity and accuracy are not measured" in done.err
    before = adopt.store.index.read_bytes(), (adopt.store.archives / "loud-1.0.mar").read_bytes()
    second = archived(tmp_path / "second", "shouting.py", code=SHOUTING.replace("upper", "lower"))
    done = adopt(second, "--sample", adopt.hello)
    assert done.code == 2
    assert done.error == (
        "loud 1.0 is in the index already, adopted from loud.mar: give --replace, or archive it with another --version"
    )
    assert (adopt.store.index.read_bytes(), (adopt.store.archives / "loud-1.0.mar").read_bytes()) == before
    assert adopt(second, "--sample", adopt.hello, "--replace").code == 0
    adopt.store.index.unlink()
    assert "loud-1.0.mar is there already: give --replace, or delete it" in adopt(first, "--sample", adopt.hello).error


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (SHOUTING, [], "loud.mar carries no sample: give --sample REQUEST, a file that it must answer"),
        (SHOUTING, ["--label", "hush"], "loud.mar answers its sample with 'HELLO!'; required 'hush'"),
        (
            "import no_such\n" + SHOUTING,
            ["--label", "x"],
            "loud.mar does not load: ModuleNotFoundError: No module named 'no_such'",
        ),
        (SHOUTING.replace("upper", "uper"), ["--label", "x"], "loud.mar does not answer its sample: 503: AttributeError: "),
    ],
)
def test_an_archive_that_fails_is_not_adopted(
    code: str, arguments: list[str], message: str, adopt: Adopting, tmp_path: Path
) -> None:
    """With the real reason, which TorchServe would hide; the store stays as it was."""
    done = adopt(
        archived(tmp_path / "theirs", "shouting.py", code=code), *arguments, *(("--sample", adopt.hello) if arguments else ())
    )
    assert done.code in (1, 2)
    assert message in done.error
    assert read_index(adopt.store).models == {}
    assert [path.name for path in adopt.store.folder.iterdir() if path.name != ".locks"] == ["archives"]
    assert not list(adopt.store.archives.iterdir())


@pytest.mark.parametrize("name", ["climbs", "link", "bomb", "two-names", "manifest-deep", "no-handler", "suffix", "same-name"])
def test_a_hostile_archive_is_not_adopted(name: str, adopt: Adopting, tmp_path: Path) -> None:
    """Nothing of it is run; the reason is said."""
    make, reason = HOSTILE[name]
    done = adopt(make(tmp_path / "hostile.mar"), "--sample", adopt.hello)
    assert done.code == 1
    assert reason in done.error
    assert [path.name for path in adopt.store.folder.iterdir() if path.name != ".locks"] == ["archives"]
    assert not list(adopt.store.archives.iterdir())


def write_tgz(path: Path, *more: tuple[tarfile.TarInfo, bytes]) -> Path:
    """A good archive in the archiver's tgz format, with more members."""
    with tarfile.open(path, "w:gz") as file:
        for name, content in ((f"good/{MANIFEST}", manifest()), ("good/mine.py", b"x = 1"), ("good/model.pt", b"w")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
        for member, content in more:
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def linked(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def rewritten(path: Path, change: Callable[[bytes], bytes]) -> Path:
    write_tgz(path).write_bytes(change(path.read_bytes()))
    return path


TGZ: dict[str, tuple[Callable[[Path], Path], str]] = {
    "climbs": (lambda path: write_tgz(path, (tarfile.TarInfo("good/../../evil"), b"")), "which leads out of its folder"),
    "absolute": (
        lambda path: write_tgz(path, (tarfile.TarInfo("good//etc/evil"), b"")),
        "'/etc/evil', which is an absolute path",
    ),
    "link": (lambda path: write_tgz(path, (linked("good/w", "/etc/passwd"), b"")), "which is a link or a special file"),
    "same-name": (lambda path: write_tgz(path, (tarfile.TarInfo("other/mine.py"), b"")), "one would take the place of the other"),
    "bomb": (lambda path: write_tgz(path, (tarfile.TarInfo("good/zeros"), bytes(150_000_000))), "100 times are the most"),
    "cut": (lambda path: rewritten(path, lambda content: content[:-20]), "is damaged: "),
    "no-tar": (lambda path: rewritten(path, lambda _: gzip.compress(b"text" * 500)), "is damaged: "),
}


@pytest.mark.parametrize("name", TGZ)
def test_a_hostile_tgz_is_refused(name: str, tmp_path: Path) -> None:
    """As a hostile zip is."""
    make, reason = TGZ[name]
    with pytest.raises(BadArchive) as raised:
        to_mar(make(tmp_path / "hostile.tar.gz"), tmp_path / "made.mar")
    assert str(raised.value).startswith("hostile.tar.gz ")
    assert reason in str(raised.value)


def test_a_tgz_becomes_a_mar(tmp_path: Path) -> None:
    """Without the folder that the archiver puts all files in; with folders inside it."""
    folder = tarfile.TarInfo("good/more")
    folder.type = tarfile.DIRTYPE
    to_mar(write_tgz(tmp_path / "a.tar.gz", (folder, b""), (tarfile.TarInfo("good/more/b.txt"), b"b")), tmp_path / "a.mar")
    assert look_into(tmp_path / "a.mar", "good", "1.0").names == (MANIFEST, "mine.py", "model.pt", "more/b.txt")
