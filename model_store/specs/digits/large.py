"""The network of digits 2.0."""

from torch import nn


class LargeDigits(nn.Sequential):
    """Four convolutions with batch norm and two linear layers: images [rows, 1, 8, 8] to scores [rows, 10]."""

    def __init__(self) -> None:
        super().__init__(
            *_convolution(1, 32),
            *_convolution(32, 32),
            nn.MaxPool2d(2),
            *_convolution(32, 64),
            *_convolution(64, 64),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(64 * 2 * 2, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )


def _convolution(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]
