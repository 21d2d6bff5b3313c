"""The files that an ONNX file keeps its larger tensors in; nothing here imports torch."""

from __future__ import annotations

from pathlib import Path

from marina.errors import UsageError


def external_files(path: Path) -> list[Path]:
    """The files beside an ONNX file that hold its larger tensors.

    Raises:
        UsageError: it is no ONNX file, or damaged.
    """
    import onnx  # a tenth of a second, and few specs name one
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise UsageError(f"{path}: is damaged, or cut off before its end: fetch it again") from error
    places = {entry.value for one in model.graph.initializer for entry in one.external_data if entry.key == "location"}
    return [path.parent / place for place in sorted(places)]
