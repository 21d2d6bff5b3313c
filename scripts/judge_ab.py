"""Judge an experiment: is a version better, worse or no different, or not known yet; look as often as you like."""

from __future__ import annotations

import argparse
import sys

from rich.table import Table

from marina.comparing.asked_options import add_questions, asked_of
from marina.comparing.judging import Judgement, judge_experiment
from marina.comparing.traffic_options import add_record, record_of
from marina.comparing.verdict_document import document
from marina.comparing.wording import notes, sentence, summary
from marina.console import out, run

LOOKS = 40  # differences over time, in the JSON
EPILOG = (
    "Exits with 0 where it could judge, whatever the verdict (--json says which); 1 where there is nothing to judge, or keys are "
    "missing from an arm; 2 where the command is wrong. What the verdicts mean: docs/verdict.md."
)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    add_questions(options)
    add_record(options)
    options.add_argument("--json", action="store_true", help="print all that is known as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _judge(parser().parse_args(argv)))


def _judge(options: argparse.Namespace) -> int:
    asked = asked_of(options)
    with record_of(options) as traffic:
        judgement = judge_experiment(traffic, asked, looks=LOOKS if options.json else 0)
    if options.json:
        out.print_json(data=document(judgement))
    else:
        _show(judgement)
    return 1 if any(one.state == "untrusted" for one in judgement.verdicts) else 0


def _show(judgement: Judgement) -> None:
    out.print(f"{judgement.model}, experiment {judgement.experiment}: {summary(judgement)}", markup=False)
    out.print()
    for verdict in judgement.verdicts:
        out.print(sentence(verdict), markup=False)
    out.print()
    table = Table("arm", "keys", "split", "requests", box=None, pad_edge=False)
    for row in _arms(judgement):
        table.add_row(*row)
    out.print(table)
    for note in notes(judgement):
        out.print(note, markup=False)


def _arms(judgement: Judgement) -> list[list[str]]:
    """Keys and requests by arm, of the metric that has the most."""
    fullest = max(judgement.verdicts, key=lambda one: sum(one.ratio.seen.values()))
    expected, total = fullest.ratio.expected, sum(fullest.ratio.expected.values())
    requests = {
        one.question.arm: one.evidence.requests[1] for one in judgement.verdicts if one.question.metric == fullest.question.metric
    }
    requests[judgement.control] = fullest.evidence.requests[0]
    return [
        [arm, str(keys), f"{expected[arm] / total:.2%}" if total else "", str(requests.get(arm, 0))]
        for arm, keys in fullest.ratio.seen.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
