"""What is made for Kubernetes of the deployment: taken by its schemas and by its strictest profile, and nothing left open."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from manifests import BUILT, FOLDER, SETTINGS, VARIANTS, a_house, containers, manifests, named, pods
from ruamel.yaml import YAML
from scripts_of_ours import call_script, load_file, run_script

from marina import paths
from marina.comparing.split import Limits
from marina.kubernetes.network import NAMESPACE
from marina.kubernetes.objects import Manifest
from marina.kubernetes.rendering import as_yaml, rendered, rendered_for_kserve
from marina.kubernetes.scaling import busy_ratio, queue_seconds
from marina.serving.deployment import DeployedVersion, Deployment, read_deployment

VERSIONS = ["1.30", "1.37"]
CUSTOM = {"ScaledObject", "ServiceMonitor", "PrometheusRule", "ServingRuntime", "InferenceService"}
EXPECTED = FOLDER / "expected"
PORTS = {8000, 8001, 8002, 8003, 8080, 8081, 8082, 7070}

every_variant = pytest.mark.parametrize("variant", VARIANTS)


def changed(**model: Any) -> Deployment:
    """The repository's deployment, with other settings of digits."""
    before = read_deployment(paths.DEPLOYMENT)
    return before.model_copy(update={"models": {"digits": before.models["digits"].model_copy(update=model)}})


@every_variant
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(variant: str, version: str) -> None:
    """Of the oldest and the newest version that the docs name, no key unknown; kinds of operators have no schema there."""
    found = manifests(variant)
    for one in found:
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, version, strict=True)
    assert {"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "Namespace"} <= {one["kind"] for one in found}


def test_the_manifests_are_those_that_were_looked_at() -> None:
    """tests/kubernetes/expected has them, read by people; UPDATE=1 writes them anew. What others test is left out of it."""
    house = a_house()
    for name, found in {**rendered(house), **rendered_for_kserve(house)}.items():
        text = as_yaml(_abridged(one) for one in found)
        if os.environ.get("UPDATE") == "1":
            EXPECTED.mkdir(exist_ok=True)
            (EXPECTED / name).write_text(text)
        assert text == (EXPECTED / name).read_text(), name


@every_variant
def test_pods_are_as_the_profile_restricted_wants_them(variant: str) -> None:
    """Each rule of the Pod Security Standards' strictest profile, and a root file system that cannot be written."""
    for name, template in pods(manifests(variant)):
        spec = template["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim"}, name
        for container in containers(template):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "privileged" not in security
            assert all("hostPort" not in port for port in container.get("ports", []))
        if name != "kserve":  # there it is the InferenceService that says so
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["runAsUser"] > 0
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert spec["automountServiceAccountToken"] is False
    service = named(manifests(variant), "InferenceService", "digits")["spec"]["predictor"]
    assert service["securityContext"]["runAsNonRoot"] is True
    assert service["automountServiceAccountToken"] is False


@every_variant
def test_every_container_says_what_it_needs_and_is_looked_at(variant: str) -> None:
    """Requests, a limit of memory, and where it stays a readiness that is not TorchServe's /ping; no image is :latest."""
    for name, template in pods(manifests(variant)):
        for container in containers(template):
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            assert re.search(r":v?\d", container["image"]), container["image"]
            if container in template["spec"]["containers"]:
                assert "readinessProbe" in container, (name, container["name"])
            assert "/ping" not in json.dumps(container)


@every_variant
def test_what_is_named_is_there(variant: str) -> None:
    """Selectors find pods, services lead to ports that are listened on, volumes are of files that exist."""
    found = manifests(variant)
    known = {one["metadata"]["name"] for one in found if one["kind"] == "ConfigMap"}
    secrets = {"marina-store", "recorder", "keys"}
    labels = [template["metadata"]["labels"] for name, template in pods(found) if name != "kserve"]
    for one in found:
        selector = (
            one.get("spec", {}).get("selector") if one["kind"] in ("Service", "PodDisruptionBudget", "Deployment") else None
        )
        if selector:
            assert selector.get("matchLabels", selector) in labels
        if one["kind"] == "Service":
            assert {port["targetPort"] for port in one["spec"]["ports"]} <= PORTS
    for _, template in pods(found):
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        sources = [source for volume in volumes.values() for source in volume.get("projected", {}).get("sources", [volume])]
        assert {source["configMap"]["name"] for source in sources if "configMap" in source} <= known
        assert {one.get("name", one.get("secretName")) for source in sources for one in [source.get("secret")] if one} <= secrets
        for container in containers(template):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys()
    for monitor in (one for one in found if one["kind"] == "ServiceMonitor"):
        served = [one for one in found if one["kind"] == "Service" and _fits(monitor["spec"]["selector"], one)]
        ports = {port["name"] for service in served for port in service["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports


@every_variant
def test_commands_are_what_the_scripts_take(variant: str) -> None:
    """Every script that a container runs is there, and knows its options."""
    for _, template in pods(manifests(variant)):
        for container in containers(template):
            for line in (
                container["command"][-1].splitlines() if container["command"][0] == "sh" else [shlex.join(container["command"])]
            ):
                words = shlex.split(line.removeprefix("exec "))
                if words[0] == "python":
                    load_file(paths.ROOT / words[1]).parser().parse_args(words[2:])


@every_variant
def test_management_and_metrics_stay_inside(variant: str) -> None:
    """From another namespace callers reach the gateway's port; Prometheus' reaches figures; nobody but the gateway management."""
    policies = [one["spec"] for one in manifests(variant) if one["kind"] == "NetworkPolicy"]
    monitoring = "monitoring" if VARIANTS[variant].get("monitoring", "") is not None else None
    anybody = {"torchserve": set(), "gateway": {8000}, "exporter": set()}
    if "recorder_secret" in VARIANTS[variant]:
        anybody["gateway"] = {8000, 8002}
    for component, open_ports in anybody.items():
        assert _reached(policies, component, {"namespace": "elsewhere"}) == open_ports
        assert 8081 not in _reached(policies, component, {"namespace": monitoring or "monitoring"})
    assert _reached(policies, "torchserve", {"component": "gateway"}) == {8080, 8081, 7070}
    assert _reached(policies, "torchserve", {"component": "exporter"}) == set()
    if monitoring:
        assert _reached(policies, "torchserve", {"namespace": monitoring}) == {8082, 8003}
    everything = next(one for one in policies if one["podSelector"] == {})
    assert everything["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in everything


def test_a_new_split_restarts_nothing() -> None:
    """It changes what the gateway watches, and the one pod that tells of it; all other pods stay as they are."""
    before = rendered(a_house())
    split = read_deployment(paths.DEPLOYMENT).models["digits"].split
    assert split is not None
    other = split.model_copy(update={"weights": {"1.0": 90.0, "2.0": 10.0}})
    after = rendered(a_house(changed(split=other)))
    assert {name for name in before if before[name] != after[name]} == {"gateway.yaml", "exporter.yaml"}
    moved = [
        old["metadata"]["name"] for old, new in zip(before["gateway.yaml"], after["gateway.yaml"], strict=True) if old != new
    ]
    assert moved == ["gateway"]
    files = [one["gateway.yaml"][0]["data"] for one in (before, after)]
    assert {name for name in files[0] if files[0][name] != files[1][name]} == {"callers.json"}


def test_other_workers_or_archives_roll_torchserve() -> None:
    """Their files have another name then, so that pods are replaced, and a roll-back finds the old ones."""
    before = named(rendered(a_house())["torchserve.yaml"], "ConfigMap", "torchserve-")
    fewer = changed(versions={"1.0": None}, split=None)
    after = named(rendered(a_house(fewer))["torchserve.yaml"], "ConfigMap", "torchserve-")
    assert before["immutable"]
    assert before["metadata"]["name"] != after["metadata"]["name"]
    assert list(json.loads(after["data"]["index.json"])["models"]["digits"]) == ["1.0"]


def test_memory_is_what_builds_measured() -> None:
    """A worker more asks for its own memory and its core more."""
    two = _asked(a_house())
    three = _asked(a_house(changed(versions={"1.0": DeployedVersion(workers=2), "2.0": None})))
    entry = json.loads(BUILT.index.read_text())["models"]["digits"]["1.0"]
    assert three["memory"] - two["memory"] == pytest.approx(entry["load"]["memory_bytes"] / 2**20 * 1.25, abs=3)
    assert (two["cpu"], three["cpu"]) == (2, 3)


def test_what_the_gateways_would_refuse_is_said() -> None:
    """As shipped ten pods could have 160 requests of a version in work, and two gateways let 128: it says what lets them."""
    notes = a_house().notes
    assert notes == [
        f"digits {version}: 2 gateways let 128 requests be in work, 10 pods could have 160; more are answered with 429: "
        "limits: {in_flight: 80} in the deployment lets them"
        for version in ("1.0", "2.0")
    ]
    assert a_house(changed(limits=Limits(in_flight=80))).notes == []
    assert a_house(autoscaling=None).notes == []


def test_the_deployment_in_a_pod_is_the_deployment() -> None:
    """Read back it has the same models, versions and workers; splits are the gateway's alone."""
    text = named(rendered(a_house())["torchserve.yaml"], "ConfigMap", "torchserve-")["data"]["deployment.yaml"]
    told = Deployment.model_validate(YAML(typ="safe", pure=True).load(text))
    wanted = read_deployment(paths.DEPLOYMENT)
    assert told.versions() == wanted.versions()
    assert told.models["digits"].split is None


def test_images_are_those_of_the_compose_stack() -> None:
    """One release of Envoy and of the house, wherever it runs."""
    services = YAML(typ="safe", pure=True).load((paths.ROOT / "docker-compose.yml").read_text())["services"]
    settings = YAML(typ="safe", pure=True).load(SETTINGS.read_text())
    assert settings["image"] == services["torchserve"]["image"]
    assert settings["gateway_image"] == services["gateway"]["image"]


def test_pods_are_added_for_waiting_and_for_work(tmp_path: Path) -> None:
    """KEDA's two questions, as Prometheus answers them: the slowest version's wait, the busiest version's share of work."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on the path (Debian: apt install prometheus)")
    space = 'namespace="marina", model_name="digits"'
    series = {
        f'ts_queue_latency_microseconds{{{space}, model_version="1.0", pod="a"}}': "0+600000x10",  # 60 requests wait 10 ms each
        f'ts_inference_requests_total{{{space}, model_version="1.0", pod="a"}}': "0+60x10",
        f'ts_queue_latency_microseconds{{{space}, model_version="2.0", pod="a"}}': "0+6000000x10",  # 60 wait 100 ms each
        f'ts_inference_requests_total{{{space}, model_version="2.0", pod="a"}}': "0+60x10",
        f'marina_handler_seconds_sum{{{space}, model_version="1.0", pod="a"}}': "0+30x10",
        f'marina_handler_seconds_sum{{{space}, model_version="1.0", pod="b"}}': "0+60x10",  # three workers: (0.5 + 1) / 3
        f'marina_workers_ready{{{space}, model_version="1.0", pod="a"}}': "1x10",
        f'marina_workers_ready{{{space}, model_version="1.0", pod="b"}}': "2x10",
        'marina_handler_seconds_sum{namespace="another", model_name="digits", model_version="1.0"}': "0+6000x10",
    }
    asked = [
        (queue_seconds("marina"), "0.1"),
        (busy_ratio("marina"), "0.5"),
        (queue_seconds("empty"), "0"),
        (busy_ratio("empty"), "0"),
    ]
    story = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f"round({query}, 0.0001)",
                        "eval_time": "10m",
                        "exp_samples": [{"labels": "{}", "value": float(value)}],
                    }
                    for query, value in asked
                ],
            }
        ],
    }
    (tmp_path / "story.yml").write_text(json.dumps(story))
    done = subprocess.run(["promtool", "test", "rules", tmp_path / "story.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_look_at_our_targets_alone() -> None:
    """The cluster's Prometheus has many others; every other rule is as in config/prometheus."""
    rule = named(manifests("as shipped"), "PrometheusRule", "marina")
    alerts = {one["alert"]: one["expr"] for group in rule["spec"]["groups"] for one in group["rules"] if "alert" in one}
    assert alerts["TargetDown"] == 'up{namespace="marina"} == 0'
    files = (YAML(typ="safe", pure=True).load(path.read_text()) for path in (paths.CONFIG / "prometheus" / "rules").glob("*.yml"))
    assert sum(len(one["groups"]) for one in files) == len(rule["spec"]["groups"])


def test_kustomize_takes_the_folder(tmp_path: Path) -> None:
    """By kubectl, where there is one: every object comes out of it."""
    if shutil.which("kubectl") is None:
        return  # the folder is plain manifests as well, which the tests above look at
    run_script("export_kubernetes", "--store", str(FOLDER), "--to", str(tmp_path))
    done = subprocess.run(["kubectl", "kustomize", tmp_path], capture_output=True, text=True, check=True)
    made = list(YAML(typ="safe", pure=True).load_all(done.stdout))
    assert len(made) == sum(len(found) for found in rendered(a_house()).values())


def test_an_export_twice_is_the_same(tmp_path: Path) -> None:
    """Byte for byte, so that git shows what a change of the deployment changes on the cluster."""
    texts = []
    for folder in ("one", "two"):
        done = run_script("export_kubernetes", "--store", str(FOLDER), "--to", str(tmp_path / folder))
        assert done.code == 0, done.error
        texts.append({path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()})
    assert texts[0] == texts[1]
    assert set(texts[0]) == {*rendered(a_house()), "kustomization.yaml"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"store": {"address": "/models"}}, "a folder is read from a claim, mounted at /shared; found '/models', claim None"),
        ({"store": {"address": "s3://a", "claim": "b"}}, "with a claim the address is a folder below /shared; found 's3://a'"),
        (
            {"autoscaling": {"most": 1, "prometheus": "http://p"}},
            "autoscaling.most must be torchserve.replicas, 2, or more; found 1",
        ),
        ({"monitoring": None}, "autoscaling asks Prometheus: monitoring must name its namespace"),
        ({"replicas": 3}, "unknown key 'replicas'"),
        ({"namespace": "Marina"}, "namespace"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(
    changes: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was required, what was found; nothing is written."""
    settings = YAML(typ="safe", pure=True).load(SETTINGS.read_text()) | changes
    (tmp_path / "kubernetes.yaml").write_text(json.dumps(settings))
    done = call_script(
        capsys,
        "export_kubernetes",
        "--store",
        str(FOLDER),
        "--settings",
        str(tmp_path / "kubernetes.yaml"),
        "--to",
        str(tmp_path / "out"),
    )
    assert (done.code, done.error.count("\n")) == (2, 0)
    assert said in done.error
    assert not (tmp_path / "out").exists()


def test_what_was_not_built_is_not_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The digests that pods check come from the index."""
    done = call_script(capsys, "export_kubernetes", "--store", str(tmp_path), "--to", str(tmp_path / "out"))
    assert (done.code, done.error) == (
        1,
        "digits 1.0 is in the deployment and was not built: run scripts/build_mar.py digits, then scripts/push_store.py",
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tls: {certificate: a/server.crt, key: a/server.key}", "tls of the gateway: on a cluster TLS ends at your Ingress"),
        (
            "keys: config/gateway/keys",
            "gateway.keys_secret of the cluster's settings names no Secret: without one anyone may ask",
        ),
    ],
)
def test_what_the_gateway_asks_for_is_not_dropped_silently(
    line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TLS and keys of its settings have another place on a cluster, and the export says which."""
    (tmp_path / "gateway.yaml").write_text(f"{line}\n")
    options = ("--gateway", str(tmp_path / "gateway.yaml"), "--to", str(tmp_path / "out"))
    done = call_script(capsys, "export_kubernetes", "--store", str(FOLDER), *options)
    assert done.code == 2
    assert said in done.error


def test_keys_are_printed_as_a_secret_and_written_nowhere(tmp_path: Path) -> None:
    """For kubectl apply -f -; without a name for it, or without keys, it says what is missing."""
    settings = YAML(typ="safe", pure=True).load(SETTINGS.read_text())
    settings["gateway"] |= {"keys_secret": "callers"}
    (tmp_path / "kubernetes.yaml").write_text(json.dumps(settings))
    options = ("--settings", str(tmp_path / "kubernetes.yaml"), "--keys")
    key = "0123456789abcdef0123456789abcdef"
    done = run_script("export_kubernetes", *options, environment=os.environ | {"GATEWAY_KEYS": f"anna: {key}"})
    secret = YAML(typ="safe", pure=True).load(done.out)
    kubernetes_validate.validate(secret, VERSIONS[-1], strict=True)
    assert (secret["kind"], secret["metadata"]["name"], secret["metadata"]["namespace"]) == ("Secret", "callers", "marina")
    assert json.loads(secret["stringData"]["keys.json"])["resources"][0]["typed_config"]["credentials"][0]["key"] == key
    assert "no keys were given" in run_script("export_kubernetes", *options).error
    assert "gateway.keys_secret must name the Secret" in run_script("export_kubernetes", "--keys").error


def _abridged(manifest: Manifest) -> Manifest:
    """Without the gateway's files and the dashboards, which marina.gateway and marina.watching write, and the rules."""
    if manifest["kind"] == "ConfigMap" and not manifest["metadata"]["name"].startswith(("torchserve", "kserve")):
        name = re.sub(r"-[0-9a-f]{10}$", "-<digest>", manifest["metadata"]["name"])
        return manifest | {"metadata": manifest["metadata"] | {"name": name}, "data": dict.fromkeys(manifest["data"], "…")}
    if manifest["kind"] == "PrometheusRule":
        return manifest | {"spec": "as config/prometheus/rules"}
    text = re.sub(r"((?:gateway-start|exporter))-[0-9a-f]{10}", r"\1-<digest>", json.dumps(manifest))
    return dict(json.loads(text))


def _asked(house: Any) -> dict[str, int]:
    (template,) = [one for name, one in pods(rendered(house)["torchserve.yaml"]) if name == "torchserve"]
    requests = template["spec"]["containers"][0]["resources"]["requests"]
    return {"cpu": int(requests["cpu"]), "memory": int(requests["memory"].removesuffix("Mi"))}


def _fits(selector: Manifest, one: Manifest) -> bool:
    return bool(selector["matchLabels"].items() <= one["metadata"]["labels"].items())


def _reached(policies: list[Manifest], component: str, caller: dict[str, str]) -> set[int]:
    """Ports of a part that a caller reaches, by its namespace or, inside, by its part."""
    reached: set[int] = set()
    for policy in policies:
        if policy["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component", component) != component:
            continue
        for rule in policy.get("ingress", []):
            if "from" not in rule or any(_is_peer(peer, caller) for peer in rule["from"]):
                reached |= {port["port"] for port in rule["ports"]}
    return reached


def _is_peer(peer: Manifest, caller: dict[str, str]) -> bool:
    if "namespaceSelector" in peer:
        return bool(peer["namespaceSelector"]["matchLabels"][NAMESPACE] == caller.get("namespace"))
    return bool(peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == caller.get("component"))
