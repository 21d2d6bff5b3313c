"""Say who pushed a version, and see that it was one of those allowed: by OpenSSH's signatures, with keys that people have."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from marina.errors import MarinaError, UsageError
from marina.sharing.documents import Shared

NAMESPACE = "marina-store"  # what is signed for something else is not taken for this
NEEDED = "ssh-keygen was not found: signatures need OpenSSH 8.2 or later; install it (Debian: apt install openssh-client)"


def check_key(key: Path) -> None:
    """See that something can be signed with a key, before anything moves.

    Raises:
        UsageError: there is no such key.
        MarinaError: OpenSSH refuses it.
    """
    if not key.is_file():
        raise UsageError(f"--sign {key}: no such file; make a key with: ssh-keygen -t ed25519 -f {key}")
    sign(b"", key)


def sign(text: bytes, key: Path) -> str:
    """The signature of a text. A key with a passphrase is asked for it, or taken from the agent by its ``.pub`` file.

    Raises:
        MarinaError: OpenSSH refuses.
    """
    done = _ssh_keygen("sign", "-f", key, "-n", NAMESPACE, text=text)
    if done.returncode:
        raise MarinaError(f"{key}: cannot sign: {_said(done)}")
    return done.stdout.decode()


def signer(shared: Shared, allowed: Path) -> str:
    """Who of the allowed signers has signed a document.

    Args:
        shared: the document.
        allowed: file of OpenSSH's: a line for each, ``name ssh-ed25519 AAAA…``.

    Raises:
        UsageError: there is no such file.
        MarinaError: the document is unsigned, was changed since, or was signed by somebody else.
    """
    if not allowed.is_file():
        raise UsageError(f"--allowed-signers {allowed}: no such file; it has a line for each: name, type of key, public key")
    if shared.signature is None:
        raise MarinaError(f"{shared} is not signed, and --allowed-signers takes what is: push it again with --sign KEY")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(shared.signature)
        file.flush()
        found = _ssh_keygen("find-principals", "-s", file.name, "-f", allowed)
        names = found.stdout.decode(errors="replace").split()
        if found.returncode or not names:
            raise MarinaError(f"{shared} is signed by nobody whom {allowed} names ({_said(found)}): it is refused")
        done = _ssh_keygen("verify", "-f", allowed, "-I", names[0], "-n", NAMESPACE, "-s", file.name, text=shared.text)
    if done.returncode:
        raise MarinaError(f"{shared} is not what {names[0]} signed ({_said(done)}): it is refused")
    return names[0]


def _ssh_keygen(action: str, *arguments: str | Path, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise MarinaError(NEEDED)
    return subprocess.run([program, "-Y", action, *map(str, arguments)], input=text, capture_output=True, check=False)


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """OpenSSH's last words."""
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {done.returncode}"
