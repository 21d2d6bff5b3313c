"""Durations as people write them: ``30s``, ``10m``, ``1.5h``, ``90d``; latencies as ``50ms``."""

from __future__ import annotations

import argparse
import re

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
LATENCY = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")
WRITTEN = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def seconds_of(text: str) -> float:
    """The duration in seconds; an option's ``type``.

    Raises:
        argparse.ArgumentTypeError: it is none, or nought.
    """
    found = WRITTEN.fullmatch(text.strip())
    seconds = float(found[1]) * SECONDS[found[2]] if found else 0.0
    if not seconds:
        raise argparse.ArgumentTypeError(f"required a duration as 30s, 10m, 1.5h or 90d; found {text!r}")
    return seconds


def latency_of(text: str) -> float:
    """The latency in seconds; an option's ``type``.

    Raises:
        argparse.ArgumentTypeError: it is none, or nought.
    """
    found = LATENCY.fullmatch(text.strip())
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else 0.0
    if not seconds:
        raise argparse.ArgumentTypeError(f"required a latency as 50ms or 0.2s; found {text!r}")
    return seconds
