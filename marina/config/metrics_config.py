"""metrics.yaml: what TorchServe collects, and whether the handlers' metrics are among it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from marina import paths
from marina.config.findings import Found, error, warning
from marina.reading import NotYaml, nearest_of, parse_yaml, shown

SECTIONS = ("ts_metrics", "model_metrics")
KINDS = ("counter", "gauge", "histogram")
PARTS = ("name", "unit", "dimensions")
OURS = "marina_"


def metrics_findings(path: Path) -> Iterator[Found]:
    """What is wrong in a metrics.yaml; TorchServe starts without metrics where it cannot read it."""
    try:
        document = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, NotYaml, UnicodeDecodeError) as failure:
        yield error("YAML", f"cannot be read: {' '.join(str(failure).split())}")
        return
    if not isinstance(document, dict):
        yield error("YAML", f"must have {' and '.join(SECTIONS)}; found {type(document).__name__}")
        return
    for name in document:
        if name not in (*SECTIONS, "dimensions"):
            yield error(
                str(name), f"unknown section, which TorchServe ignores: {nearest_of(str(name), [*SECTIONS, 'dimensions'])}"
            )
    seen: dict[str, str] = {}
    for section in SECTIONS:
        yield from _section(section, document.get(section) or {}, seen)
    yield from _ours(document)


def _section(section: str, kinds: Any, seen: dict[str, str]) -> Iterator[Found]:
    if not isinstance(kinds, dict):
        yield error(section, f"must have {', '.join(KINDS)}; found {type(kinds).__name__}")
        return
    for kind, metrics in kinds.items():
        if kind not in KINDS:
            yield error(section, f"unknown kind '{kind}': {nearest_of(str(kind), list(KINDS))}")
            continue
        if not isinstance(metrics or [], list):
            yield error(f"{section}.{kind}", f"must be a list of metrics; found {shown(metrics)}")
            continue
        for metric in metrics or []:
            yield from _metric(f"{section}.{kind}", metric, seen)


def _metric(where: str, metric: Any, seen: dict[str, str]) -> Iterator[Found]:
    if not isinstance(metric, dict):
        yield error(where, f"each metric has {', '.join(PARTS)}; found {shown(metric)}")
        return
    name = str(metric.get("name", ""))
    for part in PARTS:
        if part not in metric:
            yield error(where, f"{name or 'a metric'} has no {part}")
    for part in metric:
        if part not in PARTS:
            yield error(where, f"{name}: unknown key '{part}': {nearest_of(str(part), list(PARTS))}")
    if name in seen:
        yield error(where, f"{name} is declared in {seen[name]} too: TorchServe keeps one of them")
    seen.setdefault(name, where)


def _ours(document: dict[str, Any]) -> Iterator[Found]:
    """Compare with config/metrics.yaml, which a test compares with the handlers."""
    wanted = _of_our_handlers()
    found = _declared(document)
    missing = [name for name in wanted if name not in found]
    if missing:
        yield warning(
            "model_metrics", f"metrics of Marina's handlers are dropped, {missing[0]} first: take them from config/metrics.yaml"
        )
    for name in wanted.keys() & found.keys():
        if wanted[name] != found[name]:
            yield error(name, f"handlers write it as {wanted[name][0]} with {', '.join(wanted[name][1])}; found another form")


@lru_cache
def _of_our_handlers() -> dict[str, tuple[str, tuple[str, ...]]]:
    return _declared(parse_yaml(paths.METRICS_CONFIG.read_text(encoding="utf-8")))


def _declared(document: dict[str, Any]) -> dict[str, tuple[str, tuple[str, ...]]]:
    kinds = document.get("model_metrics")
    return {
        metric["name"]: (kind, tuple(map(str, _listed(metric.get("dimensions")))))
        for kind, metrics in (kinds.items() if isinstance(kinds, dict) else ())
        for metric in _listed(metrics)
        if isinstance(metric, dict) and str(metric.get("name", "")).startswith(OURS)
    }


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
