"""Where archives may come from, and who may reach the server from a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

from marina.config.findings import Found, error, warning
from marina.config.place import Place
from marina.config.settings import Settings
from marina.config.values import broken_pattern

HOSTILE = (
    "file:///etc/hostname",
    "http://169.254.169.254/latest.mar",
    "http://elsewhere.example/a.mar",
    "https://elsewhere.example/a.mar",
)
OURS = r"file:///PATH/OF/ARCHIVES/[A-Za-z0-9._-]+\\.mar"
LOOSE_DOT = re.compile(r"(?<=[A-Za-z0-9])(?<!\\)\.(?=[A-Za-z])")


def urls_are_few(settings: Settings, _: Place) -> Iterator[Found]:
    """Patterns of allowed_urls that let anything in; whoever may register reads the machine's files with them."""
    is_open = settings.says_yes("enable_model_api")
    level = error if is_open else warning
    if "allowed_urls" not in settings.given:
        if is_open:
            yield warning("allowed_urls", f"is not given, so that {HOSTILE[0]} and every address are accepted: write {OURS}")
        return
    for pattern in settings.value("allowed_urls").split(","):
        if broken_pattern(pattern):
            continue
        accepted = [url for url in HOSTILE if re.fullmatch(pattern, url)]
        if pattern.endswith("/"):
            yield error("allowed_urls", f"{pattern} accepts that address and no archive below it: write {pattern}.*")
        elif accepted:
            yield level("allowed_urls", f"{pattern} accepts {accepted[0]}: write {OURS}")
        elif pattern.startswith("http://") or pattern.startswith("http(s)?://"):
            yield warning(
                "allowed_urls", f"{pattern} takes archives over http, which can be changed on their way: write https://"
            )
        if not accepted and (dot := _loose_dot(pattern)):
            yield warning("allowed_urls", f"the dot in {dot} stands for any character: write \\\\. for a dot")


def environment_does_not_open(settings: Settings, _: Place) -> Iterator[Found]:
    """Settings that let others than this file decide."""
    if settings.says_yes("use_env_allowed_urls") and settings.says_yes("enable_envvars_config"):
        yield warning("use_env_allowed_urls", "whoever sets TS_ALLOWED_URLS decides where archives come from: delete it")
    elif settings.says_yes("use_env_allowed_urls"):
        yield warning("use_env_allowed_urls", "does nothing without enable_envvars_config=true")


def browsers_are_named(settings: Settings, _: Place) -> Iterator[Found]:
    """CORS settings that let every page call."""
    origin = settings.value("cors_allowed_origin")
    if origin == "*":
        yield warning(
            "cors_allowed_origin", "* lets every page that a user of this network opens call: name the origin, https://HOST"
        )
    elif origin and not re.fullmatch(r"https?://[^/\s,]+", origin):
        yield error("cors_allowed_origin", f"must be one origin, https://HOST[:PORT], without a path; found {origin!r}")
    for key in ("cors_allowed_methods", "cors_allowed_headers"):
        if key in settings.given and not origin:
            yield warning(key, "does nothing without cors_allowed_origin")
    if unknown := [one for one in _listed(settings, "cors_allowed_methods") if one not in METHODS]:
        yield error("cors_allowed_methods", f"must be methods with commas, as GET, POST; found {unknown[0]!r}")


METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH")


def installs_are_meant(settings: Settings, _: Place) -> Iterator[Found]:
    """Archives that install what they like."""
    if settings.says_yes("install_py_dep_per_model"):
        yield warning(
            "install_py_dep_per_model",
            "whoever registers an archive installs packages on this machine, at each load: build them into the image",
        )


def _listed(settings: Settings, key: str) -> list[str]:
    return [one.strip() for one in settings.value(key).split(",") if one.strip()]


def _loose_dot(pattern: str) -> str:
    host = re.match(r"[a-z()?]+://([^/]+)", pattern)
    return host[1] if host and LOOSE_DOT.search(host[1]) else ""
