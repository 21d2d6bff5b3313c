"""Quantiles of a histogram of which only the buckets are known."""

from __future__ import annotations

import math


def quantile(share: float, buckets: dict[str, float]) -> float | None:
    """The value below which a share of the observations lies, as Prometheus's ``histogram_quantile`` estimates it.

    Args:
        share: from 0 to 1.
        buckets: how many observations were at most as large as each upper bound, by the text of the bound, ``+Inf`` included.

    Returns:
        interpolated within its bucket; the largest finite bound where it lies beyond; None without observations.
    """
    bounds = sorted((float(bound), count) for bound, count in buckets.items())
    if not bounds or bounds[-1][1] <= 0:
        return None
    rank = share * bounds[-1][1]
    below, lower = 0.0, 0.0
    for upper, count in bounds:
        if count >= rank:
            return lower if math.isinf(upper) else lower + (upper - lower) * (rank - below) / (count - below or 1)
        below, lower = count, upper
    return lower
