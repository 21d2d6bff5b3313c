"""What docs/containers.md says of the image and of the compose files."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from ruamel.yaml import YAML
from swarms import deploying

from marina import paths

LOCKED = paths.ROOT / "requirements" / "serve.txt"
KEPT = ("image", "read_only", "cap_drop", "init", "user", "environment")
COMPILERS = ("cc", "gcc", "g++", "clang", "ld", "as", "nvcc")


def compose(*arguments: str) -> str:
    return subprocess.check_output(["docker", "compose", *arguments], cwd=paths.ROOT, text=True)


def test_the_override_gives_the_gpus_to_torchserve_alone() -> None:
    """All of them, and nothing else is changed."""
    plain = json.loads(compose("-f", "docker-compose.yml", "config", "--format", "json"))["services"]
    files = ("-f", "docker-compose.yml", "-f", "docker-compose.gpu.yml")
    given = json.loads(compose(*files, "config", "--format", "json"))["services"]
    changed = {name: {key for key in given[name] if given[name][key] != plain[name].get(key)} for name in given}
    assert {name: keys for name, keys in changed.items() if keys} == {"torchserve": {"deploy", "environment"}}
    devices = given["torchserve"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"capabilities": ["gpu"], "driver": "nvidia", "count": -1}]


def test_swarm_takes_the_stack_and_publishes_none_of_its_ports() -> None:
    """By the document's command, as far as no engine is asked; what containers may do is what it is with compose."""
    made = subprocess.check_output(
        ["bash", "-o", "pipefail", "-c", deploying().partition("| docker stack")[0] + "| docker stack config -c -"],
        cwd=paths.ROOT,
        text=True,
    )
    stack = YAML(typ="safe", pure=True).load(made)
    plain = json.loads(compose("config", "--format", "json"))["services"]
    assert set(stack["services"]) == set(plain) - {"build"}
    for name, service in stack["services"].items():
        assert "ports" not in service
        assert {key: service[key] for key in KEPT if key in plain[name]} == {
            key: plain[name][key] for key in KEPT if key in plain[name]
        }
        assert service["deploy"]["resources"] == plain[name]["deploy"]["resources"]
    assert stack["networks"]["inside"]["internal"]


def test_a_build_for_cpus_leaves_out_what_gpus_need_and_nothing_else() -> None:
    """By the Dockerfile's own command on the locked requirements; hashes of the rest stay."""
    (program,) = re.findall(r"awk '(.+?)' requirements/serve.txt", (paths.ROOT / "Dockerfile").read_text())
    rest = subprocess.check_output(["awk", program, str(LOCKED)], text=True)
    left_out = names(LOCKED.read_text()) - names(rest)
    assert {"torch", "torchvision", "triton"} < left_out
    assert all(re.match(r"(torch|torchvision|triton)$|nvidia-|cuda-", name) for name in left_out)
    assert not [name for name in names(rest) if name.startswith(("nvidia", "cuda"))]
    pinned = [part for part in re.split(r"^(?=[a-z])", rest, flags=re.MULTILINE) if part.strip()]
    assert all("--hash=sha256:" in part for part in pinned)


def names(requirements: str) -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9._-]*)(?:\[.*?\])?==", requirements, re.MULTILINE))


def test_the_image_has_no_compiler() -> None:
    """Neither for C nor for GPUs."""
    image = json.loads(compose("config", "--format", "json"))["services"]["torchserve"]["image"]
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode:
        pytest.skip(f"{image} is not built: docker compose build")
    code = f"import shutil; print([name for name in {COMPILERS!r} if shutil.which(name)])"
    found = subprocess.check_output(["docker", "run", "--rm", image, "python", "-c", code], text=True)
    assert found.strip() == "[]"
