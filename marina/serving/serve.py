"""Serve a deployment on this machine: check, build, start, bring into service, watch, stop."""

from __future__ import annotations

import re
import shlex
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from marina.comparing.live import standing
from marina.comparing.served_recorder import ServedRecorder, ServedRecorderPlan, recorder_of, tell_split
from marina.config.addresses import Listener, listeners
from marina.config.check import check_text, folder_of, require_right
from marina.config.findings import Level
from marina.config.place import this_place
from marina.config.settings import Settings
from marina.console import err, out, step
from marina.errors import MarinaError
from marina.gateway.serving import GatewayPlan, ServedGateway, gateway_of, require_behind
from marina.paths import State, Store
from marina.serving.access import Access
from marina.serving.applied import forget_all
from marina.serving.apply import House, alone, carry_out, look
from marina.serving.deployment import Deployment, Wanted
from marina.serving.differences import Rules
from marina.serving.inference import Inference
from marina.serving.management import Management
from marina.serving.polling import wait_for
from marina.serving.ports import Ports, require_free
from marina.serving.process import TorchServe
from marina.serving.properties import effective_properties
from marina.serving.service import Server
from marina.serving.starting_again import StartsAgain
from marina.serving.watch import Watch
from marina.store.build import ensure, entry_without_spec
from marina.store.index import Entry, verified_archive
from marina.store.samples import sample_of_entry
from marina.store.spec import find_spec, spec_path

START_SECONDS = 90
LOOK_SECONDS = 1.0
EVERYWHERE = "0.0.0.0"  # noqa: S104 - compared with, and listened on only where the person asks
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REASON = re.compile(r"MODEL_LOG(?: - |.*\"message\":\")((?:\w+\.)*\w+(?:Error|Exception): [^\"]*)")
LOOPBACK = "127.0.0.1"


class Stopped(Exception):
    """The person, or the system, asked us to stop."""


@dataclass(frozen=True)
class Plan:
    """What is to be served, and where.

    Attributes:
        restarts: of a TorchServe that ends by itself, within five minutes.
        drain_seconds: that it goes on answering when it is asked to stop.
    """

    deployment: Deployment
    store: Store
    ports: Ports
    address: str | None
    logs: Path
    settings: Settings
    state: State
    gateway: GatewayPlan | None = None
    restarts: int = 0
    drain_seconds: float = 0.0

    @property
    def folder(self) -> Path:
        """Where relative paths of the settings begin."""
        return folder_of(Path(self.settings.file))

    @property
    def recorder(self) -> ServedRecorderPlan | None:
        """What records the gateway's traffic; whoever starts another gateway starts its recorder too."""
        if self.gateway is None or not self.gateway.is_ours:
            return None
        return ServedRecorderPlan(self.state, self.ports.recorder_port, self.gateway.internal_url, self.logs)

    @property
    def certificate(self) -> Path | None:
        """The server's certificate, where it has one."""
        name = self.settings.value("certificate_file")
        return self.folder / name if name else None

    @property
    def asks_for_tokens(self) -> bool:
        """Whether TorchServe wants a token with each request."""
        return not self.settings.says_yes("disable_token_authorization")

    @property
    def summaries(self) -> Path | None:
        """Where handlers note what they answer to requests that the gateway copies."""
        return self.gateway.state.traffic / "summaries" if self.gateway else None

    @property
    def host(self) -> str:
        """Where all ports must be free."""
        if self.address is not None:
            return self.address
        return LOOPBACK if all(one.is_loopback for one in listeners(self.settings)) else EVERYWHERE

    def url(self, api: str) -> str:
        """The address by which this machine reaches an API: ``inference``, ``management`` or ``metrics``."""
        scheme = "https" if self._listener(api).is_encrypted else "http"
        return f"{scheme}://{self.reached(api)}:{getattr(self.ports, f'{api}_port')}"

    def reached(self, api: str) -> str:
        """The host by which this machine reaches an API; also ``grpc_inference``."""
        host = self.address or self._listener(api).host
        return LOOPBACK if host == EVERYWHERE else host

    def _listener(self, api: str) -> Listener:
        """The API's own; that of an address which is none, or of metrics that are not served, is TorchServe's default."""
        found = (one for one in listeners(self.settings) if one.key in (f"{api}_address", f"{api}_port"))
        return next(found, Listener(f"{api}_address", LOOPBACK, 0, is_encrypted=False))


def serve(plan: Plan) -> int:
    """Serve until a signal asks us to stop; returns the exit code.

    Raises:
        MarinaError: something is not as it must be; nothing is left running then.
    """
    properties = _checked_properties(plan)
    if plan.gateway:
        require_behind(plan.settings, plan.gateway.settings)
    require_free(plan.ports, plan.host, with_gateway=plan.recorder is not None)
    entries = _built(plan)
    with (
        _stop_signals() as stopping,
        TorchServe(properties, plan.logs, plan.summaries) as torchserve,
        recorder_of(plan.recorder) as recorder,
        gateway_of(plan.gateway) as gateway,
    ):
        try:
            live = _as_live(plan)
            if gateway:
                gateway.prepare(live)
            server = _in_service(plan, torchserve, stopping)
            if gateway:
                tell_split(plan.state, live)
                if recorder:
                    recorder.start(lambda: _check(torchserve, stopping))
                gateway.start(lambda: _check(torchserve, stopping))
            _show(plan, entries, torchserve)
            _watch(plan, server, torchserve, [one for one in (gateway, recorder) if one], stopping)
        except Stopped:
            step("stopping")
        except MarinaError as error:
            raise _with_reason(error, torchserve) from error
    step("stopped")
    return 0


def _built(plan: Plan) -> dict[Wanted, Entry]:
    """The entries of all wanted versions, built where they are missing, their digests compared."""
    entries = {}
    for wanted in plan.deployment.versions():
        entries[wanted] = _entry(plan, wanted)
        verified_archive(plan.store, entries[wanted])
    return entries


def _entry(plan: Plan, wanted: Wanted) -> Entry:
    taken = None if wanted.spec else entry_without_spec(wanted.built_as, wanted.name, plan.store)
    return taken or ensure(find_spec(wanted.spec or wanted.built_as), wanted.name, plan.store)


def _checked_properties(plan: Plan) -> str:
    """What the server is started with; what is wrong in the person's file is said by its line."""
    text = effective_properties(plan.settings, plan.folder, plan.ports, plan.address, plan.store)
    place = this_place(plan.folder, is_asked=plan.address not in (None, LOOPBACK), look_at_ports=False)
    findings = check_text(text, plan.settings.file, place)
    require_right(findings)
    for finding in findings:
        if finding.level is Level.WARNING:
            step(str(finding))
    _require_reachable(plan)
    return text


def _require_reachable(plan: Plan) -> None:
    """See that we can ask the server that we start."""
    for key in ("inference_address", "management_address"):
        if plan.settings.value(key).lower().startswith("unix:"):
            raise MarinaError(f"{plan.settings.file}: {key}: scripts ask over http or https; found {plan.settings.value(key)}")
    if plan.certificate is None and plan.url("management").startswith("https"):
        raise MarinaError(
            f"{plan.settings.file}: keystore: scripts trust the server by certificate_file: give that and private_key_file"
        )
    for key in ("certificate_file", "private_key_file"):
        name = plan.settings.value(key)
        if name and not (plan.folder / name).is_file():
            raise MarinaError(f"{plan.settings.file}: {key}: {name} is not there: scripts/make_certificate.py makes one")


def _in_service(plan: Plan, torchserve: TorchServe, stopping: threading.Event) -> Server:
    """The server, with all of the deployment READY."""
    server = _start(plan, torchserve, stopping)
    _bring_all_into_service(plan, server, torchserve, stopping)
    return server


def _start(plan: Plan, torchserve: TorchServe, stopping: threading.Event) -> Server:
    access = Access(plan.url("management"), keys=torchserve.keys, pinned=plan.certificate)
    management = Management(access.management, access)

    def answers() -> bool:
        _check(torchserve, stopping)
        return management.answers()

    with err.status("starting TorchServe"):
        if not wait_for(answers, START_SECONDS):
            raise MarinaError(f"TorchServe did not answer within {START_SECONDS} s")
    step("TorchServe answers")
    return Server(management, Inference(plan.url("inference"), access), plan.store)


def _bring_all_into_service(plan: Plan, server: Server, torchserve: TorchServe, stopping: threading.Event) -> None:
    """Apply the deployment to a server that has nothing yet."""
    house = House(server, plan.state, tick=lambda: _check(torchserve, stopping))
    stands = standing(plan.deployment, plan.state)
    with alone(plan.state):
        forget_all(plan.state)
        carry_out(house, stands, look(house, stands, Rules()).steps, tell=lambda _: None)


def _as_live(plan: Plan) -> Deployment:
    """The deployment with the splits that the gateway starts with."""
    stands = standing(plan.deployment, plan.state)
    stands.remember(plan.state)
    for note in stands.notes:
        step(note)
    return stands.deployment


def _watch(
    plan: Plan,
    server: Server,
    torchserve: TorchServe,
    beside: Sequence[ServedGateway | ServedRecorder],
    stopping: threading.Event,
) -> None:
    watch, starts = Watch(server.management), StartsAgain(plan.restarts)
    watch.look()
    while not stopping.wait(LOOK_SECONDS):
        if not torchserve.is_running:
            watch = Watch(_in_service_again(plan, torchserve, starts, stopping).management)
        for change in [*watch.look(), *(change for one in beside for change in one.look())]:
            _tell(change)
    _drain(plan, torchserve)
    raise Stopped


def _drain(plan: Plan, torchserve: TorchServe) -> None:
    """Go on answering, until whoever sends requests has learned that it should not."""
    if plan.drain_seconds:
        step(f"asked to stop: requests are answered for {plan.drain_seconds:g} s more")
        wait_for(lambda: not torchserve.is_running, plan.drain_seconds)


def _in_service_again(plan: Plan, torchserve: TorchServe, starts: StartsAgain, stopping: threading.Event) -> Server:
    """The server, started again as often as it may be; the gateway answers for it meanwhile."""
    why = "TorchServe has ended"
    while True:
        if stopping.wait(starts.take()):
            raise Stopped
        _tell(f"{why}: it is started again")
        try:
            torchserve.start_again()
            return _in_service(plan, torchserve, stopping)
        except MarinaError as error:
            why = str(error)
            torchserve.stop()


def _tell(change: str) -> None:
    step(f"{time.strftime('%H:%M:%S')}  {change}")


def _check(torchserve: TorchServe, stopping: threading.Event) -> None:
    if stopping.is_set():
        raise Stopped
    if not torchserve.is_running:
        raise MarinaError("TorchServe has ended")


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Turn the signals that end a program into an event, so that none of them comes between start and stop."""
    stopping = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in STOP_SIGNALS}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _with_reason(error: MarinaError, torchserve: TorchServe) -> MarinaError:
    """The error, with the first exception that a worker logged, else with the end of the server's log."""
    for line in torchserve.log_tail(lines=10_000, containing="MODEL_LOG"):
        if found := REASON.search(line):
            return MarinaError(f"{error}: {found[1]} (log: {torchserve.logs})")
    return MarinaError("\n".join([f"{error}; the end of its log ({torchserve.logs}):", *torchserve.log_tail()]))


def _show(plan: Plan, entries: dict[Wanted, Entry], torchserve: TorchServe) -> None:
    """Say what is served where, and how to ask it."""
    table = Table("model", "version", "", "runtime", "workers", "accuracy", box=None, pad_edge=False)
    for wanted, entry in entries.items():
        accuracy = f"{entry.accuracy} held-out requests" if entry.accuracy else "not measured"
        if entry.weights.source == "random":
            accuracy = "random weights"
        workers = str(wanted.settings.workers or entry.serving.workers)
        table.add_row(wanted.model, wanted.name, "default" * wanted.is_default, entry.runtime, workers, accuracy)
    first, *rest = entries
    last = rest[-1] if rest else first
    sample, of_last = (_sample_path(plan, wanted, entries[wanted]) for wanted in (first, last))
    out.print(table)
    out.print(_addresses(plan, torchserve), markup=False)
    asking = _asking(plan)
    out.print(
        "Ask it, from another terminal:\n"
        f"  {asking}/predictions/{first.model} -T {sample}\n"
        f"  {asking}/explanations/{last.model}/{last.name} -T {of_last}\n"
        f"  {_curl(plan.certificate if plan.url('metrics').startswith('https') else None)} {plan.url('metrics')}/metrics\n\n"
        "Ctrl-C stops it.",
        markup=False,
    )


def _addresses(plan: Plan, torchserve: TorchServe) -> str:
    tokens = f"tokens      {torchserve.keys}\n" if plan.asks_for_tokens else ""
    gateway = f"gateway     {plan.gateway.url}\n" if plan.gateway else ""
    recorder = f"outcomes    {plan.recorder.url}/outcomes\n" if plan.recorder else ""
    return (
        f"\n{gateway}"
        f"{recorder}"
        f"inference   {plan.url('inference')}\n"
        f"management  {plan.url('management')}\n"
        f"metrics     {plan.url('metrics')}\n"
        f"{tokens}"
        f"logs        {plan.logs}\n"
    )


def _asking(plan: Plan) -> str:
    """The beginning of a call by curl, with what the gateway, or TorchServe without one, asks of callers."""
    if plan.gateway is None:
        trusted = plan.certificate if plan.url("inference").startswith("https") else None
        return f"{_curl(trusted, '$TOKEN' if plan.asks_for_tokens else None)} {plan.url('inference')}"
    return f"{_curl(plan.gateway.certificate, '$KEY' if plan.gateway.asks_for_keys else None)} {plan.gateway.url}"


def _curl(trusted: Path | None, secret: str | None = None) -> str:
    return " ".join(
        [
            "curl",
            *([f"--cacert {shlex.quote(str(trusted))}"] if trusted else []),
            *([f'-H "Authorization: Bearer {secret}"'] if secret else []),
        ]
    )


def _sample_path(plan: Plan, wanted: Wanted, entry: Entry) -> str:
    """The sample beside the spec, or that of an adopted archive; where there is none the archive's own, put beside the logs."""
    known = wanted.spec is not None or spec_path(wanted.built_as).is_file()
    found = find_spec(wanted.spec or wanted.built_as) if known and not entry.is_adopted else None
    if entry.is_adopted:
        path = plan.store.samples / entry.sample.request
    elif found and found.spec.sample:
        path = found.beside(found.spec.sample.request)
    else:
        path = plan.logs / f"{wanted.model}-{wanted.name}-{Path(entry.sample.request).name}"
        path.write_bytes(sample_of_entry(plan.store, entry)[0])
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
