"""A number that says how far to trust an explanation, by three scores of the class that it explains."""

from __future__ import annotations

LEAST_DIFFERENCE = 1e-6
DELETED = 0.1  # the share of the input, by strength, whose deletion fidelity looks at


def completeness_gap(attributed: float, score: float, baseline: float) -> dict[str, float]:
    """How far the attributions' sum is from what they should explain, as a share of it: 0 were exact.

    Args:
        attributed: the sum.
        score: of the input.
        baseline: score of the baseline that attributions start from.
    """
    return {"completeness_gap": round(abs(attributed - (score - baseline)) / _scale(score, baseline), 6)}


def fidelity(score: float, deleted: float, baseline: float) -> dict[str, float]:
    """How much of the score is gone when what is strongest is deleted, as a share of its difference to the baseline."""
    return {"fidelity": round((score - deleted) / _scale(score, baseline), 6)}


def _scale(score: float, baseline: float) -> float:
    difference = abs(score - baseline)
    return difference if difference > LEAST_DIFFERENCE else 1.0
