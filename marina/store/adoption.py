"""Take an archive that was built elsewhere into the store: looked into, tried as a worker would, indexed under its own name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from marina.console import step
from marina.digests import file_digest
from marina.errors import MarinaError, UsageError
from marina.paths import Store
from marina.reading import NotYaml, parse_yaml
from marina.store.archive import archive_name
from marina.store.contents import BadArchive, Contents, look_into, read_file
from marina.store.index import Entry, Load, Weights, read_index, record
from marina.store.preflight import ask_archive
from marina.store.samples import MODEL_CONFIG, answer_of, best_label, sample_of
from marina.store.spec import Sample, Serving
from marina.store.tgz import is_tgz, to_mar
from marina.store.workshop import bench

UNKNOWN = "unknown"


def adopt(store: Store, file: Path, request: Path | None, label: str | None, replace: bool) -> tuple[Entry, str, str]:
    """Try an archive and index it under the model and version of its manifest.

    Args:
        store: that takes a copy of it.
        file: a ``.mar``, or a ``.tar.gz`` in the archiver's format, which is stored as a ``.mar``.
        request: what it must answer; None takes the sample that archives of Marina carry.
        label: the best label of that answer; None compares none.
        replace: whether it may take the place of an archive of the same name and version.

    Returns:
        Its entry, its model and its version.

    Raises:
        BadArchive: it is damaged, or could do harm.
        UsageError: it needs a sample, or another archive has its name.
        MarinaError: it does not load, or does not answer its sample rightly.
    """
    with bench(store) as folder:
        made = folder / file.name
        if is_tgz(file):
            made = made.with_name(made.name.removesuffix(".gz").removesuffix(".tar") + ".mar")
            to_mar(file, made)
        else:
            shutil.copyfile(file, made)
        contents = look_into(made)
        model, version = contents.model.name, contents.model.version
        target = store.archives / archive_name(model, version)
        if not replace:
            _check_index(store, contents, file_digest(made))
            _check_target(target, file)
        sample, wanted = _sample(made, request, label)
        step(f"{model} {version}: preflight, as a worker would")
        report = ask_archive(made, sample)
        best = _best_label(made, report)
        if wanted is not None and best != wanted:
            raise MarinaError(f"{file.name} answers its sample with {best!r}; required {wanted!r}")
        kept = f"{target.stem}{request.suffix if request else ''}"
        store.samples.mkdir(exist_ok=True)
        (store.samples / kept).write_bytes(sample)
        entry = _entry(made, contents, file, report, Sample(request=kept, label=wanted))
        entry = entry.model_copy(update={"sample_sha256": file_digest(store.samples / kept)})
        record(store, model, version, entry, made)
    return entry, model, version


def _check_index(store: Store, contents: Contents, digest: str) -> None:
    """See that no other archive has the name."""
    name, version = contents.model.name, contents.model.version
    known = read_index(store).entry(name, version)
    if known and known.sha256 != digest:
        origin = f"adopted from {known.weights.name}" if known.is_adopted else f"built from {known.spec}"
        there = f"{name} {version} is in the index already, {origin}"
        raise UsageError(f"{there}: give --replace, or archive it with another --version")


def _check_target(target: Path, file: Path) -> None:
    if target.exists() and not target.samefile(file) and file_digest(target) != file_digest(file):
        raise UsageError(f"{target} is there already: give --replace, or delete it")


def _sample(archive: Path, request: Path | None, label: str | None) -> tuple[bytes, str | None]:
    if request is not None:
        return request.read_bytes(), label
    try:
        return sample_of(archive)
    except (BadArchive, KeyError, TypeError) as error:
        raise UsageError(f"{archive.name} carries no sample: give --sample REQUEST, a file that it must answer") from error


def _best_label(archive: Path, report: dict[str, Any]) -> str | None:
    """What the archive answered its sample with, after it was seen that it did."""
    answer, refused = report["sample"], report["refused"]
    if answer["status"] != 200:
        raise MarinaError(f"{archive.name} does not answer its sample: {answer['status']}: {answer['body']}")
    if refused["status"] == 200:
        step(f"{archive.name} answers a request that is no input: mistakes of its callers will look like answers")
    return best_label(answer_of(answer["body"]))


def _entry(archive: Path, contents: Contents, file: Path, report: dict[str, Any], sample: Sample) -> Entry:
    description = report["description"] if isinstance(report["description"], dict) else {}
    return Entry(
        archive=archive_name(contents.model.name, contents.model.version),
        sha256=file_digest(archive),
        size_bytes=archive.stat().st_size,
        content_sha256=description.get("content_sha256"),
        inputs_sha256=None,
        spec=None,
        runtime=description.get("runtime", UNKNOWN),
        precision=description.get("precision", UNKNOWN),
        weights=Weights(source="adopted", name=file.name, sha256=file_digest(file)),
        parity=None,
        accuracy=None,
        sample=sample,
        serving=_serving(archive, contents),
        built_with={},
        load=Load(**report["load"]),
    )


def _serving(archive: Path, contents: Contents) -> Serving:
    """How the archive's own model-config.yaml wants it served, where that says so."""
    if MODEL_CONFIG not in contents.names:
        return Serving()
    try:
        config = parse_yaml(read_file(archive, MODEL_CONFIG).decode()) or {}
        names = {"workers": "minWorkers", "batch_size": "batchSize", "max_batch_delay_ms": "maxBatchDelay"}
        return Serving.model_validate({ours: config[theirs] for ours, theirs in names.items() if theirs in config})
    except (NotYaml, UnicodeDecodeError, ValidationError, TypeError) as error:
        raise MarinaError(f"{archive.name}: its {MODEL_CONFIG} is not valid: {' '.join(str(error).split())[:200]}") from error
