"""What the manifests are made from: read once, checked whole."""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO

from ruamel.yaml import YAML

from marina.errors import MarinaError, UsageError
from marina.gateway.gateway import Applied
from marina.gateway.place import EVERYWHERE, Address, Place
from marina.gateway.settings import GatewaySettings
from marina.kubernetes.measured import WORKER_MB
from marina.kubernetes.settings import KubernetesSettings
from marina.serving.deployment import DeployedModel, Deployment, Wanted
from marina.store.index import Entry, Index

CALLERS, INTERNAL, RECORDER, EXPORTER = 8000, 8001, 8002, 8003
INFERENCE, MANAGEMENT, METRICS, GRPC = 8080, 8081, 8082, 7070
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class House:
    """A deployment, the archives that it is of, and the cluster that it goes to."""

    deployment: Deployment
    entries: dict[Wanted, Entry]
    gateway: GatewaySettings
    settings: KubernetesSettings

    @property
    def namespace(self) -> str:
        """That everything is in."""
        return self.settings.namespace

    @property
    def index(self) -> Index:
        """Of the store, what is deployed of it: the digests that a pull must find."""
        models: dict[str, dict[str, Entry]] = {}
        for wanted, entry in self.entries.items():
            models.setdefault(wanted.built_as, {})[wanted.name] = entry
        return Index(models=models)

    @property
    def served(self) -> Deployment:
        """What TorchServe has to know of the deployment: a split is the gateway's, and its change restarts no worker."""
        plain = {
            name: DeployedModel(default=one.default, versions=one.versions, of=one.of)
            for name, one in self.deployment.models.items()
        }
        return Deployment(models=plain)

    @property
    def files(self) -> dict[str, str]:
        """What a TorchServe's pod is told: what to serve, and which archives these must be."""
        index = self.index.model_dump_json(indent=1, exclude_none=True)
        return {"deployment.yaml": deployment_file(self.served), "index.json": f"{index}\n"}

    @property
    def workers(self) -> int:
        """Of one TorchServe."""
        return sum(_workers(wanted, entry) for wanted, entry in self.entries.items())

    @property
    def workers_mb(self) -> int:
        """Memory of all workers of one TorchServe, as their builds measured it."""
        return sum(_workers(wanted, entry) * _worker_mb(entry) for wanted, entry in self.entries.items())

    @property
    def archives_mb(self) -> int:
        """Of all archives, on the disk."""
        return -(-sum(entry.size_bytes for entry in self.entries.values()) // MEBIBYTE)

    @property
    def notes(self) -> list[str]:
        """What is taken as it is, and may not be meant: a sentence each."""
        return [
            note
            for wanted, entry in self.entries.items()
            for note in (_unmeasured(wanted, entry), self._narrow(wanted, entry))
            if note
        ]

    def _narrow(self, wanted: Wanted, entry: Entry) -> str | None:
        """Whether gateways let less through than the most pods could work on, a batch in work and one that waits."""
        settings, limit = self.settings, self.deployment.models[wanted.model].limits.in_flight
        pods = settings.autoscaling.most if settings.autoscaling else settings.torchserve.replicas
        batch = wanted.settings.batch_size or entry.serving.batch_size
        could, let = 2 * pods * _workers(wanted, entry) * batch, limit * settings.gateway.replicas
        if let >= could:
            return None
        needed = -(-could // settings.gateway.replicas)
        return (
            f"{wanted}: {settings.gateway.replicas} gateways let {let} requests be in work, {pods} pods could have {could}; "
            f"more are answered with 429: limits: {{in_flight: {needed}}} in the deployment lets them"
        )

    @property
    def applied(self) -> Applied:
        """What the gateway is told: by the same writers as everywhere."""
        server = f"torchserve.{self.namespace}.svc"
        place = Place(
            callers=Address(EVERYWHERE, CALLERS),
            internal=Address(EVERYWHERE, INTERNAL),
            inference=Address(server, INFERENCE),
            management=Address(server, MANAGEMENT),
            grpc=Address(server, GRPC),
            has_replicas=True,
        )
        logged = self.gateway.model_copy(update={"access_log": self.settings.recorder_secret is not None})
        return Applied(self.deployment, place, logged, self.settings.gateway.keys_secret is not None, {})


def house_of(deployment: Deployment, index: Index, gateway: GatewaySettings, settings: KubernetesSettings) -> House:
    """All of it, if it goes together.

    Raises:
        UsageError: the gateway's settings ask for what has another place on a cluster.
        MarinaError: a version was not built.
    """
    if gateway.tls is not None:
        raise UsageError("tls of the gateway: on a cluster TLS ends at your Ingress or Gateway; set tls: null for the export")
    if gateway.keys is not None and settings.gateway.keys_secret is None:
        raise UsageError(
            f"the gateway asks for keys ({gateway.keys}), and gateway.keys_secret of the cluster's settings names no Secret: "
            "without one anyone may ask"
        )
    entries = {}
    for wanted in deployment.versions():
        entry = index.entry(wanted.built_as, wanted.name)
        if entry is None:
            raise MarinaError(
                f"{wanted} is in the deployment and was not built: run scripts/build_mar.py {wanted.spec or wanted.built_as}, "
                "then scripts/push_store.py"
            )
        entries[wanted] = entry
    return House(deployment, entries, gateway, settings)


def deployment_file(deployment: Deployment) -> str:
    """A deployment as its file."""
    models = {
        name: one.model_dump(exclude_defaults=True, exclude={"spec", "versions"})
        | {"versions": {version: given.model_dump(exclude_none=True) if given else {} for version, given in one.versions.items()}}
        for name, one in deployment.models.items()
    }
    written = StringIO()
    yaml = YAML()
    yaml.width = 1000
    yaml.dump({"models": models}, written)
    return written.getvalue()


def _unmeasured(wanted: Wanted, entry: Entry) -> str | None:
    if entry.load is not None:
        return None
    return f"{wanted}: its build measured no memory; a worker is taken to need {WORKER_MB} MiB"


def _workers(wanted: Wanted, entry: Entry) -> int:
    return wanted.settings.workers or entry.serving.workers


def _worker_mb(entry: Entry) -> int:
    return -(-entry.load.memory_bytes // MEBIBYTE) if entry.load else WORKER_MB
