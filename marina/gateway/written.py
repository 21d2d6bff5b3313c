"""The gateway's files as texts, for one that something else starts and feeds: the same for the same deployment."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from marina.gateway.bootstrap import bootstrap
from marina.gateway.gateway import Applied

BOOTSTRAP, APPLIED = "bootstrap.json", "applied.json"


def watched_files(applied: Applied) -> dict[str, str]:
    """What Envoy watches, by the files' names; each says its version, which is the digest of what it says."""
    return {f"{kind}.json": text for kind, (_, text) in _discovered(applied).items()}


def applied_file(applied: Applied) -> str:
    """What was applied, as those read it who ask the gateway what it has taken."""
    return _text(applied.remembered({kind: version for kind, (version, _) in _discovered(applied).items()}))


def bootstrap_file() -> str:
    """What Envoy is started with."""
    return _text(bootstrap())


def _discovered(applied: Applied) -> dict[str, tuple[str, str]]:
    found = {}
    for kind, messages in applied.messages().items():
        version = hashlib.sha256(_text(messages).encode()).hexdigest()[:32]
        found[kind] = version, _text({"version_info": version, "resources": messages})
    return found


def _text(content: Any) -> str:
    return json.dumps(content, indent=1) + "\n"
