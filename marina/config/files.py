"""Files that a config.properties names: metrics, logs, folders."""

from __future__ import annotations

import re
from collections.abc import Iterator

from marina.config.findings import Found, error, note, warning
from marina.config.keys import KEYS
from marina.config.log_config import log_findings
from marina.config.metrics_config import metrics_findings
from marina.config.place import Place
from marina.config.settings import Settings

LOG_CONFIG = re.compile(r"-Dlog4j2?\.configurationFile=(?:file:(?://)?)?(\S+)")
OF_CERTIFICATES = ("certificate_file", "private_key_file", "keystore")  # certificates.py reads them


def files_are_there(settings: Settings, place: Place) -> Iterator[Found]:
    """Files and folders; where not even their folder is there, they are another machine's."""
    for setting in settings.given.values():
        key = KEYS.get(setting.key)
        if key is None or key.kind not in ("file", "folder") or setting.key in OF_CERTIFICATES or not setting.value.strip():
            continue
        path = place.path(setting.value.strip())
        if key.kind == "folder" and not path.is_dir():
            yield note(setting.key, f"{setting.value} is no folder yet, and TorchServe does not start without it")
        elif key.kind == "file" and not path.is_file():
            level = error if path.parent.is_dir() else note
            yield level(setting.key, f"{setting.value} is not there")


def metrics_are_collected(settings: Settings, place: Place) -> Iterator[Found]:
    """Metrics that Prometheus can read, with those of the handlers among them."""
    if not settings.says_yes("enable_metrics_api"):
        return
    is_scraped = settings.value("metrics_mode").strip().lower() == "prometheus"
    if not is_scraped:
        level = warning if "metrics_config" in settings.given or "metrics_mode" in settings.given else note
        yield level("metrics_mode", "leaves the Metrics API empty: write metrics_mode=prometheus")
    elif "metrics_config" not in settings.given and not settings.says_yes("model_metrics_auto_detect"):
        yield warning(
            "metrics_config", "is not given, so that metrics of handlers are dropped: write metrics_config=config/metrics.yaml"
        )
    if settings.says_yes("disable_system_metrics") and "metric_time_interval" in settings.given:
        yield warning("metric_time_interval", "does nothing with disable_system_metrics=true")
    path = place.path(settings.value("metrics_config"))
    if "metrics_config" in settings.given and path.is_file():
        for found in metrics_findings(path):
            yield Found(found.level, "metrics_config", f"{settings.value('metrics_config')}: {found.key}: {found.text}")


def logs_are_configured(settings: Settings, place: Place) -> Iterator[Found]:
    """The log4j2 file that vmargs name."""
    for name in LOG_CONFIG.findall(settings.value("vmargs")):
        path = place.path(name)
        if not path.is_file():
            level = error if path.parent.is_dir() else note
            yield level("vmargs", f"{name} is not there, and TorchServe would log as it does by default")
            continue
        for found in log_findings(path):
            yield Found(found.level, "vmargs", f"{name}: {found.key}: {found.text}")
