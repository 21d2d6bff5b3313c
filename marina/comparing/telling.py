"""Tell the traffic record of a change of the split, so that a report shows it on its time axis and a judge knows it."""

from __future__ import annotations

from marina.comparing.copies import is_recorded
from marina.comparing.split import Split
from marina.console import step
from marina.errors import MarinaError
from marina.paths import State


def tell_traffic(state: State, model: str, split: Split, kind: str, text: str) -> None:
    """Add what happened, and the split from now on, to the record, where traffic is recorded.

    A record that cannot be written holds up no rollout, nor a roll back: it is said, and the rollout's own record has it.

    Args:
        state: whose traffic.
        model: that was moved.
        split: from now on.
        kind: one word: ``deployment``, ``rollout``, ``rollback``.
        text: a sentence.
    """
    if not is_recorded(state):
        return
    from marina.comparing.traffic import Traffic  # SQLAlchemy takes a while to import

    try:
        with Traffic(state) as traffic:
            traffic.add_split(model, split.experiment or model, split.weights)
            traffic.add_event(model, kind, text)
    except MarinaError as error:
        step(f"{model}: not added to the traffic record: {error}")
