"""Judge an experiment: is a version better, worse or no different, or not known yet; look as often as you like."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from marina.comparing.judging import Asked, Judgement, judge_experiment
from marina.comparing.traffic_options import add_record, record_of
from marina.comparing.verdict import Margin
from marina.comparing.verdict_document import document
from marina.comparing.wording import notes, sentence, summary
from marina.console import out, run
from marina.errors import UsageError
from marina.paths import DEPLOYMENT
from marina.reading import nearest_of
from marina.serving.deployment import DeployedModel, read_deployment

LOOKS = 40  # differences over time, in the JSON
EPILOG = (
    "Exits with 0 where it could judge, whatever the verdict (--json says which); 1 where there is nothing to judge, or keys are "
    "missing from an arm; 2 where the command is wrong. What the verdicts mean: docs/verdict.md."
)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    options.add_argument("model", help="whose versions")
    options.add_argument("--experiment", help="which (the one with the latest request)")
    options.add_argument("--metric", action="append", default=[], help="this one alone, and more by more of these options (all)")
    options.add_argument("--control", metavar="VERSION", help="what the others are compared with (the deployment's default)")
    options.add_argument("--alpha", type=_alpha, default=0.05, help="probability that any verdict is wrong (%(default)s)")
    options.add_argument(
        "--margin",
        type=_margin,
        action="append",
        default=[],
        metavar="[METRIC=]SIZE",
        help="the smallest difference that matters: in the metric's unit (0.01) or of the control's mean (5%%)",
    )
    options.add_argument(
        "--lower-is-better", action="append", default=[], metavar="METRIC", help="as error and latency_seconds are"
    )
    options.add_argument(
        "--slower-than",
        type=_seconds,
        metavar="SECONDS",
        help="is what the metric slow counts (the objective p99_ms)",
    )
    options.add_argument("--since", type=_time, metavar="TIME", help="requests from then on, as 2026-11-21T08:00 (UTC)")
    options.add_argument("--until", type=_time, metavar="TIME", help="requests before then")
    options.add_argument("--deployment", type=Path, default=DEPLOYMENT, help="where the default and objectives are (%(default)s)")
    add_record(options)
    options.add_argument("--json", action="store_true", help="print all that is known as JSON")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _judge(parser().parse_args(argv)))


def _judge(options: argparse.Namespace) -> int:
    asked = _asked(options)
    with record_of(options) as traffic:
        judgement = judge_experiment(traffic, asked, looks=LOOKS if options.json else 0)
    if options.json:
        out.print_json(data=document(judgement))
    else:
        _show(judgement)
    return 1 if any(one.state == "untrusted" for one in judgement.verdicts) else 0


def _asked(options: argparse.Namespace) -> Asked:
    if options.since is not None and options.until is not None and options.since >= options.until:
        raise UsageError("--since must be before --until")
    deployed = _deployed(options)
    return Asked(
        model=options.model,
        control=options.control or deployed.default,
        experiment=options.experiment,
        metrics=options.metric,
        alpha=options.alpha,
        margin=next((margin for metric, margin in reversed(options.margin) if metric is None), None),
        margins={metric: margin for metric, margin in options.margin if metric is not None},
        lower_is_better=frozenset(options.lower_is_better),
        slow_seconds=options.slower_than or (deployed.objectives.p99_ms or 0) / 1000 or None,
        since=options.since,
        until=options.until,
    )


def _deployed(options: argparse.Namespace) -> DeployedModel:
    models = read_deployment(options.deployment).models
    if options.model in models:
        return models[options.model]
    if options.control is None:
        hint = nearest_of(options.model, list(models))
        raise UsageError(
            f"{options.deployment} has no model '{options.model}': {hint} Otherwise name the control: --control VERSION"
        )
    return DeployedModel(default=options.control, versions={options.control: None})


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


def _alpha(text: str) -> float:
    value = _number(text)
    if not 0 < value <= 0.5:
        raise argparse.ArgumentTypeError(f"required a probability above 0, at most 0.5; found '{text}'")
    return value


def _margin(text: str) -> tuple[str | None, Margin]:
    metric, _, size = text.rpartition("=")
    value = _number(size.removesuffix("%"))
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"required a number or a percentage above 0, as 0.01, 5% or error=0.01; found '{text}'")
    relative = size.endswith("%")
    return metric or None, Margin(value / 100 if relative else value, relative)


def _seconds(text: str) -> float:
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"required a number of seconds above 0; found '{text}'")
    return value


def _time(text: str) -> float:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"required a time as 2026-11-21T08:00 or 2026-11-21T08:00+01:00; found '{text}'"
        ) from error
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


if __name__ == "__main__":
    sys.exit(main())
