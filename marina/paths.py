"""Where the house keeps its things; MARINA_STORE and MARINA_STATE move the store and the state, as the compose file does."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HANDLERS = ROOT / "handlers"
HANDLERKIT = HANDLERS / "handlerkit"
HANDLERKIT_TESTING = HANDLERKIT / "testing"  # for people's tests: no archive carries it
SPECS = ROOT / "model_store" / "specs"
CONFIG = ROOT / "config"
SERVER_CONFIG = CONFIG / "config.properties"
PRODUCTION_CONFIG = CONFIG / "config.production.properties"
CERTIFICATES = CONFIG / "certificates"  # made by make_certificate.py, not in git
METRICS_CONFIG = CONFIG / "metrics.yaml"
DEPLOYMENT = CONFIG / "deployment.yaml"
GATEWAY_CONFIG = CONFIG / "gateway" / "gateway.yaml"


@dataclass(frozen=True)
class Store:
    """The folder that holds what was built. Only ``archives`` is given to TorchServe."""

    folder: Path = Path(os.environ.get("MARINA_STORE") or ROOT / "model_store")

    @property
    def archives(self) -> Path:
        """Built archives, flat."""
        return self.folder / "archives"

    @property
    def sboms(self) -> Path:
        """A software bill of materials for each archive."""
        return self.folder / "sboms"

    @property
    def weights(self) -> Path:
        """Weights that were trained here."""
        return self.folder / "weights"

    @property
    def samples(self) -> Path:
        """Requests that adopted archives are tried with."""
        return self.folder / "samples"

    @property
    def index(self) -> Path:
        """What was built, and from what."""
        return self.folder / "index.json"


@dataclass(frozen=True)
class State:
    """The folder of what a running house remembers. Not in git."""

    folder: Path = Path(os.environ.get("MARINA_STATE") or ROOT / "state")

    @property
    def gateway(self) -> Path:
        """What the gateway is told: listeners, clusters, routes."""
        return self.folder / "gateway"

    @property
    def traffic(self) -> Path:
        """Who asked for what and which arm answered: the gateway's access log, and the recorder's database."""
        return self.folder / "traffic"

    @property
    def payloads(self) -> Path:
        """Requests of callers that were kept whole, a folder for each model; where that was asked for."""
        return self.traffic / "payloads"

    @property
    def rollouts(self) -> Path:
        """A record of each rollout."""
        return self.folder / "rollouts"
