"""A version as it is being developed: the network as it was built, everything else as it stands in the files now."""

from __future__ import annotations

import gc
import io
import json
import linecache
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from marina import paths
from marina.console import err, step
from marina.digests import source_files
from marina.errors import MarinaError
from marina.paths import Store
from marina.roads.worker import Answer, Asked, Worker, error_answer
from marina.store.archive import model_config
from marina.store.contents import unpack
from marina.store.files import own_files
from marina.store.index import find_entry, verified_archive
from marina.store.labels import read_labels
from marina.store.manifest import MANIFEST
from marina.store.samples import MODEL_CONFIG
from marina.store.spec import Sample, SpecFile, find_spec, spec_path

State = tuple[tuple[str, int, int], ...]


@dataclass
class Live:
    """One version, loaded anew whenever a file that it is made of has changed.

    Attributes:
        store: where its archive lies.
        model: its name.
        version: likewise.
        spec: name or path of its spec; None serves the archive as it was built.
    """

    store: Store
    model: str
    version: str
    spec: str | None
    _worker: Worker | None = field(default=None, init=False)
    _state: State = field(default=(), init=False)
    _folder: tempfile.TemporaryDirectory[str] | None = field(default=None, init=False)
    _failure: Answer | None = field(default=None, init=False)

    @property
    def archive(self) -> str:
        """The archive's file name."""
        return find_entry(self.store, self.model, self.version).archive

    def answer(self, asked: Asked) -> Answer:
        """The answer of what the files are now; what hurts a worker ends it, as TorchServe answers then."""
        self.refresh()
        if self._worker is None:
            return self._failure or _died()
        try:
            (answer,) = self._worker.ask([asked])
        except SystemExit:
            self._state = ()
            return _died()
        return answer

    def refresh(self) -> None:
        """Load it if it is not loaded, or if a file has changed; a failure is shown, and kept for those who ask."""
        try:
            state = self._files_now()
        except MarinaError as error:  # the store is being changed, or has lost it
            self._state, self._worker, self._failure = (), None, self._failed(error)
            return
        if state == self._state:
            return
        again = bool(self._state)
        self._state = state
        self._worker = self._failure = None
        gc.collect()  # the old network, before there is a new one
        linecache.checkcache()
        try:
            self._worker = self._loaded()
        except (Exception, SystemExit) as error:
            self._failure = self._failed(error)
        else:
            step(f"{self.model} {self.version}: {'loaded again' if again else 'loaded'}")

    def close(self) -> None:
        """Remove what was unpacked."""
        if self._folder:
            self._folder.cleanup()

    def _files_now(self) -> State:
        """Name, time and size of every file that decides what the version does."""
        archive = self.store.archives / self.archive
        found = [archive, *(self._sources() if self.spec else ())]
        return tuple((str(path), one.st_mtime_ns, one.st_size) for path in found if path.is_file() and (one := path.stat()))

    def _sources(self) -> Iterator[Path]:
        yield from source_files(paths.HANDLERKIT)
        try:
            spec = find_spec(str(self.spec))
            yield from (spec.handler, *own_files(spec).values())
        except MarinaError:  # is said when it is loaded
            yield from source_files(paths.HANDLERS)
        yield from source_files(spec_path(str(self.spec)).parent)

    def _loaded(self) -> Worker:
        self.close()
        self._folder = tempfile.TemporaryDirectory(prefix="marina-live-")
        folder = Path(self._folder.name) / "archive"
        unpack(verified_archive(self.store, find_entry(self.store, self.model, self.version)), folder)
        sources = _bring_up_to_date(find_spec(self.spec), self.version, folder) if self.spec else {}
        return Worker(folder, sources, debugged=True)

    def _failed(self, error: BaseException) -> Answer:
        said = str(error) if isinstance(error, MarinaError) else "".join(traceback.format_exception(error))
        err.print(f"{self.model} {self.version} does not load: {said}", markup=False)
        last = said.strip().splitlines()[-1]
        message = f"{self.model} {self.version} does not load: {last}; mend it and ask again"
        return error_answer(503, "DoesNotLoad", message)


def _bring_up_to_date(found: SpecFile, version: str, folder: Path) -> dict[str, Path]:
    """Give an unpacked archive what the spec's files say now, the network aside.

    Returns:
        The modules that are to be imported from where they are written, by name.
    """
    sources = {"handlerkit": paths.HANDLERKIT, found.handler.stem: found.handler}
    for name, path in own_files(found).items():
        shutil.copy(path, folder / name)
        if path.suffix == ".py":
            sources[path.stem] = path
    shutil.copy(found.handler, folder)
    _rewrite_manifest(folder / MANIFEST, found.handler.name)
    _rewrite_config(found, version, folder)
    return sources


def _rewrite_manifest(path: Path, handler: str) -> None:
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["model"]["handler"] = handler
    path.write_text(json.dumps(manifest), encoding="utf-8")


def _rewrite_config(found: SpecFile, version: str, folder: Path) -> None:
    """Options, limits, labels and whatever else model.yaml says; labels that came with the weights, and the sample, stay."""
    yaml, path = YAML(typ="safe", pure=True), folder / MODEL_CONFIG
    built: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"))["handlerkit"]
    sample = Sample(request=built["sample"]["request"], label=built["sample"]["label"])
    named = found.model_copy(update={"spec": found.spec.model_copy(update={"sample": sample})})
    config = model_config(named, version, read_labels(found) or built["labels"])
    text = io.StringIO()
    yaml.dump(config, text)
    path.write_text(text.getvalue(), encoding="utf-8")


def _died() -> Answer:
    return error_answer(500, "InternalServerException", "Worker died.")
