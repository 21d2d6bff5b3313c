"""How far chance carries a comparison that is looked at all the time.

The two-sided normal mixture boundary: Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of
Mathematical Statistics 41 (1970); as equation 14 in Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric,
nonasymptotic confidence sequences", Annals of Statistics 49 (2021). With an estimated variance it is the asymptotic
confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic
confidence sequences", Annals of Statistics 52 (2024), arXiv:2103.06476, equation 9; its tuning is equation 161 of version 7.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq

LONGEST = 1000.0  # times as much traffic: whoever would need more will not wait


def boundary(variance: float, mixture: float, alpha: float) -> float:
    """What a sum that drifts nowhere leaves, at any time, with a probability of ``alpha`` at most.

    Args:
        variance: of the sum so far, above 0.
        mixture: where the boundary is tightest, in the unit of the variance; see ``mixture_for``.
        alpha: above 0, below 1.
    """
    whole = variance + mixture
    return math.sqrt(whole * math.log(whole / (mixture * alpha**2)))


def mixture_for(variance: float, alpha: float) -> float:
    """The mixture whose boundary is tightest, to a good approximation, where the sum has this variance."""
    spread = -2 * math.log(alpha)
    return variance / (spread + math.log(spread + 1))


def growth_until(variance: float, weight: float, mixture: float, alpha: float, width: float) -> float | None:
    """How many times as much evidence narrows the interval to ``width`` on either side; None above LONGEST.

    Args:
        variance: of the weighted sum of differences so far.
        weight: the sum's weight so far; both grow with the traffic.
        mixture: the boundary's.
        alpha: the interval's.
        width: wanted, in the metric's unit.
    """

    def excess(logarithm: float) -> float:
        grown = math.exp(logarithm)
        return boundary(variance * grown, mixture, alpha) / (weight * grown) - width

    if width <= 0 or excess(math.log(LONGEST)) > 0:
        return None
    return 1.0 if excess(0.0) <= 0 else math.exp(brentq(excess, 0.0, math.log(LONGEST), xtol=1e-3))
