"""What the documents say is so."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents import blocks, commands
from pictures import plain
from ruamel.yaml import YAML
from scripts_of_ours import call_script
from workers import Worker, config, traced

from marina import paths
from marina.serving.deployment import read_deployment

MODELS = paths.ROOT / "docs" / "models.md"
README = paths.ROOT / "README.md"


def test_the_first_prediction_stands_before_line_thirty() -> None:
    """Whoever opens the README sees what to type, and what comes, without scrolling."""
    lines = README.read_text().splitlines()[:30]
    assert any(line.startswith("$ curl") and "/predictions/" in line for line in lines)
    assert any('"probability"' in line for line in lines)


def test_the_readme_lists_every_script_as_it_describes_itself() -> None:
    """The table is what the scripts' own docstrings say."""
    scripts = {path.name: ast.get_docstring(ast.parse(path.read_text())) for path in (paths.ROOT / "scripts").glob("*.py")}
    listed = dict(re.findall(r"^\| `scripts/(\w+\.py)` \| (.*) \|$", README.read_text(), re.MULTILINE))
    assert listed == {name: " ".join((text or "").split()) for name, text in scripts.items()}


def test_links_between_documents_lead_somewhere() -> None:
    """Every relative link names a file that is there."""
    for document in [*paths.ROOT.glob("*.md"), *paths.ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).is_file(), f"{document.name}: {target}"


def test_commands_are_found_with_what_they_print() -> None:
    """The README has commands, and the reader that tests run them by finds them."""
    found = commands(README)
    assert found[0].line == "make serve"
    assert len(found) > 10


def test_the_model_of_the_docs_can_be_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/models.md, typed in as it stands, gives an archive that reads its four held-out images rightly."""
    spec, deployment = blocks(MODELS, "yaml")
    network, training, *_ = blocks(MODELS, "python")
    folder = tmp_path / "brightness"
    folder.mkdir()
    (folder / "model.yaml").write_text(spec)
    (folder / "network.py").write_text(network)
    (folder / "training.py").write_text(training)
    (folder / "light.png").write_bytes(plain("L", (30, 30), 250))
    (tmp_path / "deployment.yaml").write_text(deployment)
    monkeypatch.chdir(tmp_path)
    done = call_script(
        capsys, "build_mar", "--deployed", "--deployment", tmp_path / "deployment.yaml", "--store", tmp_path / "store"
    )
    assert done.code == 0, done.err
    assert "top1 1.000 on 4" in done.out
    assert read_deployment(tmp_path / "deployment.yaml").versions()[0].spec == "brightness/"


def test_the_handler_of_the_docs_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twenty lines of docs/models.md are a handler: a good row is answered, a bad one refused."""
    (tmp_path / "light_meter.py").write_text(blocks(MODELS, "python")[2])
    monkeypatch.syspath_prepend(str(tmp_path))
    network: dict[str, object] = {}
    exec(blocks(MODELS, "python")[0], network)  # noqa: S102 - our own document
    import importlib

    handler = importlib.import_module("light_meter").LightMeter()
    worker = Worker(handler, traced(tmp_path / "archive", network["Brightness"](), (1, 4, 4)), config())  # type: ignore[operator]
    good, bad = worker.ask({"body": plain()}, {"body": b"no image"})
    assert (good.status, bad.status) == (200, 422)
    assert 0 <= good.body["light"] <= 1


def test_the_test_of_the_docs_passes(tmp_path: Path) -> None:
    """Typed in beside the handler, the documented test is run by pytest, and both of its functions pass."""
    names = ("network.py", "training.py", "light_meter.py", "test_light_meter.py")
    for name, text in zip(names, blocks(MODELS, "python"), strict=False):
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)]
    variables = os.environ | {"PYTHONPATH": str(paths.HANDLERS)}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_compose_file_is_valid_yaml_and_publishes_on_loopback_alone() -> None:
    """No port of the compose file is open beyond this machine."""
    services = YAML(typ="safe", pure=True).load((paths.ROOT / "docker-compose.yml").read_text())["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
