"""The state dict, and the code beside it."""

from __future__ import annotations

from pathlib import Path

import torch

from marina.store.exporters import Exported, Free, Inputs
from marina.store.sources import Network
from marina.store.sources.python import SOURCE_FILE


def export(network: Network, _example: Inputs, _free: Free, folder: Path) -> Exported:
    """Write both files, and a third where the network's class has to be given arguments."""
    torch.save(network.module.state_dict(), folder / "model.pt")
    (folder / "network.py").write_text(network.builder or network.source_code, encoding="utf-8")
    if network.builder is None:
        return Exported(folder, "model.pt", "network.py")
    (folder / SOURCE_FILE).write_text(network.source_code, encoding="utf-8")
    return Exported(folder, "model.pt", "network.py", extra_files=(SOURCE_FILE,))
