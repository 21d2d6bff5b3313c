"""Check files of TorchServe's configuration: all rules, in the order in which a person mends them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from marina import paths
from marina.config import addresses, certificates, files, machine, urls, values, versions
from marina.config.findings import Finding, Found, Level
from marina.config.log_config import log_findings
from marina.config.metrics_config import SECTIONS, metrics_findings
from marina.config.model_config import check_model_config
from marina.config.place import Place
from marina.config.settings import Settings, parse_settings, read_settings
from marina.errors import MarinaError, UsageError

RULES: tuple[Callable[[Settings, Place], Iterator[Found]], ...] = (
    values.known_keys,
    values.given_once,
    values.readers_agree,
    values.values_fit,
    addresses.ports_differ,
    addresses.ports_are_moved,
    addresses.ports_can_be_had,
    addresses.doors_are_closed,
    addresses.apis_are_apart,
    certificates.encryption_has_keys,
    certificates.keys_are_good,
    urls.urls_are_few,
    urls.environment_does_not_open,
    urls.browsers_are_named,
    urls.installs_are_meant,
    versions.versions_have_settings,
    versions.versions_are_default_once,
    versions.versions_can_work,
    versions.archives_are_there,
    versions.loads_once,
    machine.java_gets_arguments,
    machine.queue_fits,
    machine.handlers_take_as_much,
    machine.threads_fit,
    machine.sockets_fit,
    machine.settings_do_something,
    files.files_are_there,
    files.metrics_are_collected,
    files.logs_are_configured,
)
SERVER = (".properties", ".cfg")


def check_file(path: Path, place: Place) -> list[Finding]:
    """The findings of a file: a config.properties, a model-config.yaml, an archive, a metrics.yaml or a log4j2.xml.

    Raises:
        UsageError: it cannot be read, or is none of them.
    """
    if path.suffix in SERVER:
        return check_settings(read_settings(path, place.environ), place)
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    if path.suffix == ".xml":
        return _findings(log_findings(path), path)
    if path.suffix in (".yaml", ".yml"):
        if any(f"\n{section}:" in f"\n{path.read_text(encoding='utf-8', errors='replace')}" for section in SECTIONS):
            return _findings(metrics_findings(path), path)
        return check_model_config(path, place)
    if path.suffix == ".mar" and zipfile.is_zipfile(path):
        return check_model_config(path, place)
    raise UsageError(f"{path}: must be a config.properties, model-config.yaml, .mar, metrics.yaml or log4j2.xml")


def check_text(text: str, file: str, place: Place) -> list[Finding]:
    """The findings of a config.properties that is in no file yet."""
    return check_settings(parse_settings(text, file, place.environ), place)


def check_settings(settings: Settings, place: Place) -> list[Finding]:
    """The findings of a config.properties, in the order of its lines."""
    found = [*settings.wrong, *(one for rule in RULES for one in rule(settings, place))]
    lines = {key: setting.line for key, setting in settings.given.items()}
    findings = [Finding(one.level, settings.file, lines.get(one.key, settings.broken_at), one.key, one.text) for one in found]
    return sorted(findings, key=lambda finding: finding.line or len(settings.text))


def require_right(findings: Iterable[Finding]) -> None:
    """See that there is no error.

    Raises:
        MarinaError: there are; one line each.
    """
    wrong = [str(finding) for finding in findings if finding.level is Level.ERROR]
    if wrong:
        raise MarinaError("\n".join(wrong))


def folder_of(config: Path) -> Path:
    """The folder where relative paths of a config.properties begin: ours is written for the repository's."""
    return paths.ROOT if config.resolve().is_relative_to(paths.ROOT) else Path.cwd()


def _findings(found: Iterable[Found], path: Path) -> list[Finding]:
    return [Finding(one.level, str(path), 0, one.key, one.text) for one in found]
