"""Whether two answers say the same, where the last digits of numbers may depend on who shared the batch."""

from __future__ import annotations

import json
import math
from typing import Any

TOLERANCE = 1e-4


def alike(one: Any, other: Any, tolerance: float = TOLERANCE) -> bool:
    """Whether two JSON values, texts or bytes are the same, numbers to within ``tolerance``, relative or absolute.

    Text that is JSON, as KServe's protocol v2 has it inside of JSON, is compared as JSON.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(value, other[name], tolerance) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(alike(*pair, tolerance) for pair in zip(one, other, strict=True))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other or math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(one, str) and isinstance(other, str) and one != other:
        return _both_documents(one, other) and alike(json.loads(one), json.loads(other), tolerance)
    return bool(one == other)


def _both_documents(*texts: str) -> bool:
    try:
        return all(isinstance(json.loads(text), (dict, list)) for text in texts)
    except ValueError:
        return False
