"""An A/B comparison: the arms of one model side by side, as the gateway saw them."""

from __future__ import annotations

from marina.watching.dashboards.model_page import PROMISED_ERRORS, PROMISED_SECONDS
from marina.watching.dashboards.page import ARMS, SPLIT_MODELS, Page, Variable
from marina.watching.dashboards.panels import BLUE, GREY, RED, YELLOW, Panel, Query, Row, Step

OF = 'model_name="$model"'
SEEN = f'{OF}, seen_by="gateway"'
ARM = f'{OF}, model_version=~"$arm"'

SPLIT = Row(
    "The split",
    [
        Panel(
            "As it is meant",
            "Weights that the gateway has taken; a step is a rollout, a rollback or another deployment.",
            "percentunit",
            (Query(f"marina_split_weight_ratio{{{OF}}}", "{{model_version}}"),),
            stacked=True,
            top=1,
        ),
        Panel(
            "As it is seen",
            "Share of the requests that were assigned to each arm. Few callers with many requests make it differ.",
            "percentunit",
            (
                Query(
                    f"model_version:marina_requests:rate5m{{{SEEN}}} / on (model_name) group_left () "
                    f"(sum by (model_name) (model_version:marina_requests:rate5m{{{SEEN}}}) > 0)",
                    "{{model_version}}",
                ),
            ),
            stacked=True,
            top=1,
        ),
        Panel(
            "Requests by arm",
            "A second, by the arm that they were assigned to.",
            "reqps",
            (Query(f"model_version:marina_requests:rate5m{{{SEEN}}}", "{{model_version}}"),),
        ),
        Panel(
            "Rollouts",
            "Under way where it is blue; one that is paused has not ended.",
            "short",
            (Query(f"marina_rollout_open{{{OF}}}", "{{model_version}}"),),
            kind="state-timeline",
            width=24,
            steps=(Step(0, GREY), Step(1, BLUE)),
        ),
    ],
)

SIDE_BY_SIDE = Row(
    "Side by side",
    [
        Panel(
            "Errors that callers got",
            "5xx of the answers to requests assigned to each arm, with what the objective allows.",
            "percentunit",
            (Query(f"model_version:marina_error_ratio:rate5m{{{SEEN}}}", "{{model_version}}"), PROMISED_ERRORS),
        ),
        Panel(
            "Seconds that callers waited",
            "Median and 99th percentile by assigned arm, queue included; arms on one machine disturb each other.",
            "s",
            (
                Query(f"model_version:marina_seconds:p50_rate5m{{{SEEN}}}", "{{model_version}} p50"),
                Query(f"model_version:marina_seconds:p99_rate5m{{{SEEN}}}", "{{model_version}} p99"),
                PROMISED_SECONDS,
            ),
        ),
        Panel(
            "Answered by another arm",
            "Share of an arm's requests that it failed and another answered: callers do not see it, a verdict must.",
            "percentunit",
            (Query(f"model_version:marina_fallback_ratio:rate5m{{{OF}}}", "{{model_version}}"),),
            steps=(Step(0.05, RED),),
        ),
    ],
)

SHADOW = Row(
    "The shadow",
    [
        Panel(
            "Copies",
            "A second: answered, and dropped since the shadow had enough in work.",
            "reqps",
            (Query(f"model_version:marina_shadow_copies:rate5m{{{OF}}}", "{{model_version}} {{outcome}}"),),
            stacked=True,
            width=12,
        ),
        Panel(
            "Dropped",
            "Share of the copies; above a tenth the comparison is of quiet moments alone.",
            "percentunit",
            (Query(f"model_version:marina_shadow_dropped_ratio:rate5m{{{OF}}}", "{{model_version}}"),),
            top=1,
            steps=(Step(0.1, YELLOW),),
            width=12,
        ),
    ],
    height=6,
)

ARM_BY_ARM = Row(
    "Arm by arm",
    [
        Panel(
            "$arm: READY workers",
            "An arm with weight and none is a page.",
            "short",
            (Query(f"marina_workers_ready{{{ARM}}}", "{{model_version}}"),),
            kind="stat",
            width=12,
            repeat="arm",
        ),
        Panel(
            "$arm: predictions, all of them",
            "How many took how long in the handler.",
            "reqps",
            (Query(f'sum by (le) (rate(marina_answer_seconds_bucket{{{ARM}, kind="predict"}}[$__rate_interval]))', "{{le}}"),),
            kind="heatmap",
            width=12,
            repeat="arm",
        ),
        Panel(
            "$arm: answered classes",
            "Share of each best class.",
            "percentunit",
            (
                Query(
                    f"sum by (label) (rate(marina_answered_labels_total{{{ARM}}}[$__rate_interval])) "
                    f"/ scalar(sum(rate(marina_answered_labels_total{{{ARM}}}[$__rate_interval])) > 0)",
                    "{{label}}",
                ),
            ),
            stacked=True,
            top=1,
            width=12,
            repeat="arm",
        ),
    ],
    height=7,
)

PAGE = Page(
    "arms",
    "arms side by side",
    "One model's arms, as the gateway saw them: the split, errors, seconds, the shadow.",
    [Variable("model", "Model", SPLIT_MODELS), Variable("arm", "Arm", ARMS, several=True)],
    [SPLIT, SIDE_BY_SIDE, SHADOW, ARM_BY_ARM],
)
