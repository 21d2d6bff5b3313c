"""The network of digits_mc 1 and 2."""

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional


class MonteCarloDigits(LightningModule):
    """Two convolutions and two linear layers with dropout before each: images [rows, 1, 8, 8] to 8 classes.

    Attributes:
        mc_iteration: passes of ``predict_step``, each with other masks.
        dropped: share of the values that a mask sets to 0.
    """

    def __init__(self, mc_iteration: int = 30, dropped: float = 0.5) -> None:
        super().__init__()
        self.mc_iteration = mc_iteration
        self.dropped = dropped
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.hidden = nn.Linear(64 * 4 * 4, 128)
        self.scores = nn.Linear(128, 8)

    def forward(self, images: Tensor) -> Tensor:
        """Scores before softmax of one pass, shape [rows, 8]."""
        return self.one_pass(self.features(images))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch of images and labels."""
        images, labels = batch
        return functional.cross_entropy(self(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """What the Trainer uses."""
        return torch.optim.AdamW(self.parameters(), lr=2e-3, weight_decay=1e-2)

    @torch.jit.export
    def predict_step(self, batch: Tensor, batch_idx: int = 0) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the classes' probabilities over the passes, each of shape [rows, 8]."""
        features = self.features(batch)
        passes = torch.stack([self.one_pass(features).softmax(1) for _ in range(self.mc_iteration)])
        return passes.mean(0), passes.std(0)

    def one_pass(self, features: Tensor) -> Tensor:
        """Scores before softmax with dropout on, also outside of training."""
        hidden: Tensor = self.hidden(self.drop(features)).relu()
        scores: Tensor = self.scores(self.drop(hidden))
        return scores

    def drop(self, values: Tensor) -> Tensor:
        """Values with one mask for all rows: a pass is one network, and a row's answer does not depend on its place."""
        return values * functional.dropout(torch.ones_like(values[:1]), self.dropped, training=True)
