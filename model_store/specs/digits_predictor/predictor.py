"""The network of digits_predictor 1: torchvision's transforms, a classifier and softmax in one module, to be scripted."""

import torch
from torch import Tensor, nn
from torchvision import transforms


class Predictor(nn.Module):
    """Images [rows, 3, height, width] of any size, uint8, to probabilities [rows, 10]; it knows its classes' names."""

    def __init__(self) -> None:
        super().__init__()
        self.class_names = [str(digit) for digit in range(10)]
        self.transforms = nn.Sequential(
            transforms.Resize([28]),
            transforms.CenterCrop(28),
            transforms.ConvertImageDtype(torch.float),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        )
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

    def forward(self, images: Tensor) -> Tensor:
        """The probabilities; training calls ``transforms`` and ``model`` by themselves."""
        with torch.no_grad():
            scores = self.model(self.transforms(images))
            return nn.functional.softmax(scores, dim=1)
