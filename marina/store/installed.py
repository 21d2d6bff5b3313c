"""Which installed packages files belong to, and under what licences these are; nothing is imported."""

from __future__ import annotations

import csv
import re
import sysconfig
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

LONGEST = 80  # of a licence's name; what is longer is its text
UNSPECIFIC = {"OSI Approved", "Other/Proprietary License"}


def packages_of(files: Iterable[str]) -> list[Distribution]:
    """The packages that files of site-packages belong to, by their names; a file of no package is left out."""
    wanted = {relative for file in files if (relative := _relative(file))}
    tops = {relative.partition("/")[0] for relative in wanted}
    owners: dict[str, set[str]] = defaultdict(set)
    known: dict[str, Distribution] = {}
    for package in distributions():
        known.setdefault(name_of(package), package)
        for path in _recorded(package):
            if path.partition("/")[0] in tops and path in wanted:
                owners[path].add(name_of(package))
    return [known[name] for name in sorted(set().union(*owners.values()))]


def name_of(package: Distribution) -> str:
    """A package's name as indexes of packages write it."""
    return re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()


def licence_of(package: Distribution) -> str | None:
    """What a package says of its licence: an SPDX expression where it has one, else a name, else None."""
    metadata = package.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classified = [one.rpartition(" :: ")[2] for one in metadata.get_all("Classifier") or [] if one.startswith("License ::")]
    named = metadata["License"].strip() if "License" in metadata else ""
    if named and "\n" not in named and len(named) <= LONGEST and named.upper() != "UNKNOWN":
        return named
    return " AND ".join(sorted(set(classified) - UNSPECIFIC)) or None


def _relative(file: str) -> str | None:
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for root in (Path(folder), Path(folder).resolve()):
            if Path(file).is_relative_to(root):
                return Path(file).relative_to(root).as_posix()
    return None


def _recorded(package: Distribution) -> list[str]:
    text = package.read_text("RECORD") or ""
    return [row[0] for row in csv.reader(text.splitlines()) if row]
