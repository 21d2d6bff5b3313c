"""What a caller's request goes through before it is sent on, in this order: readiness, keys, rate, size."""

from __future__ import annotations

from collections.abc import Iterable

from marina.gateway.messages import Message, extension, typed, watched
from marina.gateway.readiness import readiness_cluster
from marina.gateway.settings import GatewaySettings
from marina.gateway.sticky import KEY_FILTER

KEYS, RATE, SIZE = "keys", "rate", "size"
READY, STRICT = "/ready", "/ready?strict"
SOME, ALL = 1.0, 100.0  # percent of a model's arms; less than 1 counts as none


def caller_filters(models: Iterable[str], settings: GatewaySettings, *, asks_for_keys: bool) -> list[Message]:
    """The callers' filters."""
    return [
        *ready_filters(models),
        *([_keys()] if asks_for_keys else []),
        *([_rate(settings.requests_per_second)] if settings.requests_per_second else []),
        extension(SIZE, "envoy.extensions.filters.http.buffer.v3.Buffer", max_request_bytes=settings.body_limit_bytes),
        extension(KEY_FILTER, "envoy.extensions.filters.http.header_to_metadata.v3.Config"),
        router(),
    ]


def ready_filters(models: Iterable[str]) -> list[Message]:
    """Answer /ready (each model has an arm that can answer) and /ready?strict (all of its arms can), of those with a weight."""
    clusters = [readiness_cluster(model) for model in models]
    return [_health(STRICT, dict.fromkeys(clusters, ALL)), _health(READY, dict.fromkeys(clusters, SOME))]


def _health(path: str, percent: dict[str, float]) -> Message:
    return extension(
        f"ready {path}",
        "envoy.extensions.filters.http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[{"name": ":path", "string_match": {"exact": path}}],
        cluster_min_healthy_percentages={name: {"value": value} for name, value in percent.items()},
    )


def router() -> Message:
    """The last filter, which sends the request on."""
    return extension("router", "envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)


def unless(*names: str) -> Message:
    """A route's settings by which filters leave its requests alone."""
    return {name: typed("envoy.config.route.v3.FilterConfig", is_optional=True, disabled=True) for name in names}


def _keys() -> Message:
    kind = "type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth"
    return {"name": KEYS, "config_discovery": {"config_source": watched("keys"), "type_urls": [kind]}}


def _rate(per_second: int) -> Message:
    every = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return extension(
        RATE,
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="callers",
        token_bucket={"max_tokens": per_second, "tokens_per_fill": per_second, "fill_interval": "1s"},
        filter_enabled=every,
        filter_enforced=every,
    )
