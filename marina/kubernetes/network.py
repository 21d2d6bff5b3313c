"""Who may speak to whom: nobody, but for what is named here. Management and metrics stay inside."""

from __future__ import annotations

from collections.abc import Iterable

from marina.kubernetes.house import CALLERS, EXPORTER, GRPC, INFERENCE, INTERNAL, MANAGEMENT, METRICS, RECORDER, House
from marina.kubernetes.objects import Manifest, labels, thing

DNS, HTTPS, POSTGRESQL = 53, 443, 5432
NAMESPACE = "kubernetes.io/metadata.name"
ANYWHERE = [{"ipBlock": {"cidr": "0.0.0.0/0"}}]


def network(house: House) -> list[Manifest]:
    """The policies, one for each part and one for all."""
    monitoring = [_namespace(house.settings.monitoring)] if house.settings.monitoring else []
    torchserve, gateway, observer = (_pods(component) for component in ("torchserve", "gateway", "exporter"))
    recorded = house.settings.recorder_secret is not None
    pulls = [] if house.settings.store.claim else [_to(ANYWHERE, [HTTPS])]
    callers = [CALLERS, RECORDER] if recorded else [CALLERS]
    figures = [RECORDER, INTERNAL] if recorded else [INTERNAL]
    outside = [_to(ANYWHERE, [POSTGRESQL])] if recorded else []
    api = [INFERENCE, MANAGEMENT, GRPC]
    return [
        _all(house),
        _policy(house, "torchserve", [_from([gateway], api), _from(monitoring, [METRICS, EXPORTER])], pulls),
        _policy(
            house,
            "gateway",
            [{"ports": _ports(callers)}, _from([observer], [INTERNAL]), _from(monitoring, figures)],
            [_to([torchserve], api), *outside],
        ),
        _policy(house, "exporter", [_from(monitoring, [EXPORTER])], [_to([gateway], [INTERNAL])]),
    ]


def _all(house: House) -> Manifest:
    """No pod of the namespace is reached or reaches out, but for names."""
    dns = [{"protocol": protocol, "port": DNS} for protocol in ("UDP", "TCP")]
    names = {"to": [_namespace("kube-system")], "ports": dns}
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [names]}
    return thing("networking.k8s.io/v1", "NetworkPolicy", "nothing-else", house.namespace, "network", spec=spec)


def _policy(house: House, component: str, ingress: Iterable[Manifest], egress: Iterable[Manifest]) -> Manifest:
    spec = {
        "podSelector": {"matchLabels": labels(component)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [one for one in ingress if one.get("from") != []],  # an empty list would mean everybody
        "egress": list(egress),
    }
    return thing("networking.k8s.io/v1", "NetworkPolicy", component, house.namespace, component, spec=spec)


def _pods(component: str) -> Manifest:
    return {"podSelector": {"matchLabels": labels(component)}}


def _namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {NAMESPACE: name}}}


def _from(peers: list[Manifest], ports: list[int]) -> Manifest:
    return {"from": peers, "ports": _ports(ports)}


def _to(peers: list[Manifest], ports: list[int]) -> Manifest:
    return {"to": peers, "ports": _ports(ports)}


def _ports(ports: list[int]) -> list[Manifest]:
    return [{"protocol": "TCP", "port": port} for port in ports]
