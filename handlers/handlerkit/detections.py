"""From a detection network's candidates to the boxes that are answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from handlerkit.choice import FORMS
from handlerkit.labels import Labels
from handlerkit.placement import PlacedOptions, Placement
from handlerkit.runtimes import Runtime

MOST_COMPARED = 1000  # candidates that are looked at for overlaps, the best ones: each is compared with each
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class DetectionOptions(PlacedOptions):
    """How an image becomes a tensor, and which boxes are answered.

    Attributes:
        top_k: how many boxes an answer lists at most.
        threshold: least probability of a box that an answer lists.
        iou: overlap (intersection over union) from which of two boxes of a class the less probable one is dropped; None
            where the network drops them itself.
        form: of an answer: ``marina``, or ``stock`` as TorchServe's own object_detector has it.
    """

    top_k: int = 100
    threshold: float = 0.5
    iou: float | None = None
    form: Literal["marina", "stock"] = "marina"

    def __post_init__(self) -> None:
        """Refuse values that could only fail at the first request."""
        super().__post_init__()
        for name in ("threshold", "iou"):
            value = getattr(self, name)
            if value is not None and (type(value) not in (int, float) or not 0 <= value <= 1):
                raise ValueError(f"{name} must be a number from 0 to 1, not {value!r}")
        if self.form not in FORMS:
            raise ValueError(f"form must be marina or stock, not {self.form!r}")


@dataclass(frozen=True)
class Detection:
    """One thing that was found.

    Attributes:
        index: of its class.
        probability: of being there.
        box: left, top, right and bottom in pixels of the image that was sent, upright.
        seen: the same in pixels of the network's input.
    """

    index: int
    probability: float
    box: Box
    seen: Box


def check_network(runtime: Runtime, options: DetectionOptions) -> None:
    """Run the network once, on two black images.

    Raises:
        ValueError: it does not take them, or gives something else than boxes, scores and labels.
    """
    shape = [3 if options.mode == "RGB" else 1, *options.size]
    try:
        outputs = runtime.run(torch.zeros(2, *shape))
    except Exception as error:
        given = f"images of shape [rows, {', '.join(map(str, shape))}]"
        raise ValueError(f"size, mode: the network does not take {given}: {type(error).__name__}") from error
    tensors = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    if not _are_candidates(tensors):
        required = "boxes [rows, N, 4], scores [rows, N] and labels [rows, N] of whole numbers"
        raise ValueError(f"the network must give {required}; for 2 images it gives {', '.join(map(_shown, tensors))}")


def detections(
    candidates: Sequence[torch.Tensor], placement: Placement, options: DetectionOptions, most: int, least: float
) -> list[Detection]:
    """What was found in one image, the most probable first.

    Args:
        candidates: boxes [N, 4] in pixels of the network's input, scores [N], labels [N].
        placement: of the image in the network's input.
        options: of the archive.
        most: how many.
        least: probability of each.

    Raises:
        ArithmeticError: a box or a score is no finite number.
    """
    boxes, scores, labels = (one.cpu() for one in candidates)
    if not (boxes.isfinite().all() and scores.isfinite().all()):
        raise ArithmeticError("the network's boxes or scores have values that are no finite numbers")
    inside = placement.to_image(boxes)
    there = (scores > 0) & (scores >= least) & (inside[:, :2] < inside[:, 2:]).all(1)
    order = scores.masked_fill(~there, -1).argsort(descending=True, stable=True)[: int(there.sum())]
    if options.iou is not None:
        order = order[:MOST_COMPARED]
        order = order[without_overlaps(boxes[order], labels[order], options.iou)]
    best = order[:most]
    columns = (labels[best].tolist(), scores[best].tolist(), inside[best].tolist(), boxes[best].tolist())
    return [Detection(index, score, tuple(box), tuple(seen)) for index, score, box, seen in zip(*columns, strict=True)]


def without_overlaps(boxes: torch.Tensor, labels: torch.Tensor, iou: float) -> torch.Tensor:
    """Which boxes stay, as bool [n]: those that no better one of their class, which itself stays, overlaps by more than ``iou``.

    All pairs are compared at once; then whoever is overlapped by a box that stays is dropped, until nothing changes. Each
    round settles at least one box more, and in practice a few settle all (non-maximum suppression, without its loop).

    Args:
        boxes: [n, 4], the best first.
        labels: [n].
        iou: intersection over union of two boxes.
    """
    drops = (overlaps(boxes, boxes) > iou) & (labels[:, None] == labels[None, :])
    drops = drops.triu(diagonal=1)
    stays = torch.ones(len(boxes), dtype=torch.bool)
    while True:
        left = ~(drops & stays[:, None]).any(0)
        if torch.equal(left, stays):
            return stays
        stays = left


def overlaps(ones: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Intersection over union of each box [n, 4] with each of the others [m, 4]: shape [n, m]; 0 for boxes without area."""
    least = torch.maximum(ones[:, None, :2], others[None, :, :2])
    most = torch.minimum(ones[:, None, 2:], others[None, :, 2:])
    both = (most - least).clamp(min=0).prod(2)
    areas = [(some[:, 2:] - some[:, :2]).clamp(min=0).prod(1) for some in (ones, others)]
    union = areas[0][:, None] + areas[1][None, :] - both
    return both / union.clamp(min=1e-9)


def listed(found: Sequence[Detection], labels: Labels, form: str) -> list[dict[str, Any]]:
    """What is answered: for each box label, probability, index and box; or as TorchServe's object_detector has it."""
    boxes = [[round(side, 2) for side in one.box] for one in found]
    if form == "stock":
        return [{labels.name(one.index): box, "score": one.probability} for one, box in zip(found, boxes, strict=True)]
    return [labels.answer(one.index, one.probability) | {"box": box} for one, box in zip(found, boxes, strict=True)]


def _are_candidates(tensors: Sequence[Any]) -> bool:
    if len(tensors) != 3 or not all(isinstance(one, torch.Tensor) for one in tensors):
        return False
    boxes, scores, labels = tensors
    shapes = scores.ndim == 2 and boxes.shape == (2, scores.shape[1], 4) and labels.shape == scores.shape == (2, scores.shape[1])
    return shapes and boxes.is_floating_point() and scores.is_floating_point() and not labels.is_floating_point()


def _shown(output: Any) -> str:
    if not isinstance(output, torch.Tensor):
        return type(output).__name__
    return f"{str(output.dtype).removeprefix('torch.')} {list(output.shape)}"
