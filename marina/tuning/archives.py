"""The archives that a search measures: one for each format, and a copy of it for each layout, in a store of the search's own."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from marina.errors import MarinaError
from marina.paths import Store
from marina.store.build import Order
from marina.store.crew import Outcome, carry_out_all
from marina.store.index import read_index
from marina.store.samples import MODEL_CONFIG
from marina.store.spec import SpecFile
from marina.tuning.space import Format, Layout


@dataclass(frozen=True)
class Weights:
    """Which weights are used: those of the spec, those of a file, or random ones."""

    file: Path | None = None
    random: bool = False


@dataclass(frozen=True)
class Archives:
    """Archives of one network in many formats.

    Attributes:
        found: the spec, with a version for each format.
        store: where they are built; weights that were trained are those of the person's own store.
        weights: that they carry.
    """

    found: SpecFile
    store: Store
    weights: Weights = Weights()

    def build(self, formats: list[Format], jobs: int) -> list[Outcome]:
        """Build them, each in a process of its own; what was built already stays."""
        orders = [Order(self.found, how.name, weights=self.weights.file, random=self.weights.random) for how in formats]
        return carry_out_all(orders, self.store, jobs, apart=True)

    def has(self, how: Format) -> bool:
        """Whether the archive of a format is there."""
        entry = read_index(self.store).entry(self.found.spec.name, how.name)
        return entry is not None and (self.store.archives / entry.archive).is_file()

    def of(self, how: Format) -> Path:
        """The archive of a format.

        Raises:
            MarinaError: it was not built.
        """
        entry = read_index(self.store).entry(self.found.spec.name, how.name)
        if entry is None:
            raise MarinaError(f"{self.found.spec.name} {how} was not built")
        return self.store.archives / entry.archive

    @contextmanager
    def laid_out(self, how: Format, layout: Layout) -> Iterator[Path]:
        """A copy of a format's archive, whose workers compute with the layout's threads; built first where it is gone.

        Raises:
            MarinaError: it cannot be built, or copied.
        """
        if not self.has(how):
            (outcome,) = self.build([how], jobs=1)
            if outcome.entry is None:
                raise MarinaError(outcome.reason)
        target = self.store.archives / f"{self.found.spec.name}-{how.name}-{layout.workers}x{layout.threads}.mar"
        try:
            _copy(self.of(how), target, layout)
            yield target
        except OSError as error:
            raise MarinaError(f"{target}: {error.strerror or error}") from error
        finally:
            target.unlink(missing_ok=True)


def own_store(folder: Path, of: Store) -> Store:
    """A store in a folder of the search's, which shares trained weights with the person's own.

    Raises:
        MarinaError: a folder cannot be written.
    """
    store = Store(folder)
    try:
        store.archives.mkdir(parents=True, exist_ok=True)
        of.weights.mkdir(parents=True, exist_ok=True)
        if not store.weights.is_symlink():
            store.weights.symlink_to(of.weights.resolve(), target_is_directory=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MarinaError(f"{error.filename}: cannot be written: {reason}: give other folders by --state and --store") from error
    return store


def forget(store: Store) -> None:
    """Remove the archives of a search, which may be large; the weights are the person's, and stay."""
    if store.weights.is_symlink():
        store.weights.unlink()
    shutil.rmtree(store.folder, ignore_errors=True)


def set_layout(config: bytes, layout: Layout) -> bytes:
    """A model-config.yaml with a layout's workers and threads."""
    content = YAML(typ="safe", pure=True).load(config)
    content |= {"minWorkers": layout.workers, "maxWorkers": layout.workers}
    content["handlerkit"]["running"]["threads"] = layout.threads
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(content, text)
    return text.getvalue().encode()


def _copy(source: Path, target: Path, layout: Layout) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            with old.open(info) as reader, new.open(info, "w") as writer:
                if info.filename == MODEL_CONFIG:
                    writer.write(set_layout(reader.read(), layout))
                else:
                    shutil.copyfileobj(reader, writer)
