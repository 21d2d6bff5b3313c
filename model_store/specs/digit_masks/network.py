"""The network of digit_masks 1 and 2."""

import torch
from torch import nn


class DigitMasks(nn.Module):
    """A small U-Net: images [rows, 1, 64, 64] to scores of 11 classes [rows, 11, 32, 32], at half the size."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(1, 12, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.middle = nn.Sequential(nn.MaxPool2d(2), _convolution(12, 24), _convolution(24, 24))
        self.coarse = nn.Sequential(nn.MaxPool2d(2), _convolution(24, 64), _convolution(64, 64), _convolution(64, 64))
        self.narrow = nn.Conv2d(64, 32, 1)
        self.up_middle = _convolution(32 + 24, 24)
        self.up_fine = _convolution(24 + 12, 16)
        self.scores = nn.Conv2d(16, 11, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores before softmax: of the ground, then of the digits 0 to 9."""
        fine = self.fine(images)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        middle = self.up_middle(torch.cat([_doubled(self.narrow(coarse)), middle], 1))
        fine = self.up_fine(torch.cat([_doubled(middle), fine], 1))
        scores: torch.Tensor = self.scores(fine)
        return scores


def _convolution(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU())


def _doubled(images: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(images, scale_factor=2.0, mode="nearest")
