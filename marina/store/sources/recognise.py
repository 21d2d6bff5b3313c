"""What a file is, by its content: so that a wrong one is named, and the key that it fits. Nothing here imports torch."""

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path
from typing import IO

from marina.errors import UsageError

LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # what torch.save began with before torch 1.6, a pickled number
WRAPPED = ("PROTO", "FRAME", "MARK", "BINUNICODE", "BINPUT")  # may stand before the first object itself
LIGHTNING = "pytorch-lightning_version"  # stands in every checkpoint of a Trainer, beside its state dict
STATES = ("state dict", "checkpoint", "safetensors")
STARTS = {
    "lfs": (b"version https://git-lfs",),
    "web page": (b"<!doctype html", b"<html"),
    "keras": (b"\x89hdf",),
    "openvino": (b'<?xml version="1.0"?>\n<net', b"<?xml version='1.0'?>\n<net", b"<net "),
}
WHAT = {
    "torchscript": "a TorchScript file: name it by 'torchscript: {name}' in the version's source",
    "export": "a torch.export program: name it by 'export: {name}' in the version's source",
    "onnx": "an ONNX file: name it by 'onnx: {name}' in the version's source",
    "state dict": "a state dict, weights without a network: name it by 'weights: {name}' beside 'network' or 'torchvision'",
    "safetensors": "a safetensors file, weights without a network: name it by 'weights: {name}' beside 'network'",
    "checkpoint": "a checkpoint of Lightning: name it by 'checkpoint: {name}' beside 'network'",
    "module": "a whole pickled module ({detail}), and to unpickle it runs any code that is in it: where you trust it, make "
    "a state dict of it by torch.save(torch.load('{name}', weights_only=False).state_dict(), 'weights.pt') and name that by "
    "'weights'",
    "aotinductor": "a package compiled by AOTInductor, for one kind of processor alone: give the network it was made of",
    "archive": "an archive (.mar): register it, or build another from what it was made of",
    "keras": "an HDF5 file, as Keras writes: convert it to ONNX",
    "openvino": "an OpenVINO model: give the network it was converted from",
    "lfs": "a pointer of git-lfs, not the file itself: run git lfs pull",
    "web page": "a web page that was saved in place of the file: fetch the file itself",
    "empty": "an empty file: fetch it again",
    "cut off": "a file that is damaged, or cut off before its end: fetch it again",
    "pickle": "a pickle that torch.save did not write ({detail}): only PyTorch networks can be built",
    "text": "text, no file of weights or of a network",
    "unknown": "none of the kinds of file that hold a network or weights",
}


def required_kind(path: Path, where: str, required: str, *kinds: str) -> str:
    """The kind of a file, which must be one of those.

    Args:
        path: a file that is there.
        where: what named it, for the message.
        required: what is needed, in words.
        kinds: of ``WHAT``, that will do.

    Raises:
        UsageError: it is of another kind, which the message names with what to do.
    """
    try:
        kind, detail = _kind_of(path)
    except OSError as error:
        raise UsageError(f"{where}: cannot be read: {error.strerror}") from error
    if kind not in kinds:
        raise UsageError(f"{where}: required {required}; this is {WHAT[kind].format(name=path.name, detail=detail)}")
    return kind


def _kind_of(path: Path) -> tuple[str, str]:
    with path.open("rb") as file:
        start = file.read(1024)
    if start.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if start.startswith(LEGACY):
        return _kind_of_legacy(path)
    return _kind_of_start(start, path.stat().st_size), _global_of(start)


def _kind_of_start(start: bytes, size: int) -> str:
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100_000_000:
        return "safetensors" if 8 + int.from_bytes(start[:8], "little") <= size else "cut off"
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "cut off" if LEGACY.startswith(start) else "pickle"
    if start[:1] == b"\x08" and start[1:2] < b"\x20":  # the first field of a ModelProto, its IR version
        return "onnx"
    text = start.lstrip().lower()
    known = (kind for kind, signs in STARTS.items() if text.startswith(signs))
    return next(known, "text" if _is_text(start) else "unknown") if start else "empty"


def _is_text(start: bytes) -> bool:
    try:
        return start.decode("utf-8", "strict").isprintable() or (b"\n" in start and b"\0" not in start)
    except UnicodeDecodeError:
        return False


def _kind_of_zip(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
            inside = {name.partition("/")[2] for name in names}
            if "MAR-INF/MANIFEST.json" in names:
                return "archive", ""
            if "constants.pkl" in inside:
                return "torchscript", ""
            if "archive_format" in inside:
                return ("export" if any(name.startswith("models/") for name in inside) else "aotinductor"), ""
            pickled = [name for name in names if name.endswith("/data.pkl")]
            return _kind_of_pickle(io.BytesIO(file.read(pickled[0]))) if pickled else ("unknown", "")
    except zipfile.BadZipFile:
        return "cut off", ""


def _kind_of_legacy(path: Path) -> tuple[str, str]:
    """Four pickles stand one after the other: a number, a version, the system, and what was saved."""
    with path.open("rb") as file:
        try:
            for _ in range(3):
                list(pickletools.genops(file))
            return _kind_of_pickle(file)
        except ValueError:
            return "cut off", ""


def _kind_of_pickle(file: IO[bytes]) -> tuple[str, str]:
    """The kind of what torch.save pickled, read without making anything of it: what the first object is tells."""
    first, texts = "", set()
    try:
        for code, argument, _ in pickletools.genops(file):
            if not first and code.name not in WRAPPED:
                first = f"{argument}".replace(" ", ".") if code.name == "GLOBAL" else code.name
            if code.name == "BINUNICODE":
                texts.add(argument)
    except ValueError:
        return "cut off", ""
    if LIGHTNING in texts:
        return "checkpoint", ""
    plain = "." not in first or first in ("collections.OrderedDict", "torch._utils._rebuild_tensor_v2")
    return ("state dict", "") if plain else ("module", first)


def _global_of(start: bytes) -> str:
    """The first class that a pickle names, as far as its first bytes tell."""
    texts: list[str] = []
    try:
        for code, argument, _ in pickletools.genops(start):
            if code.name == "GLOBAL":
                return str(argument).replace(" ", ".")
            if code.name == "STACK_GLOBAL":
                return ".".join(texts[-2:])
            if code.name in ("SHORT_BINUNICODE", "BINUNICODE"):
                texts.append(str(argument))
    except ValueError:
        pass
    return "no class of PyTorch"
