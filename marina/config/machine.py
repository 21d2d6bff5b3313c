"""Limits, threads and memory, beside each other and beside this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator

from marina.config.findings import Found, error, note, warning
from marina.config.place import Place
from marina.config.settings import Settings

HEAP = re.compile(r"-Xm([sx])([0-9]{1,18})([kKmMgGtT]?)")
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
HANDLERS_TAKE_MB = 32  # of a row, where a spec's limits say nothing; a test compares it with the handlers
MEGABYTE = 1_000_000
THREADS_A_CORE = 8


def java_gets_arguments(settings: Settings, place: Place) -> Iterator[Found]:
    """The arguments of Java: one that it does not know ends it before the first log line."""
    words = settings.value("vmargs").split()
    for word in words:
        if not word.startswith("-"):
            yield error("vmargs", f"arguments of Java begin with -; found {word!r}, which it takes for a class")
        elif word.startswith("-Xm") and not word.startswith("-Xmn") and not HEAP.fullmatch(word):
            yield error("vmargs", f"must be as -Xmx1g or -Xms512m; found {word!r}, with which Java does not start")
    least, most = _heap(settings, "s"), _heap(settings, "x")
    if most and least > most:
        yield error("vmargs", f"-Xms, {_gigabytes(least)}, is more than -Xmx, {_gigabytes(most)}: Java does not start")
    if most > place.memory_bytes:
        yield error("vmargs", f"-Xmx gives Java {_gigabytes(most)}; this machine has {_gigabytes(place.memory_bytes)}")


def queue_fits(settings: Settings, _: Place) -> Iterator[Found]:
    """Requests wait in Java's heap."""
    queue, size, heap = settings.number("job_queue_size"), settings.number("max_request_size"), _heap(settings, "x")
    if queue and size and heap and queue * size > heap:
        yield warning(
            "job_queue_size",
            f"{queue} requests of max_request_size take {_gigabytes(queue * size)}, Java's heap is {_gigabytes(heap)}: "
            "raise -Xmx in vmargs, or lower one of them",
        )


def handlers_take_as_much(settings: Settings, _: Place) -> Iterator[Found]:
    """Requests that TorchServe lets through, and a handler refuses."""
    size = settings.number("max_request_size")
    if size and size > HANDLERS_TAKE_MB * MEGABYTE * 4 / 3:  # base64 within JSON
        yield note(
            "max_request_size",
            f"{size / MEGABYTE:.0f} MB are let through; handlers of Marina refuse what is over {HANDLERS_TAKE_MB} MB, "
            "unless a spec's limits say more",
        )


def threads_fit(settings: Settings, place: Place) -> Iterator[Found]:
    """Workers and threads that outnumber the cores."""
    workers = settings.number("default_workers_per_model") or 0
    if workers > place.cores:
        yield warning(
            "default_workers_per_model", f"{workers} workers for each version on {place.cores} cores; each would take all"
        )
    for key in ("number_of_netty_threads", "netty_client_threads"):
        threads = settings.number(key) or 0
        if threads > THREADS_A_CORE * place.cores:
            yield warning(key, f"{threads} threads on {place.cores} cores do nothing but wait: 0 takes as many as cores")


def sockets_fit(settings: Settings, _: Place) -> Iterator[Found]:
    """Unix sockets need native input and output."""
    if settings.says_yes("use_native_io"):
        return
    for key in ("inference_address", "management_address", "metrics_address"):
        if settings.value(key).lower().startswith("unix:"):
            yield error(key, "a Unix socket needs use_native_io=true")


def settings_do_something(settings: Settings, _: Place) -> Iterator[Found]:
    """Settings that do nothing beside others."""
    given = settings.given
    if "token_expiration_min" in given and settings.says_yes("disable_token_authorization"):
        yield warning("token_expiration_min", "does nothing with disable_token_authorization=true")
    if "metrics_address" in given and not settings.says_yes("enable_metrics_api"):
        yield warning("metrics_address", "does nothing with enable_metrics_api=false")
    if "cpu_launcher_args" in given and not settings.says_yes("cpu_launcher_enable"):
        yield warning("cpu_launcher_args", "does nothing without cpu_launcher_enable=true")
    if "default_workers_per_model" in given and settings.says_yes("debug"):
        yield warning("default_workers_per_model", "does nothing with debug=true, which gives each version one worker")
    if "python" in given:
        yield warning("python", "does nothing: the launcher names its own Python")
    for setting in given.values():
        if setting.variable:
            yield note(
                setting.key, f"{setting.variable} of the environment goes before the file: {_shown(setting.key, setting.value)}"
            )


def _shown(key: str, value: str) -> str:
    return "(a password)" if key == "keystore_pass" else repr(value)


def _heap(settings: Settings, kind: str) -> int:
    sizes = [int(size) * UNITS[unit.lower()] for which, size, unit in HEAP.findall(settings.value("vmargs")) if which == kind]
    return sizes[-1] if sizes else 0


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.1f} GB"
