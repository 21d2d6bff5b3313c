"""From where an archive comes: the commit of its spec, the kit that built it, whose weights it carries."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import version as installed
from pathlib import Path

from marina.store.index import Origin, Weights
from marina.store.inputs import kit_digest
from marina.store.spec import SpecFile


def origin_of(found: SpecFile, seconds: float) -> Origin:
    """What is known of a build that took so many seconds."""
    commit, changed = commit_of(found)
    return Origin(
        commit=commit,
        changed=changed,
        marina=installed("marina"),
        kit_sha256=kit_digest(),
        python=platform.python_version(),
        platform=f"{platform.system().lower()}-{platform.machine()}",
        seconds=round(seconds, 2),
    )


def commit_of(found: SpecFile) -> tuple[str | None, bool | None]:
    """The commit of the spec's repository, and whether spec or handler differ from it; two Nones outside of git."""
    commit = _git(found.folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None, None
    places = (found.folder, "."), (found.handler.parent, found.handler.name)
    changes = [_git(folder, "status", "--porcelain", "--", name) for folder, name in places]
    return commit, any(changes)


def with_origin(weights: Weights, found: SpecFile, version: str) -> Weights:
    """Weights with their licence and origin, as far as they are known: the spec says it of its own, torchvision of its."""
    said = found.spec.weights
    if weights.chosen:  # on the command line: the spec does not know them
        return weights
    licence, origin = said.licence, said.origin
    if weights.source == "torchvision":
        from marina.store.torchvision_networks import weights_of

        theirs = weights_of(found.spec.versions[version].source)
        licence, origin = licence or theirs.meta.get("license"), origin or theirs.url
    return weights.model_copy(update={"licence": licence, "origin": origin})


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers of a folder; None where there is no git, no repository, or none that git trusts."""
    program = shutil.which("git")
    command = [str(program), "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60) if program else None
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done and done.returncode == 0 else None
