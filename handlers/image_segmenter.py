"""Name every pixel of an image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from handlerkit import BadRequest, ModelHandler, Row
from handlerkit.explain_region import RegionScores
from handlerkit.explainer import IMAGE_METHODS, Explainer
from handlerkit.images import decode, to_tensor
from handlerkit.labels import Labels
from handlerkit.mask_encodings import Asked, encoded, index_png, overlay, read_asked
from handlerkit.masks import UNLABELLED, Mask, MaskOptions, best_places, find_mask, largest_first, network_picture, stock_form
from handlerkit.options import read_options
from handlerkit.payload import binary

SHOWN = 10


class ImageSegmenter(ModelHandler):
    """Say of every pixel of an image what it shows.

    The network takes images, float32 [rows, channels, height, width], and gives scores before softmax,
    [rows, classes, height', width'], where height' and width' may be smaller.

    Request   as image_classifier's; beside the data "mask" (rle, png or none), "threshold" (a pixel whose class is less
              probable is 255, unlabelled) and "top_k" (how many classes are listed) for this request
    Response  {"size": [width, height], "classes": [{"label": "cat", "probability": 0.91, "index": 8, "share": 0.2,
              "box": [left, top, right, bottom]}, …], "unlabelled": 0.0, "mask": {…}}, of the image as it was sent, upright;
              the largest class first, the background last; for mask see handlerkit.mask_encodings.encoded;
              with Accept: image/png the mask as a PNG with a palette, or with "picture" overlay laid over the image
    Explain   the same request, and "target" (a label or an index) where not the first class is meant, and "method"; what
              image_classifier answers, of the mean score that the class has over its pixels
    Options   handlerkit.masks.MaskOptions, and explain: handlerkit.explainer.ExplainOptions
    """

    def setup(self) -> None:
        """Check the options against the network, by running it once."""
        self._explainer, rest = Explainer.read(self.options, IMAGE_METHODS, self.runtime)
        self._options = read_options(MaskOptions, rest)
        self._labels = Labels(self.labels)
        images = torch.zeros(2, 1 if self._options.mode == "L" else 3, *self._options.size)
        try:
            scores = self.runtime.run(images)
        except Exception as error:
            given = f"images of shape [rows, {', '.join(map(str, images.shape[1:]))}]"
            raise ValueError(f"size, mode: the network does not take {given}: {type(error).__name__}") from error
        self._options.check(scores, len(self.labels))

    def preprocess_row(self, row: Row) -> torch.Tensor:
        """The image as float32, shape [channels, height, width]."""
        picture, sent = network_picture(binary(row, self.limits), self._options)
        row.kept = read_asked(row, sent, self._options)
        return to_tensor(picture, self._options)

    def postprocess_row(self, output: torch.Tensor, row: Row) -> Any:
        """The classes and the mask; ``output`` holds scores before softmax, shape [classes, height', width']."""
        if self._options.form == "stock":
            return stock_form(output)
        asked: Asked = row.kept
        mask = find_mask(output, asked.sent, self._options, asked.threshold)
        classes = mask.classes(self._labels, self._options)
        for best in classes[:1]:
            self.meter.answer(best["label"], best["probability"])
        if asked.picture:
            row.reply(self._picture(mask, classes, row), "image/png")
            return None
        answer = {"size": list(asked.sent), "classes": classes[: asked.top_k], "unlabelled": mask.unlabelled}
        return answer | {"mask": encoded(mask.pixels, asked.mask, self._options.max_reply_megabytes)}

    def explain_row(self, tensor: torch.Tensor, row: Row) -> Any:
        """The first class, or the one the row names, and what each part of the image contributed to its mean score."""
        from handlerkit.explain import explain  # Captum is not loaded before it is wanted
        from handlerkit.heatmap import draw

        scores = self.runtime.run(tensor.unsqueeze(0))[0].float().cpu()
        target, region = self._region(scores, row)
        explainer = replace(self._explainer, runtime=RegionScores(self.runtime, region))
        explanation = explain(explainer, tensor, target, row.option("method"))
        if row.kept.picture:
            seen, _ = network_picture(binary(row, self.limits), self._options)
            row.reply(draw(seen, explanation["attributions"]), "image/png")
            return None
        return self._labels.answer(target, float(scores.softmax(0)[target, region].mean())) | explanation

    def _region(self, scores: torch.Tensor, row: Row) -> tuple[int, torch.Tensor]:
        """The class to explain, and where it is the best one: bool, shape [height', width']."""
        best = best_places(scores, row.kept.sent, self._options)
        found = largest_first(np.bincount(best.ravel(), minlength=UNLABELLED), self._options.background)
        wanted = row.option("target")
        target = found[0] if wanted is None else self._labels.index(wanted, len(scores))
        if target not in found:
            names = ", ".join(self._labels.name(index) for index in found[:SHOWN])
            raise BadRequest(f"No pixel of this image is '{self._labels.name(target)}'; there are: {names}.")
        return target, torch.from_numpy(best == target)

    def _picture(self, mask: Mask, classes: list[dict[str, Any]], row: Row) -> bytes:
        if row.kept.picture == "mask":
            return index_png(mask.pixels, self._options.max_reply_megabytes)
        image = decode(binary(row, self.limits), self._options.mode, self._options.max_megapixels, max(self._options.size))
        return overlay(image, mask.pixels, self._options.background, classes)
