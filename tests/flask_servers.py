"""Development servers for tests: ``scripts/serve_flask.py`` on a free port, at a terminal where a test types."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests
from servers import eventually

from marina import paths
from marina.paths import Store

SCRIPT = paths.ROOT / "scripts" / "serve_flask.py"
ADDRESS = re.compile(r"curl (http://127\.0\.0\.1:\d+)/predictions/")
START_SECONDS = 120


@dataclass
class FlaskServing:
    """A started ``serve_flask.py`` at a terminal."""

    process: subprocess.Popen[bytes]
    terminal: int
    shown: bytearray = field(default_factory=bytearray)
    prompts: int = 0

    @property
    def output(self) -> str:
        """All that the terminal has shown so far."""
        return bytes(self.shown).decode("utf-8", "replace").replace("\r\n", "\n")

    @property
    def url(self) -> str:
        """Where it listens."""
        found = ADDRESS.search(self.output)
        assert found, self.output
        return found[1]

    def wait_for_output(self, text: str, seconds: float = 60) -> None:
        """Wait until the terminal has shown a text."""
        assert eventually(lambda: text in self.output or self.process.poll() is not None, seconds), self.output
        assert text in self.output, self.output

    def type_at_prompt(self, line: str) -> None:
        """Wait for the debugger's next prompt, and type a line."""
        self.prompts += 1
        assert eventually(lambda: self.output.count("(Pdb) ") == self.prompts), self.output
        os.write(self.terminal, f"{line}\n".encode())

    def ask(self, path: str, content: bytes, **headers: str) -> requests.Response:
        """POST bytes."""
        return requests.post(self.url + path, data=content, headers=headers, timeout=60)

    def read_terminal(self) -> None:
        """Keep what the terminal shows, until it is closed."""
        with suppress(OSError):
            while shown := os.read(self.terminal, 1 << 14):
                self.shown += shown


@contextmanager
def flask_serving(store: Store, *arguments: str | Path) -> Iterator[FlaskServing]:
    """Start a development server; it is stopped as by Ctrl-C, whatever happens."""
    terminal, its_own = pty.openpty()
    command = [sys.executable, str(SCRIPT), "--store", str(store.folder), "--port", "0", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=paths.ROOT, stdin=its_own, stdout=its_own, stderr=its_own, start_new_session=True, env=_environment()
    )
    os.close(its_own)
    started = FlaskServing(process, terminal)
    reader = threading.Thread(target=started.read_terminal, daemon=True)
    reader.start()
    try:
        started.wait_for_output("Ctrl-C stops it.", START_SECONDS)
        yield started
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(30) == 0
        finally:
            process.kill()
            reader.join(10)
            os.close(terminal)


def _environment() -> dict[str, str]:
    """A terminal that is wide, so that no line is broken."""
    return os.environ | {"TERM": "dumb", "COLUMNS": "300"}
