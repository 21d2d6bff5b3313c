"""Train the network of digit_scenes on handwritten digits pasted on noisy canvases, from a fixed seed.

The digits are scikit-learn's 1,797 images of 8 x 8 pixels, enlarged two or three times. Those in held-out scenes are in no
scene that training sees. A digit's box holds its ink, not the square that it was cut from.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 2026
SIDE = 96
MOST_DIGITS = 5
SCENES, HELD_OUT = 1500, 200
EPOCHS = 5
ROWS = 32
STRIDE = 4  # as in network.py
GAP = 2  # pixels between the squares of two digits
INK = 0.25
OVERLAP = 0.5  # intersection over union from which a box is taken for right

Box = list[float]


class Scene(NamedTuple):
    """A canvas [SIDE, SIDE] of values 0…1, and what is on it: a box [left, top, right, bottom] and a class each."""

    image: np.ndarray
    boxes: list[Box]
    labels: list[int]


def train(network: nn.Module, progress: Callable[[int, int], None]) -> None:
    """Fit ``network`` to scenes of training digits.

    Args:
        network: its ``maps`` takes float32 of shape [rows, 1, SIDE, SIDE] between 0 and 1 and gives scores before sigmoid
            [rows, 10, cells, cells] and boxes [rows, 4, cells, cells] in pixels.
        progress: told the epochs done and the epochs in all.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a network this small gains nothing by more, and loses much on a machine that is busy
    images, heat, boxes = _targets(scenes(digits()[0], SCENES, SEED))
    generator = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=EPOCHS * -(-SCENES // ROWS))
    network.train()
    for epoch in range(EPOCHS):
        for rows in torch.randperm(SCENES, generator=generator).split(ROWS):
            found = network.maps(_varied(images[rows], generator))  # type: ignore[operator]  # nn.Module names no method
            optimizer.zero_grad()
            _loss(found, (heat[rows], boxes[rows])).backward()
            optimizer.step()
            schedule.step()
        progress(epoch + 1, EPOCHS)
    torch.set_num_threads(threads)
    network.eval()


def held_out() -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Scenes of digits that training never sees, as PNG files, each with its boxes and labels."""
    for scene in scenes(digits()[1], HELD_OUT, SEED + 1):
        yield png(scene), {"boxes": scene.boxes, "labels": [str(label) for label in scene.labels]}


def measure(pairs: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> tuple[str, float]:
    """Mean average precision at an overlap of a half: for each class the area under its precision by recall; their mean."""
    classes = sorted({label for expected, _ in pairs for label in expected["labels"]})
    return "mAP@0.5", float(np.mean([_average_precision(pairs, label) for label in classes]))


def digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Images [n, 8, 8] in 0…1 and labels [n]: to train on, and held out (one in five of each class)."""
    data = load_digits()
    images = (data.images / 16).astype(np.float32)
    known, unknown, labels, others = train_test_split(images, data.target, test_size=0.2, random_state=SEED, stratify=data.target)
    return (known, labels), (unknown, others)


def scenes(source: tuple[np.ndarray, np.ndarray], number: int, seed: int) -> list[Scene]:
    """So many scenes of one to five of the digits, each at a place and in a size of its own, none on another."""
    rng = np.random.default_rng(seed)
    return [_scene(source, rng) for _ in range(number)]


def png(scene: Scene) -> bytes:
    """A scene as a PNG file."""
    file = io.BytesIO()
    Image.fromarray((scene.image * 255).round().astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _scene(source: tuple[np.ndarray, np.ndarray], rng: np.random.Generator) -> Scene:
    images, labels = source
    ground = rng.uniform(0, 0.25)
    canvas = np.full((SIDE, SIDE), ground, dtype=np.float32)
    taken: list[tuple[int, int, int]] = []
    scene = Scene(canvas, [], [])
    for chosen in rng.choice(len(images), rng.integers(1, MOST_DIGITS + 1), replace=False):
        side = int(rng.integers(16, 25))
        place = _free_place(side, taken, rng)
        if place is not None:
            taken.append((*place, side))
            scene.boxes.append(_paste(canvas, images[chosen], (*place, side), rng.uniform(0.6, 1)))
            scene.labels.append(int(labels[chosen]))
    canvas += rng.normal(0, 0.06, canvas.shape).astype(np.float32)
    return Scene(canvas.clip(0, 1), scene.boxes, scene.labels)


def _free_place(side: int, taken: list[tuple[int, int, int]], rng: np.random.Generator) -> tuple[int, int] | None:
    for _ in range(20):
        x, y = (int(value) for value in rng.integers(0, SIDE - side + 1, 2))
        if all(max(abs(2 * x + side - 2 * a - s), abs(2 * y + side - 2 * b - s)) >= side + s + 2 * GAP for a, b, s in taken):
            return x, y
    return None


def _paste(canvas: np.ndarray, digit: np.ndarray, square: tuple[int, int, int], brightness: float) -> Box:
    """Paint a digit in its square, and say where its ink is."""
    x, y, side = square
    ink = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BILINEAR))
    part = canvas[y : y + side, x : x + side]
    part += (brightness - part) * ink
    rows, columns = np.nonzero(ink > INK)
    return [float(x + columns.min()), float(y + rows.min()), float(x + columns.max() + 1), float(y + rows.max() + 1)]


def _targets(made: list[Scene]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images [n, 1, SIDE, SIDE]; heat [n, 10, cells, cells], 1 where a digit's centre is; the box that each cell is to find.

    Boxes [n, 4, cells, cells] are 0 at cells which are to find none.
    """
    images = torch.from_numpy(np.stack([scene.image for scene in made]))[:, None]
    cells = SIDE // STRIDE
    heat, boxes = torch.zeros(len(made), 10, cells, cells), torch.zeros(len(made), 4, cells, cells)
    places = (torch.arange(cells) + 0.5) * STRIDE
    for row, scene in enumerate(made):
        for box, label in zip(scene.boxes, scene.labels, strict=True):
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            distance = ((places[:, None] - y) ** 2 + (places[None, :] - x) ** 2) / STRIDE**2
            distance -= distance.min()
            heat[row, label] = torch.maximum(heat[row, label], torch.exp(-distance))
            boxes[row, :, distance < 2.5] = torch.tensor(box)[:, None]
    return images, heat, boxes


def _loss(found: tuple[torch.Tensor, ...], wanted: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Focal loss of the heat, as Objects as Points has it, and the distance of the boxes' sides."""
    (heat, boxes), (wanted_heat, wanted_boxes) = found, wanted
    centres = wanted_heat == 1
    score = heat.sigmoid()
    on = nn.functional.logsigmoid(heat) * (1 - score) ** 2
    off = nn.functional.logsigmoid(-heat) * score**2 * (1 - wanted_heat) ** 4
    focal = -torch.where(centres, on, off).sum() / centres.sum()
    boxed = (wanted_boxes.sum(1, keepdim=True) > 0).expand_as(boxes)
    return focal + 0.2 * nn.functional.smooth_l1_loss(boxes[boxed], wanted_boxes[boxed])


def _varied(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    gain = 0.8 + 0.4 * torch.rand(len(images), 1, 1, 1, generator=generator)
    noise = 0.04 * torch.randn(images.shape, generator=generator)
    return (images * gain + noise).clamp(0, 1)


def _average_precision(pairs: list[tuple[dict[str, Any], list[dict[str, Any]]]], label: str) -> float:
    """Area under the precision by recall of one class, precision being the best at that recall or a higher one."""
    wanted = [[box for box, one in zip(*expected.values(), strict=True) if one == label] for expected, _ in pairs]
    answers = [(scene, one) for scene, (_, answer) in enumerate(pairs) for one in answer if one["label"] == label]
    found = [(one["probability"], scene, one["box"]) for scene, one in answers]
    right = _matches(sorted(found, key=lambda one: -one[0]), wanted)
    recall = np.cumsum(right) / sum(map(len, wanted))
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * envelope))


def _matches(found: list[tuple[float, int, Box]], wanted: list[list[Box]]) -> list[bool]:
    """Whether each box, the surest first, is that of a digit which no surer box has found."""
    free = [list(boxes) for boxes in wanted]
    right = []
    for _, scene, box in found:
        near = [one for one in free[scene] if _overlap(one, box) >= OVERLAP]
        right.append(bool(near))
        if near:
            free[scene].remove(max(near, key=lambda one: _overlap(one, box)))
    return right


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)
