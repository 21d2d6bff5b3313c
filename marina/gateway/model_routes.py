"""The routes of one model, for predictions or for explanations: shared between arms, copied to a shadow, or as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from marina.comparing.split import Shadow, Split
from marina.gateway.arms import Arm
from marina.gateway.kept_payloads import kept
from marina.gateway.layout import intervals
from marina.gateway.messages import Message, extension, fraction, headers
from marina.gateway.place import ALONE, Place
from marina.gateway.settings import GatewaySettings
from marina.gateway.sticky import Way, ways
from marina.serving.deployment import DeployedModel

ASSIGNED = "x-marina-assigned"
SUMMARY = "x-marina-summary"
RETRIED = [503, 404]  # no worker, not registered; 500 and 504 may have done their work
OTHER_REPLICAS = 3


@dataclass(frozen=True)
class ModelRoutes:
    """What becomes of requests to a model.

    Attributes:
        model: its name.
        kind: ``predictions`` or ``explanations``.
        deployed: what runs of it.
        settings: of the gateway.
        place: what it forwards to.
    """

    model: str
    kind: str
    deployed: DeployedModel
    settings: GatewaySettings
    place: Place = ALONE

    def routes(self) -> Iterator[Message]:
        """Those without a version first, then those with one."""
        for shadow in self._shadows():
            if self.deployed.split is None:
                yield self._unshared(shadow)
            else:
                yield from self._shared(self.deployed.split, shadow)
        yield {
            "match": {"path_separated_prefix": f"/{self.kind}/{self.model}"},
            "metadata": self._told(),
            "route": {"cluster": self.model, **limit(self.settings), **another_replica(self.place)},
        }

    def _shadows(self) -> list[Shadow | None]:
        """Explanations are not copied: they cost many times a prediction, and agree in no way that is measured."""
        return [self.deployed.shadow, None] if self.deployed.shadow and self.kind == "predictions" else [None]

    def _unshared(self, shadow: Shadow | None) -> Message:
        return {
            "match": self._unnamed(shadow),
            "metadata": self._told(shadow=shadow),
            "request_headers_to_add": _summary(shadow),
            "route": {"cluster": self.model, **limit(self.settings), **another_replica(self.place), **self._mirrored(shadow)},
        }

    def _shared(self, split: Split, shadow: Shadow | None) -> Iterator[Message]:
        experiment = split.experiment or self.model
        arms = [_weighted(Arm(self.model, version), part) for version, part in intervals(split.parts)]
        for way in ways(split.sticky, experiment, is_secure=self.settings.tls is not None):
            yield {
                "match": self._unnamed(shadow) | {"headers": way.matches},
                "metadata": self._told(shadow=shadow, experiment=experiment, key_from=way.name),
                "typed_per_filter_config": way.logged,
                "request_headers_to_add": _summary(shadow),
                "response_headers_to_add": _minted(way),
                "route": {
                    "weighted_clusters": {"use_hash_policy": True, "clusters": arms},
                    "hash_policy": [way.hashed],
                    "auto_host_rewrite": True,
                    **limit(self.settings),
                    **_fallback(split),
                    **self._mirrored(shadow),
                },
            }

    def _unnamed(self, shadow: Shadow | None) -> Message:
        """Requests that name no version; with a shadow only its share, so that the access log knows which were copied."""
        regex = {"regex": rf"/{self.kind}/{re.escape(self.model)}/?"}
        if shadow is None:
            return {"safe_regex": regex}
        return {"safe_regex": regex, "runtime_fraction": fraction(shadow.percent)}

    def _mirrored(self, shadow: Shadow | None) -> Message:
        """To whom requests are copied: to a shadow, and to the recorder where it keeps some."""
        copies = []
        if shadow is not None:
            arm = Arm(self.model, shadow.version)
            copies.append({"cluster": arm.shadow, "host_rewrite_literal": arm.host})
        if self.deployed.payloads is not None and self.kind == "predictions":
            copies.append(kept(self.deployed.payloads))
        return {"request_mirror_policies": copies} if copies else {}

    def _told(self, *, shadow: Shadow | None = None, **more: str) -> Message:
        """What the access log says of a request by its route."""
        copied = {"shadow": shadow.version} if shadow else {}
        return {"filter_metadata": {"marina": {"model": self.model, "route": self.kind, **copied, **more}}}


def another_replica(place: Place) -> Message:
    """Where a replica takes no connection, the next is asked: it has seen nothing of the request."""
    if not place.has_replicas:
        return {}
    previous = extension(
        "envoy.retry_host_predicates.previous_hosts",
        "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    )
    return {
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream",
            "num_retries": OTHER_REPLICAS,
            "retry_host_predicate": [previous],
            "host_selection_retry_max_attempts": OTHER_REPLICAS,
            "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
        }
    }


def limit(settings: GatewaySettings) -> Message:
    """How long an answer may take."""
    return {"timeout": f"{settings.time_limit_seconds:g}s"}


def _weighted(arm: Arm, part: int) -> Message:
    return {
        "name": arm.cluster,
        "weight": part,
        "request_headers_to_add": headers({ASSIGNED: arm.version}),
        "response_headers_to_add": headers({"x-assigned-version": arm.version}),
    }


def _fallback(split: Split) -> Message:
    """Where an arm cannot answer, the next of those with a weight is asked."""
    others = sum(weight > 0 for weight in split.weights.values()) - 1
    if not others:
        return {}
    priority = extension(
        "envoy.retry_priorities.previous_priorities",
        "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
        update_frequency=1,
    )
    return {
        "retry_policy": {
            "retry_on": "retriable-status-codes",
            "retriable_status_codes": RETRIED,
            "num_retries": others,
            "retry_priority": priority,
            "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
        }
    }


def _minted(way: Way) -> list[Message]:
    cookie = {"header": {"key": "set-cookie", "value": way.cookie}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
    return [cookie] if way.cookie else []


def _summary(shadow: Shadow | None) -> list[Message]:
    """Asks the handlers of both versions to note what they answered."""
    return headers({SUMMARY: "1"} if shadow else {})
