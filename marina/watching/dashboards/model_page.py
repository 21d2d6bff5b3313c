"""One model: what its versions answer, how fast, and who waits."""

from __future__ import annotations

from marina.watching.dashboards.page import MODELS, VERSIONS, Page, Variable
from marina.watching.dashboards.panels import PROMISE, RED, YELLOW, Panel, Query, Row, Step

OF = 'model_name="$model", model_version=~"$version"'
BY = "model_version"
SEEN = f'{OF}, seen_by="handlers"'
PROMISED_SECONDS = Query('marina_objective_p99_seconds{model_name="$model"}', PROMISE)
PROMISED_ERRORS = Query('marina_objective_error_ratio{model_name="$model"}', PROMISE)
SPENT = (Step(0.8, YELLOW), Step(1, RED))


def _rate(metric: str, by: str = BY, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{OF}{more}}}[$__rate_interval]))"


def _quantile(share: float, metric: str, by: str = BY, more: str = "") -> str:
    return f"histogram_quantile({share}, {_rate(f'{metric}_bucket', f'{by}, le', more)})"


def _mean(metric: str, by: str = BY, more: str = "") -> str:
    return f"{_rate(f'{metric}_sum', by, more)} / ({_rate(f'{metric}_count', by, more)} > 0)"


def _worst(expression: str) -> str:
    return f"max({expression})"


NOW = Row(
    "Now",
    [
        Panel(
            "Answers",
            "Answers a second, of every kind and status.",
            "reqps",
            (Query(f"sum(model_version:marina_requests:rate5m{{{SEEN}}})", ""),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Errors of those promised",
            "The worst version's share of errors in five minutes, by what the objective allows: 100 % is as many as promised.",
            "percentunit",
            (
                Query(
                    _worst(
                        f"model_version:marina_error_ratio:rate5m{{{SEEN}}} / on (model_name) group_left () "
                        'marina_objective_error_ratio{model_name="$model"}'
                    ),
                    "",
                ),
            ),
            kind="stat",
            width=4,
            steps=SPENT,
        ),
        Panel(
            "p99 of that promised",
            "The slowest version's 99th percentile in five minutes, by the objective; nothing where none is promised.",
            "percentunit",
            (
                Query(
                    _worst(
                        f"model_version:marina_seconds:p99_rate5m{{{SEEN}}} / on (model_name) group_left () "
                        'marina_objective_p99_seconds{model_name="$model"}'
                    ),
                    "",
                ),
            ),
            kind="stat",
            width=4,
            steps=SPENT,
        ),
        Panel(
            "Workers READY",
            "Of those wanted; fewer is red.",
            "percentunit",
            (Query(f"sum(marina_workers_ready{{{OF}}}) / sum(marina_workers_wanted{{{OF}}})", ""),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Waiting",
            "Requests in the queues.",
            "short",
            (Query(f"sum(marina_queue_waiting_requests{{{OF}}})", ""),),
            kind="stat",
            width=4,
            steps=(Step(20, YELLOW), Step(80, RED)),
        ),
        Panel(
            "Restarts in a day",
            "Workers that were started in the place of lost ones.",
            "short",
            (Query(f"sum(increase(marina_worker_restarts_total{{{OF}}}[1d]))", ""),),
            kind="stat",
            width=4,
            steps=(Step(1, YELLOW), Step(3, RED)),
        ),
    ],
    height=4,
)

ANSWERS = Row(
    "Answers",
    [
        Panel(
            "Answers by version and kind",
            "Predictions and explanations, apart.",
            "reqps",
            (Query(_rate("marina_answers_total", f"{BY}, kind"), "{{model_version}} {{kind}}"),),
        ),
        Panel(
            "Answers by status",
            "2xx were answered, 4xx were the caller's mistakes, 5xx ours.",
            "reqps",
            (Query(_rate("marina_answers_total", f"{BY}, status"), "{{model_version}} {{status}}"),),
            stacked=True,
        ),
        Panel(
            "Share of errors",
            "5xx of all answers in five minutes, with what the objective allows.",
            "percentunit",
            (Query(f"model_version:marina_error_ratio:rate5m{{{SEEN}}}", "{{model_version}}"), PROMISED_ERRORS),
        ),
        Panel(
            "Refusals by reason",
            "What handlers said no to: bad images, wrong types, what was too large.",
            "reqps",
            (Query(_rate("marina_refusals_total", f"{BY}, reason"), "{{model_version}} {{reason}}"),),
            stacked=True,
        ),
        Panel(
            "Answered classes",
            "Share of each best class: a version that answers otherwise than the one before shows here first.",
            "percentunit",
            (
                Query(
                    f"{_rate('marina_answered_labels_total', f'{BY}, label')} / on (model_version) group_left () "
                    f"({_rate('marina_answered_labels_total')} > 0)",
                    "{{model_version}} {{label}}",
                ),
            ),
        ),
        Panel(
            "How sure",
            "Median and lowest tenth of the best class's probability.",
            "percentunit",
            (
                Query(_quantile(0.5, "marina_answer_probability"), "{{model_version}} median"),
                Query(_quantile(0.1, "marina_answer_probability"), "{{model_version}} lowest tenth"),
            ),
            top=1,
        ),
    ],
)

SECONDS = Row(
    "Seconds",
    [
        Panel(
            "Predictions",
            "Median and 99th percentile in the handler, its batch-mates included, with what was promised; without the queue.",
            "s",
            (
                Query(f"model_version:marina_seconds:p50_rate5m{{{SEEN}}}", "{{model_version}} p50"),
                Query(f"model_version:marina_seconds:p99_rate5m{{{SEEN}}}", "{{model_version}} p99"),
                PROMISED_SECONDS,
            ),
        ),
        Panel(
            "Explanations",
            "Likewise; nothing is promised of them.",
            "s",
            (
                Query(_quantile(0.5, "marina_answer_seconds", more=', kind="explain"'), "{{model_version}} p50"),
                Query(_quantile(0.99, "marina_answer_seconds", more=', kind="explain"'), "{{model_version}} p99"),
            ),
        ),
        Panel(
            "By stage",
            "Mean of a batch in each stage: what became slower, the network or what comes before it?",
            "s",
            (Query(_mean("marina_stage_seconds", f"{BY}, stage"), "{{model_version}} {{stage}}"),),
            stacked=True,
        ),
        Panel(
            "Predictions, all of them",
            "How many took how long: two humps are two kinds of requests.",
            "reqps",
            (Query(_rate("marina_answer_seconds_bucket", "le", ', kind="predict"'), "{{le}}"),),
            kind="heatmap",
            width=16,
        ),
        Panel(
            "In the queue",
            "Mean wait for a worker, also for the batch to fill, by the version that was asked for (`default`: none was).",
            "s",
            (
                Query(
                    'sum by (model_version) (rate(ts_queue_latency_microseconds{model_name="$model"}[$__rate_interval])) / 1e6 '
                    '/ (sum by (model_version) (rate(ts_inference_requests_total{model_name="$model"}[$__rate_interval])) > 0)',
                    "{{model_version}}",
                ),
            ),
        ),
    ],
)

WORKERS = Row(
    "Workers, queues and batches",
    [
        Panel(
            "Workers",
            "READY and wanted.",
            "short",
            (
                Query(f"marina_workers_ready{{{OF}}}", "{{model_version}} READY"),
                Query(f"marina_workers_wanted{{{OF}}}", "{{model_version}} wanted"),
            ),
        ),
        Panel(
            "Waiting requests",
            "Queues at the moment of each look.",
            "short",
            (Query(f"marina_queue_waiting_requests{{{OF}}}", "{{model_version}}"),),
        ),
        Panel(
            "Rows in a batch",
            "Mean; near 1 under load, a larger max_batch_delay_ms may help.",
            "short",
            (Query(_mean("marina_batch_rows"), "{{model_version}}"),),
        ),
        Panel(
            "Lost workers",
            "Restarts within five minutes.",
            "short",
            (Query(f"increase(marina_worker_restarts_total{{{OF}}}[5m])", "{{model_version}}"),),
        ),
        Panel(
            "Workers' memory",
            "Resident, looked at once a minute; what only grows is a leak.",
            "bytes",
            (Query(f"marina_worker_memory_bytes{{{OF}}}", "{{model_version}} {{worker}}"),),
            width=16,
        ),
    ],
)

PAGE = Page(
    "model",
    "a model",
    "What one model's versions answer, how fast, and who waits.",
    [Variable("model", "Model", MODELS), Variable("version", "Version", VERSIONS, several=True)],
    [NOW, ANSWERS, SECONDS, WORKERS],
)
