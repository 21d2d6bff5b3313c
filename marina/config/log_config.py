"""log4j2.xml: well formed, with the loggers that TorchServe writes to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from marina.config.findings import Found, error, warning
from marina.reading import nearest_of

LOGGERS = ("ACCESS_LOG", "MODEL_LOG", "MODEL_METRICS", "TS_METRICS", "TELEMETRY_METRICS")
OTHERS = ("org.", "io.", "com.")
LEVELS = ("off", "fatal", "error", "warn", "info", "debug", "trace", "all")


def log_findings(path: Path) -> Iterator[Found]:
    """What is wrong in a log4j2.xml; log4j falls back to the console without a word of it in the logs."""
    try:
        root = ElementTree.fromstring(path.read_bytes())  # noqa: S314 - a file of the operator's own, and no more than Java reads
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as failure:  # the last two of its encoding
        yield error("XML", f"cannot be read: {failure}")
        return
    appenders = {one.get("name") for group in root.iter("Appenders") for one in group}
    for logger in root.iter():
        if logger.tag not in ("Logger", "Root", "AsyncLogger", "AsyncRoot"):
            continue
        name = logger.get("name", "Root")
        if logger.tag.endswith("Logger") and name not in LOGGERS and not name.startswith(OTHERS):
            yield error(name, f"TorchServe has no such logger: {nearest_of(name, list(LOGGERS))}")
        level = logger.get("level", "error").lower()
        if level not in LEVELS and "$" not in level:
            yield error(name, f"unknown level '{level}': {nearest_of(level, list(LEVELS))}")
        for reference in logger.iter("AppenderRef"):
            if reference.get("ref") not in appenders:
                yield error(name, f"writes to {reference.get('ref')}, and there is no such appender")
    if not any(one.tag in ("Root", "AsyncRoot") for one in root.iter()):
        yield warning("Root", "is missing: what has no logger of its own is not logged")
