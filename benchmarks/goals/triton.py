"""How the tritonserver of the wheel nvidia-pytriton is started with a model of its Python backend."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from peers.triton_config import CONFIG
from roads_environment import PACKAGES
from triton_servers import HOME

from marina import paths

MODEL = paths.ROOT / "benchmarks" / "peers" / "triton_model.py"


def command(port: int, folder: Path, workers: int, batch: int) -> list[str]:
    """Write a model repository into the folder, and say how it is served; HTTP on loopback alone."""
    version, backends = folder / "models" / "classifier" / "1", folder / "backends"
    version.mkdir(parents=True)
    shutil.copy(MODEL, version / "model.py")
    (version.parent / "config.pbtxt").write_text(CONFIG.format(batch=batch, workers=workers))
    shutil.copytree(HOME / "backends" / "python", backends / "python")
    shutil.copy(HOME / "python_backend_stubs" / "3.11" / "triton_python_backend_stub", backends / "python")
    libraries = f"LD_LIBRARY_PATH={PACKAGES / 'nvidia_pytriton.libs'}{os.pathsep}{sysconfig.get_config_var('LIBDIR')}"
    served = [f"--model-repository={folder / 'models'}", f"--backend-directory={backends}", f"--http-port={port}"]
    ways = ["--http-address=127.0.0.1", "--allow-grpc=false", "--allow-metrics=false"]
    return ["env", libraries, str(HOME / "bin" / "tritonserver"), *served, *ways]
