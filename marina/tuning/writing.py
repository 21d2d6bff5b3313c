"""Put what was found into the person's ``model.yaml``: what it says besides, its comments and its order stay.

What answers differently (another runtime, another precision) becomes a version of its own, so that it can be compared with the
one that callers know, and taken back; what is only served otherwise changes in place.
"""

from __future__ import annotations

import copy
import difflib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.util import load_yaml_guess_indent

from marina.errors import UsageError
from marina.reading import complaints
from marina.remembering import replace_whole
from marina.store.inputs import EVIDENCE
from marina.store.spec import FILE_NAME, Spec, SpecFile
from marina.tuning.formats import format_of, version_as
from marina.tuning.space import Point

TUNED = "-tuned"
OF_A_FORMAT = ("runtime", "precision", "channels_last", "compile", "script", "tolerance")
WIDE = 4096  # columns: lines are not broken


@dataclass(frozen=True)
class Target:
    """What is written where.

    Attributes:
        version: that was tuned.
        name: of the version that the result becomes; the same where it only changes.
    """

    version: str
    name: str

    @property
    def is_new(self) -> bool:
        """Whether a version is added."""
        return self.name != self.version


@dataclass(frozen=True)
class Change:
    """A changed ``model.yaml``."""

    path: Path
    before: str
    after: str

    @property
    def diff(self) -> str:
        """As people read it; nothing where nothing changes."""
        lines = (self.before.splitlines(keepends=True), self.after.splitlines(keepends=True))
        return "".join(difflib.unified_diff(*lines, str(self.path), str(self.path), n=2))

    def write(self) -> None:
        """Replace the file in one step; its mode stays.

        Raises:
            MarinaError: it cannot be written.
        """
        mode = self.path.stat().st_mode
        replace_whole(self.path, self.after)
        self.path.chmod(mode)


def target_of(found: SpecFile, version: str, point: Point, name: str | None, *, in_place: bool) -> Target:
    """Which version the result becomes.

    Args:
        found: the spec.
        version: that was tuned.
        point: that was found.
        name: of a version of its own, where the person wants one.
        in_place: whether the person wants the version itself changed.

    Raises:
        UsageError: the spec has a version of that name already.
    """
    if in_place or (name is None and point.format == format_of(found.version(version))):
        return Target(version, version)
    name = name or f"{version}{TUNED}"
    require_free(found, name)
    return Target(version, name)


def require_free(found: SpecFile, name: str) -> None:
    """See that a spec has no version of a name.

    Raises:
        UsageError: it has.
    """
    if name in found.spec.versions:
        raise UsageError(f"{found.folder / FILE_NAME}: has a version {name} already: give another name by --as")


def require_writable(found: SpecFile) -> None:
    """See that the spec can be replaced, before anything is measured.

    Raises:
        UsageError: it cannot.
    """
    path = found.folder / FILE_NAME
    for one in (path, found.folder):
        if not os.access(one, os.W_OK):
            raise UsageError(f"--write: {path} cannot be written ({one} is not writable): make it so, or leave --write out")


def change_of(found: SpecFile, target: Target, point: Point, cores: int) -> Change:
    """The spec with a point as what its version is and how it is served.

    Args:
        found: the spec.
        target: which version it becomes.
        point: what is written.
        cores: of this machine; threads are written only where they are not the cores divided by the workers.

    Raises:
        UsageError: the file has become something else meanwhile.
    """
    path = found.folder / FILE_NAME
    before = path.read_text(encoding="utf-8")
    content, dump = _round_trip(before)
    _set_serving(content, point)
    _set_version(content, found, target, point, cores)
    after = dump(content)
    _check(path, after)
    return Change(path, before, after)


def evidence_path(found: SpecFile, target: Target) -> Path:
    """Where the evidence for a version lies: beside its spec."""
    return found.folder / f"{target.name}{EVIDENCE}"


def _round_trip(text: str) -> tuple[Any, Callable[[Any], str]]:
    """A YAML document with all that it says to people, and how to write it as it was."""
    _, _, offset = load_yaml_guess_indent(text)  # of lists; its guess at mappings is their deepest
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = WIDE
    content = yaml.load(text)
    indent = content["versions"].lc.col or 2
    yaml.indent(mapping=indent, sequence=indent + (offset or 0), offset=offset or 0)

    def dump(content: Any) -> str:
        written = io.StringIO()
        yaml.dump(content, written)
        return written.getvalue()

    return content, dump


def _set_serving(content: Any, point: Point) -> None:
    wanted = {"workers": point.layout.workers, "batch_size": point.batch_size, "max_batch_delay_ms": point.max_batch_delay_ms}
    if "serving" not in content:
        content.insert(list(content).index("versions"), "serving", {})
    for key, value in wanted.items():
        content["serving"][key] = value


def _set_version(content: Any, found: SpecFile, target: Target, point: Point, cores: int) -> None:
    versions = content["versions"]
    said = found.version(target.version).model_dump(by_alias=True, exclude_unset=True)
    wanted = version_as(found, target.version, point.format).model_dump(by_alias=True, exclude_defaults=True)
    if point.layout.threads != max(1, cores // point.layout.workers):
        wanted["threads"] = point.layout.threads
    if target.is_new:
        made = copy.deepcopy(versions[target.version])
        made.ca.items.clear()  # comments of the version that it was copied from
        versions[DoubleQuotedScalarString(target.name)] = made
    version = versions[target.name]
    for key in (*OF_A_FORMAT, "threads"):
        if key in wanted and wanted[key] != said.get(key):
            version[key] = wanted[key]
        elif key not in wanted and key in version:
            del version[key]


def _check(path: Path, text: str) -> None:
    """See that what would be written is a spec."""
    try:
        Spec.model_validate(YAML(typ="safe", pure=True).load(text))
    except ValidationError as error:
        raise UsageError(f"{path}: would no longer be valid: {'; '.join(complaints(error, Spec))}") from error
