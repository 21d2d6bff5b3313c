"""The network of digits_predictor 2: its preprocessing is one operation that every runtime but ONNX has."""

import torch
from torch import Tensor, nn


class StretchingPredictor(nn.Module):
    """Images [rows, 3, height, width] of any size, uint8, to probabilities [rows, 10]; an image is stretched to a square."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, 12, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 24, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(24 * 7 * 7, 10),
        )

    def transforms(self, images: Tensor) -> Tensor:
        """float32, shape [rows, 3, 28, 28], from -1 to 1."""
        small = nn.functional.interpolate(images.float(), size=[28, 28], mode="bilinear", antialias=True)
        return small / 127.5 - 1

    def forward(self, images: Tensor) -> Tensor:
        """The probabilities; training calls ``transforms`` and ``model`` by themselves."""
        with torch.no_grad():
            return nn.functional.softmax(self.model(self.transforms(images)), dim=1)
