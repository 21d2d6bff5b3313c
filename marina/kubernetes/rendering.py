"""All manifests as files, with a kustomization that names them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from marina.gateway.keys import Key, key_filter
from marina.kubernetes.gateway import gateway, observer
from marina.kubernetes.house import House
from marina.kubernetes.kserve import kserve
from marina.kubernetes.network import network
from marina.kubernetes.objects import Manifest, thing
from marina.kubernetes.scaling import scaling
from marina.kubernetes.torchserve import torchserve
from marina.kubernetes.watching import dashboards, watching
from marina.remembering import replace_whole

KUSTOMIZATION = "kustomization.yaml"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


def rendered(house: House) -> dict[str, list[Manifest]]:
    """The manifests by file; a file that has none is left out."""
    files = {
        "namespace.yaml": [_namespace(house)],
        "torchserve.yaml": torchserve(house),
        "gateway.yaml": gateway(house),
        "exporter.yaml": observer(house),
        "network.yaml": network(house),
        "scaling.yaml": scaling(house),
        "watching.yaml": watching(house),
        "dashboards.yaml": dashboards(house),
    }
    return {name: manifests for name, manifests in files.items() if manifests}


def rendered_for_kserve(house: House) -> dict[str, list[Manifest]]:
    """The manifests for a cluster with KServe, in the place of all others."""
    return {"namespace.yaml": [_namespace(house)], "kserve.yaml": kserve(house)}


def keys_secret(name: str, namespace: str, keys: Iterable[Key]) -> Manifest:
    """The Secret with the callers' keys, as Envoy reads it."""
    content = {"version_info": "keys", "resources": [key_filter(list(keys))]}
    return thing("v1", "Secret", name, namespace, "gateway", type="Opaque", stringData={"keys.json": json.dumps(content)})


def write(files: dict[str, list[Manifest]], folder: Path) -> list[Path]:
    """Replace what a folder has of ours; returns what was written.

    Raises:
        MarinaError: it cannot be written.
    """
    kustomization = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(files)}
    texts = {name: as_yaml(manifests) for name, manifests in files.items()} | {KUSTOMIZATION: as_yaml([kustomization])}
    for name, text in texts.items():
        replace_whole(folder / name, text)
        (folder / name).chmod(0o644)
    return [folder / name for name in texts]


def as_yaml(manifests: Iterable[Manifest]) -> str:
    """Documents of one file; texts of several lines as they are."""
    yaml = YAML()
    yaml.width = 1000
    yaml.explicit_start = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    written = StringIO()
    yaml.dump_all([_literal(one) for one in manifests], written)
    return written.getvalue()


def _literal(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _literal(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_literal(value) for value in content]
    return LiteralScalarString(content) if isinstance(content, str) and "\n" in content else content


def _namespace(house: House) -> Manifest:
    """A place in which pods that ask for more than the profile "restricted" are refused."""
    one = thing("v1", "Namespace", house.namespace, None, "namespace")
    one["metadata"]["labels"] |= RESTRICTED
    return one
