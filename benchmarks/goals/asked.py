"""What a person asks a benchmark for, of what it can measure."""

from __future__ import annotations

from collections.abc import Collection

from marina.errors import UsageError


def named(option: str, text: str, there: Collection[str]) -> list[str]:
    """Names separated by commas; none where the text is empty.

    Raises:
        UsageError: one of them is not there.
    """
    asked = [name for name in text.split(",") if name]
    if unknown := [name for name in asked if name not in there]:
        raise UsageError(f"{option} {','.join(unknown)}: there are {', '.join(there)}")
    return asked
