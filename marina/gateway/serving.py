"""The gateway as a part of ``make serve``: checked before, started behind TorchServe, watched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from marina import paths
from marina.config.settings import Settings
from marina.console import step
from marina.errors import MarinaError, UsageError
from marina.gateway.closing import close
from marina.gateway.gateway import Gateway
from marina.gateway.keys import GIVEN, Key, read_keys
from marina.gateway.place import Place
from marina.gateway.process import Envoy
from marina.gateway.settings import GatewaySettings
from marina.paths import State
from marina.serving.deployment import Deployment
from marina.serving.polling import wait_for

START_SECONDS = 30
CLOSE_SECONDS = 10
LOOK_SECONDS = 0.05
MAX_REQUEST = 6_553_500  # TorchServe's default


@dataclass(frozen=True)
class GatewayPlan:
    """A gateway that is to be started, or one that something else starts on the same files, such as a container.

    Attributes:
        keys_file: of the callers' keys, where there is one.
        is_ours: whether we start it, and stop it.
    """

    state: State
    settings: GatewaySettings
    place: Place
    keys_file: Path | None = None
    is_ours: bool = True

    @property
    def url(self) -> str:
        """Where callers on this machine ask."""
        return f"{'https' if self.settings.tls else 'http'}://{self.place.callers.from_here}"

    @property
    def certificate(self) -> Path | None:
        """By which callers know it, where they speak TLS."""
        return paths.ROOT / self.settings.tls.certificate if self.settings.tls else None

    @property
    def asks_for_keys(self) -> bool:
        """Whether callers need a key."""
        return self.keys_file is not None or bool(os.environ.get(GIVEN))

    @property
    def internal_url(self) -> str:
        """Where we ask."""
        return f"http://{self.place.internal}"


class ServedGateway:
    """A gateway that runs beside TorchServe; one that dies is started again, with the same files."""

    def __init__(self, plan: GatewayPlan) -> None:
        """Nothing runs yet."""
        self._plan = plan
        self._gateway = Gateway(plan.state, plan.internal_url)
        self._envoy = Envoy(plan.state)
        self._keys: list[Key] = []  # those that it has; none where anyone may ask

    def prepare(self, deployment: Deployment) -> None:
        """Write its files: one that runs already takes them at once.

        Args:
            deployment: whose splits it starts with.

        Raises:
            MarinaError: they cannot be written, or the keys are none.
        """
        self._keys = self._read_keys()
        self._gateway.write(deployment, self._plan.place, self._plan.settings, self._keys)

    def start(self, tick: Callable[[], None]) -> None:
        """Start it where it is ours, and see that it has taken its files.

        Args:
            tick: called at each look; what it raises ends the wait.

        Raises:
            MarinaError: it does not start, or rejects something; the message has its reason.
        """
        if self._plan.is_ours:
            self._run(tick)
        elif self._gateway.stats.answers():
            self._gateway.wait_until_taken()
        else:
            step(f"no gateway answers at {self._plan.internal_url} yet; it will find its files in {self._plan.state.gateway}")
            return
        step("the gateway answers")

    def look(self) -> list[str]:
        """Start it again where it has ended, and take changed keys; a sentence for each.

        Raises:
            MarinaError: it does not start again.
        """
        if self._plan.is_ours and not self._envoy.is_running:
            self.stop()
            self._run(lambda: None)
            return [f"the gateway was lost, and runs again (pid {self._envoy.pid})"]
        try:
            return self._take_keys()
        except MarinaError as error:
            return [f"the gateway keeps its keys: {error}"]

    def _take_keys(self) -> list[str]:
        keys = self._read_keys() if self._keys else []
        if keys == self._keys:
            return []
        self._gateway.set_keys(keys)
        self._keys = keys
        return [f"the gateway takes the keys of {', '.join(dict.fromkeys(key.name for key in keys))}"]

    def _read_keys(self) -> list[Key]:
        return read_keys(self._plan.keys_file, os.environ)

    def stop(self) -> None:
        """Stop it where it is ours, when callers have their answers; another answers 503 until a server is back."""
        if self._envoy.is_running:
            self._close()
        self._envoy.stop()

    def _close(self) -> None:
        try:
            if not close(self._gateway.stats, CLOSE_SECONDS):
                step(f"requests that were not answered within {CLOSE_SECONDS} s are cut off")
        except MarinaError as error:
            step(f"the gateway ends without waiting for its answers: {error}")

    def _run(self, tick: Callable[[], None]) -> None:
        self._envoy.__enter__()

        def answers() -> bool:
            tick()
            if not self._envoy.is_running:
                raise MarinaError("\n".join(["the gateway did not start; the end of its log:", *self._envoy.log_tail()]))
            return self._gateway.stats.answers()

        if not wait_for(answers, START_SECONDS, LOOK_SECONDS):
            raise MarinaError("\n".join([f"the gateway did not answer within {START_SECONDS} s:", *self._envoy.log_tail()]))
        self._gateway.wait_until_taken()
        if not wait_for(self._gateway.stats.is_ready, START_SECONDS, LOOK_SECONDS):
            raise MarinaError(f"the gateway saw no READY workers within {START_SECONDS} s")


@contextmanager
def gateway_of(plan: GatewayPlan | None) -> Iterator[ServedGateway | None]:
    """The gateway of a plan, stopped at the end."""
    if plan is None:
        yield None
        return
    gateway = ServedGateway(plan)
    try:
        yield gateway
    finally:
        gateway.stop()


def require_behind(settings: Settings, gateway: GatewaySettings) -> None:
    """See that a TorchServe can stand behind a gateway.

    Raises:
        UsageError: it asks for tokens or TLS, or takes less than the gateway lets through.
    """
    if not settings.says_yes("disable_token_authorization"):
        raise UsageError(
            f"{settings.file}: TorchServe's tokens are on, which change at each start, so that a gateway cannot send them: "
            "set disable_token_authorization=true and give callers keys at the gateway, or serve without one by --no-gateway"
        )
    if settings.value("inference_address").lower().startswith("https"):
        raise UsageError(
            f"{settings.file}: inference_address: the gateway asks TorchServe by http; found https: "
            "give callers TLS at the gateway (tls in config/gateway/gateway.yaml), or serve without one by --no-gateway"
        )
    limit = int(settings.value("max_request_size") or MAX_REQUEST)
    if gateway.body_limit_bytes >= limit:
        raise UsageError(
            f"body_limit_bytes of the gateway must be below max_request_size of {settings.file}, {limit}; "
            f"found {gateway.body_limit_bytes}"
        )
