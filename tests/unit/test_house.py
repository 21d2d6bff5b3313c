"""Where two lists must agree, they do."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from handlerkit.errors import RequestError
from handlerkit.explainer import IMAGE_METHODS
from handlerkit.metrics import COUNTERS, HISTOGRAMS, metrics
from handlerkit.runtimes import RUNTIMES
from ruamel.yaml import YAML
from scripts_of_ours import load_file

from marina import paths
from marina.config.settings import read_settings
from marina.serving.deployment import read_deployment
from marina.serving.ports import Ports
from marina.store import exporters
from marina.store.spec import Version, find_spec
from marina.watching.exported import EXPORTED, Exported

DEFAULTS = {name.upper(): field.default for name, field in Ports.model_fields.items()}
SCRIPTS = sorted(path.stem for path in (paths.ROOT / "scripts").glob("*.py"))


def yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text())


def test_ports_are_the_same_everywhere() -> None:
    """config.properties, .env.example, the compose file and the scripts name the same ports."""
    properties = {key: one.value for key, one in read_settings(paths.SERVER_CONFIG).given.items()}
    configured = {
        "INFERENCE_PORT": properties["inference_address"],
        "MANAGEMENT_PORT": properties["management_address"],
        "METRICS_PORT": properties["metrics_address"],
        "GRPC_INFERENCE_PORT": properties["grpc_inference_port"],
        "GRPC_MANAGEMENT_PORT": properties["grpc_management_port"],
    }
    of_torchserve = {name: port for name, port in DEFAULTS.items() if name in configured}
    assert {name: int(value.rpartition(":")[2]) for name, value in configured.items()} == of_torchserve
    written = (paths.ROOT / ".env.example").read_text()
    example = dict(line.split("=") for line in written.splitlines() if re.match(r"\w+=", line))
    assert {name: int(port) for name, port in example.items()} == DEFAULTS
    services = yaml(paths.ROOT / "docker-compose.yml")["services"]
    published = {name: one["ports"] for name, one in services.items() if "ports" in one}
    grafana = re.search(r"GRAFANA_PORT=(\d+)", written)
    assert grafana is not None
    assert published == {
        "gateway": [f"127.0.0.1:${{GATEWAY_PORT:-{DEFAULTS['GATEWAY_PORT']}}}:{DEFAULTS['GATEWAY_PORT']}"],
        "grafana": [f"127.0.0.1:${{GRAFANA_PORT:-{grafana[1]}}}:{grafana[1]}"],
    }


def test_nothing_listens_beyond_loopback_by_default() -> None:
    """Every address in both configurations is 127.0.0.1."""
    for path in (paths.SERVER_CONFIG, paths.PRODUCTION_CONFIG):
        addresses = [one.value for key, one in read_settings(path).given.items() if key.endswith("_address")]
        assert len(addresses) == 5
        assert all("127.0.0.1" in address for address in addresses)


def test_every_setting_has_its_reason() -> None:
    """No line of either configuration stands without a comment above its group."""
    for path in (paths.SERVER_CONFIG, paths.PRODUCTION_CONFIG):
        groups = path.read_text().strip().split("\n\n")
        assert all(group.lstrip().startswith("#") for group in groups)


def test_declared_metrics_are_the_emitted_ones() -> None:
    """metrics.yaml declares each metric of the handlers, with its kind and its dimensions."""
    declared = {
        metric["name"]: (kind, tuple(metric["dimensions"]))
        for kind, metrics in yaml(paths.METRICS_CONFIG)["model_metrics"].items()
        for metric in metrics
        if metric["name"].startswith("marina_")
    }
    assert declared == {name: ("counter", dimensions) for name, dimensions in metrics().items()}
    assert all(name.endswith(("_total", "_bucket", "_sum", "_count")) for name in metrics())


def test_every_runtime_can_be_exported_to_and_named_in_a_spec() -> None:
    """Runtimes, exporters and the spec's choices are one list."""
    assert set(RUNTIMES) == set(exporters.RUNTIMES) == set(Version.model_fields["runtime"].annotation.__args__)  # type: ignore[union-attr]
    for module, name in RUNTIMES.items():
        assert hasattr(importlib.import_module(f"handlerkit.runtimes.{module}"), name)
        assert callable(importlib.import_module(f"marina.store.exporters.{module}").export)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in paths.SPECS.glob("*/model.yaml")))
def test_specs_of_ours_are_valid(name: str) -> None:
    """Each is found by its folder's name, and everything it names is there."""
    found = find_spec(name)
    assert found.spec.name == name
    assert found.handler.is_file()
    assert found.beside(found.sample.request).is_file()


def test_the_deployment_names_specs_that_exist() -> None:
    """deployment.yaml is valid, and its models and versions have specs."""
    for wanted in read_deployment(paths.DEPLOYMENT).versions():
        assert wanted.name in find_spec(wanted.built_as).spec.versions


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_says_what_it_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--help works, and every option has a text."""
    module = load_file(paths.ROOT / "scripts" / f"{name}.py")
    with pytest.raises(SystemExit, match="0"):
        module.main(["--help"])
    assert " ".join((module.__doc__ or "").split()) in " ".join(capsys.readouterr().out.split())
    assert all(action.help for action in module.parser()._actions if action.dest != "command")


def test_handlers_define_one_class_each() -> None:
    """TorchServe takes a module for a handler only if it defines exactly one class."""
    for path in paths.HANDLERS.glob("*.py"):
        assert len(re.findall(r"^class ", path.read_text(), re.MULTILINE)) == 1, path


def test_the_wall_stands() -> None:
    """Handlerkit knows nothing of marina, and marina imports nothing of handlerkit: what crosses is the archive."""
    for folder, other in ((paths.HANDLERS, "marina"), (paths.ROOT / "marina", "handlerkit")):
        for path in folder.rglob("*.py"):
            if path.name != "preflight_worker.py":  # runs on the worker's side
                assert not re.search(rf"^\s*(from|import) {other}\b", path.read_text(), re.MULTILINE), path


def test_no_lock_file_names_a_registry() -> None:
    """requirements/*.txt pin versions by hash, wherever they come from."""
    for path in (paths.ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text
        assert "--hash=sha256:" in text


def test_the_docs_list_every_runtime_and_every_refusal() -> None:
    """docs/requests.md names the runtimes that there are, and the statuses and types that callers get."""
    text = (paths.ROOT / "docs" / "requests.md").read_text()
    assert re.findall(r"^\| `(\w+)` \| .* \| (?:gradients|perturbations) ", text, re.MULTILINE) == list(RUNTIMES)
    listed = {(int(status), kind) for status, kind in re.findall(r"^\| (\d+) \| (\w+) \|", text, re.MULTILINE)}
    assert listed == {(int(error.status), error.__name__) for error in RequestError.__subclasses__()}


def test_the_docs_list_every_method_and_every_metric() -> None:
    """So that what can be asked for and what can be watched is written down."""
    text = (paths.ROOT / "docs" / "requests.md").read_text()
    assert re.findall(r"^\| `(\w+)` \| (?:yes|no)", text, re.MULTILINE) == list(IMAGE_METHODS)
    named = set(re.findall(r"^\| `(marina_\w+)`", text, re.MULTILINE))
    assert named == set(COUNTERS) | set(HISTOGRAMS)


def test_the_docs_list_everything_that_is_exported() -> None:
    """docs/watching.md has each metric of the exporter with its kind, its labels and its meaning."""
    rows = re.findall(
        r"^\| `(marina_\w+)` \| (.*) \| (.*) \| (.*) \|$", (paths.ROOT / "docs" / "watching.md").read_text(), re.MULTILINE
    )
    listed = {name: Exported(kind, tuple(re.findall(r"`(\w+)`", labels)), meaning) for name, kind, labels, meaning in rows}
    assert listed == EXPORTED


def test_the_readme_lists_every_handler_as_it_describes_itself() -> None:
    """The table is what the handlers' own docstrings say."""
    handlers = {path.stem: ast.get_docstring(ast.parse(path.read_text())) for path in paths.HANDLERS.glob("*.py")}
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", (paths.ROOT / "README.md").read_text(), re.MULTILINE))
    assert listed == handlers
