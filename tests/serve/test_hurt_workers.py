"""A worker whose process is hurt ends, and TorchServe starts another."""

from __future__ import annotations

from pathlib import Path

from models import NETWORK, write_model
from pictures import plain
from scripts_of_ours import run_script
from servers import READY, eventually, serving

from marina.paths import Store
from marina.serving.free_ports import free_ports

RAISES = "        if bool((mean == 0).any()):\n            raise MemoryError('no memory left')\n"
SHORT_OF_MEMORY = NETWORK.replace("        return torch", f"{RAISES}        return torch")


def test_a_worker_short_of_memory_is_started_anew(tmp_path: Path) -> None:
    """What hurts the process is not bisected, as it would hurt again: the caller gets a 5xx, and the next one an answer."""
    store = Store(tmp_path / "store")
    model = write_model(tmp_path / "brightness", {"network.py": SHORT_OF_MEMORY})
    assert run_script("build_mar", model, "--version", "2", "--store", store.folder).code == 0
    deployment = tmp_path / "deployment.yaml"
    deployment.write_text(f"models: {{brightness: {{spec: {model}, default: '2', versions: {{'2': {{batch_size: 4}}}}}}}}")
    with serving(free_ports(), store, tmp_path / "server", "--deployment", deployment) as server:
        server.wait_for_output(READY)
        (before,) = server.workers()
        light, black = plain("L", (9, 9), 255), plain("L", (9, 9), 0)
        assert server.ask("/predictions/brightness", light).json()[0]["label"] == "light"
        assert server.ask("/predictions/brightness", black).status_code >= 500
        assert eventually(lambda: server.ask("/predictions/brightness", light).status_code == 200, 60)
        assert before.pid not in [worker.pid for worker in server.workers()]
        server.wait_for_output(r"brightness 2: worker 9000 \(pid \d+\) is READY again")
        assert "the worker ends, to be started anew: MemoryError" in (server.folder / "logs" / "model_log.log").read_text()
