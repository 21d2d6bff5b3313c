"""The pods that predict: archives pulled and checked, TorchServe, and beside it who knows whether its workers are READY."""

from __future__ import annotations

import shlex

from marina.kubernetes.house import EXPORTER, GRPC, INFERENCE, MANAGEMENT, METRICS, House
from marina.kubernetes.measured import EXPORTER_MB, GROWTH, JAVA_MB, PULL_MB
from marina.kubernetes.objects import (
    Manifest,
    config_map,
    container,
    deployment,
    disruption_budget,
    empty,
    listens,
    mount,
    pod,
    probe,
    resources,
    service,
    waits,
)
from marina.kubernetes.settings import SHARED

COMPONENT = "torchserve"
HOUSE, STORE, STATE = "/house", "/store", "/state"
SPECS = "/marina/model_store/specs"
LOOK_SECONDS = 5
END_SECONDS = 30  # that TorchServe takes at most once nobody asks it any more
LIVE_FAILURES = 12
TEMPORARY_MB = 2048
SPARE_MB = 64


def torchserve(house: House) -> list[Manifest]:
    """Its files, pods, name and budget."""
    files = config_map(
        COMPONENT,
        house.namespace,
        COMPONENT,
        house.files,
        immutable=True,
    )
    name = files["metadata"]["name"]
    settings = house.settings
    replicas = None if settings.autoscaling else settings.torchserve.replicas
    ports = {"http": INFERENCE, "management": MANAGEMENT, "metrics": METRICS, "grpc": GRPC, "exporter": EXPORTER}
    return [
        files,
        deployment(house.namespace, COMPONENT, replicas, _pod(house, name)),
        service(COMPONENT, house.namespace, COMPONENT, ports, headless=True),
        disruption_budget(house.namespace, COMPONENT),
    ]


def _pod(house: House, files: str) -> Manifest:
    settings = house.settings.torchserve
    claim = house.settings.store.claim
    shared = [{"name": "shared", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}] if claim else []
    gpus = {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]} if settings.gpus else {}
    return pod(
        COMPONENT,
        {},
        settings.drain_seconds + END_SECONDS,
        initContainers=[_pull(house)],
        containers=[_server(house), _exporter(house)],
        volumes=[
            {"name": "house", "configMap": {"name": files}},
            empty("store", house.archives_mb * 2 + SPARE_MB),
            empty("state", SPARE_MB),
            empty("specs", 1),
            empty("tmp", TEMPORARY_MB),
            *shared,
        ],
        **gpus,
    )


def _pull(house: House) -> Manifest:
    """Brings the archives that the index names, and none whose digest is another: the index was made where they were built."""
    store, secret = house.settings.store, house.settings.store.secret
    shared = [mount("shared", SHARED, readOnly=True)] if store.claim else []
    return container(
        "pull",
        house.settings.image,
        ["sh", "-ec", "\n".join(pull_steps(house, store.address))],
        **({"envFrom": [{"secretRef": {"name": secret}}]} if secret else {}),
        env=[{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - a volume of the pod's own
        resources=resources("100m", PULL_MB, limit_mb=PULL_MB * 4),
        volumeMounts=[mount("house", HOUSE, readOnly=True), mount("store", STORE), mount("tmp", "/tmp"), *shared],  # noqa: S108
    )


def pull_steps(house: House, address: str) -> list[str]:
    """The commands of a pull: each version by its name, into a store whose index says already what it must be."""
    versions = dict.fromkeys((wanted.built_as, wanted.name) for wanted in house.entries)
    pulls = [["python", "scripts/pull_store.py", address, model, "--version", version] for model, version in versions]
    return [f"cp {HOUSE}/index.json {STORE}/index.json", *(shlex.join([*pull, "--store", STORE]) for pull in pulls)]


def _server(house: House) -> Manifest:
    """TorchServe. Its specs are an empty folder: what it serves is what the store says, whatever the image was built with."""
    settings = house.settings.torchserve
    memory = round(JAVA_MB + house.workers_mb * GROWTH)
    cpus = str(house.workers * settings.cpus_per_worker)
    gpus = {"nvidia.com/gpu": str(settings.gpus)} if settings.gpus else {}
    ready = probe("/ready", EXPORTER, LOOK_SECONDS, 2)
    started = probe("/ready?strict", EXPORTER, LOOK_SECONDS, -(-settings.start_seconds // LOOK_SECONDS))
    command = [
        "python",
        "scripts/serve_models.py",
        "--deployment",
        f"{HOUSE}/deployment.yaml",
        "--store",
        STORE,
        "--state",
        STATE,
        "--restarts",  # Kubernetes starts the container again, and counts it
        "0",
    ]
    variables = {"MARINA_STORE": STORE, "HOME": "/tmp"}  # noqa: S108
    if gpus:
        variables["NVIDIA_DRIVER_CAPABILITIES"] = "compute,utility"  # utility: TorchServe counts GPUs by nvidia-smi
    return container(
        COMPONENT,
        house.settings.image,
        [*command, "--logs", "/tmp/logs", "--address", "0.0.0.0", "--no-gateway"],  # noqa: S104, S108 - the network policy guards it
        env=[{"name": name, "value": value} for name, value in variables.items()],
        ports=listens(http=INFERENCE, metrics=METRICS),
        startupProbe=started,
        readinessProbe=ready,
        livenessProbe=probe("/api-description", INFERENCE, 10, LIVE_FAILURES),
        lifecycle=waits(settings.drain_seconds),
        resources=resources(cpus, memory, limit_mb=round(memory * GROWTH), cpu=cpus, **gpus),
        volumeMounts=[
            mount("house", HOUSE, readOnly=True),
            mount("store", STORE, readOnly=True),
            mount("state", STATE),
            mount("specs", SPECS, readOnly=True),
            mount("tmp", "/tmp"),  # noqa: S108
        ],
    )


def _exporter(house: House) -> Manifest:
    """Reads the Management API on loopback, for Prometheus and for the probes; stays until its TorchServe has drained."""
    command = ["python", "scripts/export_metrics.py", "--deployment", f"{HOUSE}/deployment.yaml", "--no-gateway"]
    return container(
        "exporter",
        house.settings.image,
        [*command, "--address", "0.0.0.0", "--seconds", "1"],  # noqa: S104
        ports=listens(exporter=EXPORTER),
        readinessProbe=probe("/metrics", EXPORTER, 10, 3),
        livenessProbe=probe("/metrics", EXPORTER, 10, LIVE_FAILURES),
        lifecycle=waits(house.settings.torchserve.drain_seconds),
        resources=resources("50m", EXPORTER_MB, limit_mb=EXPORTER_MB * 2),
        volumeMounts=[mount("house", HOUSE, readOnly=True)],
    )
