"""The options by which a script is let in, the same for every script that asks a server."""

from __future__ import annotations

import argparse
from pathlib import Path

from marina.serving.access import Access, checked_file
from marina.serving.ports import Ports


def add_access(options: argparse.ArgumentParser, ports: Ports, *, inference: bool = True) -> None:
    """Add the addresses of the APIs, and what TLS and tokens need."""
    if inference:
        options.add_argument(
            "--inference", default=f"http://127.0.0.1:{ports.inference_port}", metavar="URL", help="(%(default)s)"
        )
    options.add_argument("--management", default=f"http://127.0.0.1:{ports.management_port}", metavar="URL", help="(%(default)s)")
    options.add_argument(
        "--cacert", type=Path, metavar="FILE", help="certificate that is trusted with https (the system's, or REQUESTS_CA_BUNDLE)"
    )
    options.add_argument(
        "--keys", type=Path, metavar="FILE", help="TorchServe's key_file.json, with its tokens (found, on the server's machine)"
    )


def access_of(options: argparse.Namespace) -> Access:
    """What the options say.

    Raises:
        UsageError: a file is not there.
    """
    return Access(options.management, checked_file(options.cacert, "--cacert"), checked_file(options.keys, "--keys"))
