"""Read what a running Envoy says of itself, and ask it for the little that it does, on our own listener."""

from __future__ import annotations

from typing import Any

import requests

from marina.errors import MarinaError

TIMEOUT_SECONDS = 10


class Stats:
    """Envoy's figures at one address."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._session = requests.Session()

    def answers(self) -> bool:
        """Whether Envoy answers at all."""
        try:
            return self._session.get(f"{self.address}/stats", params={"filter": "^server.state$"}, timeout=TIMEOUT_SECONDS).ok
        except requests.RequestException:
            return False

    def is_ready(self) -> bool:
        """Whether each model has an arm that can answer."""
        try:
            return self._session.get(f"{self.address}/ready", timeout=TIMEOUT_SECONDS).ok
        except requests.RequestException:
            return False

    def texts(self, pattern: str) -> dict[str, str]:
        """Counters, gauges and texts whose name a regular expression fits, as Envoy writes them."""
        lines = self._get("/stats", filter=pattern).text.splitlines()
        return {name: value.strip('"') for name, _, value in (line.partition(": ") for line in lines)}

    def histograms(self, pattern: str) -> list[dict[str, Any]]:
        """Histograms with their buckets since the start."""
        found = self._get("/stats", filter=pattern, format="json", histogram_buckets="cumulative").json()["stats"]
        return [one for stat in found if "histograms" in stat for one in stat["histograms"]]

    def post(self, path: str) -> None:
        """Ask for one of the few things that our own listener does."""
        self._ask("POST", path)

    def _get(self, path: str, **asked: str) -> requests.Response:
        return self._ask("GET", path, **asked)

    def _ask(self, method: str, path: str, **asked: str) -> requests.Response:
        try:
            answer = self._session.request(method, f"{self.address}{path}", params=asked, timeout=TIMEOUT_SECONDS)
        except requests.RequestException as error:
            raise MarinaError(f"no gateway answers at {self.address}: start one with make serve") from error
        if not answer.ok:
            raise MarinaError(f"the gateway at {self.address} answered {path} with {answer.status_code}")
        return answer
