"""Try a whole network of a file on the spec's input, before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from marina.errors import UsageError
from marina.store.spec import TensorSpec

ROWS = (1, 2)


def try_rows(run: Callable[..., Any], tensors: dict[str, TensorSpec], where: str, free: str) -> None:
    """See that a network takes the spec's input, for one row as for two.

    Args:
        run: the network.
        tensors: the spec's inputs.
        where: the file, for the message.
        free: how such a file is made for any number of rows.

    Raises:
        UsageError: it does not; the message has its reason.
    """
    from marina.store.exporters import example_inputs  # which knows networks, and so us

    for rows in ROWS:
        inputs = example_inputs(tensors, rows)
        try:
            with torch.inference_mode():
                run(*inputs)
        except Exception as error:
            shapes = [f"{list(one.shape)} {str(one.dtype).removeprefix('torch.')}" for one in inputs]
            if rows > 1:
                reason = f"runs on one row, not on {rows} at once, as batches do ({reason_of(error)}): {free}"
                raise UsageError(f"{where} {reason}") from error
            raise UsageError(f"{where} does not run on the spec's input, {', '.join(shapes)}: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """The last line of what an interpreter of graphs raised: before it stands its own code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    last = next((line for line in reversed(lines) if "Error" in line or "xception" in line), lines[0])
    return last[:240]
