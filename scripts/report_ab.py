"""Report on an experiment, as one HTML page that needs no network, as a picture, or as JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from marina.comparing.asked_options import add_questions, asked_of
from marina.comparing.traffic_options import add_record, record_of
from marina.console import out, run, step
from marina.errors import UsageError

FORMS = (".html", ".png", ".json")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog="What the verdicts mean: docs/verdict.md.")
    add_questions(options)
    add_record(options)
    options.add_argument(
        "--to", type=Path, metavar="FILE", help=f"{', '.join(FORMS)}; one that is there is replaced (report-MODEL.html)"
    )
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _report(parser().parse_args(argv)))


def _report(options: argparse.Namespace) -> int:
    to = options.to or Path(f"report-{options.model.replace('/', '-')}.html")
    if to.suffix not in FORMS:
        raise UsageError(f"--to {to}: required a name that ends in {', '.join(FORMS)}")
    asked = asked_of(options)
    from marina.comparing.report import gather
    from marina.comparing.report_page import write

    with record_of(options) as traffic:
        step("judging")
        report = gather(traffic, asked)
    step("drawing")
    write(report, to)
    out.print(report.summary, markup=False)
    out.print(str(to), markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
