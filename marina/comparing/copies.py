"""What a candidate answered to copies of requests, as the traffic record has it: for a rollout that watches it."""

from __future__ import annotations

from marina.comparing.guardrails import Copies
from marina.comparing.traffic_settings import TrafficSettings
from marina.paths import State


def is_recorded(state: State) -> bool:
    """Whether there is a traffic record."""
    from marina.comparing.database import FILE  # SQLAlchemy takes a while to import

    return bool(TrafficSettings().traffic_database) or (state.traffic / FILE).is_file()


def copies_since(state: State, model: str, arms: tuple[str, str], since: float) -> Copies:
    """The copies that were compared.

    Args:
        state: whose traffic.
        model: whose versions.
        arms: candidate, which got copies, and current, which answered.
        since: requests from then on alone, Unix seconds.

    Raises:
        MarinaError: the record cannot be read.
    """
    from marina.comparing.traffic import Traffic

    candidate, current = arms
    with Traffic(state) as traffic:
        compared, alike = traffic.alike(model, current, candidate, since)
    return Copies(compared=compared, alike=alike)
