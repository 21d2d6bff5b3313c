"""The gateway as the rest of Marina sees it: what it should do is written, and read back before it is believed."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from marina.comparing.split import Split
from marina.errors import MarinaError
from marina.gateway.arms import Arm
from marina.gateway.bootstrap import bootstrap
from marina.gateway.clusters import clusters, stat_name
from marina.gateway.files import Files, locked, write_whole
from marina.gateway.listeners import listeners
from marina.gateway.messages import Message, typed
from marina.gateway.place import Address, Place
from marina.gateway.process import LOG
from marina.gateway.routes import arm_routes, caller_routes
from marina.gateway.settings import GatewaySettings
from marina.gateway.stats import Stats
from marina.paths import State
from marina.serving.deployment import Deployment
from marina.serving.polling import wait_for

ROUTES = "envoy.config.route.v3.RouteConfiguration"
TAKE_SECONDS = 10
LOOK_SECONDS = 0.002
FIGURES = {
    "clusters": "cluster_manager.cds",
    "listeners": "listener_manager.lds",
    "arms": "http.arms.rds.arms",
    "routes": "http.callers.rds.callers",
}


@dataclass(frozen=True)
class ArmStats:
    """What was seen of requests that were assigned to an arm, since the gateway's start.

    Attributes:
        requests: answered, by whichever arm.
        first_statuses: by what the assigned arm said first; 429 where it had too many in work.
        latency_buckets_ms: how many were answered within so many milliseconds.
    """

    requests: int
    first_statuses: dict[int, int]
    latency_buckets_ms: dict[float, int]

    @property
    def errors(self) -> int:
        """Requests that the arm itself failed (5xx), also where another answered them."""
        return sum(count for status, count in self.first_statuses.items() if status >= 500)


@dataclass(frozen=True)
class Applied:
    """What a gateway was told last."""

    deployment: Deployment
    place: Place
    settings: GatewaySettings
    versions: dict[str, str]

    def messages(self) -> dict[str, list[Message]]:
        """Everything of it that Envoy is told, in the order in which it must hear it."""
        return {
            "clusters": clusters(self.deployment, self.place),
            "listeners": listeners(self.place, self.settings),
            "arms": [typed(ROUTES, **arm_routes(self.deployment))],
            "routes": [typed(ROUTES, **caller_routes(self.deployment, self.settings))],
        }


class Gateway:
    """The gateway of a state folder."""

    def __init__(self, state: State, internal_address: str) -> None:
        """Nothing is asked yet.

        Args:
            state: whose ``gateway`` folder Envoy runs on.
            internal_address: of its internal listener, such as http://127.0.0.1:8001.
        """
        self._files = Files(state.gateway)
        self.stats = Stats(internal_address)

    def write(self, deployment: Deployment, place: Place, settings: GatewaySettings) -> None:
        """Write everything, for an Envoy that is not running yet."""
        with locked(self._files):
            write_whole(self._files.bootstrap, bootstrap())
            told = Applied(deployment, place, settings, {})
            self._remember(told, {kind: self._files.discover(kind, messages) for kind, messages in told.messages().items()})

    def wait_until_taken(self) -> None:
        """Wait until Envoy has taken all that was written.

        Raises:
            MarinaError: it rejected something; the message has its reason.
        """
        for kind, version in self._applied().versions.items():
            self._read_back(kind, version, rejected=0)

    def apply(self, deployment: Deployment) -> None:
        """Make a running Envoy follow a deployment; requests on their way are not disturbed.

        Raises:
            MarinaError: it does not answer, or rejects it; it goes on as before then.
        """
        with locked(self._files):
            self._change(deployment)

    def set_split(self, model: str, split: Split) -> None:
        """Change what share of a model's requests each arm gets, and nothing else.

        Raises:
            MarinaError: Envoy does not answer, rejects it, or does not know the model; it goes on as before then.
        """
        with locked(self._files):
            before = self._applied().deployment
            if model not in before.models:
                raise MarinaError(f"the gateway knows no model '{model}'; known: {', '.join(before.models)}")
            changed = before.models[model].model_copy(update={"split": split})
            self._change(before.model_copy(update={"models": before.models | {model: changed}}))

    def splits(self) -> dict[str, Split]:
        """The splits that Envoy has taken, by model.

        Raises:
            MarinaError: it does not answer, or has not taken what was written last.
        """
        applied = self._applied()
        taken = self._figure("routes", "version_text")
        if taken != applied.versions.get("routes"):
            raise MarinaError("the gateway has not taken the split that was written last; its log has the reason")
        return {model: one.split for model, one in applied.deployment.models.items() if one.split}

    def arms(self, model: str) -> dict[str, ArmStats]:
        """What was seen of each arm of a model's split, by version."""
        deployed = self._applied().deployment.models.get(model)
        versions = deployed.split.weights if deployed and deployed.split else {}
        return {version: self._arm(Arm(model, version)) for version in versions}

    def _arm(self, arm: Arm) -> ArmStats:
        name = f"cluster.{stat_name(arm.cluster)}"
        counted = self.stats.texts(rf"^{re.escape(name)}\.(retry\.upstream_rq_\d\d\d|upstream_rq_(\d\d\d|retry_success))$")
        final = {int(key[-3:]): int(count) for key, count in counted.items() if re.fullmatch(r".*\.upstream_rq_\d{3}", key)}
        retried = sum(int(count) for key, count in counted.items() if ".retry." in key)
        return ArmStats(sum(final.values()), final | {503: retried}, {})

    def _change(self, deployment: Deployment) -> None:
        """Tell Envoy what is new, in an order in which no route ever names a cluster that is not there."""
        before = self._applied()
        after = Applied(deployment, before.place, before.settings, {})
        old, new = before.messages(), after.messages()
        self.stats.texts("^server.state$")
        versions = dict(before.versions)
        try:
            if new["clusters"] != old["clusters"]:
                names = {one["name"] for one in new["clusters"]}
                left = [one for one in old["clusters"] if one["name"] not in names]
                versions["clusters"] = self._told("clusters", [*new["clusters"], *left])
            for kind in ("listeners", "arms", "routes"):
                if new[kind] != old[kind]:
                    versions[kind] = self._told(kind, new[kind])
            if new["clusters"] != old["clusters"]:
                versions["clusters"] = self._told("clusters", new["clusters"])
        except MarinaError:
            self._remember(before, {kind: self._files.discover(kind, messages) for kind, messages in old.items()})
            raise
        self._remember(after, versions)

    def _told(self, kind: str, messages: list[Message]) -> str:
        """Replace what Envoy has of a kind, and see that it takes it."""
        rejected = int(self._figure(kind, "update_rejected"))
        version = self._files.discover(kind, messages)
        self._read_back(kind, version, rejected)
        return version

    def _read_back(self, kind: str, version: str, rejected: int) -> None:
        def settled() -> str | None:
            if int(self._figure(kind, "update_rejected")) > rejected:
                return "rejected"
            return "taken" if self._figure(kind, "version_text") == version else None

        outcome = wait_for(settled, TAKE_SECONDS, LOOK_SECONDS)
        if outcome == "rejected":
            raise MarinaError(f"the gateway rejected its {kind}: {self._reason()}")
        if outcome is None:
            raise MarinaError(f"the gateway did not take its {kind} within {TAKE_SECONDS} s; its log: {self._files.folder / LOG}")

    def _figure(self, kind: str, name: str) -> str:
        wanted = f"{FIGURES[kind]}.{name}"
        return self.stats.texts(f"^{re.escape(wanted)}$").get(wanted, "0")

    def _reason(self) -> str:
        """Envoy's own words, from its log."""
        try:
            lines = (self._files.folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "its log has the reason"
        found = [line.split("rejected: ", 1)[1] for line in lines if "config update rejected: " in line]
        return found[-1] if found else "its log has the reason"

    def _applied(self) -> Applied:
        try:
            content = json.loads(self._files.applied.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise MarinaError(f"{self._files.folder} has no gateway: start one with make serve") from error
        place = Place(**{name: Address(**one) for name, one in content["place"].items()})
        return Applied(
            Deployment.model_validate(content["deployment"]),
            place,
            GatewaySettings.model_validate(content["settings"]),
            content["versions"],
        )

    def _remember(self, applied: Applied, versions: dict[str, str]) -> None:
        content: dict[str, Any] = {
            "deployment": applied.deployment.model_dump(),
            "place": asdict(applied.place),
            "settings": applied.settings.model_dump(),
            "versions": versions,
        }
        write_whole(self._files.applied, content)
