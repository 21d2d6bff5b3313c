"""Every handler with a network of a few numbers, loaded as a worker loads it: for tests that ask thousands of times."""

from __future__ import annotations

import base64
import importlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pictures import encoded, plain
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from workers import Worker, config

SMALL = {"steps": 2, "cells": 2}  # of an explanation
IMAGE: dict[str, Any] = {"size": [8, 8], "mode": "L", "explain": SMALL}
LABELS = ["dark", "light"]
WORDS = {"[PAD]": 0, "[UNK]": 1, "cat": 2, "dog": 3, "##s": 4}


class Light(nn.Module):
    """Scores: how dark an image is, and how light."""

    def forward(self, images: Tensor) -> Tensor:
        light = images.clamp(-1, 1).mean((1, 2, 3))
        return torch.stack([1 - light, light], dim=1)


class Passes(Light):
    """The same as the mean of passes, with a spread."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        mean = super().forward(images).softmax(1)
        return mean, mean / 10


class Shades(nn.Module):
    """Scores of each pixel."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([1 - images, images], dim=1).clamp(-1, 2)


class Corner(nn.Module):
    """One box, in the top left corner, as surely as that is light."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        light = images.clamp(0, 1).mean((1, 2, 3)).unsqueeze(1)
        boxes = torch.tensor([[[0.0, 0.0, 4.0, 4.0]]]) + 0 * light.unsqueeze(2)
        return boxes, light, 1 + 0 * light.long()


class Pixels(nn.Module):
    """Probabilities of an image of any size, from whole numbers."""

    def forward(self, images: Tensor) -> Tensor:
        light = images.to(torch.float64).mean((1, 2, 3)) / 255
        return torch.stack([1 - light, light], dim=1)


class Sums(nn.Module):
    """Scores of three numbers."""

    def forward(self, size: Tensor) -> Tensor:
        total = size.sum(1)
        return torch.stack([-total, total], dim=1) / 1000


class Product(nn.Module):
    """Two inputs, two outputs."""

    def forward(self, length: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        return length.clamp(-9, 9) * count.unsqueeze(1), count.clone()


class Tokens(nn.Module):
    """What the embeddings of a text's tokens add up to."""

    def __init__(self, ids: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(ids, 2)
        self.embedding.weight.data = torch.arange(2.0 * ids).reshape(ids, 2) % 7
        self.embedding.weight.data[0] = 0

    def forward(self, tokens: Tensor) -> Tensor:
        return self.embedding(tokens).sum(1)  # type: ignore[no-any-return]


@dataclass(frozen=True, repr=False)
class Small:
    """A handler with its network, named by its class alone: hypothesis prints what strategies are made of.

    Attributes:
        handler: its module.
        kind: its class.
        network: what it serves.
        example: inputs that the network is traced with; none where it is scripted, for images of any size.
        options: of the handler.
        good: a body that is answered, with its content type.
        documents: JSON that is answered: values to change.
        labels: of the classes.
    """

    handler: str
    kind: str
    network: nn.Module
    example: tuple[Tensor, ...]
    options: Mapping[str, Any]
    good: tuple[bytes, str]
    documents: Sequence[Any]
    labels: list[str] = field(default_factory=lambda: list(LABELS))

    def __repr__(self) -> str:
        return self.kind

    def load(self, folder: Path) -> Worker:
        """A worker that has loaded it."""
        folder.mkdir(parents=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit's: deprecated since torch 2.11, works in 2.15
            made = torch.jit.trace(self.network.eval(), self.example) if self.example else torch.jit.script(self.network.eval())
            torch.jit.save(made, str(folder / "model.pt"))
        if self.handler == "text_embedder":
            _write_vocabulary(folder / "tokenizer.json")
        handler = getattr(importlib.import_module(self.handler), self.kind)()
        return Worker(handler, folder, config(dict(self.options), self.labels))


def _write_vocabulary(path: Path) -> None:
    tokenizer = Tokenizer(models.WordPiece(WORDS, unk_token="[UNK]"))  # noqa: S106 - a token of a text
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(path))


def _documents(data: Any, tensor: Mapping[str, Any]) -> list[Any]:
    """A row as plain JSON, with options, and in KServe's envelopes."""
    options = {"top_k": 1, "threshold": 0.1, "form": "stock", "target": "light", "method": "feature_ablation"}
    return [
        {"data": data},
        {"data": data, **options},
        {"instances": [{"data": data, "top_k": 1}, data], "parameters": options},
        {"id": "mine", "inputs": [tensor], "parameters": options},
    ]


def _bytes_tensor(value: str) -> dict[str, Any]:
    return {"name": "input", "shape": [1], "datatype": "BYTES", "data": [value]}


PICTURE = encoded(Image.linear_gradient("L").resize((11, 9)), "PNG")
LIGHT_PICTURE = (plain("L", (9, 7), 255), "image/png")
AS_BASE64 = base64.b64encode(PICTURE).decode()
OF_IMAGES = [
    *_documents({"b64": AS_BASE64}, _bytes_tensor(AS_BASE64)),
    {"data": AS_BASE64, "mask": "png", "picture": "overlay"},
    {"data": [[[0.5] * 8] * 8]},
]
NUMBERS = [1, 2.5, -3]
OF_NUMBERS = _documents(NUMBERS, {"name": "size", "shape": [1, 3], "datatype": "FP32", "data": NUMBERS})
OF_TEXTS = [
    *_documents("Cats and dogs", _bytes_tensor("Cats and dogs")),
    {"text": "Cats", "other": "dogs", "encoding": "base64"},
]
LENGTHS = {"length": {"shape": [2]}, "count": {"shape": [], "dtype": "int64", "least": 0, "most": 9}}
TWO = [
    {"inputs": {"length": [1.5, 2], "count": 3}},
    {
        "inputs": [
            {"name": "length", "shape": [1, 2], "datatype": "FP64", "data": [[1, 2]]},
            {"name": "count", "shape": [1], "datatype": "INT64", "data": [3]},
        ]
    },
]
JSON = "application/json"
EXAMPLE = (torch.zeros(2, 1, 8, 8),)

SMALL_HANDLERS: dict[str, Small] = {
    "image_classifier": Small("image_classifier", "ImageClassifier", Light(), EXAMPLE, IMAGE, LIGHT_PICTURE, OF_IMAGES),
    "lightning_module": Small(
        "lightning_module", "LightningModuleClassifier", Passes(), EXAMPLE, IMAGE, LIGHT_PICTURE, OF_IMAGES
    ),
    "image_segmenter": Small("image_segmenter", "ImageSegmenter", Shades(), EXAMPLE, IMAGE, LIGHT_PICTURE, OF_IMAGES),
    "object_detector": Small("object_detector", "ObjectDetector", Corner(), EXAMPLE, IMAGE, LIGHT_PICTURE, OF_IMAGES),
    "tensor_classifier": Small("tensor_classifier", "TensorClassifier", Pixels(), (), IMAGE, LIGHT_PICTURE, OF_IMAGES),
    "tensor_model": Small(
        "tensor_model",
        "TensorModel",
        Sums(),
        (torch.zeros(2, 3),),
        {"inputs": {"size": {"shape": [3], "least": -100, "most": 100}}, "explain": SMALL},
        (json.dumps({"data": NUMBERS}).encode(), JSON),
        OF_NUMBERS,
    ),
    "tensor_model of two": Small(
        "tensor_model",
        "TensorModel",
        Product(),
        (torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64)),
        {"inputs": LENGTHS},
        (json.dumps(TWO[0]).encode(), JSON),
        TWO,
        [],
    ),
    "text_classifier": Small(
        "text_classifier",
        "TextClassifier",
        Tokens(500),
        (torch.zeros(2, 6, dtype=torch.int64),),
        {"length": 6, "buckets": 500, "explain": SMALL},
        (b"Cats and dogs", "text/plain"),
        OF_TEXTS,
    ),
    "text_embedder": Small(
        "text_embedder",
        "TextEmbedder",
        Tokens(len(WORDS)),
        (torch.ones(2, 4, dtype=torch.int64),),
        {"length": 8, "multiple": 4, "explain": SMALL},
        (b"Cats and dogs", "text/plain"),
        OF_TEXTS,
        [],
    ),
}
