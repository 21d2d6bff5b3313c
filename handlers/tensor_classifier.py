"""Classify an image by a network that has its preprocessing inside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from handlerkit import Batch, ModelHandler, Row
from handlerkit.explainer import PERTURBATIONS, Explainer
from handlerkit.labels import Labels, names_inside
from handlerkit.options import read_options
from handlerkit.payload import binary
from handlerkit.pixels import PixelOptions, PixelRuntime, check_scores, picture_of, read_pixels, sizes_apart
from handlerkit.ranking import Answer, best_classes, chosen_class


class TensorClassifier(ModelHandler):
    """Hand the decoded image over, uint8 of its own size, and nothing else: the network resizes and normalises it.

    Request   as image_classifier's
    Response  as image_classifier's; names of classes are the archive's, else the network's own ``class_names``
    Explain   as image_classifier's, by perturbations alone: whole pixels have no gradients
    Options   handlerkit.pixels.PixelOptions, and explain: handlerkit.explainer.ExplainOptions
    """

    def setup(self) -> None:
        """Check the options, and the network, by running it on images of three sizes."""
        explainer, rest = Explainer.read(self.options, PERTURBATIONS, self.runtime)  # whole pixels have no gradients
        self._explainer = replace(explainer, runtime=PixelRuntime(self.runtime))
        self._options = read_options(PixelOptions, rest)
        classes = max(self._try(images) for images in self._options.examples())
        self.labels = self._names()
        self._labels = Labels(self.labels)
        if self.labels and len(self.labels) != classes:
            raise ValueError(f"labels: {len(self.labels)} names; the network's output has {classes} classes")

    def preprocess_row(self, row: Row) -> torch.Tensor:
        """The image, uint8, shape [channels, height, width]."""
        return read_pixels(binary(row, self.limits), self._options)

    def preprocess(self, batch: Batch) -> torch.Tensor | list[torch.Tensor]:
        """Images of one size stacked, shape [rows, channels, height, width]; of several sizes a list."""
        images = self.read(batch)
        return torch.stack(images) if len(sizes_apart(images)) == 1 else images

    def inference(self, inputs: torch.Tensor | list[torch.Tensor]) -> Any:
        """The network's output, shape [rows, classes]; images of one size are run together, others by themselves."""
        if isinstance(inputs, torch.Tensor):
            return self.runtime.run(inputs)
        groups = sizes_apart(inputs)
        outputs = torch.cat([self.runtime.run(torch.stack([inputs[place] for place in places])) for places in groups])
        return outputs[torch.tensor([place for places in groups for place in places]).argsort()]

    def postprocess_row(self, output: torch.Tensor, row: Row) -> Answer:
        """The best classes; ``output`` holds what the network gives for each class."""
        return best_classes(self._probabilities(output), row, self._labels, self._options, self.meter)

    def explain_row(self, tensor: torch.Tensor, row: Row) -> Any:
        """The best class, or the one the row names, and what each part of the image contributed to what the network gives."""
        from handlerkit.explain import explain  # Captum is not loaded before it is wanted
        from handlerkit.heatmap import draw

        probabilities = self._probabilities(self.runtime.run(tensor.unsqueeze(0))[0])
        target = chosen_class(probabilities, row, self._labels)
        explanation = explain(self._explainer, tensor.float(), target, row.option("method"))
        if row.accepts("image/png"):
            row.reply(draw(picture_of(tensor), explanation["attributions"]), "image/png")
            return None
        return self._labels.answer(target, float(probabilities[target])) | explanation

    def _try(self, images: torch.Tensor) -> int:
        """How many classes the network's output has."""
        try:
            scores = self.runtime.run(images)
        except Exception as error:
            raise ValueError(f"the network does not take uint8 images of shape {list(images.shape)}: {_reason(error)}") from error
        return check_scores(scores, images, self._options.softmax)

    def _names(self) -> list[Any]:
        """The classes' names that the archive or the network brings."""
        inside = names_inside(self.model)
        given = [Labels(self.labels).name(index) for index in range(len(self.labels))]
        if given and inside and given != inside:
            raise ValueError(f"labels: the archive's begin with {given[:3]}, the network's own class_names with {inside[:3]}")
        return list(self.labels) or inside

    def _probabilities(self, output: torch.Tensor) -> torch.Tensor:
        return output.float().softmax(dim=-1) if self._options.softmax else output.float()


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[-200:] or type(error).__name__
