"""The network of wine 1 and 2."""

import torch
from torch import nn


class WineNetwork(nn.Module):
    """Two linear layers: measurements [rows, 13], in the units they were taken in, to scores [rows, 3].

    Attributes:
        mean: of each measurement; training fills it in, so that no caller has to know it.
        scale: standard deviation of each measurement, likewise.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(13))
        self.register_buffer("scale", torch.ones(13))
        self.layers = nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, measurements: torch.Tensor) -> torch.Tensor:
        """Scores before softmax."""
        scores: torch.Tensor = self.layers((measurements - self.mean) / self.scale)
        return scores
