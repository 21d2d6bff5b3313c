"""What was built elsewhere and pulled is served here: without a build, and without its spec."""

from __future__ import annotations

import json
from pathlib import Path

from models import write_model
from scripts_of_ours import run_script
from servers import READY, serving

from marina.paths import Store
from marina.serving.free_ports import free_ports

DEPLOYMENT = """
models:
  digits: {default: "1.0", versions: {"1.0": {}}}
  brightness: {default: "2", versions: {"2": {}}}
"""


def test_a_pulled_store_is_served(store: Store, tmp_path: Path) -> None:
    """With its spec here and unchanged, and with no spec here at all; registered by a script, or named in the deployment."""
    theirs, place, ours = Store(tmp_path / "theirs"), tmp_path / "place", Store(tmp_path / "ours")
    place.mkdir()
    model = write_model(tmp_path / "brightness")
    assert run_script("build_mar", model, "--store", theirs.folder).code == 0
    for built in (store, theirs):
        assert run_script("push_store", place, "--store", built.folder).code == 0
    pulled = run_script("pull_store", place, "--store", ours.folder)
    assert pulled.code == 0, pulled.err
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    before = ours.index.read_bytes()
    with serving(free_ports(), ours, tmp_path / "server", "--deployment", tmp_path / "deployment.yaml") as started:
        started.wait_for_output(READY)
        sample = tmp_path / "server" / "logs" / "brightness-2-light.png"
        assert f"/explanations/brightness/2 -T {sample}" in started.output
        answer = started.ask("/predictions/brightness", sample.read_bytes())
        assert (answer.status_code, answer.json()[0]["label"]) == (200, "light")
        registering = ("register_model", "--store", ours.folder, "register", "brightness", "1")
        assert run_script(*registering, environment=started.environment).code == 0
        listed = run_script("list_models", "--store", ours.folder, "--json", environment=started.environment)
    rows = {(row["model"], row["version"]): row for row in json.loads(listed.out)}
    assert {name: (rows[name]["state"], len(rows[name]["served"])) for name in rows if rows[name]["entry"]} == {
        ("brightness", "1"): ("no spec", 1),
        ("brightness", "2"): ("no spec", 1),
        ("digits", "1.0"): ("current", 1),
        ("digits", "2.0"): ("current", 0),
    }
    assert ours.index.read_bytes() == before  # nothing was built
