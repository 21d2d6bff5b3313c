"""The gateway's pods: Envoy on the files that the gateway's own writers make, and where it is asked for the recorder."""

from __future__ import annotations

from marina.gateway.written import APPLIED, BOOTSTRAP, applied_file, bootstrap_file, watched_files
from marina.kubernetes.house import CALLERS, EXPORTER, INTERNAL, RECORDER, House, deployment_file
from marina.kubernetes.measured import ENVOY_MB, EXPORTER_MB, RECORDER_MB
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

COMPONENT, OBSERVER = "gateway", "exporter"
FILES, GATEWAY, TRAFFIC = "/files", "/state/gateway", "/state/traffic"
END_SECONDS = 15
RECORDER_STAYS = 5  # seconds that it reads on after Envoy has ended
STATE_MB, LOG_MB = 16, 512
TELL_CALLERS = (
    "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'POST /healthcheck/fail HTTP/1.1\\r\\nHost: gateway\\r\\nContent-Length: 0\\r\\n"
    "Connection: close\\r\\n\\r\\n' >&3; cat <&3 >/dev/null; sleep {seconds}"
)


def gateway(house: House) -> list[Manifest]:
    """Its files, pods, names and budget. What it watches changes in place: no pod is restarted by a new split."""
    space, recorded = house.namespace, house.settings.recorder_secret is not None
    watched = config_map("gateway", space, COMPONENT, watched_files(house.applied))
    start = config_map("gateway-start", space, COMPONENT, {BOOTSTRAP: bootstrap_file()}, immutable=True)
    found = [
        watched,
        start,
        deployment(space, COMPONENT, house.settings.gateway.replicas, _pod(house, start["metadata"]["name"])),
        service("gateway", space, COMPONENT, {"http": (80, CALLERS)}, headless=False),
        service("gateway-internal", space, COMPONENT, {"internal": INTERNAL}, headless=False),
        disruption_budget(space, COMPONENT),
    ]
    return [*found, service("recorder", space, COMPONENT, {"recorder": RECORDER}, headless=False)] if recorded else found


def observer(house: House) -> list[Manifest]:
    """Tells Prometheus of the split that a gateway has taken, and of what callers are promised; once, whatever is replicated."""
    files = {"deployment.yaml": deployment_file(house.deployment), APPLIED: applied_file(house.applied)}
    written = config_map(OBSERVER, house.namespace, OBSERVER, files, immutable=True)
    asked = f"http://gateway-internal:{INTERNAL}"
    command = ["python", "scripts/export_metrics.py", "--deployment", f"{FILES}/deployment.yaml", "--management", asked]
    reads = container(
        OBSERVER,
        house.settings.image,
        [*command, "--gateway", asked, "--state", "/state", "--address", "0.0.0.0"],  # noqa: S104 - guarded by the network policy
        ports=listens(exporter=EXPORTER),
        readinessProbe=probe("/metrics", EXPORTER, 10, 3),
        livenessProbe=probe("/metrics", EXPORTER, 10, 12),
        resources=resources("50m", EXPORTER_MB, limit_mb=EXPORTER_MB * 2),
        volumeMounts=[
            mount("files", FILES, readOnly=True),
            mount("state", GATEWAY),
            mount("files", f"{GATEWAY}/{APPLIED}", subPath=APPLIED, readOnly=True),
        ],
    )
    volumes = [{"name": "files", "configMap": {"name": written["metadata"]["name"]}}, empty("state", STATE_MB)]
    return [
        written,
        deployment(house.namespace, OBSERVER, 1, pod(OBSERVER, {}, 30, containers=[reads], volumes=volumes)),
        service(OBSERVER, house.namespace, OBSERVER, {"exporter": EXPORTER}, headless=False),
    ]


def _pod(house: House, start: str) -> Manifest:
    settings, secret = house.settings.gateway, house.settings.recorder_secret
    keys = [{"secret": {"name": settings.keys_secret}}] if settings.keys_secret else []
    recorder = [_recorder(house)] if secret else []
    kept = [{"name": "recorder", "secret": {"secretName": secret}}, empty("recorder-tmp", STATE_MB)] if secret else []
    return pod(
        COMPONENT,
        {},
        settings.drain_seconds + RECORDER_STAYS + END_SECONDS,
        containers=[_envoy(house), *recorder],
        volumes=[
            {"name": "watched", "projected": {"sources": [{"configMap": {"name": "gateway"}}, *keys]}},
            {"name": "start", "configMap": {"name": start}},
            empty("state", STATE_MB),
            empty("traffic", LOG_MB),
            *kept,
        ],
    )


def _envoy(house: House) -> Manifest:
    command = ["envoy", "-c", f"{FILES}/{BOOTSTRAP}", "--disable-hot-restart", "--log-level", "warning"]
    drain = TELL_CALLERS.format(port=INTERNAL, seconds=house.settings.gateway.drain_seconds)
    return container(
        "envoy",
        house.settings.gateway_image,
        [*command, "--file-flush-interval-msec", "500"],
        workingDir=GATEWAY,
        ports=listens(http=CALLERS, internal=INTERNAL),
        # Asked by nobody before each model can answer; later one model that cannot must not take the others with it.
        startupProbe=probe("/ready", CALLERS, 2, house.settings.torchserve.start_seconds // 2),
        readinessProbe=probe("/healthz", CALLERS, 5, 2),
        livenessProbe=probe("/healthz", CALLERS, 10, 6),
        lifecycle={"preStop": {"exec": {"command": ["bash", "-c", drain]}}},
        resources=resources("500m", ENVOY_MB, limit_mb=ENVOY_MB * 4),
        volumeMounts=[
            mount("start", FILES, readOnly=True),
            mount("state", GATEWAY),
            mount("watched", f"{GATEWAY}/watched", readOnly=True),
            mount("traffic", TRAFFIC),
        ],
    )


def _recorder(house: House) -> Manifest:
    """Reads its own gateway's log; all write into one PostgreSQL, with one salt. It ends after Envoy has."""
    command = ["python", "scripts/record_traffic.py", "--address", "0.0.0.0", "--key-file", "/recorder/outcomes.key"]  # noqa: S104
    database = {"secretKeyRef": {"name": house.settings.recorder_secret, "key": "database"}}
    return container(
        "recorder",
        house.settings.image,
        [*command, "--gateway", f"http://127.0.0.1:{INTERNAL}", "--state", "/state"],
        env=[{"name": "TRAFFIC_DATABASE", "valueFrom": database}, {"name": "HOME", "value": "/tmp"}],  # noqa: S108
        ports=listens(recorder=RECORDER),
        readinessProbe=probe("/metrics", RECORDER, 10, 3),  # not /healthz: without the database callers are answered all the same
        livenessProbe=probe("/metrics", RECORDER, 10, 12),
        lifecycle=waits(house.settings.gateway.drain_seconds + RECORDER_STAYS),
        resources=resources("200m", RECORDER_MB, limit_mb=RECORDER_MB * 2),
        volumeMounts=[
            mount("traffic", TRAFFIC),
            mount("recorder", f"{TRAFFIC}/salt", subPath="salt", readOnly=True),
            mount("recorder", "/recorder", readOnly=True),
            mount("recorder-tmp", "/tmp"),  # noqa: S108
        ],
    )
