"""Small stores for tests of what moves between them: real archives, made in milliseconds of a network that is only bytes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from models import write_model

from marina.digests import file_digest
from marina.paths import Store
from marina.store.archive import archive_name, write_archive
from marina.store.exporters import Exported
from marina.store.index import Accuracy, Entry, Parity, Weights, record
from marina.store.inputs import built_with, inputs_digest
from marina.store.spec import Sample, Serving, find_spec


def add_version(store: Store, spec: Path, version: str, size_bytes: int = 1000, seed: int = 0) -> Entry:
    """Archive a version whose network is random bytes, and record it."""
    found = find_spec(str(spec))
    exported = store.folder / "exported"
    exported.mkdir(parents=True, exist_ok=True)
    store.archives.mkdir(exist_ok=True)
    (exported / "model.pt").write_bytes(random.Random(seed).randbytes(size_bytes))  # noqa: S311 - any bytes do
    archive = store.archives / archive_name(found.spec.name, version)
    (exported / "network.py").write_bytes((spec / str(found.version(version).source.network)).read_bytes())
    model_file = "network.py" if found.version(version).runtime == "eager" else None
    write_archive(found, version, Exported(exported, "model.pt", model_file), ["dark", "light"], archive)
    entry = Entry(
        archive=archive.name,
        sha256=file_digest(archive),
        size_bytes=archive.stat().st_size,
        content_sha256="0" * 64,
        inputs_sha256=inputs_digest(found, version),
        spec=str(spec),
        runtime=found.version(version).runtime,
        weights=Weights(source="trained", name="brightness.pt", sha256="0" * 64),
        parity=Parity(largest_difference=0.0, tolerance=1e-4, compared_rows=12),
        accuracy=Accuracy(value=0.5, requests=2),
        sample=Sample(request="light.png", label="light"),
        serving=Serving(),
        built_with=built_with(found, version),
    )
    record(store, found.spec.name, version, entry)
    return entry


def make_store(folder: Path, *models: str, **changes: Any) -> Store:
    """A store with both versions of some models."""
    store = Store(folder)
    for seed, model in enumerate(models or ("brightness",)):
        spec = write_model(folder.parent / f"{folder.name}-specs" / model, name=model, **changes)
        for version in find_spec(str(spec)).spec.versions:
            add_version(store, spec, version, seed=seed)
    return store


def document(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_bytes())
