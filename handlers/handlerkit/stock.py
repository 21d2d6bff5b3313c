"""TorchServe's ``BaseHandler``, without what its import drags in.

Where openvino or onnxruntime are installed, importing BaseHandler imports them (and with ``openvino.torch`` the whole of
torch's compiler): seconds and 100 MB that most archives do not use. A name that ``sys.modules`` holds None for is
not imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

NOT_NOW = ("openvino.torch", "onnxruntime")


@contextmanager
def _blocked() -> Iterator[None]:
    blocked = [name for name in NOT_NOW if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]  # None is what blocks
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]


with _blocked():
    from ts.torch_handler.base_handler import BaseHandler

__all__ = ["BaseHandler"]
