"""``GET /assignments/<model>``: which arm a caller would get, without asking a model; no part of the traffic record."""

from __future__ import annotations

import json
from collections.abc import Iterator

from marina.comparing.split import Split
from marina.gateway.arms import Arm
from marina.gateway.layout import intervals
from marina.gateway.messages import Message, headers
from marina.gateway.settings import GatewaySettings
from marina.gateway.sticky import ways

PREFIX = "/assignments"


def assignment_routes(model: str, split: Split, settings: GatewaySettings) -> Iterator[Message]:
    """The callers' routes: shared by the same keys and weights as the model's requests."""
    arms = [{"name": Arm(model, version).told, "weight": part} for version, part in intervals(split.parts)]
    for way in ways(split.sticky, split.experiment or model, is_secure=settings.tls is not None):
        yield {
            "match": {"path": f"{PREFIX}/{model}", "headers": way.matches},
            "route": {
                "weighted_clusters": {"use_hash_policy": True, "clusters": arms},
                "hash_policy": [way.hashed],
                "auto_host_rewrite": True,
            },
        }


def assignment_answer(arm: Arm) -> Message:
    """What the second hop says for an arm."""
    said = json.dumps({"model": arm.model, "version": arm.version})
    return {
        "match": {"path": f"{PREFIX}/{arm.model}"},
        "direct_response": {"status": 200, "body": {"inline_string": f"{said}\n"}},
        "response_headers_to_add": headers({"content-type": "application/json"}),
    }
