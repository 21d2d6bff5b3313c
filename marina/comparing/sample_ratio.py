"""Whether keys came to the arms as the split shares them, looked at at any time.

Where they did not, something loses one arm's requests (or its outcomes), and no comparison is worth reading. The test is the
multinomial one of Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022, arXiv:2011.03567: the
probability of the arms so far with a Dirichlet prior around the split, over that with the split itself. A period of constant
weights gives a factor of its own, and the product is a martingale where the gateway shares rightly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

ALPHA = 0.001  # a wrong alarm discards an experiment: one in a thousand
CONCENTRATION = 1000.0  # keys that the prior is worth: deviations of a few percent are what it looks for


@dataclass(frozen=True)
class SampleRatio:
    """How keys were shared.

    Attributes:
        seen: keys by arm, each counted where it came first.
        expected: what the split, as it was when each came, gives every arm.
        evidence: that they were shared otherwise: how many times likelier the counts are then. Above 1/ALPHA it is believed.
    """

    seen: dict[str, int]
    expected: dict[str, float]
    evidence: float

    @property
    def right(self) -> bool:
        """Whether chance explains it."""
        return self.evidence < 1 / ALPHA


def sample_ratio(
    key: NDArray[np.int64], assigned: NDArray[np.str_], period: NDArray[np.int64], splits: Sequence[Mapping[str, float]]
) -> SampleRatio:
    """Count each key where it came first, and compare with the split at that time.

    Args:
        key: a number for each key, in the order in which the requests came.
        assigned: the arm of each request.
        period: the number of the split in force at each request; below 0 where it is not known.
        splits: weights by arm in percent, a mapping for each period.
    """
    first = np.sort(np.unique(key, return_index=True)[1])
    arms = sorted({str(arm) for arm in assigned} | {arm for split in splits for arm in split})
    seen, expected, logarithm = np.zeros(len(arms)), np.zeros(len(arms)), 0.0
    for number, split in enumerate(splits):
        here = first[period[first] == number]
        counts = np.array([np.count_nonzero(assigned[here] == arm) for arm in arms], float)
        shares = np.array([split.get(arm, 0.0) for arm in arms]) / 100
        seen, expected = seen + counts, expected + counts.sum() * shares
        logarithm += log_evidence(counts, shares)
    return SampleRatio(
        {arm: int(count) for arm, count in zip(arms, seen, strict=True)},
        {arm: float(count) for arm, count in zip(arms, expected, strict=True)},
        float(np.exp(min(logarithm, 700.0))),
    )


def log_evidence(counts: NDArray[np.float64], shares: NDArray[np.float64], concentration: float = CONCENTRATION) -> float:
    """How much likelier counts are where arms have other shares than these: the logarithm of the mixture's likelihood ratio.

    Args:
        counts: by arm.
        shares: of each arm, 1 together.
        concentration: of the mixture, in counts: the larger, the closer to the shares are those that it looks for.
    """
    if counts[shares == 0].any():
        return float("inf")
    counts, shares = counts[shares > 0], shares[shares > 0]
    prior = concentration * shares
    mixed = gammaln(prior.sum()) - gammaln((prior + counts).sum()) + (gammaln(prior + counts) - gammaln(prior)).sum()
    return float(mixed - (counts * np.log(shares)).sum())
