"""Check every archive against the index, and every spec against its files; adopt archives that were built elsewhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from marina import paths
from marina.console import err, out, run, step
from marina.errors import MarinaError, UsageError
from marina.paths import Store
from marina.store import checking
from marina.store.checking import Built, Finding, Told
from marina.store.spec import FILE_NAME, SpecFile


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        description=__doc__, epilog="Exits with 0 where nothing is wrong, 1 where something is, 2 where the command is wrong."
    )
    options.add_argument("spec", nargs="*", help="check these alone: names or paths of specs (all of model_store/specs)")
    options.add_argument("--store", type=Path, default=Store().folder, help="folder of archives/ and index.json (%(default)s)")
    options.add_argument("--no-digests", action="store_true", help="compare sizes, not digests: milliseconds for many GB")
    options.add_argument("--json", action="store_true", help="print the findings, or the adopted entry, as JSON")
    adopting = options.add_argument_group("adopting")
    adopting.add_argument("--adopt", type=Path, metavar="FILE", help="try a .mar or .tar.gz built elsewhere, and index it")
    adopting.add_argument("--sample", type=Path, metavar="REQUEST", help="a request that it must answer (its own, if it has one)")
    adopting.add_argument("--label", help="the best label of that answer (not compared)")
    adopting.add_argument("--replace", action="store_true", help="in place of an archive of the same name and version")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _act(parser().parse_args(argv)))


def _act(options: argparse.Namespace) -> int:
    store = Store(options.store.resolve())
    _check_command(options, store)
    if options.adopt:
        return _adopt(options, store)
    findings = list(_findings(options, store))
    if options.json:
        out.print_json(data=[vars(finding) for finding in findings])
    else:
        _show(findings)
    return 1 if findings else 0


def _check_command(options: argparse.Namespace, store: Store) -> None:
    if options.adopt is None and (options.sample or options.label or options.replace):
        raise UsageError("--sample, --label and --replace go with --adopt FILE")
    if options.adopt and (options.spec or options.no_digests):
        raise UsageError("--adopt takes one archive: leave out specs and --no-digests")
    if options.label and not options.sample:
        raise UsageError("--label goes with --sample REQUEST")
    for name, file in (("--adopt", options.adopt), ("--sample", options.sample)):
        if file and not file.is_file():
            raise UsageError(f"{name} {file}: no such file")
    if not options.adopt and not store.folder.is_dir():
        raise UsageError(f"--store {store.folder}: no such folder")


def _findings(options: argparse.Namespace, store: Store) -> Iterator[Finding]:
    """Everything that is wrong, the specs' last."""
    try:
        index = checking.index_of(store)
    except MarinaError as error:
        yield Finding(
            "damaged", store.index.name, str(error), "delete it, then scripts/build_mar.py; adopt again what was adopted"
        )
        index = None
    named = {name: checking.spec_or_error(name) for name in _names(options, index or [])}
    if index is not None:
        models = {found.spec.name for found in named.values() if isinstance(found, SpecFile)} if options.spec else None
        chosen = [built for built in index if models is None or built.model in models]
        with _told(store, chosen, whole=not options.spec, quick=options.no_digests) as told:
            yield from _of_archives(store, chosen, named, told)
            if not options.spec:
                yield from checking.orphans(store, index, told)
    for name, found in named.items():
        if isinstance(found, SpecFile):
            yield from checking.check_spec(found)
        elif options.spec or (paths.SPECS / name).is_dir():
            yield Finding("spec", name, str(found), "correct it")


def _names(options: argparse.Namespace, index: list[Built]) -> list[str]:
    """Names and paths of the specs to be looked at, each once: the given ones, or ours and those of the index."""
    if options.spec:
        return list(dict.fromkeys(options.spec))
    shipped = sorted(file.parent.name for file in paths.SPECS.glob(f"*/{FILE_NAME}"))
    return list(dict.fromkeys([*shipped, *(built.entry.spec for built in index if built.entry.spec)]))


def _of_archives(
    store: Store, index: list[Built], named: dict[str, SpecFile | UsageError], told: Told | None
) -> Iterator[Finding]:
    for built in index:
        yield from checking.check_archive(store, built, told)
        if built.entry.spec is not None:
            found = named.get(built.entry.spec)
            yield from checking.check_origin(built, found or checking.spec_or_error(built.entry.spec))


@contextmanager
def _told(store: Store, index: list[Built], whole: bool, quick: bool) -> Iterator[Told | None]:
    """A bar over all bytes to be read, told of those that were."""
    if quick:
        yield None
        return
    files = [store.archives / built.entry.archive for built in index] + (list(store.weights.glob("*")) if whole else [])
    columns = (TextColumn("digests"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("digests", total=sum(file.stat().st_size for file in files if file.is_file()))
        yield lambda read: bar.advance(task, read)


def _show(findings: list[Finding]) -> None:
    if not findings:
        step("nothing is wrong")
        return
    table = Table("finding", "of", "found", "what to do", box=None, pad_edge=False)
    for finding in findings:
        table.add_row(*map(Text, vars(finding).values()))
    out.print(table)


def _adopt(options: argparse.Namespace, store: Store) -> int:
    from marina.store.adoption import adopt  # it runs the archive, for which it imports torch

    entry, model, version = adopt(store, options.adopt, options.sample, options.label, options.replace)
    document: dict[str, Any] = {"model": model, "version": version, **entry.model_dump()}
    if options.json:
        out.print_json(data=document)
    else:
        step(f"{model} {version}: adopted as archives/{entry.archive}; parity and accuracy are not measured")
        out.print(f"scripts/register_model.py register {model} {version}", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
