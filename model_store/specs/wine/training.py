"""Train the wine network on scikit-learn's wines, on a fixed split from a fixed seed.

The data is the UCI set "Wine": 13 chemical measurements of 178 wines of three cultivars. It ships inside scikit-learn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np
import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 2026
EPOCHS = 100
NOISE = 0.6  # in standard deviations; with the weight decay chosen by tenfold cross-validation of the training wines
WEIGHT_DECAY = 1.0


def train(network: nn.Module, progress: Callable[[int, int], None]) -> None:
    """Fit ``network`` to the training wines, each measured a little wrongly, and give it their means and standard deviations.

    Args:
        network: takes float32 of shape [rows, 13], gives scores of shape [rows, 3]; has the buffers mean and scale.
        progress: told the epochs done and the epochs in all.
    """
    wines, labels = (torch.from_numpy(part) for part in split()[::2])
    network.get_buffer("mean").copy_(wines.mean(0))
    network.get_buffer("scale").copy_(wines.std(0))
    generator = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=WEIGHT_DECAY)
    network.train()
    for epoch in range(EPOCHS):
        noise = NOISE * wines.std(0) * torch.randn(wines.shape, generator=generator)
        loss = nn.functional.cross_entropy(network(wines + noise), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress(epoch + 1, EPOCHS)
    network.eval()


def held_out() -> Iterator[tuple[bytes, str]]:
    """The wines that training never sees, as JSON requests, each with its label."""
    names = load_wine().target_names
    _, wines, _, labels = split()
    for wine, label in zip(wines, labels, strict=True):
        yield json.dumps({"data": [float(str(value)) for value in wine]}).encode(), str(names[label])


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training wines, held-out wines (one in five of each cultivar), and their labels; wines [n, 13]."""
    data = load_wine()
    parts = train_test_split(data.data.astype(np.float32), data.target, test_size=0.2, random_state=SEED, stratify=data.target)
    return parts[0], parts[1], parts[2], parts[3]
