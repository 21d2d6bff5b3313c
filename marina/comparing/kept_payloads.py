"""Requests of callers that are kept whole, where the deployment asks for it: a file each, for its owner alone.

``state/traffic/payloads/<model>/<time>-<request id>.payload`` has a line of JSON (``Kept``) and the body as it came.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from marina.comparing.split import Payloads
from marina.errors import MarinaError, UsageError
from marina.gateway.gateway import Gateway
from marina.paths import State
from marina.serving.payloads import KEPT, Kept, Payload, kept_payload, read_file

DAY_SECONDS = 86_400.0
TIDY_SECONDS = 60.0
FIRST_LINE_BYTES = 16_384


class KeptPayloads:
    """The payloads of a state."""

    def __init__(self, state: State) -> None:
        self._folder = state.payloads
        self._gateway = Gateway(state)
        self._applied = state.gateway / "applied.json"
        self._asked: dict[str, Payloads] = {}
        self._known: int | None = None
        self._tidied_at = 0.0

    def asked(self, model: str) -> Payloads | None:
        """What the gateway's deployment asks to be kept of a model; None where nothing."""
        self._learn()
        return self._asked.get(model)

    def folder_of(self, model: str) -> Path:
        """Where a model's payloads are kept; it may not be there."""
        return self._folder / quote(model, safe="")

    def read(self, model: str) -> list[Payload]:
        """A model's payloads, the oldest first, without those that are deleted meanwhile to make room for others."""
        found = []
        for path in _payloads(self.folder_of(model)):
            with suppress(FileNotFoundError):
                found.append(read_file(path))
        return found

    def keep(self, model: str, about: Kept, body: bytes, most: int) -> None:
        """Keep a request, and let the oldest go where there are more.

        Raises:
            OSError: it cannot be written; nothing of it is left.
        """
        folder = self.folder_of(model)
        for made in (self._folder, folder):  # parents that mkdir makes by itself are open to all
            made.mkdir(exist_ok=True, mode=0o700)
        name = f"{_stamp(about.time)}-{about.request_id}"
        partial = folder / f".{name}"
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(about.model_dump_json().encode() + b"\n" + body)
            partial.rename(folder / f"{name}{KEPT}")
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise
        _delete(_payloads(folder)[:-most])

    def tidy(self, now: float) -> int:
        """Delete what is too old, or no longer asked for, once a minute and when the deployment has changed.

        Returns:
            How many payloads that were.

        Raises:
            OSError: one cannot be deleted.
        """
        if not self._learn() and now - self._tidied_at < TIDY_SECONDS:
            return 0
        self._tidied_at = now
        return sum(self._tidy(folder, now) for folder in self._folders()) if self._known is not None else 0

    def of_key(self, key: str) -> list[Path]:
        """The payloads of a hashed key."""
        return [path for folder in self._folders() for path in _payloads(folder) if _is_of(path, key)]

    def forget(self, key: str) -> int:
        """Delete the payloads of a hashed key; returns how many there were.

        Raises:
            MarinaError: one cannot be deleted.
        """
        found = self.of_key(key)
        try:
            return _delete(found)
        except OSError as error:
            raise MarinaError(f"{error.filename}: cannot be deleted: {error.strerror}") from error

    def _tidy(self, folder: Path, now: float) -> int:
        asked = {quote(model, safe=""): one for model, one in self._asked.items()}.get(folder.name)
        _delete([path for path in folder.glob(".*") if path.name[1:] < _stamp(now - TIDY_SECONDS)])  # of a killed recorder
        found = _payloads(folder)
        if asked is None:
            return _delete(found)
        oldest = _stamp(now - asked.keep_days * DAY_SECONDS)
        left = {path for path in found[-asked.most :] if path.name >= oldest}
        return _delete([path for path in found if path not in left])

    def _learn(self) -> bool:
        """Read what the gateway was told last, where that is new; whether it is."""
        try:
            known = self._applied.stat().st_mtime_ns
            if known == self._known:
                return False
            deployment = self._gateway.deployment()
        except (OSError, MarinaError):  # no gateway yet
            return False
        self._asked = {model: one.payloads for model, one in deployment.models.items() if one.payloads}
        self._known = known
        return True

    def _folders(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path.is_dir()] if self._folder.is_dir() else []


def _payloads(folder: Path) -> list[Path]:
    """The payloads of a folder, the oldest first."""
    return sorted(folder.glob(f"[!.]*{KEPT}"))


def _is_of(path: Path, key: str) -> bool:
    try:
        with path.open("rb") as file:
            return kept_payload(path, file.readline(FIRST_LINE_BYTES))[0].key == key
    except (OSError, UsageError):  # it has gone meanwhile, or is nobody's
        return False


def _stamp(time: float) -> str:
    """A time by which names are in order."""
    return f"{datetime.fromtimestamp(time, UTC):%Y%m%dT%H%M%S.%f}"


def _delete(paths: list[Path]) -> int:
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)
