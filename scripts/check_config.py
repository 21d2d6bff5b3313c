"""Say what is wrong in TorchServe's configuration, line by line, before TorchServe keeps silent about it."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from marina import paths
from marina.config.check import check_file, folder_of
from marina.config.findings import Finding, Level
from marina.config.keys import KEYS
from marina.config.place import this_place
from marina.console import out, run, step

DEFAULTS = (paths.SERVER_CONFIG, paths.PRODUCTION_CONFIG)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        description=__doc__,
        epilog="Exits with 0 where nothing is wrong, with 1 where there is an error, with 2 where it cannot look.",
    )
    options.add_argument(
        "file",
        nargs="*",
        type=Path,
        default=list(DEFAULTS),
        help="config.properties, model-config.yaml, .mar, metrics.yaml or log4j2.xml (both config*.properties of config/)",
    )
    options.add_argument("--folder", type=Path, help="where TorchServe is started, and relative paths begin (the current one)")
    options.add_argument("--strict", action="store_true", help="exit with 1 for warnings, too")
    options.add_argument("--json", action="store_true", help="print findings as JSON")
    options.add_argument("--keys", action="store_true", help="list every key of config.properties, and check nothing")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _check(parser().parse_args(argv)))


def _check(options: argparse.Namespace) -> int:
    if options.keys:
        return _show_keys(as_json=options.json)
    findings = [
        finding
        for path in options.file
        for finding in check_file(path, this_place((options.folder or folder_of(path)).resolve()))
    ]
    if options.json:
        out.print_json(data=[dataclasses.asdict(finding) for finding in findings])
    else:
        for finding in findings:
            out.print(str(finding), markup=False)
    _say_how_many(findings, len(options.file))
    stops = (Level.ERROR, Level.WARNING) if options.strict else (Level.ERROR,)
    return int(any(finding.level in stops for finding in findings))


def _say_how_many(findings: list[Finding], files: int) -> None:
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    step(f"files {files}, " + ", ".join(f"{level}s {number}" for level, number in counts.items()))


def _show_keys(*, as_json: bool) -> int:
    if as_json:
        out.print_json(data=[key._asdict() for key in KEYS.values()])
        return 0
    rows = [(key.name, " | ".join(key.choices) or key.kind, key.default, key.variable, key.meaning) for key in KEYS.values()]
    table = [("key", "value", "default", "variable", "meaning"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    for row in table:
        out.print("  ".join([*(text.ljust(width) for text, width in zip(row[:4], widths, strict=True)), row[4]]), markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
