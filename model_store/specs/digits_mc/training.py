"""Train the network of digits_mc with Lightning's Trainer on the digits 0 to 7 alone, on a fixed split from a fixed seed.

The data is scikit-learn's, as of the spec digits: 1,797 images of 8 x 8 pixels. Of 0 to 7 one in five is held out; of 8 and 9
all are: the network has never seen their like, and should say so.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

SEED = 2026
KNOWN = 8  # classes, 0 to 7
EPOCHS = 20
ROWS = 64
SIDE = 160


def train(network: LightningModule, progress: Callable[[int, int], None]) -> None:
    """Fit ``network`` to the training images of 0 to 7.

    Args:
        network: takes float32 of shape [rows, 1, 8, 8] between 0 and 1, gives scores of shape [rows, 8].
        progress: told the epochs done and the epochs in all.
    """
    images, labels = (torch.from_numpy(part) for part in split()[::2])
    threads = torch.get_num_threads()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # a network this small gains nothing by more, and loses much on a machine that is busy
    with _quiet():
        trainer = Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=LambdaCallback(on_train_epoch_end=lambda trainer, _: progress(trainer.current_epoch + 1, EPOCHS)),
        )
        trainer.fit(network, DataLoader(TensorDataset(images, labels), batch_size=ROWS, shuffle=True))
    torch.set_num_threads(threads)


def held_out() -> Iterator[tuple[bytes, str]]:
    """Images that training never sees, as PNG files, each with its digit: some of 0 to 7, and all of 8 and 9."""
    _, images, _, labels = split()
    for image, label in zip(images, labels, strict=True):
        yield png(image[0]), str(label)


def measure(pairs: list[tuple[str, Any]]) -> tuple[str, float]:
    """How well the spread of the best class tells 8 and 9 from the digits that were learned: the area under the ROC curve."""
    unknown = [int(digit) >= KNOWN for digit, _ in pairs]
    return "AUROC of spread", float(roc_auc_score(unknown, [answer[0]["spread"] for _, answer in pairs]))


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images, held-out images, and their digits; images [n, 1, 8, 8] in 0…1."""
    data = load_digits()
    images, digits = (data.images / 16).astype(np.float32)[:, None], data.target
    known = digits < KNOWN
    parts = train_test_split(images[known], digits[known], test_size=0.2, random_state=SEED, stratify=digits[known])
    held = np.concatenate([parts[1], images[~known]]), np.concatenate([parts[3], digits[~known]])
    return parts[0], held[0], parts[2], held[1]


def png(image: np.ndarray, side: int = SIDE) -> bytes:
    """An image of values 0…1 as a PNG file, enlarged without smoothing."""
    picture = Image.fromarray((image * 255).round().astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's notes on the machine, on its own products and on torch's future."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
