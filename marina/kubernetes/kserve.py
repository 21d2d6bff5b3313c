"""The house by KServe: a runtime of ours, in the place of its own for TorchServe, which it drops, and a service for a model."""

from __future__ import annotations

from marina.kubernetes.house import INFERENCE, House
from marina.kubernetes.measured import GROWTH, JAVA_MB
from marina.kubernetes.objects import USER, Manifest, config_map, container, empty, mount, probe, resources, thing
from marina.kubernetes.settings import SHARED, StoreSettings
from marina.kubernetes.torchserve import HOUSE, STORE, pull_steps

FORMAT = "marina"
PULLED = "/mnt/models"  # where KServe's storage initializer puts what storageUri names


def kserve(house: House) -> list[Manifest]:
    """The runtime, its files, and an InferenceService. Splits, keys and the record are the gateway's, and not part of it."""
    files = config_map(
        "kserve",
        house.namespace,
        "kserve",
        house.files,
        immutable=True,
    )
    return [files, _runtime(house, files["metadata"]["name"]), _service(house)]


def _runtime(house: House, files: str) -> Manifest:
    settings = house.settings.torchserve
    memory = round(JAVA_MB + house.workers_mb * GROWTH)
    cpus = str(house.workers * settings.cpus_per_worker)
    gpus = {"nvidia.com/gpu": str(settings.gpus)} if settings.gpus else {}
    serve = f"exec python scripts/serve_models.py --deployment {HOUSE}/deployment.yaml --store {STORE} --no-gateway --restarts 0"
    variables = {"MARINA_STORE": STORE, "MARINA_STATE": "/state", "HOME": "/tmp", "TS_OPEN_INFERENCE_PROTOCOL": "oip"}  # noqa: S108
    server = container(
        "kserve-container",
        house.settings.image,
        ["sh", "-ec", "\n".join([*pull_steps(house, PULLED), f"{serve} --logs /tmp/logs --address 0.0.0.0"])],
        env=[{"name": name, "value": value} for name, value in variables.items()],
        ports=[{"containerPort": INFERENCE, "protocol": "TCP"}],
        startupProbe={"exec": {"command": _ready()}, "periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": 60},
        readinessProbe={"exec": {"command": _ready()}, "periodSeconds": 30, "timeoutSeconds": 10},
        livenessProbe=probe("/api-description", INFERENCE, 10, 12),
        resources=resources(cpus, memory, limit_mb=round(memory * GROWTH), cpu=cpus, **gpus),
        volumeMounts=[
            mount("house", HOUSE, readOnly=True),
            mount("store", STORE),
            mount("state", "/state"),
            mount("specs", "/marina/model_store/specs", readOnly=True),
            mount("tmp", "/tmp"),  # noqa: S108
        ],
    )
    spec = {
        "supportedModelFormats": [{"name": FORMAT, "version": "1", "autoSelect": True}],
        "protocolVersions": ["v1", "v2"],
        "containers": [server],
        "volumes": [
            {"name": "house", "configMap": {"name": files}},
            empty("store", house.archives_mb * 2 + 64),
            empty("state", 64),
            empty("specs", 1),
            empty("tmp", 2048),
        ],
    }
    return thing("serving.kserve.io/v1alpha1", "ServingRuntime", "marina", house.namespace, "kserve", spec=spec)


def _service(house: House) -> Manifest:
    model = {"modelFormat": {"name": FORMAT}, "runtime": "marina", "protocolVersion": "v2"}
    security = {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    predictor = {
        "minReplicas": house.settings.torchserve.replicas,
        "automountServiceAccountToken": False,
        "securityContext": security,
        "model": {**model, "storageUri": _uri(house.settings.store)},
    }
    name = next(iter(house.deployment.models))
    spec = {"predictor": predictor}
    return thing(
        "serving.kserve.io/v1beta1", "InferenceService", name.replace("_", "-").lower(), house.namespace, "kserve", spec=spec
    )


def _uri(store: StoreSettings) -> str:
    """The store's address in KServe's words."""
    return f"pvc://{store.claim}{store.address.removeprefix(SHARED)}" if store.claim else store.address


def _ready() -> list[str]:
    return ["python", "scripts/check_ready.py", "--deployment", f"{HOUSE}/deployment.yaml"]
