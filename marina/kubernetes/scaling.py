"""When pods are added and taken away: KEDA asks Prometheus how long requests wait and how busy workers are.

The wait alone would take pods away as soon as nobody waits, and bring them back when the queue is there again. How busy the
busiest version's workers are holds the number where the load is; the wait adds pods where the work is uneven.
"""

from __future__ import annotations

from marina.kubernetes.house import House
from marina.kubernetes.objects import Manifest, thing

VERSION = "(model_name, model_version)"
LATER_SECONDS = 600  # that the load must have been lower before a pod is taken away


def queue_seconds(namespace: str) -> str:
    """The query for how long a request waits for a worker: the mean of two minutes, of the slowest version."""
    waited, asked = (_rate(name, namespace) for name in ("ts_queue_latency_microseconds", "ts_inference_requests_total"))
    return f"max(({waited} / ({asked} > 0)) / 1e6) or vector(0)"


def busy_ratio(namespace: str) -> str:
    """The query for which share of the time the workers of the busiest version work."""
    worked = _rate("marina_handler_seconds_sum", namespace)
    return f'max({worked} / (sum by {VERSION} (marina_workers_ready{{namespace="{namespace}"}}) > 0)) or vector(0)'


def scaling(house: House) -> list[Manifest]:
    """What KEDA is told; nothing where pods are as many as ``replicas`` says."""
    wanted = house.settings.autoscaling
    if wanted is None:
        return []
    triggers = [
        _trigger("queue", wanted.prometheus, queue_seconds(house.namespace), wanted.queue_seconds),
        _trigger("busy", wanted.prometheus, busy_ratio(house.namespace), wanted.busy_ratio),
    ]
    behavior = {
        "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 60}]},
        "scaleDown": {
            "stabilizationWindowSeconds": LATER_SECONDS,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
        },
    }
    spec = {
        "scaleTargetRef": {"name": "torchserve"},
        "minReplicaCount": house.settings.torchserve.replicas,
        "maxReplicaCount": wanted.most,
        "pollingInterval": 15,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
        "triggers": triggers,
    }
    return [thing("keda.sh/v1alpha1", "ScaledObject", "torchserve", house.namespace, "torchserve", spec=spec)]


def _trigger(name: str, prometheus: str, query: str, threshold: float) -> Manifest:
    """By the value itself, not by the value for each pod: a wait is not shared out among pods."""
    told = {"serverAddress": prometheus, "query": query, "threshold": f"{threshold:g}"}
    return {"type": "prometheus", "name": name, "metricType": "Value", "metadata": told}


def _rate(name: str, namespace: str) -> str:
    return f'sum by {VERSION} (rate({name}{{namespace="{namespace}"}}[2m]))'
