"""Classify an image."""

from __future__ import annotations

from typing import Any

import torch
from handlerkit import ModelHandler, Row
from handlerkit.explainer import IMAGE_METHODS, Explainer
from handlerkit.images import ImageOptions, picture, read_image, read_numbers
from handlerkit.labels import Labels
from handlerkit.options import read_options
from handlerkit.payload import binary, content
from handlerkit.ranking import Answer, best_classes, chosen_class


class ImageClassifier(ModelHandler):
    """Name what an image shows.

    Request   bytes of an image (PNG, JPEG, WebP, BMP, GIF), a form with a file, JSON {"data": "<base64>"}, or KServe's
              envelopes around those; in place of an image the network's own input, a list of numbers [channels, height,
              width]; beside the data "top_k" and "threshold" for this request
    Response  [{"label": "tabby", "probability": 0.87, "index": 281}, …], best first
    Explain   the same request, and "target" (a label or an index) where not the best class is meant, and "method";
              {"label": …, "probability": …, "method": …, "attributions": [[…], …], …};
              with Accept: image/png the map laid over the image
    Options   handlerkit.images.ImageOptions, and explain: handlerkit.explainer.ExplainOptions
    """

    def setup(self) -> None:
        """Check the options."""
        self._explainer, rest = Explainer.read(self.options, IMAGE_METHODS, self.runtime)
        self._image = read_options(ImageOptions, rest)
        self._labels = Labels(self.labels)

    def preprocess_row(self, row: Row) -> torch.Tensor:
        """The image, or the numbers that stand in its place, as float32, shape [channels, height, width]."""
        sent = content(row)
        return read_numbers(sent, self._image) if isinstance(sent, list) else read_image(binary(row, self.limits), self._image)

    def postprocess_row(self, output: torch.Tensor, row: Row) -> Answer:
        """The best classes; ``output`` holds one score before softmax for each class."""
        return best_classes(output.float().softmax(dim=-1), row, self._labels, self._image, self.meter)

    def explain_row(self, tensor: torch.Tensor, row: Row) -> Any:
        """The best class, or the one the row names, and what each part of the image contributed to its score."""
        from handlerkit.explain import explain  # Captum is not loaded before it is wanted
        from handlerkit.heatmap import draw

        probabilities = self.runtime.run(tensor.unsqueeze(0))[0].float().softmax(dim=-1)
        target = chosen_class(probabilities, row, self._labels)
        explanation = explain(self._explainer, tensor, target, row.option("method"))
        if row.accepts("image/png"):
            row.reply(draw(picture(binary(row, self.limits), self._image), explanation["attributions"]), "image/png")
            return None
        return self._labels.answer(target, float(probabilities[target])) | explanation
