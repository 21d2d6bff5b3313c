"""How the house is on a cluster, as ``config/kubernetes/kubernetes.yaml`` says it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from marina.reading import Strict, read_yaml

NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
SHARED = "/shared"  # where the claim of a store is mounted


class StoreSettings(Strict):
    """Where pods pull archives from.

    Attributes:
        address: as ``pull_store.py`` takes it; with a claim a folder below ``/shared``.
        secret: whose keys become environment variables of the pull, such as AWS_ACCESS_KEY_ID. None: the pod's own role.
        claim: a PersistentVolumeClaim that many pods can read, mounted at ``/shared``.
    """

    address: str = Field(min_length=1)
    secret: str | None = Field(None, pattern=NAME)
    claim: str | None = Field(None, pattern=NAME)

    @model_validator(mode="after")
    def _is_reached(self) -> StoreSettings:
        is_folder = "://" not in self.address
        if is_folder and (self.claim is None or not (self.address + "/").startswith(SHARED + "/")):
            raise ValueError(f"a folder is read from a claim, mounted at {SHARED}; found {self.address!r}, claim {self.claim!r}")
        if self.claim and not is_folder:
            raise ValueError(f"with a claim the address is a folder below {SHARED}; found {self.address!r}")
        return self


class TorchServeSettings(Strict):
    """The pods that predict, all alike: each serves every version of the deployment.

    Attributes:
        replicas: pods; with autoscaling the fewest.
        cpus_per_worker: cores that each worker gets; its threads follow.
        gpus: of NVIDIA, for each pod.
        drain_seconds: from the moment a pod is told to end until TorchServe is: what is still asked and answered.
        start_seconds: until all workers must be READY.
    """

    replicas: PositiveInt = 2
    cpus_per_worker: PositiveInt = 1
    gpus: NonNegativeInt = 0
    drain_seconds: PositiveInt = 30
    start_seconds: PositiveInt = 600


class GatewayReplicas(Strict):
    """The gateway's pods.

    Attributes:
        replicas: pods.
        drain_seconds: from the moment a pod is told to end until Envoy is: callers are told to connect anew meanwhile.
        keys_secret: a Secret with the callers' keys, as ``export_kubernetes.py --keys`` writes it; None: anyone may ask.
    """

    replicas: PositiveInt = 2
    drain_seconds: PositiveInt = 15
    keys_secret: str | None = Field(None, pattern=NAME)


class Autoscaling(Strict):
    """When pods are added, by KEDA from Prometheus.

    Attributes:
        most: pods.
        queue_seconds: that a request may wait for a worker, the mean of two minutes, of the slowest version.
        busy_ratio: of the time that workers of the busiest version may work.
        prometheus: its address, as KEDA reaches it.
    """

    most: PositiveInt = 10
    queue_seconds: PositiveFloat = 0.05
    busy_ratio: float = Field(0.7, gt=0, le=1)
    prometheus: str = Field(pattern=r"^https?://")


class KubernetesSettings(Strict):
    """The cluster's settings.

    Attributes:
        namespace: that everything is in; it is the house's own.
        image: that the Dockerfile makes, where the cluster's nodes find it.
        gateway_image: Envoy, of the release that the gateway's files were tried with.
        store: where archives come from.
        torchserve: the pods that predict.
        gateway: the gateway's pods.
        recorder_secret: a Secret with ``database``, ``salt`` and ``outcomes.key``; None: traffic is not recorded.
        autoscaling: None: as many pods as ``replicas`` says.
        monitoring: namespace of Prometheus' operator; None: no ServiceMonitor, no rules, no dashboards.
    """

    namespace: str = Field("marina", pattern=NAME)
    image: str = Field(min_length=1)
    gateway_image: str = Field(min_length=1)
    store: StoreSettings
    torchserve: TorchServeSettings = TorchServeSettings()
    gateway: GatewayReplicas = GatewayReplicas()
    recorder_secret: str | None = Field(None, pattern=NAME)
    autoscaling: Autoscaling | None = None
    monitoring: str | None = Field(None, pattern=NAME)

    @model_validator(mode="after")
    def _can_scale(self) -> KubernetesSettings:
        fewest = self.torchserve.replicas
        if self.autoscaling and self.autoscaling.most < fewest:
            raise ValueError(f"autoscaling.most must be torchserve.replicas, {fewest}, or more; found {self.autoscaling.most}")
        if self.autoscaling and self.monitoring is None:
            raise ValueError("autoscaling asks Prometheus: monitoring must name its namespace")
        return self


def read_kubernetes_settings(path: Path) -> KubernetesSettings:
    """The settings in a file.

    Raises:
        UsageError: it is wrong; the message says where.
    """
    return read_yaml(path, KubernetesSettings)
