"""Whether what is served is what the index has: the handler says what it loaded, since the Management API does not."""

from __future__ import annotations

from typing import Literal

from marina.errors import MarinaError
from marina.serving.management import Management, Running
from marina.store.index import Entry, Index

Identity = Literal["same", "differs", "not indexed", "unknown"]


def entry_of(running: Running, index: Index) -> Entry | None:
    """The index's entry of a registered version: by its name, or, under a second name, by its archive."""
    by_name = index.entry(running.model, running.version)
    others = (entry for versions in index.models.values() for name, entry in versions.items() if name == running.version)
    return by_name or next((entry for entry in others if entry.archive == running.archive), None)


def identity(management: Management, running: Running, index: Index) -> Identity:
    """Compare what a version's worker loaded with what the index has; ``unknown`` where the handler does not say it."""
    entry = entry_of(running, index)
    if entry is None:
        return "not indexed"
    if entry.content_sha256 is None or not any(worker.is_ready for worker in running.workers):
        return "unknown"
    try:
        description = management.describe(running.model, running.version).description
    except MarinaError:
        return "unknown"
    loaded = description.get("content_sha256") if isinstance(description, dict) else None
    if loaded == entry.content_sha256:
        return "same"
    return "differs"  # also where it says nothing, since the index's own does
