"""How often a network in a reduced precision has the best class of the eager one in fp32."""

from __future__ import annotations

from typing import Any

from marina.errors import MarinaError
from marina.store import exporters, parity
from marina.store.sources import Network


def shares(network: Network, pairs: parity.Pairs) -> list[float]:
    """For each row the share of its places (of one class, or of a mask's pixels) whose best class is the same.

    Args:
        network: the eager one, in full precision.
        pairs: inputs, and what the archive's network made of them.

    Returns:
        nothing, where the network's output has no classes.
    """
    return [share for inputs, outputs in pairs for share in _agreed(network, inputs, outputs)]


def check(precision: str, found: float, compared: str, least: float, advice: str) -> None:
    """See that a network agrees as often as the spec wants.

    Args:
        precision: that it is in.
        found: share of inputs on which it agrees.
        compared: how many inputs these were, and what.
        least: the spec's.
        advice: what to do.

    Raises:
        MarinaError: it does not.
    """
    if found < least:
        measured = f"the best class in {precision} is the one in fp32 for {found:.4f} of {compared}"
        raise MarinaError(f"{measured}; the spec's calibration.agreement is {least:g}: {advice}")


def _agreed(network: Network, inputs: exporters.Inputs, outputs: Any) -> list[float]:
    ours, theirs = (next(parity.tensors(one)) for one in (parity.run(network, inputs), outputs))
    if ours.ndim < 2 or ours.shape[1] < 2 or not ours.is_floating_point():
        return []
    same = (ours.argmax(1) == theirs.argmax(1)).float()
    return list(map(float, same.flatten(1).mean(1) if same.ndim > 1 else same))
