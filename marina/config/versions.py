"""``models``, ``load_models`` and ``model_snapshot``: which versions there are, and how each is run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from marina.config.findings import Found, error, note, warning
from marina.config.keys import OF_A_VERSION
from marina.config.place import Place
from marina.config.settings import Settings
from marina.reading import nearest_of

LONG_DELAY_MS = 1000
GIGABYTES_OF_A_WORKER = 0.6  # resident after ``import torch``, before any weights
RUNTIMES = ("python", "python3", "LSP")


class Version(NamedTuple):
    """Settings of a version, and where they stand."""

    key: str
    model: str
    name: str
    given: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.model} {self.name}"

    def number(self, name: str, default: int) -> int:
        """A setting that is a whole number, else TorchServe's default."""
        value = self.given.get(name)
        return value if type(value) is int and value > 0 else default


def versions_have_settings(settings: Settings, _: Place) -> Iterator[Found]:
    """Keys and values of each version; TorchServe ignores what it does not know and takes its own for what is wrong."""
    for key in ("models", "model_snapshot"):
        models = _models(settings, key)
        if models is not None and not _is_shaped(models):
            yield error(key, 'must be {"MODEL": {"VERSION": {"marName": …}}}; found another shape')
    for version in all_versions(settings):
        for name, value in version.given.items():
            if wrong := _wrong(name, value):
                yield error(version.key, f"{version}: {wrong}")
        least, most = version.number("minWorkers", 1), version.number("maxWorkers", 0)
        if most and least > most:
            yield error(version.key, f"{version}: minWorkers {least} is more than maxWorkers {most}")


def versions_are_default_once(settings: Settings, _: Place) -> Iterator[Found]:
    """One version of each model answers where a request names none."""
    defaults: dict[tuple[str, str], list[str]] = {}
    for version in all_versions(settings):
        if version.given.get("defaultVersion") is True:
            defaults.setdefault((version.key, version.model), []).append(version.name)
    for (key, model), names in defaults.items():
        if len(names) > 1:
            yield error(key, f"{model}: {' and '.join(names)} are both the default: leave defaultVersion true in one")


def versions_can_work(settings: Settings, place: Place) -> Iterator[Found]:
    """Batches that never fill, callers who wait for nothing, and more workers than the machine has room for."""
    queue = settings.number("job_queue_size") or 100
    workers = 0
    for version in all_versions(settings):
        batch, delay = version.number("batchSize", 1), version.number("maxBatchDelay", 100)
        workers += version.number("minWorkers", 1)
        if batch > queue:
            yield error(
                version.key, f"{version}: a batch of {batch} never fills, since {queue} requests wait at most (job_queue_size)"
            )
        if delay >= 1000 * version.number("responseTimeout", 120):
            yield error(
                version.key, f"{version}: maxBatchDelay {delay} ms is no less than its responseTimeout: it is in milliseconds"
            )
        elif delay > LONG_DELAY_MS:
            yield warning(
                version.key,
                f"{version}: a lone request waits {delay} ms for others: while workers are busy a queue fills by itself",
            )
    yield from _room(workers, place)


def archives_are_there(settings: Settings, place: Place) -> Iterator[Found]:
    """Archives by name; TorchServe starts without those that it does not find, and says so in its log alone."""
    store = place.path(settings.value("model_store")) if "model_store" in settings.given else None
    if store is None or not store.is_dir():
        return
    level = error if settings.value("model_snapshot") else warning
    for version in all_versions(settings):
        name = version.given.get("marName")
        if isinstance(name, str) and not place.path(str(store / name)).exists():
            yield level(version.key, f"{version}: {name} is not in {settings.value('model_store')}")
    for name in _loaded(settings):
        if "://" not in name and not place.path(str(store / name)).exists():
            yield error("load_models", f"{name} is not in {settings.value('model_store')}, and TorchServe starts without it")


def loads_once(settings: Settings, _: Place) -> Iterator[Found]:
    """Two ways to say what is loaded."""
    if settings.value("model_snapshot") and settings.value("load_models"):
        yield warning("load_models", "is not looked at, since model_snapshot is given: keep one of them")
    if settings.value("load_models") and "model_store" not in settings.given:
        yield note("load_models", "needs model_store, here or as --model-store")
    if settings.value("load_models").lower().startswith("all,"):
        yield error("load_models", "all stands alone; TorchServe would look for an archive named all")


def all_versions(settings: Settings) -> list[Version]:
    """All versions that the file names, as far as they can be read."""
    return [
        Version(key, model, name, given)
        for key in ("models", "model_snapshot")
        for model, versions in (_models(settings, key) or {}).items()
        if isinstance(versions, dict)
        for name, given in versions.items()
        if isinstance(given, dict)
    ]


def _models(settings: Settings, key: str) -> dict[str, Any] | None:
    try:
        document = json.loads(settings.value(key) or "{}")
    except (ValueError, RecursionError):
        return None
    found = document.get("models", {}) if key == "model_snapshot" and isinstance(document, dict) else document
    return found if isinstance(found, dict) else {"": found}


def _is_shaped(models: dict[str, Any]) -> bool:
    return all(
        isinstance(versions, dict) and all(isinstance(one, dict) for one in versions.values()) for versions in models.values()
    )


def _wrong(name: str, value: Any) -> str:
    """What is wrong with a setting of a version, or nothing."""
    if name not in OF_A_VERSION:
        return f"unknown key '{name}', which TorchServe ignores: {nearest_of(name, list(OF_A_VERSION))}"
    least = OF_A_VERSION[name]
    if least is not None and (type(value) is not int or value < least):
        return f"{name} must be a whole number of {least} or more, and is ignored otherwise; found {_shown(value)}"
    if name == "defaultVersion" and not isinstance(value, bool):
        return f"{name} must be true or false; found {_shown(value)}"
    if name == "runtimeType" and value not in RUNTIMES:
        return f"{name} must be one of {', '.join(RUNTIMES)}; found {_shown(value)}"
    if name == "marName" and not isinstance(value, str):
        return f"{name} must be the name of an archive; found {_shown(value)}"
    return ""


def _shown(value: Any) -> str:
    return "a list or an object" if isinstance(value, (list, dict)) else json.dumps(value)[:60]


def _room(workers: int, place: Place) -> Iterator[Found]:
    if workers > place.cores:
        yield warning("models", f"{workers} workers are started on {place.cores} cores; each would take all of them")
    needed = workers * GIGABYTES_OF_A_WORKER
    if needed > place.memory_bytes / 2**30:
        found = place.memory_bytes / 2**30
        yield warning("models", f"{workers} workers take {needed:.0f} GB before any weights; this machine has {found:.0f} GB")


def _loaded(settings: Settings) -> list[str]:
    listed = settings.value("load_models")
    if listed.lower() == "all" or settings.value("model_snapshot"):
        return []
    return [one.split("=")[-1].strip() for one in listed.split(",") if one.strip()]
