"""Networks that answer by several random passes, as Monte Carlo dropout does: how they are run, and how sure they are.

Gal, Ghahramani: Dropout as a Bayesian Approximation: Representing Model Uncertainty in Deep Learning (2016). A mask of
dropout stands for one network drawn from all that the training data allow. Where these disagree, the data say little.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from handlerkit.images import ImageOptions
from handlerkit.runtimes import Runtime

LEAST = 1e-5  # of a spread, as a share of its mean: what is below is rounding, of passes that are all the same


@dataclass(frozen=True)
class MonteCarloOptions(ImageOptions):
    """Those of images, and how random passes are drawn and judged.

    Attributes:
        seed: of the masks: the same image gets the same answer each time, whoever stands beside it. None draws other masks
            for each batch.
        unsure_above: uncertainty above which an answer is marked as unsure; None marks none.
    """

    seed: int | None = 0
    unsure_above: float | None = None

    def __post_init__(self) -> None:
        """Refuse values that could only fail at the first request."""
        super().__post_init__()
        if self.seed is not None and type(self.seed) is not int:
            raise ValueError(f"seed must be a whole number, or null for other masks each time; not {self.seed!r}")
        if self.unsure_above is not None and not 0 <= self.unsure_above <= 1:
            raise ValueError(f"unsure_above must be a number from 0 to 1, not {self.unsure_above!r}")


class MonteCarlo:
    """A network that gives mean and spread over its passes; to explanations it is a runtime that gives the mean.

    With a seed, what it draws is drawn anew from that seed for each call. Where a network draws one mask for all rows of a
    batch, a row's answer then depends on nothing but the row; where it draws one for each row (as nn.Dropout does), it
    would depend on the row's place, and so rows are run one by one. Which of both it does is seen at load.

    Attributes:
        differentiable: as of the runtime.
        model: likewise.
        classes: how many there are.
        together: whether the rows of a batch are run together.
    """

    def __init__(self, runtime: Runtime, shape: tuple[int, ...], seed: int | None) -> None:
        """Run the network on inputs of ``shape``, without the batch's dimension, and see that it does what it must.

        Raises:
            ValueError: it does not; the message says what is wrong.
        """
        self.differentiable, self.model = runtime.differentiable, runtime.model
        self._runtime, self._seed, self.together = runtime, seed, True
        example = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
        _check(runtime.run(example.expand(2, *shape)))
        alone, rows = self.mean_and_spread(example), self.mean_and_spread(example.repeat(3, *[1] * len(shape)))
        self.classes = alone.shape[2]
        self.together = seed is None or torch.allclose(alone.expand_as(rows), rows, rtol=1e-3, atol=1e-9)

    def mean_and_spread(self, images: torch.Tensor) -> torch.Tensor:
        """Both, for images of shape [rows, …]: float32, shape [rows, 2, classes]."""
        return self._drawn(self._runtime.run, images)

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The mean, shape [rows, classes], with gradients where they are on."""
        return self._drawn(self._runtime, inputs[0])[:, 0]

    def run(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The mean, without gradients."""
        return self.mean_and_spread(inputs[0])[:, 0]

    def _drawn(self, run: Callable[[torch.Tensor], Any], images: torch.Tensor) -> torch.Tensor:
        parts = [images] if self.together else images.split(1)
        return torch.cat([self._seeded(run, part) for part in parts])

    def _seeded(self, run: Callable[[torch.Tensor], Any], images: torch.Tensor) -> torch.Tensor:
        """Mean and spread after the seed; whoever else draws (an explanation's samples) does not notice."""
        if self._seed is None:
            return torch.stack(tuple(run(images)), 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            return torch.stack(tuple(run(images)), 1)


def uncertainty(mean: torch.Tensor) -> float:
    """How unsure a mean over passes is: its entropy as a share of the largest there is, from 0 to 1.

    Args:
        mean: probabilities, shape [classes].
    """
    return float(torch.special.entr(mean).sum() / math.log(len(mean)))


def _check(outputs: Any) -> None:
    """Refuse a network that does not give mean and spread of probabilities, or whose passes are all the same."""
    wanted = "(mean, spread), each of shape [rows, classes]: of the classes' probabilities over the passes"
    if not (isinstance(outputs, (tuple, list)) and len(outputs) == 2 and all(map(_is_table, outputs))):
        raise ValueError(f"the network must give {wanted}; it gives {_shown(outputs)}")
    mean, spread = outputs
    if mean.shape != spread.shape or mean.shape[1] < 2:
        raise ValueError(f"the network must give {wanted}; it gives {_shown(outputs)}")
    sums = mean.float().sum(1)
    if bool((mean < 0).any()) or not torch.allclose(sums, torch.ones_like(sums), atol=0.01):
        found = f"the first row's sum is {float(sums[0]):.4g}"
        raise ValueError(f"the network's mean must be of probabilities, after softmax, with a sum of 1; {found}")
    if not bool((spread > LEAST * mean).any()):
        raise ValueError("the network's passes are all the same: is dropout on, as by dropout(x, p, training=True)?")


def _is_table(output: Any) -> bool:
    return isinstance(output, torch.Tensor) and output.is_floating_point() and output.ndim == 2


def _shown(outputs: Any) -> str:
    if isinstance(outputs, torch.Tensor):
        return f"one tensor of shape {list(outputs.shape)}"
    if isinstance(outputs, (tuple, list)):
        return f"{len(outputs)} outputs of shapes {[list(getattr(one, 'shape', [])) for one in outputs]}"
    return type(outputs).__name__
