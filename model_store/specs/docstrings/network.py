"""The network of docstrings 1 and 2."""

import torch
from torch import nn

BUCKETS = 8192
LEAST = -1e4


class DocstringNetwork(nn.Module):
    """Token ids [rows, length], 0 for padding, to scores [rows, 4]: mean and maximum of the tokens' vectors, and a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(BUCKETS, 32, padding_idx=0)
        self.scores = nn.Linear(64, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Scores before softmax; a text without tokens has those of zeros."""
        present = (tokens != 0).unsqueeze(2)
        count = present.sum(1)
        vectors = self.embedding(tokens)
        mean = (vectors * present).sum(1) / count.clamp(min=1)
        most = torch.where(count > 0, vectors.masked_fill(~present, LEAST).amax(1), 0.0)
        scores: torch.Tensor = self.scores(torch.cat([mean, most], 1))
        return scores
