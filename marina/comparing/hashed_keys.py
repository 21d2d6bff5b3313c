"""Sticky keys, hashed: the record knows a caller again and does not know who it is."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from marina.errors import MarinaError
from marina.paths import State

SALT_BYTES = 32
DIGITS = 32  # of the hash that are kept, 128 bits


class HashedKeys:
    """Hashes keys by HMAC-SHA256 with a salt that only the owner of the state may read."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt

    def of(self, key: str) -> str:
        """The hash of a key, 32 hexadecimal digits."""
        return self._digest("key", key)[:DIGITS]

    def share(self, text: str) -> float:
        """A number from 0 to 1 that a key always has, and that has nothing to do with its arm."""
        return int(self._digest("share", text)[:16], 16) / 2**64

    @property
    def proof(self) -> str:
        """Which salt it is, without telling it."""
        return self._digest("salt", "")[:DIGITS]

    def _digest(self, what: str, text: str) -> str:
        return hmac.new(self._salt, f"{what}:{text}".encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def read_salt(state: State, *, create: bool = False) -> HashedKeys:
    """The salt of a state, made where there is none and it may be.

    Raises:
        MarinaError: it is not there, cannot be read or made, or is none.
    """
    path = state.traffic / "salt"
    try:
        if create and not path.is_file():
            _make(path)
        salt = bytes.fromhex(path.read_text(encoding="ascii"))
    except FileNotFoundError as error:
        raise MarinaError(f"{path}: is not there: the recorder makes it when it first starts") from error
    except OSError as error:
        raise MarinaError(f"{path}: {error.strerror}") from error
    except ValueError:
        salt = b""
    if len(salt) != SALT_BYTES:
        raise MarinaError(f"{path}: required {2 * SALT_BYTES} hexadecimal digits, found something else: bring back a copy")
    return HashedKeys(salt)


def _make(path: Path) -> None:
    """A salt is there whole or not at all, also for another who makes one at this moment."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = path.with_name(f"salt.{secrets.token_hex(4)}")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(SALT_BYTES))
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            os.link(made, path)
    except FileExistsError:
        pass
    finally:
        made.unlink()
