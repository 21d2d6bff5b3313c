"""The options by which an experiment is asked about, the same for the judge and for the report."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from marina.comparing.judging import Asked
from marina.comparing.verdict import Margin
from marina.errors import UsageError
from marina.paths import DEPLOYMENT
from marina.reading import nearest_of
from marina.serving.deployment import DeployedModel, read_deployment


def add_questions(options: argparse.ArgumentParser) -> None:
    """Add the model, and what is asked of it."""
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


def asked_of(options: argparse.Namespace) -> Asked:
    """What the options ask.

    Raises:
        UsageError: they contradict each other, or no control can be found.
    """
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
