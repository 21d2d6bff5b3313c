"""A handler whose rows go wrong in each way that rows can."""

from __future__ import annotations

from typing import Any

import torch
from handlerkit import ModelHandler, Row, UnprocessableInput


class Doubler(ModelHandler):
    """Doubles a number: refuses words, and breaks on 13 in the network, on 14 afterwards."""

    def preprocess_row(self, row: Row) -> torch.Tensor:
        if row["body"] == "word":
            raise UnprocessableInput("A word is no number.")
        return torch.tensor([float(row["body"])])

    def inference(self, inputs: torch.Tensor) -> torch.Tensor:
        if (inputs == 13).any():
            raise RuntimeError("secret: 13")
        if (inputs == 15).any():
            raise MemoryError
        return super().inference(inputs)  # type: ignore[no-any-return]

    def postprocess_row(self, output: torch.Tensor, row: Row) -> Any:
        if output.item() == 28:
            raise ValueError("secret: 14")
        return {"twice": output.item()}

    def explain_row(self, tensor: torch.Tensor, row: Row) -> Any:
        return {"because": tensor.item()}


class Twice(torch.nn.Module):
    """The network."""

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return numbers * 2
