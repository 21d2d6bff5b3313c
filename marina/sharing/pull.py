"""Pull versions into a store: nothing has its own name before it is whole, and is what its document says."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich import filesize

from marina.console import step
from marina.digests import file_digest
from marina.errors import MarinaError
from marina.paths import Store
from marina.sharing.documents import NamedFile, Shared, files_of, read_document
from marina.sharing.moves import Move, asked, refuse_differences
from marina.sharing.progress import bar_of
from marina.sharing.remote import Remote
from marina.sharing.signing import signer
from marina.store.contents import look_into
from marina.store.index import Entry, read_index, record
from marina.store.workshop import alone

LARGEST_UNSAID = 10_000_000  # bytes of a file whose size its entry does not say
PARTIAL = ".pull"  # folder of what has not arrived yet
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PROCESSOR = "is compiled for the processor that built it: a worker on one that cannot run it refuses to load it"


class Pull:
    """What a pull would do; all that can be wrong is found out here and by ``check``, before anything moves.

    Raises:
        UsageError: the command names what is not there.
        MarinaError: an entry there is malformed, or the place refuses.
    """

    def __init__(self, store: Store, remote: Remote, models: list[str], version: str | None, replacing: bool = False) -> None:
        self.store, self.remote, self._replacing = store, remote, replacing
        listing = remote.listing()
        wanted = asked(listing, models, version, str(remote))
        index = read_index(store).models
        self._archives = {entry.archive: (model, name) for model, names in index.items() for name, entry in names.items()}
        contents = remote.read(listing[pair] for pair in wanted)
        self.moves = [
            self._move(self._read(content, *pair), index.get(pair[0], {}).get(pair[1]))
            for pair, content in zip(wanted, contents, strict=True)
        ]

    def check(self, allowed_signers: Path | None = None) -> None:
        """See that it can be done; with a file of allowed signers, that each document is signed by one of them.

        Raises:
            MarinaError: why not.
        """
        if allowed_signers:
            for move in self.moves:
                step(f"{move.shared}: signed by {signer(move.shared, allowed_signers)}")
        refuse_differences(self.moves, str(self.store.folder))
        objects = self.remote.objects()
        for move in self.moves:
            for file in move.files:
                size = objects.get(file.sha256)
                if not file.may_have(size) or (file.size_bytes is None and (size or 0) > LARGEST_UNSAID):
                    raise MarinaError(
                        f"{self.remote}: {file.name} should have {file.size_bytes or LARGEST_UNSAID:,} bytes, "
                        f"and {size or 0:,} are there: push {move.shared} again"
                    )
        self._check_room(sum(move.size_bytes for move in self.moves))

    def run(self) -> None:
        """Move what has to move, one version after the other; those that have arrived stay, whatever happens to the next."""
        self.store.archives.mkdir(parents=True, exist_ok=True)
        with alone(self.store, "pull", f"pulling into {self.store.folder}"):
            partial = self.store.folder / PARTIAL
            shutil.rmtree(partial, ignore_errors=True)  # of a pull that was killed
            partial.mkdir()
            try:
                for move in self.moves:
                    self._pull(move, partial)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def _pull(self, move: Move, partial: Path) -> None:
        shared = move.shared
        if move.action != "present":  # another pull may have ended meanwhile
            move = self._move(shared, read_index(self.store).entry(shared.model, shared.version))
            refuse_differences([move], str(self.store.folder))
        if move.action == "present":
            step(f"{shared}: already here, nothing moves")
            return
        for file in move.files:
            self._fetch(shared, file, partial / file.sha256)
        made = None
        for file in move.files:
            if file.folder == "archives":
                made = partial / file.sha256  # is put in place together with its entry
            else:
                target = self.store.folder / file.folder / file.name
                target.parent.mkdir(exist_ok=True)
                (partial / file.sha256).replace(target)
        record(self.store, shared.model, shared.version, shared.entry, made)
        step(f"{shared}: pulled, {move.size_bytes / 1e6:.1f} MB")
        if shared.entry.runtime == "aotinductor":
            step(f"{shared}: {PROCESSOR}")

    def _fetch(self, shared: Shared, file: NamedFile, partial: Path) -> None:
        with bar_of(f"{shared}: {file.name}", file.size_bytes) as callback, self._room_for(file):
            self.remote.get(file.sha256, partial, callback)
        found = file_digest(partial)
        if found != file.sha256:
            raise MarinaError(
                f"{self.remote}: {file.name} arrived with SHA-256 {found[:12]}…, and its entry says {file.sha256[:12]}…: "
                f"it was damaged or tampered with and is refused; push {shared} again"
            )
        if file.folder == "archives":
            partial.rename(partial.with_name(file.name))
            try:
                look_into(partial.with_name(file.name), shared.model, shared.version)
            finally:
                partial.with_name(file.name).rename(partial)

    @contextmanager
    def _room_for(self, file: NamedFile) -> Iterator[None]:
        try:
            yield
        except MarinaError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_ROOM:
                reason = f"{file.name} does not fit ({error.__cause__.strerror})"
                raise MarinaError(f"{self.store.folder}: {reason}: free some space, and run this again") from error
            raise

    def _read(self, content: bytes, model: str, version: str) -> Shared:
        try:
            shared = read_document(content, model, version)
        except MarinaError as error:
            raise MarinaError(f"{self.remote}: {error}") from error
        holder = self._archives.get(shared.entry.archive, (model, version))
        if holder != (model, version):
            raise MarinaError(
                f"{shared} and {' '.join(holder)}, which is here, have archives of one name, {shared.entry.archive}"
            )
        return shared

    def _move(self, shared: Shared, here: Entry | None) -> Move:
        files = tuple(file for file in files_of(shared.entry) if not self._has(file))
        archive = self.store.archives / shared.entry.archive
        other = here.sha256 if here else file_digest(archive) if archive.is_file() else shared.entry.sha256
        if other != shared.entry.sha256:
            return Move(shared, "replace" if self._replacing else "differs", files, other)
        if here is None:
            return Move(shared, "new", files)
        return Move(shared, "repair" if files else "present", files)

    def _has(self, file: NamedFile) -> bool:
        path = self.store.folder / file.folder / file.name
        return path.is_file() and file.may_have(path.stat().st_size) and file_digest(path) == file.sha256

    def _check_room(self, needed: int) -> None:
        folder = next(one for one in (self.store.folder, *self.store.folder.parents) if one.exists())
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise MarinaError(
                f"{folder} has room for {filesize.decimal(free)}, and {filesize.decimal(needed)} are to arrive: free some space"
            )
