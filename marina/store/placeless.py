"""Take out of exported files what tells the place that they were made in: folders, users, addresses in memory.

What is left is the same wherever the same network is exported, as far as its exporter goes: docs/building.md says how far.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import site
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from marina import paths
from marina.digests import CHUNK
from marina.store.exporters import Exported

ALIGNED = 64  # torch maps tensors from its files into memory where they begin at a multiple of this
ID = ".data/serialization_id"
DEBUGGING = ".debug_pkl"
COMPILED = "data/aotinductor/"
SOURCES = (".cpp", ".kernel_metadata.json")
NO_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold
TRACES = ("stack_trace", "from_node", "nn_module_stack", "source_fn_stack")  # of a graph's nodes: paths and addresses
CONSTANTS = re.compile(r"(?:^  \w+ : Final\[.*\] = .*\n)+", re.MULTILINE)
HASHED = re.compile(rb"c[a-z2-7]{51}(?=\.(?:wrapper|kernel)\.)")  # a compiler's own names, of what it saw
ADDRESS = re.compile(rb"\b0x[0-9a-f]{9,16}\b")


def forget_place(exported: Exported) -> None:
    """Rewrite the exported files in place where an exporter wrote down where it ran; what they compute stays."""
    path = exported.folder / exported.serialized_file
    if path.suffix == ".onnx":
        _clean_onnx(path)
    elif zipfile.is_zipfile(path):
        _clean_torch(path)


def forget_earlier_exports() -> None:
    """Let torch.jit number a network's classes as in a process that exported no other before."""
    torch._C._jit_clear_class_registry()
    torch.jit._recursive.concrete_type_store = torch.jit._recursive.ConcreteTypeStore()
    torch.jit._state._clear_class_state()


def places() -> list[bytes]:
    """The folders that name this machine or its user, the longest first."""
    folders = {sys.prefix, sys.base_prefix, str(paths.ROOT), str(Path.home()), *site.getsitepackages(), *_temporary()}
    real = folders | {str(Path(folder).resolve()) for folder in folders}
    return sorted((folder.encode() for folder in real if len(Path(folder).parts) > 1), key=lambda one: (-len(one), one))


def _temporary() -> Iterator[str]:
    yield os.environ.get("TORCHINDUCTOR_CACHE_DIR", default_cache_dir())
    if len(Path(tempfile.gettempdir()).parts) > 2:  # one of a user's own
        yield tempfile.gettempdir()


def _clean_onnx(path: Path) -> None:
    """Drop texts for debugging from an ONNX file's nodes; the model's own properties stay."""
    model = onnx.load(path, load_external_data=False)
    for node in _nodes(model.graph):
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    cleaned = model.SerializeToString(deterministic=True)
    if cleaned != path.read_bytes():
        path.write_bytes(cleaned)


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from _nodes(inner)


def _clean_torch(path: Path) -> None:
    """Write a file of torch (a zip) anew, without what is for debugging, and with an id that is of its content alone."""
    partial, identity = path.with_suffix(".cleaned"), hashlib.sha256()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(partial, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        kept = {name: short for name in old.namelist() if (short := _kept(name.partition("/")[2])) is not None}
        for name, short in sorted(kept.items(), key=lambda one: one[1]):
            if _is_text(short):
                content = _cleaned(short, old.read(name))
                identity.update(content)
                _write(new, f"{root}/{short}", content)
            else:
                identity.update(f"{short} {old.getinfo(name).CRC}".encode())
                _copy(old, new, name, f"{root}/{short}")
        _write(new, f"{root}/{ID}", str(int(identity.hexdigest(), 16) % 10**40).zfill(40).encode())
    partial.replace(path)


def _kept(name: str) -> str | None:
    """A member's name in the cleaned file, or None where it is left out; compilers name theirs by what they saw."""
    if name == ID or name.endswith(DEBUGGING) or (name.startswith(COMPILED) and name.endswith(SOURCES)):
        return None
    return re.sub(rf"^({COMPILED}[^/]+)/\w+\.(wrapper(?:_metadata)?\.\w+)$", r"\1/network.\2", name)


def _is_text(name: str) -> bool:
    return name.endswith((".py", ".json", ".so"))


def _cleaned(name: str, content: bytes) -> bytes:
    if name.endswith(".so"):
        return _neutral(content)
    if name.endswith(".py"):  # the constants of a scripted module come in the order of a set
        return CONSTANTS.sub(_sorted_lines, content.decode()).encode()
    if name.startswith("models/"):
        return json.dumps(_without_traces(json.loads(content)), indent=2).encode()
    return content


def _sorted_lines(found: re.Match[str]) -> str:
    return "".join(sorted(found[0].splitlines(keepends=True)))


def _without_traces(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_traces(one) for key, one in value.items() if key not in TRACES}
    return [_without_traces(one) for one in value] if isinstance(value, list) else value


def _neutral(library: bytes) -> bytes:
    """A compiled library whose texts name no place; each is as long as before, so that nothing moves."""
    for place in places():
        library = library.replace(place, b"/" + b"-" * (len(place) - 1))
    library = HASHED.sub(lambda found: b"-" * len(found[0]), library)
    return ADDRESS.sub(lambda found: b"0x" + b"0" * (len(found[0]) - 2), library)


def _write(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(_info(archive, name, len(content)), content)


def _copy(old: zipfile.ZipFile, new: zipfile.ZipFile, name: str, short: str) -> None:
    with old.open(name) as reader, new.open(_info(new, short, old.getinfo(name).file_size), "w") as writer:
        shutil.copyfileobj(reader, writer, CHUNK)


def _info(archive: zipfile.ZipFile, name: str, size: int) -> zipfile.ZipInfo:
    """A stored member without a time, whose content begins where torch wants tensors to."""
    info = zipfile.ZipInfo(name, NO_TIME)
    info.file_size = size
    header = 30 + len(name.encode()) + 4  # of the member, and of the padding
    padding = -(archive.fp.tell() + header) % ALIGNED  # type: ignore[union-attr]  # it is open
    info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
    return info
