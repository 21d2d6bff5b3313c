"""Export the deployment as manifests for Kubernetes: a kustomize base, or a runtime and a service for KServe."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from marina import paths
from marina.console import out, run, step
from marina.errors import UsageError
from marina.gateway.keys import keys_file, read_keys
from marina.gateway.settings import read_gateway_settings
from marina.kubernetes.house import house_of
from marina.kubernetes.rendering import as_yaml, keys_secret, rendered, rendered_for_kserve, write
from marina.kubernetes.settings import KubernetesSettings, read_kubernetes_settings
from marina.paths import Store
from marina.serving.deployment import read_deployment
from marina.store.index import read_index

SETTINGS = paths.CONFIG / "kubernetes" / "kubernetes.yaml"


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__, epilog="docs/kubernetes.md goes on from here.")
    options.add_argument("--deployment", type=Path, default=paths.DEPLOYMENT, help="what to serve (%(default)s)")
    options.add_argument("--settings", type=Path, default=SETTINGS, help="the cluster's (%(default)s)")
    options.add_argument("--gateway", type=Path, default=paths.GATEWAY_CONFIG, help="the gateway's settings (%(default)s)")
    options.add_argument("--store", type=Path, default=Store().folder, help="whose index says what was built (%(default)s)")
    what = options.add_mutually_exclusive_group(required=True)
    what.add_argument("--to", type=Path, metavar="FOLDER", help="to write to; files of the same names are replaced")
    what.add_argument("--keys", action="store_true", help="print the Secret with the callers' keys, for kubectl apply -f -")
    options.add_argument("--kserve", action="store_true", help="for a cluster with KServe: a runtime and a service")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _export(parser().parse_args(argv)))


def _export(options: argparse.Namespace) -> int:
    settings = read_kubernetes_settings(options.settings)
    if options.keys:
        return _print_keys(options, settings)
    house = house_of(
        read_deployment(options.deployment), read_index(Store(options.store)), read_gateway_settings(options.gateway), settings
    )
    for note in house.notes:
        step(note)
    for path in write((rendered_for_kserve if options.kserve else rendered)(house), options.to):
        out.print(path, markup=False)
    return 0


def _print_keys(options: argparse.Namespace, settings: KubernetesSettings) -> int:
    name = settings.gateway.keys_secret
    if name is None:
        raise UsageError(f"{options.settings}: gateway.keys_secret must name the Secret of the callers' keys; found none")
    keys = read_keys(keys_file(read_gateway_settings(options.gateway).keys, os.environ, paths.ROOT), os.environ)
    if not keys:
        raise UsageError("no keys were given: scripts/make_key.py makes one, and keys of the gateway's settings names their file")
    out.print(as_yaml([keys_secret(name, settings.namespace, keys)]), markup=False, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
