"""Prometheus's configuration and rules, as promtool has them, and as other files of ours name what is in them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from scripts_of_ours import run_script

from marina import paths
from marina.errors import UsageError
from marina.serving.free_ports import free_ports
from marina.serving.ports import Ports
from marina.watching.prometheus import PORT_OF, local_config

FOLDER = paths.CONFIG / "prometheus"
CONFIG = FOLDER / "prometheus.yml"
STORIES = sorted((paths.ROOT / "tests" / "prometheus").glob("*.yml"))


def yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text())


def alerts() -> list[dict[str, Any]]:
    groups = [group for path in sorted((FOLDER / "rules").glob("*.yml")) for group in yaml(path)["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def promtool(*arguments: str | Path) -> None:
    """Run promtool, which must find nothing wrong."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on the path (Debian: apt install prometheus)")
    done = subprocess.run(["promtool", *map(str, arguments)], cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_configuration_and_rules_are_valid() -> None:
    """As Prometheus reads them."""
    promtool("check", "config", CONFIG)
    promtool("check", "rules", "--lint-fatal", *sorted((FOLDER / "rules").glob("*.yml")))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_alerts_do_as_their_stories_tell(story: Path) -> None:
    """tests/prometheus/*.yml, run by promtool: alerts fire with their texts, stay silent, resolve."""
    promtool("test", "rules", story)


def test_each_alert_has_a_story_of_each_kind() -> None:
    """In one it fires and then resolves; in another it never fires."""
    fires, resolves, silent = set(), set(), set()
    for story in (group for path in STORIES for group in yaml(path)["tests"]):
        looks: dict[str, list[bool]] = {}
        for look in story.get("alert_rule_test", []):
            looks.setdefault(look["alertname"], []).append(bool(look["exp_alerts"]))
        fires |= {name for name, seen in looks.items() if any(seen)}
        resolves |= {name for name, seen in looks.items() if True in seen and not seen[-1]}
        silent |= {name for name, seen in looks.items() if not any(seen)}
    assert fires == resolves == silent == {alert["alert"] for alert in alerts()}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: f"{alert['alert']}-{alert['labels']['severity']}")
def test_each_alert_says_what_to_look_at_first(alert: dict[str, Any]) -> None:
    """And names a section of docs/watching.md, which is there."""
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert set(alert["annotations"]) == {"summary", "look_first", "runbook"}
    document, _, anchor = alert["annotations"]["runbook"].partition("#")
    sections = re.findall(r"^#+ (\w+)$", (paths.ROOT / document).read_text(), re.MULTILINE)
    assert anchor in [section.lower() for section in sections]
    assert anchor == alert["alert"].lower()


def test_the_document_has_a_section_for_each_alert_and_no_other() -> None:
    """In the order of the rules."""
    text = (paths.ROOT / "docs" / "watching.md").read_text()
    sections = re.findall(r"^### (\w+)$", text.partition("\n## Alerts\n")[2].partition("\n## ")[0], re.MULTILINE)
    assert sections == list(dict.fromkeys(alert["alert"] for alert in alerts()))


def test_the_document_lists_what_is_recorded() -> None:
    """Each recorded series by its name; one table row may name several windows of it."""
    table = (paths.ROOT / "docs" / "watching.md").read_text().partition("\n## What is recorded\n")[2].partition("\n## ")[0]
    listed = set()
    for row in re.findall(r"^\| (`.*`) \|", table, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        name, _, operation = first.rpartition(":")
        begin = re.sub(r"\d+[mh]$", "", operation)
        listed |= {first} | {f"{name}:{other if '_' in other else begin + other}" for other in others}
    groups = [group for path in (FOLDER / "rules").glob("*.yml") for group in yaml(path)["groups"]]
    assert listed == {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}


def test_targets_are_the_services_at_their_ports() -> None:
    """Each job of the compose stack's configuration is named as its service, and asked at the port that Ports has."""
    defaults = {name: field.default for name, field in Ports.model_fields.items()}
    for job in yaml(CONFIG)["scrape_configs"]:
        (targets,) = [one["targets"] for one in job["static_configs"]]
        if job["job_name"] != "prometheus":
            assert targets == [f"{job['job_name']}:{defaults[PORT_OF[job['job_name']]]}"]


def test_on_ones_own_machine_the_ports_are_the_machines(tmp_path: Path) -> None:
    """Loopback, the ports as they were moved, rules by their full paths; everything else as it was."""
    ports = free_ports()
    local = local_config(CONFIG, ports, 9091)
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in local["scrape_configs"]}
    assert targets["exporter"] == [f"127.0.0.1:{ports.exporter_port}"]
    assert targets["prometheus"] == ["127.0.0.1:9091"]
    assert local["rule_files"] == [str(FOLDER / "rules/*.yml")]
    assert local["global"] == yaml(CONFIG)["global"]
    written = tmp_path / "prometheus.yml"
    with written.open("w") as file:
        YAML(typ="safe", pure=True).dump(local, file)
    promtool("check", "config", written)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        ("a: [", "not valid YAML"),
        ("- 1", "must have scrape_configs, each with a job_name; found something else"),
        ("scrape_configs: [{}]", "must have scrape_configs, each with a job_name; found something else"),
        ("scrape_configs: [{job_name: node}]", "job 'node' has no port on this machine; those that have: torchserve, "),
    ],
)
def test_a_wrong_configuration_is_one_line(tmp_path: Path, text: str | None, message: str) -> None:
    """Which file, and what is required in it."""
    path = tmp_path / "p.yml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=re.escape(f"{path}: {message}")):
        local_config(path, free_ports(), 9090)


def test_a_wrong_start_is_one_line(tmp_path: Path) -> None:
    """No program, no port, no time, a folder that cannot be made."""
    done = run_script("run_prometheus", "--program", "prometheus-of-nobody", "--state", tmp_path)
    assert done.code == 1
    assert done.error.startswith("the program `prometheus-of-nobody` is not on the path: install it (Debian: apt install ")
    assert "required a port, 1 to 65535, found '0'" in run_script("run_prometheus", "--port", "0").err
    assert "required a number with y, w, d, h or m, as 15d, found 'long'" in run_script("run_prometheus", "--keep", "long").err
    (tmp_path / "file").write_text("")
    done = run_script("run_prometheus", "--program", "true", "--state", tmp_path / "file")
    assert done.error == f"{tmp_path}/file/prometheus: Not a directory"
