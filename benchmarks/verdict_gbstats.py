"""What GrowthBook's gbstats says of the study's streams; run by a Python of its own, since gbstats does not fit into ours.

Reads a file of numpy's with arrays "totals" (experiment, look, six columns: number, sum and sum of squares of the control and
the other arm) and "alphas", and writes one with "first" (alpha, experiment): the number of the first look whose interval leaves
0 out, -1 where none does.
"""

import sys
from pathlib import Path

import numpy as np
from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
from gbstats.models.statistics import SampleMeanStatistic


def main() -> None:
    """Read, look, write."""
    source, target = map(Path, sys.argv[1:3])
    given = np.load(source)
    found = [[first(one, float(alpha)) for one in given["totals"]] for alpha in given["alphas"]]
    np.savez(target, first=np.array(found))


def first(experiment: np.ndarray, alpha: float) -> int:
    """The number of the first look at which gbstats finds a difference, or -1."""
    return next((number for number, look in enumerate(experiment) if stops(look, alpha)), -1)


def stops(look: np.ndarray, alpha: float) -> bool:
    """Whether gbstats finds a difference."""
    n0, sum0, squares0, n1, sum1, squares1 = look
    control = SampleMeanStatistic(n=int(n0), sum=sum0, sum_squares=squares0)
    other = SampleMeanStatistic(n=int(n1), sum=sum1, sum_squares=squares1)
    if min(control.variance, other.variance) <= 0:  # gbstats then says nothing, too
        return False
    config = SequentialConfig(difference_type="absolute", alpha=alpha)
    low, high = SequentialTwoSidedTTest(control, other, config).confidence_interval
    return bool(low > 0 or high < 0)


if __name__ == "__main__":
    main()
