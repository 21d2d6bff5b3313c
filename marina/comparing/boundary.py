"""How far chance carries a comparison that is looked at all the time.

The two-sided normal mixture boundary: Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of
Mathematical Statistics 41 (1970); as equation 14 in Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric,
nonasymptotic confidence sequences", Annals of Statistics 49 (2021). With an estimated variance it is the asymptotic
confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic
confidence sequences", Annals of Statistics 52 (2024), arXiv:2103.06476, equation 9; its tuning is equation 161 of version 7.
"""

from __future__ import annotations

import math


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
