"""A store goes to a folder, or to any address that fsspec knows, and comes back as it was; nothing else does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import uuid
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from models import write_model
from scripts_of_ours import Ended, call_script
from stores import add_version, document, make_store

from marina.digests import file_digest
from marina.errors import MarinaError
from marina.paths import Store
from marina.serving.polling import wait_for
from marina.sharing.documents import read_document, share
from marina.sharing.pull import Pull
from marina.sharing.push import Push
from marina.sharing.remote import Remote
from marina.store.index import Bill, Entry, find_entry, read_index, record, verified_archive

Script = Callable[..., Ended]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With brightness 1 and 2."""
    return make_store(tmp_path / "ours")


@pytest.fixture
def other(tmp_path: Path) -> Store:
    """Of somebody else; empty."""
    return Store(tmp_path / "theirs")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that both reach."""
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


@pytest.fixture
def push(store: Store, capsys: pytest.CaptureFixture[str]) -> Script:
    return lambda *arguments: call_script(capsys, "push_store", *arguments, "--store", store.folder)


@pytest.fixture
def pull(other: Store, capsys: pytest.CaptureFixture[str]) -> Script:
    return lambda *arguments: call_script(capsys, "pull_store", *arguments, "--store", other.folder)


@pytest.fixture
def pushed(push: Script, place: Path) -> Path:
    """The folder, with what the store has."""
    assert push(place).code == 0
    return place


def change(path: Path, **changes: Any) -> None:
    """Change keys of a document; those of its entry have a name that begins with ``entry_``."""
    content = document(path)
    for key, value in changes.items():
        part, name = (content["entry"], key.removeprefix("entry_")) if key.startswith("entry_") else (content, key)
        part[name] = value
    path.write_text(json.dumps(content))


def names(folder: Path) -> list[str]:
    """Files below a folder, locks left out."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock" and path.parent.name != ".locks"]
    return sorted(str(path.relative_to(folder)) for path in files)


def archives(store: Store) -> list[str]:
    return names(store.archives) if store.archives.exists() else []


@pytest.fixture(params=["folder", "file", "memory"])
def address(request: pytest.FixtureRequest, place: Path) -> str:
    """Of a place, as each kind has it."""
    return {"folder": str(place), "file": f"file://{place}", "memory": f"memory://{uuid.uuid4()}"}[request.param]


def test_what_is_pushed_is_pulled_as_it_was(address: str, push: Script, pull: Script, store: Store, other: Store) -> None:
    """The same archives byte for byte, and entries that serve them, by way of a folder or of an address."""
    done = push(address)
    assert (done.code, done.err.count("pushed")) == (0, 2), done.err
    done = pull(address)
    assert (done.code, done.err.count("pulled")) == (0, 2), done.err
    for version in ("1", "2"):
        entry = find_entry(other, "brightness", version)
        assert verified_archive(other, entry).read_bytes() == (store.archives / entry.archive).read_bytes()
        assert entry == find_entry(store, "brightness", version).model_copy(update={"spec": "brightness"})


def test_what_lies_beside_an_archive_moves_with_it(push: Script, pull: Script, place: Path, store: Store, other: Store) -> None:
    """Its bill of materials, and the sample that an adopted one is tried with; a changed one is refused on arrival."""
    beside = {"sboms": b'{"bill": 1}', "samples": b"a request"}
    for folder, content in beside.items():
        (store.folder / folder).mkdir()
        (store.folder / folder / "light.png").write_bytes(content)
    bill, sample = (file_digest(store.folder / folder / "light.png") for folder in beside)
    changes = {"bill": Bill(file="light.png", sha256=bill), "sample_sha256": sample}
    record(store, "brightness", "1", find_entry(store, "brightness", "1").model_copy(update=changes))
    assert push(place).code == 0
    (place / "objects" / bill).write_bytes(b'{"bill": 2}')
    assert "light.png arrived with SHA-256" in pull(place).error
    assert "brightness" not in read_index(other).models
    (place / "objects" / bill).write_bytes(beside["sboms"])
    assert pull(place).code == 0
    assert {folder: (other.folder / folder / "light.png").read_bytes() for folder in beside} == beside


def test_what_is_there_does_not_move_again(push: Script, pull: Script, pushed: Path, other: Store) -> None:
    """Pushed twice, pulled twice: nothing moves the second time, and the script says so."""
    before = {path: (pushed / path).stat().st_mtime_ns for path in names(pushed)}
    done = push(pushed)
    assert done.err.count("already there, nothing moves") == 2
    assert before == {path: (pushed / path).stat().st_mtime_ns for path in names(pushed)}
    pull(pushed)
    index = other.index.stat().st_mtime_ns
    assert pull(pushed).err.count("already here, nothing moves") == 2
    assert other.index.stat().st_mtime_ns == index


def test_versions_move_by_name(push: Script, pull: Script, place: Path, other: Store) -> None:
    """One model, or one version of it; with --dry-run nothing moves, and what would is shown."""
    planned = push(place, "brightness", "--version", "2", "--dry-run", "--json")
    assert [(row["version"], row["action"]) for row in json.loads(planned.out)] == [("2", "new")]
    assert names(place) == []
    assert push(place, "brightness", "--version", "2").code == 0
    planned = pull(place, "--dry-run")
    assert "new here" in planned.out
    assert not other.folder.exists()
    assert pull(place).code == 0
    assert list(read_index(other).models["brightness"]) == ["2"]


def test_a_path_of_the_builder_stays_with_the_builder(pushed: Path, tmp_path: Path) -> None:
    """An entry says where its spec lies on the machine that built it; what is pushed says its name alone."""
    assert document(pushed / "entries" / "brightness" / "1.json")["entry"]["spec"] == "brightness"
    assert not [path for path in names(pushed / "entries") if str(tmp_path) in (pushed / "entries" / path).read_text()]


def test_another_archive_there_is_replaced_only_where_asked(push: Script, store: Store, pushed: Path, tmp_path: Path) -> None:
    """The refusal names the version and both ways on; the archive that was there stays as an object, for who pulls it now."""
    old = find_entry(store, "brightness", "1").sha256
    new = add_version(store, tmp_path / "ours-specs" / "brightness", "1", seed=7).sha256
    before = names(pushed)
    done = push(pushed)
    assert done.code == 1
    assert done.error == (
        f"{pushed} has other archives of brightness 1 (SHA-256 {old[:12]}…): nothing was moved; "
        "add --replace to replace them, or name the models to leave them out"
    )
    assert names(pushed) == before
    assert "differs from what is there: --replace would replace it" in push(pushed, "--dry-run").out
    assert "replaces another there" in push(pushed, "--replace").out
    assert document(pushed / "entries" / "brightness" / "1.json")["entry"]["sha256"] == new
    assert {f"objects/{old}", f"objects/{new}"} < set(names(pushed))


def test_another_archive_here_is_replaced_only_where_asked(pull: Script, pushed: Path, other: Store, tmp_path: Path) -> None:
    """A local build is not lost by a pull, nor an archive that the index has lost."""
    shutil.copytree(tmp_path / "ours-specs", tmp_path / "specs")
    mine = add_version(other, tmp_path / "specs" / "brightness", "1", seed=9)
    assert f"{other.folder} has other archives of brightness 1 (SHA-256 {mine.sha256[:12]}…)" in pull(pushed).error
    verified_archive(other, find_entry(other, "brightness", "1"))
    assert archives(other) == ["brightness-1.mar"]
    other.index.unlink()
    assert "has other archives of brightness 1" in pull(pushed).error
    assert file_digest(other.archives / "brightness-1.mar") == mine.sha256
    assert pull(pushed, "--replace").code == 0
    assert verified_archive(other, find_entry(other, "brightness", "1")).name == "brightness-1.mar"
    assert find_entry(other, "brightness", "1").sha256 != mine.sha256


def test_what_was_damaged_is_made_good(push: Script, pull: Script, pushed: Path, other: Store) -> None:
    """A pull brings back a damaged or lost archive; a push brings back an object that is gone or cut short."""
    pull(pushed)
    (other.archives / "brightness-1.mar").write_bytes(b"damaged")
    (other.archives / "brightness-2.mar").unlink()
    done = pull(pushed)
    assert (done.code, done.out.count("was damaged or incomplete here")) == (0, 2), done.err
    first, second = (find_entry(other, "brightness", version) for version in ("1", "2"))
    verified_archive(other, first), verified_archive(other, second)
    (pushed / "objects" / first.sha256).unlink()
    (pushed / "objects" / second.sha256).write_bytes(b"cut")
    shutil.rmtree(other.folder)
    assert pull(pushed).error == (
        f"{pushed}: brightness-1.mar should have {first.size_bytes:,} bytes, and 0 are there: push brightness 1 again"
    )
    assert "bytes, and 3 are there: push brightness 2 again" in pull(pushed, "brightness", "--version", "2").error
    assert push(pushed).out.count("was damaged or incomplete there") == 2
    assert file_digest(pushed / "objects" / second.sha256) == second.sha256


def test_a_damaged_archive_is_not_pushed(push: Script, store: Store, place: Path) -> None:
    """What is not the archive that was built does not leave the machine."""
    archive = store.archives / "brightness-2.mar"
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    assert "is not the archive that was built" in push(place).error
    assert names(place) == []


def test_an_archive_that_was_tampered_with_is_refused(pull: Script, pushed: Path, other: Store) -> None:
    """One byte flipped at the other place: the digest says so on arrival, nothing has the archive's name, others have arrived."""
    second = pushed / "objects" / document(pushed / "entries" / "brightness" / "2.json")["entry"]["sha256"]
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1
    second.write_bytes(content)
    done = pull(pushed)
    assert (
        f"{pushed}: brightness-2.mar arrived with SHA-256 {file_digest(second)[:12]}…, and its entry says {second.name[:12]}…"
        in done.error
    )
    assert archives(other) == ["brightness-1.mar"]
    assert list(read_index(other).models["brightness"]) == ["1"]
    assert names(other.folder) == ["archives/brightness-1.mar", "index.json"]


def test_an_archive_that_says_it_is_another_is_refused(pull: Script, pushed: Path, other: Store) -> None:
    """An entry whose archive is whole, but of another version."""
    entries = pushed / "entries" / "brightness"
    other_archive = document(entries / "2.json")["entry"]
    change(entries / "1.json", entry_sha256=other_archive["sha256"], entry_size_bytes=other_archive["size_bytes"])
    done = pull(pushed, "brightness", "--version", "1")
    assert done.error == "brightness-1.mar says in its manifest that it is the version '2'; required '1'"
    assert archives(other) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entry_archive": "../../etc/brightness-1.mar"}, "it names the archive '../../etc/brightness-1.mar'"),
        ({"entry_archive": "digits-1.0.mar"}, "it names the archive 'digits-1.0.mar'; required 'brightness-1.mar'"),
        ({"entry_sha256": "../entries/brightness/2.json"}, "it names the SHA-256 '../entries/brightness/2.json'; required 64"),
        ({"entry_sample": {"request": "x\x1b.png"}}, "it has a text with control characters"),
        ({"entry_size_bytes": -1}, "it names a size of -1 bytes"),
        ({"entry_size_bytes": "many"}, "'entry.size_bytes': Input should be a valid integer"),
        ({"entry_spec": "/home/alice/brightness"}, "it names the spec '/home/alice/brightness'"),
        ({"entry_runtime": "eager\x1b[2J"}, r"it has a text with control characters: 'eager\x1b[2J'"),
        ({"entry_weights": None}, "'entry.weights': Input should be"),
        ({"model": "digits"}, "it says that it is of digits 1"),
        ({"version": "../1"}, "'version': String should match pattern"),
        ({"entry": []}, "'entry': Input should be"),
        ({"layout": 2}, "it is written in layout 2, by a newer Marina than this one, which reads layout 1"),
    ],
)
def test_a_malformed_entry_is_refused(pull: Script, pushed: Path, other: Store, changes: dict[str, Any], message: str) -> None:
    """Whoever can write at the other place can write anything: what it names is believed only within bounds."""
    change(pushed / "entries" / "brightness" / "1.json", **changes)
    done = pull(pushed)
    assert done.error.startswith(f"{pushed}: the entry of brightness 1 is malformed: "), done.error
    assert message in done.error
    assert not other.folder.exists()
    assert pull(pushed, "brightness", "--version", "2").code == 0


@pytest.mark.parametrize("content", [b"", b"no JSON", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b'{"layout": 1}'])
def test_what_is_no_entry_at_all_is_refused(pull: Script, push: Script, pushed: Path, content: bytes) -> None:
    """A pull says so; a push with --replace writes the entry anew."""
    (pushed / "entries" / "brightness" / "1.json").write_bytes(content)
    assert f"{pushed}: the entry of brightness 1 is malformed: " in pull(pushed).error
    assert "; --replace writes it anew" in push(pushed).error
    assert push(pushed, "--replace").code == 0
    assert pull(pushed).code == 0


def test_an_entry_that_is_too_large_is_not_read(pull: Script, pushed: Path) -> None:
    """A megabyte is a thousand times what an entry has."""
    (pushed / "entries" / "brightness" / "1.json").write_bytes(b" " * 1_000_001)
    assert "1.json has 1,000,001 bytes; an entry has 1,000,000 at most" in pull(pushed).error


def test_files_of_other_names_are_left_alone(pull: Script, pushed: Path, other: Store) -> None:
    """What else lies at the other place is no model, whatever its name."""
    for name in (
        "entries/README",
        "entries/.DS_Store",
        "entries/brightness/.x.partial",
        "entries/brightness/..json",
        "entries/a/b/1.json",
    ):
        (pushed / name).parent.mkdir(parents=True, exist_ok=True)
        (pushed / name).write_text("nothing")
    assert pull(pushed).code == 0
    assert list(read_index(other).models) == ["brightness"]


def test_two_models_whose_archives_have_one_name_are_not_mixed_up(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    """Model a, version 1-2, and model a-1, version 2, are both a-1-2.mar: the second is not pulled over the first."""
    version = {"source": {"network": "network.py"}, "runtime": "torchscript"}
    first, second = Store(tmp_path / "first"), Store(tmp_path / "second")
    add_version(first, write_model(tmp_path / "specs" / "a", name="a", versions={"1-2": version}), "1-2")
    add_version(second, write_model(tmp_path / "specs" / "b", name="a-1", versions={"2": version}), "2")
    assert call_script(capsys, "push_store", place, "--store", second.folder).code == 0
    done = call_script(capsys, "pull_store", place, "--store", first.folder)
    assert done.error == "a-1 2 and a 1-2, which is here, have archives of one name, a-1-2.mar"


def test_keys_of_a_newer_marina_are_no_hindrance(pull: Script, pushed: Path, other: Store) -> None:
    """An entry that says more than we know is pulled, without what we do not know."""
    change(pushed / "entries" / "brightness" / "1.json", entry_carbon_grams=3.5, pushed_by="a newer Marina")
    assert pull(pushed).code == 0
    assert find_entry(other, "brightness", "1").runtime == "torchscript"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is no folder: create it first, or give an address such as s3://bucket/folder"),
        (["file:///no/where"], "/no/where is no folder: create it first"),
        (["s3://"], "'s3://' is no place for a store: required an address such as s3://bucket/folder, or a folder"),
        ([""], "'' is no place for a store"),
        (["simplecache::s3://bucket"], "'simplecache::s3://bucket' is no place for a store"),
        (["foo://bucket/x"], "foo://bucket/x: no protocol 'foo': s3, gs, sftp and file are some"),
        (["gs://bucket/x"], "gs://bucket/x: Please install gcsfs to access Google Storage"),
        (["sftp://me:secret@host/x"], 'sftp://host/x: SFTPFileSystem requires "paramiko" to be installed'),
        (["PLACE", "brihgtness"], "has no model 'brihgtness': did you mean 'brightness'?"),
        (["PLACE", "brightness", "--version", "3"], "has no brightness 3; it has: 1, 2"),
        (["PLACE", "--version", "1"], "--version goes with the name of one model"),
        (["STORE"], "is the store itself: give another folder, or --store another store"),
    ],
)
def test_a_wrong_command_is_one_line(push: Script, place: Path, store: Store, arguments: list[str], message: str) -> None:
    """What was required, what was found, what to do; a password in an address is not repeated."""
    known = {"PLACE": str(place), "STORE": str(store.folder)}
    done = push(*(known.get(one, one) for one in arguments))
    assert message in done.error
    assert "secret" not in done.err
    assert done.code == 2


def test_nothing_to_move_is_one_line(pull: Script, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty place, an empty store."""
    assert pull(place).error == f"{place} holds no models"
    assert call_script(capsys, "push_store", place, "--store", tmp_path / "none").error.endswith("index.json holds no models")


def test_no_room_is_said_before_anything_moves(pull: Script, pushed: Path, other: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to arrive, and what there is room for."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1_000_000, 990_000, 10_000))
    assert " has room for 10.0 kB, and " in pull(pushed).error
    assert archives(other) == []


def test_a_full_disk_leaves_no_half_archive(pushed: Path, other: Store) -> None:
    """A file that cannot grow beyond a limit, as on a full disk, is no archive; what arrived before stays as it was."""
    code = (
        "import resource, signal, sys, runpy; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); sys.argv = sys.argv[1:];"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    script = [sys.executable, "-c", code, "scripts/pull_store.py", str(pushed), "--store", str(other.folder)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"error: {other.folder}: brightness-1.mar does not fit (File too large): free some space, and run this again\n"
    )
    assert names(other.folder) == []


def test_a_folder_that_may_not_be_written_is_one_line(push: Script, place: Path) -> None:
    """A file where a folder is needed stands for a place that refuses, also where everything is allowed to root."""
    (place / "objects").write_text("in the way")
    done = push(place)
    assert done.code == 1
    assert done.error.startswith(f"{place}: ")


def test_two_pulls_into_one_store_wait_for_each_other(
    pushed: Path, store: Store, other: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second says that it waits, and takes what is there then for its own."""
    (other.folder / ".locks").mkdir(parents=True)
    lock = FileLock(other.folder / ".locks" / "pull", thread_local=False)
    lock.acquire()
    pull = Pull(other, Remote(str(pushed)), [], None)
    waiting = threading.Thread(target=pull.run)
    waiting.start()
    said: list[str] = []

    def waits() -> bool:
        said.append(capsys.readouterr().err)
        return f"pulling into {other.folder}: another process has it: waiting" in "".join(said)

    assert wait_for(waits, 20)
    assert archives(other) == []
    shutil.copy(store.archives / "brightness-1.mar", other.archives)
    record(other, "brightness", "1", find_entry(store, "brightness", "1"))
    lock.release()
    waiting.join(20)
    assert "brightness 1: already here, nothing moves\nbrightness 2: pulled" in capsys.readouterr().err
    assert archives(other) == ["brightness-1.mar", "brightness-2.mar"]


def test_what_was_built_meanwhile_is_not_lost(pushed: Path, other: Store, tmp_path: Path) -> None:
    """A pull looks again when its turn has come."""
    pull = Pull(other, Remote(str(pushed)), [], None)
    shutil.copytree(tmp_path / "ours-specs", tmp_path / "specs")
    mine = add_version(other, tmp_path / "specs" / "brightness", "1", seed=9)
    with pytest.raises(MarinaError, match="has other archives of brightness 1"):
        pull.run()
    assert find_entry(other, "brightness", "1") == mine
    verified_archive(other, mine)


def test_leftovers_of_a_killed_transfer_go_with_the_next(push: Script, pull: Script, pushed: Path, other: Store) -> None:
    """A partial file is nobody's archive, and is not kept for ever."""
    left = pushed / "objects" / f".{'0' * 64}.{'1' * 32}.partial"
    left.write_bytes(b"half")
    (other.folder / ".pull").mkdir(parents=True)
    (other.folder / ".pull" / ("0" * 64)).write_bytes(b"half")
    assert pull(pushed).code == 0
    assert push(pushed).code == 0
    assert not left.exists()
    assert not (other.folder / ".pull").exists()


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_two_pushes_of_one_version_lose_nothing(kind: str, store: Store, place: Path, tmp_path: Path) -> None:
    """Both look, then both push: the second learns that it was overtaken, and replaces nothing."""
    address = str(place) if kind == "folder" else f"memory://{uuid.uuid4()}"
    mine, theirs = store, make_store(tmp_path / "other", options={"size": [4, 4], "mode": "L", "top_k": 1})
    first, second = (Push(one, Remote(address), [], None) for one in (mine, theirs))
    first.run()
    with pytest.raises(MarinaError, match="brightness 1 was pushed by somebody else meanwhile: run this again"):
        second.run()
    there = Pull(Store(tmp_path / "third"), Remote(address), [], None)
    there.check()
    there.run()
    assert find_entry(there.store, "brightness", "1").sha256 == find_entry(mine, "brightness", "1").sha256


def test_pushes_of_other_versions_at_once_all_arrive(place: Path, tmp_path: Path) -> None:
    """There is no index that two could write: each version has a document of its own."""
    pushes = [Push(make_store(tmp_path / name, name), Remote(str(place)), [], None) for name in ("a", "b", "c")]
    threads = [threading.Thread(target=one.run) for one in pushes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {model for model, _ in Remote(str(place)).listing()} == {"a", "b", "c"}


def test_a_note_is_made_of_what_was_compiled_for_a_processor(pull: Script, pushed: Path) -> None:
    """AOTInductor's packages may not run here; the handler refuses them then, and the pull says so before."""
    change(pushed / "entries" / "brightness" / "1.json", entry_runtime="aotinductor")
    assert "brightness 1: is compiled for the processor that built it" in pull(pushed).err


def test_building_the_deployment_takes_what_was_pulled(
    pull: Script, pushed: Path, other: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What has no spec here is left as it came; where it was not pulled either, the spec is what is missing."""
    deployment = tmp_path / "deployment.yaml"
    deployment.write_text('models: {brightness: {default: "1", versions: {"1": {}, "2": {workers: 2}}}}')
    building = ("build_mar", "--deployed", "--deployment", deployment, "--store", other.folder)
    assert call_script(capsys, *building).error.startswith("no spec 'brightness'")
    assert pull(pushed, "brightness").code == 0
    before = other.index.read_bytes()
    done = call_script(capsys, *building)
    assert (done.code, done.err) == (0, "")
    assert other.index.read_bytes() == before
    deployment.write_text('models: {brightness: {default: "3", versions: {"3": {}}}}')
    assert call_script(capsys, *building).error.startswith("no spec 'brightness'")


def test_a_document_is_the_same_whoever_reads_it(store: Store) -> None:
    """What is signed is one text, whatever order or spaces a document has."""
    entry: Entry = find_entry(store, "brightness", "1")
    shared = share("brightness", "1", entry)
    shuffled = json.dumps(dict(reversed(list(json.loads(shared.document).items()))), indent=7).encode()
    assert read_document(shuffled, "brightness", "1") == shared


def test_listing_another_place_imports_no_torch(pushed: Path) -> None:
    """So that a pull that has nothing to do takes no seconds."""
    code = (
        "import sys; sys.path.insert(0, 'scripts'); import pull_store; pull_store.main(sys.argv[1:]);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(pushed), "--dry-run"], check=False).returncode == 0
