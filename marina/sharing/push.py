"""Push versions of a store: files first, each version's document last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from marina.console import step
from marina.errors import MarinaError
from marina.paths import Store
from marina.sharing.documents import Shared, files_of, read_document, share
from marina.sharing.moves import Action, Move, asked, refuse_differences
from marina.sharing.progress import bar_of
from marina.sharing.remote import Remote
from marina.sharing.signing import sign
from marina.store.index import read_index, verified_archive


class Push:
    """What a push would do; all that can be wrong is found out here, before anything moves.

    Raises:
        UsageError: the command names what is not there.
        MarinaError: an archive is not what was built, or the other place refuses or has something else.
    """

    def __init__(self, store: Store, remote: Remote, models: list[str], version: str | None, replacing: bool = False) -> None:
        self.store, self.remote = store, remote
        index = read_index(store).models
        built = [(model, name) for model, versions in index.items() for name in versions]
        wanted = asked(built, models, version, str(store.index))
        self._listed = {pair: one for pair, one in remote.listing().items() if pair in wanted}
        self._there = dict(zip(self._listed, remote.read(self._listed.values()), strict=True))
        objects = remote.objects()
        self.moves = [self._move(share(*pair, index[pair[0]][pair[1]]), objects, replacing) for pair in wanted]

    def check(self) -> None:
        """See that it can be done.

        Raises:
            MarinaError: why not.
        """
        refuse_differences(self.moves, str(self.remote))
        for move in self.moves:
            if move.files:
                verified_archive(self.store, move.shared.entry)

    def run(self, key: Path | None = None) -> None:
        """Move what has to move; with a key, every document that is written is signed."""
        with self.remote.pushing():
            for move in self.moves:
                self._push(move, key)

    def _push(self, move: Move, key: Path | None) -> None:
        shared = move.shared
        there = None if move.action == "replace" else self._remote_document(shared)
        if move.action == "present" and not (key and there and there.signature is None):
            step(f"{shared}: already there, nothing moves")
            return
        for file in move.files:
            with bar_of(f"{shared}: {file.name}", file.size_bytes) as callback:
                self.remote.put(self.store.folder / file.folder / file.name, file.sha256, callback)
        if move.action != "repair":
            signed = replace(shared, signature=sign(shared.text, key)) if key else shared
            pair = shared.model, shared.version
            self.remote.write(*pair, signed.document, self._listed.get(pair), self._there.get(pair))
        step(f"{shared}: {'signed' if move.action == 'present' else f'pushed, {move.size_bytes / 1e6:.1f} MB'}")

    def _move(self, shared: Shared, objects: dict[str, int], replacing: bool) -> Move:
        files = tuple(file for file in files_of(shared.entry) if not file.may_have(objects.get(file.sha256)))
        try:
            there = self._remote_document(shared)
        except MarinaError as error:
            if replacing:
                return Move(shared, "replace", files)
            raise MarinaError(f"{self.remote}: {error}; --replace writes it anew") from error
        if there is not None and there.entry.sha256 != shared.entry.sha256:
            return Move(shared, "replace" if replacing else "differs", files, there.entry.sha256)
        action: Action = "new" if there is None else "repair" if files else "present"
        return Move(shared, action, files)

    def _remote_document(self, shared: Shared) -> Shared | None:
        content = self._there.get((shared.model, shared.version))
        return None if content is None else read_document(content, shared.model, shared.version)
