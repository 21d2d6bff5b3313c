"""Find things in an image."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import torch
from handlerkit import Batch, ModelHandler, Row, UnprocessableInput
from handlerkit.choice import FORMS
from handlerkit.detections import Detection, DetectionOptions, check_network, detections, listed
from handlerkit.drawing import MOST_SIDE, draw_boxes
from handlerkit.explainer import PERTURBATIONS, Explainer
from handlerkit.images import decode_sized, normalised, on_ground
from handlerkit.labels import Labels
from handlerkit.options import read_options
from handlerkit.payload import binary
from handlerkit.placement import Placement, place
from handlerkit.request_options import number, one_of, whole_number
from PIL import Image

MOST = 1000


class ObjectDetector(ModelHandler):
    """Say what is in an image, and where.

    Request   bytes of an image (PNG, JPEG, WebP, BMP, GIF), a form with a file, JSON {"data": "<base64>"}, or KServe's
              envelopes around those; beside the data "top_k", "threshold" and "form" for this request
    Response  [{"label": "person", "probability": 0.87, "index": 1, "box": [left, top, right, bottom]}, …], best first, [] where
              nothing is found; boxes in pixels of the image that was sent, upright as its EXIF orientation has it;
              with form "stock" [{"person": [left, top, right, bottom], "score": 0.87}, …], as TorchServe's object_detector;
              with Accept: image/png the image with the boxes drawn
    Explain   the same request, and "target" (a label or an index) where not the best box is meant but the best of a class, and
              "method"; {"label": …, "probability": …, "index": …, "box": …, "method": …, "attributions": [[…], …], …}
    Options   handlerkit.detections.DetectionOptions, and explain: handlerkit.explainer.ExplainOptions
    Network   takes images, float32 [rows, 1 or 3, height, width], and gives three tensors, with the same number N of
              candidates for every image, the best first: boxes, float [rows, N, 4], as left, top, right and bottom in pixels
              of its input; scores, float [rows, N], from 0 to 1; labels, whole numbers [rows, N]. Where there are fewer than
              N the rest has score 0. Every value is finite.
    """

    def setup(self) -> None:
        """Check the options, and the network's outputs by running it once."""
        self._explainer, rest = Explainer.read(self.options, PERTURBATIONS, self.runtime)  # boxes have no gradients
        self._options = read_options(DetectionOptions, rest)
        self._labels = Labels(self.labels)
        check_network(self.runtime, self._options)

    def preprocess_row(self, row: Row) -> torch.Tensor:
        """The image as float32, shape [channels, height, width]."""
        image, row.kept = self._placed(row)
        return normalised(image, self._options)

    def postprocess(self, outputs: Any, batch: Batch) -> list[Any]:
        """An answer for each row."""
        candidates = zip(*outputs, strict=True)
        return [self.postprocess_row(output, row) for output, row in zip(candidates, batch, strict=True)]

    def postprocess_row(self, output: tuple[torch.Tensor, ...], row: Row) -> Any:
        """The best boxes; ``output`` holds one image's boxes, scores and labels."""
        form = one_of(row, "form", self._options.form, FORMS)
        found = self._found(output, row, whole_number(row, "top_k", self._options.top_k, 1, MOST))
        if found:
            self.meter.answer(self._labels.name(found[0].index), found[0].probability)
        if row.accepts("image/png"):
            image, sent = self._decoded(row, MOST_SIDE)
            row.reply(draw_boxes(image, sent, [(one.box, self._caption(one), one.index) for one in found]), "image/png")
        return listed(found, self._labels, form)

    def explain_row(self, tensor: torch.Tensor, row: Row) -> Any:
        """The best box, or the best of the class that the row names, and what each part of the image contributed to it."""
        from handlerkit.explain import explain  # Captum is not loaded before it is wanted
        from handlerkit.explain_detection import DetectionScore
        from handlerkit.heatmap import draw

        detection = self._chosen([one[0] for one in self.runtime.run(tensor.unsqueeze(0))], row)
        explainer = replace(self._explainer, runtime=DetectionScore(self.runtime, detection))
        explanation = explain(explainer, tensor, 0, row.option("method"))
        if row.accepts("image/png"):
            image = self._placed(row)[0]
            heat = Image.open(io.BytesIO(draw(image, explanation["attributions"])))
            row.reply(draw_boxes(heat, image.size, [(detection.seen, self._caption(detection), detection.index)]), "image/png")
        (answer,) = listed([detection], self._labels, "marina")
        return answer | explanation

    def _placed(self, row: Row) -> tuple[Image.Image, Placement]:
        image, sent = self._decoded(row, max(self._options.size))
        return place(on_ground(image, self._options), sent, self._options)

    def _decoded(self, row: Row, least: int) -> tuple[Image.Image, tuple[int, int]]:
        return decode_sized(binary(row, self.limits), self._options.mode, self._options.max_megapixels, least)

    def _found(self, output: Any, row: Row, most: int) -> list[Detection]:
        least = number(row, "threshold", self._options.threshold, 0, 1)
        found = detections(output, row.kept, self._options, most, least)
        unknown = [one.index for one in found if self.labels and not 0 <= one.index < len(self.labels)]
        if unknown:
            raise ValueError(f"the network names class {unknown[0]}; the archive has {len(self.labels)} labels")
        return found

    def _chosen(self, output: Any, row: Row) -> Detection:
        """The box to explain."""
        found, wanted = self._found(output, row, MOST), row.option("target")
        if wanted is not None:
            index = self._labels.index(wanted, len(self.labels) or MOST)
            found = [one for one in found if one.index == index]
        if not found:
            what = "Nothing" if wanted is None else f"No '{str(wanted)[:40]}'"
            raise UnprocessableInput(f"{what} is found here, so there is nothing to explain; a lower threshold finds more.")
        return found[0]

    def _caption(self, detection: Detection) -> str:
        return f"{self._labels.name(detection.index)} {detection.probability:.0%}"
