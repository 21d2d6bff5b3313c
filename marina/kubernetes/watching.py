"""What Prometheus' operator is told: targets and rules as config/prometheus has them, and the dashboards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from marina import paths
from marina.kubernetes.house import House
from marina.kubernetes.objects import Manifest, labels, thing

PROMETHEUS = paths.CONFIG / "prometheus"
DASHBOARDS = paths.CONFIG / "grafana" / "dashboards"
PER_POD = "marina_(workers|worker|queue|version_default|source).*|process_.*|python_info"
ONCE = "marina_(version_deployed|objective|split|shadow|rollout|gateway|certificate|source).*|process_.*|python_info"


def watching(house: House) -> list[Manifest]:
    """Targets and rules; nothing where the cluster has no operator of Prometheus."""
    if house.settings.monitoring is None:
        return []
    config = _yaml(PROMETHEUS / "prometheus.yml")
    jobs = {one["job_name"]: one for one in config["scrape_configs"]}
    every = config["global"]["scrape_interval"]
    server = [_endpoint(jobs["torchserve"], "metrics", every), _endpoint(jobs["exporter"], "exporter", every, PER_POD)]
    found = [
        _monitor(house, "torchserve", server),
        _monitor(house, "gateway", [_endpoint(jobs["gateway"], "internal", every)]),
        _monitor(house, "exporter", [_endpoint(jobs["exporter"], "exporter", every, ONCE)]),
    ]
    if house.settings.recorder_secret:
        found[1]["spec"]["endpoints"].append(_endpoint(jobs["recorder"], "recorder", every))
    rules = thing("monitoring.coreos.com/v1", "PrometheusRule", "marina", house.namespace, "watching", spec=_rules(house))
    return [*found, rules]


def dashboards(house: House) -> list[Manifest]:
    """The dashboards, found by Grafana's sidecar by their label."""
    if house.settings.monitoring is None:
        return []
    made = []
    for path in sorted(DASHBOARDS.glob("*.json")):
        one = thing("v1", "ConfigMap", f"dashboard-{path.stem}", house.namespace, "watching", data={path.name: path.read_text()})
        one["metadata"]["labels"]["grafana_dashboard"] = "1"
        made.append(one)
    return made


def _monitor(house: House, component: str, endpoints: list[Manifest]) -> Manifest:
    spec = {"selector": {"matchLabels": labels(component)}, "endpoints": endpoints}
    return thing("monitoring.coreos.com/v1", "ServiceMonitor", component, house.namespace, component, spec=spec)


def _endpoint(job: dict[str, Any], port: str, every: str, kept: str | None = None) -> Manifest:
    """A job of prometheus.yml in the operator's words. What several say, and rules want once, is kept of one alone."""
    relabelings = [_camel(one) for one in job.get("metric_relabel_configs", [])]
    if kept:
        relabelings.append({"action": "keep", "sourceLabels": ["__name__"], "regex": kept})
    return {
        "port": port,
        "interval": every,
        **({"path": job["metrics_path"]} if "metrics_path" in job else {}),
        **({"params": job["params"]} if "params" in job else {}),
        **({"metricRelabelings": relabelings} if relabelings else {}),
    }


def _camel(relabeling: dict[str, Any]) -> Manifest:
    return {re.sub(r"_(.)", lambda found: found[1].upper(), key): value for key, value in relabeling.items()}


def _rules(house: House) -> Manifest:
    """The rules as they are; but of all targets of the cluster's Prometheus ours alone are looked at."""
    groups = [group for path in sorted((PROMETHEUS / "rules").glob("*.yml")) for group in _yaml(path)["groups"]]
    for rule in (rule for group in groups for rule in group["rules"]):
        rule["expr"] = re.sub(r"^up ", f'up{{namespace="{house.namespace}"}} ', rule["expr"])
    return {"groups": groups}


def _yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
