"""The network of digits 1.0."""

from torch import nn


class SmallDigits(nn.Sequential):
    """One convolution and one linear layer, 2,730 parameters: images [rows, 1, 8, 8] to scores [rows, 10]."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 4 * 4, 10),
        )
