"""The gateway as the rest of Marina sees it: what it should do is written, and read back before it is believed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

from marina import paths
from marina.comparing.split import Shadow, Split
from marina.errors import MarinaError
from marina.gateway.arms import Arm, all_arms
from marina.gateway.bootstrap import bootstrap
from marina.gateway.clusters import clusters, stat_name
from marina.gateway.files import Files, write_json
from marina.gateway.keys import Key, key_filter
from marina.gateway.listeners import listeners
from marina.gateway.messages import Message, typed
from marina.gateway.place import Address, Place
from marina.gateway.process import LOG
from marina.gateway.routes import arm_routes, caller_routes, internal_routes
from marina.gateway.settings import GatewaySettings
from marina.gateway.stats import Stats
from marina.gateway.tls import PAIR, secret
from marina.paths import State
from marina.remembering import changing
from marina.serving.deployment import Deployment
from marina.serving.polling import wait_for

ROUTES = "envoy.config.route.v3.RouteConfiguration"
TAKE_SECONDS = 10
LOOK_SECONDS = 0.002
REASON_CHARACTERS = 400
FIGURES = {
    "clusters": "cluster_manager.cds",
    "listeners": "listener_manager.lds",
    "arms": "http.arms.rds.arms",
    "internal": "http.internal.rds.internal",
    "callers": "http.callers.rds.callers",
    "keys": "extension_config_discovery.http_filter.keys",
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
    asks_for_keys: bool
    versions: dict[str, str]

    def messages(self) -> dict[str, list[Message]]:
        """Everything of it that Envoy is told, in the order in which it must hear it."""
        return {
            "clusters": clusters(self.deployment, self.place),
            "listeners": listeners(self.place, self.settings, self.deployment.models, asks_for_keys=self.asks_for_keys),
            "arms": [typed(ROUTES, **arm_routes(self.deployment, self.place))],
            "internal": [typed(ROUTES, **internal_routes(self.deployment, self.place))],
            "callers": [typed(ROUTES, **caller_routes(self.deployment, self.settings, self.place))],
        }

    def remembered(self, versions: Mapping[str, str]) -> dict[str, Any]:
        """It as the file of what was applied has it."""
        return {
            "deployment": self.deployment.model_dump(),
            "place": asdict(self.place),
            "settings": self.settings.model_dump(),
            "asks_for_keys": self.asks_for_keys,
            "versions": dict(versions),
        }


class Gateway:
    """The gateway of a state folder."""

    def __init__(self, state: State, internal_address: str | None = None) -> None:
        """Nothing is asked yet.

        Args:
            state: whose ``gateway`` folder Envoy runs on.
            internal_address: of its internal listener, such as http://127.0.0.1:8001; where its files say, if it is not given.
        """
        self._files = Files(state.gateway)
        self._address = internal_address

    @cached_property
    def stats(self) -> Stats:
        """Its figures.

        Raises:
            MarinaError: no address was given, and the state has no gateway.
        """
        return Stats(self._address or f"http://{self._applied().place.internal}")

    def write(self, deployment: Deployment, place: Place, settings: GatewaySettings, keys: Sequence[Key] = ()) -> None:
        """Write everything, for an Envoy that is not running yet.

        Raises:
            UsageError: a certificate is not there.
            MarinaError: the folder cannot be written.
        """
        with changing(self._files.applied):
            write_json(self._files.bootstrap, bootstrap())
            if keys:
                self._files.discover("keys", [key_filter(list(keys))])
            if settings.tls:
                self._files.discover(PAIR, [secret(settings.tls, paths.ROOT)])
            told = Applied(deployment, place, settings, bool(keys), {})
            self._remember(told, {kind: self._files.discover(kind, messages) for kind, messages in told.messages().items()})

    def set_keys(self, keys: Sequence[Key]) -> None:
        """Replace the callers' keys; connections stay, and the next request of each is asked for a new key.

        Raises:
            MarinaError: Envoy does not answer, or does not take them.
        """
        with changing(self._files.applied):
            rejected = int(self._figure("keys", "update_rejected"))
            self._read_back("keys", self._files.discover("keys", [key_filter(list(keys))]), rejected)

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
        with changing(self._files.applied):
            self._change(deployment)

    def set_split(self, model: str, split: Split) -> None:
        """Change what share of a model's requests each arm gets, and nothing else.

        Raises:
            MarinaError: Envoy does not answer, rejects it, or does not know the model; it goes on as before then.
        """
        self._set(model, split=split)

    def set_split_and_shadow(self, model: str, split: Split, shadow: Shadow | None) -> None:
        """Change a model's split, and which version gets copies, in one.

        Raises:
            MarinaError: as ``set_split``.
        """
        self._set(model, split=split, shadow=shadow)

    def _set(self, model: str, **parts: Split | Shadow | None) -> None:
        with changing(self._files.applied):
            before = self._applied().deployment
            if model not in before.models:
                raise MarinaError(f"the gateway knows no model '{model}'; known: {', '.join(before.models)}")
            changed = before.models[model].model_copy(update=parts)
            self._change(before.model_copy(update={"models": before.models | {model: changed}}))

    def splits(self) -> dict[str, Split]:
        """The splits that Envoy has taken, by model.

        Raises:
            MarinaError: it does not answer, or has not taken what was written last.
        """
        with changing(self._files.applied):
            applied = self._applied()
            if not self._has("callers", applied.versions):
                raise MarinaError(
                    "the gateway has not taken the split that was written last (its log has the reason): run "
                    "scripts/apply_deployment.py"
                )
        return {model: one.split for model, one in applied.deployment.models.items() if one.split}

    def deployment(self) -> Deployment:
        """What it was told last.

        Raises:
            MarinaError: nothing was told yet.
        """
        return self._applied().deployment

    def has_replicas(self) -> bool:
        """Whether several TorchServes stand behind it.

        Raises:
            MarinaError: nothing was told yet.
        """
        return self._applied().place.has_replicas

    def in_flight(self, model: str, version: str) -> int:
        """How many requests a version of a split works on now.

        Raises:
            MarinaError: it does not answer.
        """
        name = f"cluster.{stat_name(Arm(model, version).only)}.upstream_rq_active"
        return int(self.stats.texts(f"^{re.escape(name)}$").get(name, "0"))

    def arms(self, model: str) -> dict[str, ArmStats]:
        """What was seen of each arm of a model's split, by version."""
        deployed = self._applied().deployment.models.get(model)
        versions = deployed.split.weights if deployed and deployed.split else {}
        return {version: self._arm(Arm(model, version)) for version in versions}

    def _arm(self, arm: Arm) -> ArmStats:
        name = re.escape(f"cluster.{stat_name(arm.cluster)}")
        counted = self.stats.texts(rf"^{name}(\.upstream_rq_(\d\d\d|retry_success)|/only\.upstream_rq_active_overflow)$")
        figures = {key.rpartition(".")[2]: int(count) for key, count in counted.items()}
        times = self.stats.histograms(rf"^{name}\.upstream_rq_time$")
        buckets = {float(one["upper_bound"]): int(one["cumulative"]) for one in times[0]["buckets"]} if times else {}
        return ArmStats(_answered(figures), _first(figures), buckets)

    def _change(self, deployment: Deployment) -> None:
        """Tell Envoy what is new, in an order in which no route ever names a cluster, or an arm, that is not there."""
        before = self._applied()
        after = Applied(deployment, before.place, before.settings, before.asks_for_keys, {})
        old, new = before.messages(), after.messages()
        self.stats.texts("^server.state$")
        versions = dict(before.versions)
        differ = {kind for kind in new if new[kind] != old[kind] or not self._has(kind, versions)}
        try:
            if "clusters" in differ:
                names = {one["name"] for one in new["clusters"]}
                left = [one for one in old["clusters"] if one["name"] not in names]
                versions["clusters"] = self._told("clusters", [*new["clusters"], *left])
            if "arms" in differ:
                versions["arms"] = self._told("arms", [_both(old["arms"][0], new["arms"][0])])
            for kind in ("listeners", "internal", "callers"):
                if kind in differ:
                    versions[kind] = self._told(kind, new[kind])
            if "arms" in differ:
                self._drain(before.deployment, deployment)
                versions["arms"] = self._told("arms", new["arms"])
            if "clusters" in differ:
                versions["clusters"] = self._told("clusters", new["clusters"])
        except MarinaError:
            self._remember(before, {kind: self._files.discover(kind, messages) for kind, messages in old.items()})
            raise
        self._remember(after, versions)

    def _has(self, kind: str, versions: dict[str, str]) -> bool:
        """Whether Envoy has what is remembered: not where whoever told it something else was killed before remembering."""
        return self._figure(kind, "version_text") == versions.get(kind)

    def _drain(self, before: Deployment, after: Deployment) -> None:
        """Let arms that leave a split answer what was given to them."""
        left = set(all_arms(before)) - set(all_arms(after))
        wait_for(lambda: not any(self.in_flight(arm.model, arm.version) for arm in left), TAKE_SECONDS, LOOK_SECONDS)

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
        """Envoy's own words, from the end of its log."""
        try:
            text = (self._files.folder / LOG).read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        said = text.rpartition("config update rejected: ")[2].split("\n[")[0]
        reason = said.rpartition("\n: ")[2]  # behind all that it was told
        return " ".join(reason.split())[-REASON_CHARACTERS:] or "its log has the reason"

    def _applied(self) -> Applied:
        try:
            return _read_applied(json.loads(self._files.applied.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise MarinaError(f"{self._files.folder} has no gateway: start one with make serve") from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise MarinaError(f"{self._files.applied}: is not what was written there; mend it, or remove it") from error

    def _remember(self, applied: Applied, versions: dict[str, str]) -> None:
        write_json(self._files.applied, applied.remembered(versions))


def _read_applied(content: Any) -> Applied:
    addresses = {name: Address(**one) for name, one in content["place"].items() if isinstance(one, dict)}
    place = Place(**{**content["place"], **addresses})
    settings = GatewaySettings.model_validate(content["settings"])
    return Applied(
        Deployment.model_validate(content["deployment"]), place, settings, content["asks_for_keys"], content["versions"]
    )


def _both(old: Message, new: Message) -> Message:
    """Routes by which the arms of before and those of now are reached."""
    names = {host["name"] for host in new["virtual_hosts"]}
    return new | {"virtual_hosts": [*new["virtual_hosts"], *(one for one in old["virtual_hosts"] if one["name"] not in names)]}


def _answered(figures: dict[str, int]) -> int:
    return sum(count for name, count in figures.items() if re.fullmatch(r"upstream_rq_\d{3}", name))


def _first(figures: dict[str, int]) -> dict[int, int]:
    """What the arm itself said: 503 where another answered for it, 429 for what Envoy counts as 503 and never sent."""
    found = {int(name[-3:]): count for name, count in figures.items() if re.fullmatch(r"upstream_rq_\d{3}", name)}
    asked_others, full = figures.get("upstream_rq_retry_success", 0), figures.get("upstream_rq_active_overflow", 0)
    changes = {
        HTTPStatus.OK: -asked_others,
        HTTPStatus.SERVICE_UNAVAILABLE: asked_others - full,
        HTTPStatus.TOO_MANY_REQUESTS: full,
    }
    for status, change in changes.items():
        found[status] = found.get(status, 0) + change
    return {status: count for status, count in sorted(found.items()) if count > 0}
