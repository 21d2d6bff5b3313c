"""Packages of roads that the house does not have: in an environment of their own, made by ``make setup-roads``."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

HOME = Path(sys.prefix) / "roads"
PYTHON = HOME / "bin" / "python"
PACKAGES = HOME / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"


def use_packages() -> None:
    """Let this process import them, behind what it has: their numpy is an older one."""
    if str(PACKAGES) not in sys.path:
        sys.path.append(str(PACKAGES))
