"""Copies of requests for the recorder, which keeps them: over a socket file, so that nobody else can send it any.

A copy is a shadow's: the caller waits for nothing. It has the caller's key, so that what was kept of a key can be forgotten,
and neither cookies nor Authorization.
"""

from __future__ import annotations

from marina.comparing.split import Payloads
from marina.gateway.messages import Message, fraction, headers
from marina.serving.deployment import Deployment

CLUSTER = "kept payloads"
SOCKET = "../traffic/payloads.sock"  # seen from where Envoy runs
IN_FLIGHT = 8  # copies on their way at most; what comes while there are so many is not kept
KEY = "x-marina-key"


def keeps_any(deployment: Deployment) -> bool:
    """Whether requests of some model are kept."""
    return any(deployed.payloads for deployed in deployment.models.values())


def kept(payloads: Payloads) -> Message:
    """The copying of a route's requests."""
    return {
        "cluster": CLUSTER,
        "host_rewrite_literal": "recorder",
        "runtime_fraction": fraction(payloads.percent),
        "request_headers_mutations": [
            {"remove": "cookie"},
            {"append": headers({KEY: "%DYNAMIC_METADATA(marina:key)%"})[0]},
        ],
    }
