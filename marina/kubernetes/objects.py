"""What Kubernetes' objects have in common: names, labels, and how little a pod may do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]
USER = 1000  # of the image, and of the gateway's files
DIGITS = 10  # of a digest, in names


def thing(api: str, kind: str, name: str, namespace: str | None, component: str, **more: Any) -> Manifest:
    """An object with the house's labels."""
    metadata: Manifest = {"name": name, **({"namespace": namespace} if namespace else {}), "labels": labels(component)}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


def labels(component: str) -> dict[str, str]:
    """By which objects and pods of a part are found."""
    return {"app.kubernetes.io/name": "marina", "app.kubernetes.io/component": component}


def config_map(name: str, namespace: str, component: str, data: Mapping[str, str], *, immutable: bool = False) -> Manifest:
    """Files. One that cannot change has its content's digest in its name, so that a pod and a roll-back find their own."""
    name = f"{name}-{digest(data)}" if immutable else name
    return thing("v1", "ConfigMap", name, namespace, component, **({"immutable": True} if immutable else {}), data=dict(data))


def digest(data: Mapping[str, str]) -> str:
    """A short name for contents."""
    told = "".join(f"{name}\0{text}\0" for name, text in sorted(data.items()))
    return hashlib.sha256(told.encode()).hexdigest()[:DIGITS]


def service(name: str, namespace: str, component: str, ports: Mapping[str, int | tuple[int, int]], *, headless: bool) -> Manifest:
    """A name for pods.

    Args:
        name: of it.
        namespace: that it is in.
        component: whose pods.
        ports: by name; a pair where the pods' own is another.
        headless: whether the name stands for the pods' addresses, not for one in front of them.
    """
    pairs = {key: one if isinstance(one, tuple) else (one, one) for key, one in ports.items()}
    listed = [{"name": key, "protocol": "TCP", "port": port, "targetPort": target} for key, (port, target) in pairs.items()]
    spec = {**({"clusterIP": "None"} if headless else {}), "selector": labels(component), "ports": listed}
    return thing("v1", "Service", name, namespace, component, spec=spec)


def deployment(namespace: str, component: str, replicas: int | None, pod: Manifest, *, surge: int = 1) -> Manifest:
    """Pods that are replaced one after the other, none before another is ready in its place."""
    spec: Manifest = {
        **({} if replicas is None else {"replicas": replicas}),
        "revisionHistoryLimit": 5,
        "selector": {"matchLabels": labels(component)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 0}},
        "template": pod,
    }
    return thing("apps/v1", "Deployment", component, namespace, component, spec=spec)


def pod(component: str, annotations: Mapping[str, str], grace_seconds: int, **spec: Any) -> Manifest:
    """A pod as the profile "restricted" of the Pod Security Standards wants it, spread over zones and nodes."""
    spread = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": labels(component)},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
    return {
        "metadata": {"labels": labels(component), **({"annotations": dict(annotations)} if annotations else {})},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,  # they are environment variables, of which EXPORTER_PORT would be one of ours
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": grace_seconds,
            "topologySpreadConstraints": spread,
            **spec,
        },
    }


def container(name: str, image: str, command: list[str], **more: Any) -> Manifest:
    """A container that may do little: no root, nothing written but its volumes, no capabilities."""
    own = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    return {"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "command": command, "securityContext": own, **more}


def resources(cpus: str, memory_mb: int, *, limit_mb: int, **limits: str) -> Manifest:
    """What is asked for, and how much memory at most.

    Args:
        cpus: cores, as Kubernetes writes them.
        memory_mb: in MiB.
        limit_mb: in MiB; more ends the container.
        limits: others, such as ``cpu``.
    """
    return {"requests": {"cpu": cpus, "memory": f"{memory_mb}Mi"}, "limits": {"memory": f"{limit_mb}Mi", **limits}}


def listens(**ports: int) -> list[Manifest]:
    """Ports of a container by name. The protocol is said, since an older API server cannot merge a list without it."""
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()]


def waits(seconds: int) -> Manifest:
    """A container's preStop that only waits. A program and not the action ``sleep``, which Kubernetes has only from 1.30 on."""
    return {"preStop": {"exec": {"command": ["sleep", str(seconds)]}}}


def probe(path: str, port: int, every_seconds: int, failures: int, timeout_seconds: int = 5) -> Manifest:
    """A look by HTTP."""
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": every_seconds,
        "timeoutSeconds": timeout_seconds,
        "failureThreshold": failures,
    }


def disruption_budget(namespace: str, component: str) -> Manifest:
    """While nodes are emptied, one pod at a time."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": labels(component)}}
    return thing("policy/v1", "PodDisruptionBudget", component, namespace, component, spec=spec)


def empty(name: str, size_mb: int) -> Manifest:
    """A folder of the pod's own, gone with it."""
    return {"name": name, "emptyDir": {"sizeLimit": f"{size_mb}Mi"}}


def mount(name: str, path: str, **more: Any) -> Manifest:
    """Where a volume is in a container."""
    return {"name": name, "mountPath": path, **more}
