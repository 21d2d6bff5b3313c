"""Classify an image by a LightningModule's predict_step, and say how sure that is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from handlerkit import ModelHandler, Row
from handlerkit.explainer import IMAGE_METHODS, Explainer
from handlerkit.images import picture, read_image
from handlerkit.labels import Labels
from handlerkit.monte_carlo import MonteCarlo, MonteCarloOptions, uncertainty
from handlerkit.options import read_options
from handlerkit.payload import binary
from handlerkit.ranking import Answer, best_classes, chosen_class


class LightningModuleClassifier(ModelHandler):
    """Name what an image shows by the mean of random passes, as Monte Carlo dropout makes them, and tell their spread.

    Network   the method that the version names (``predict_step``) gives mean and standard deviation over the passes of the
              classes' probabilities: (mean, spread), each of shape [rows, classes]
    Request   as image_classifier's: an image as bytes, a form, JSON {"data": "<base64>"} or KServe's envelopes; beside the
              data "top_k" and "threshold" for this request
    Response  [{"label": "7", "probability": 0.87, "index": 7, "spread": 0.06}, …], best first; the first has "uncertainty"
              too, the entropy of the mean (0 is sure, 1 knows nothing), and "unsure" where the options say from when on
    Explain   as image_classifier's, of the mean
    Options   handlerkit.monte_carlo.MonteCarloOptions, and explain: handlerkit.explainer.ExplainOptions
    """

    def setup(self) -> None:
        """Check the options, and the network against them by running it."""
        explainer, rest = Explainer.read(self.options, IMAGE_METHODS, self.runtime)
        self._options = read_options(MonteCarloOptions, rest)
        self._labels = Labels(self.labels)
        channels = 3 if self._options.mode == "RGB" else 1
        self._network = MonteCarlo(self.runtime, (channels, *self._options.size), self._options.seed)
        self._explainer = replace(explainer, runtime=self._network)
        if self.labels and self._network.classes != len(self.labels):
            raise ValueError(f"labels: {len(self.labels)} names; the network's output has {self._network.classes} classes")

    def preprocess_row(self, row: Row) -> torch.Tensor:
        """The image as float32, shape [channels, height, width]."""
        return read_image(binary(row, self.limits), self._options)

    def inference(self, inputs: torch.Tensor) -> torch.Tensor:
        """Mean and spread, shape [rows, 2, classes]."""
        return self._network.mean_and_spread(inputs)

    def postprocess_row(self, output: torch.Tensor, row: Row) -> Answer:
        """The best classes by the mean; ``output`` is the row's mean and spread, shape [2, classes]."""
        mean, spread = output
        answer = best_classes(mean, row, self._labels, self._options, self.meter)
        if isinstance(answer, dict):  # TorchServe's own form has no room for more
            return answer
        for one in answer:
            one["spread"] = round(float(spread[one["index"]]), 6)
        if answer:
            answer[0] |= self._judged(mean)
        return answer

    def explain_row(self, tensor: torch.Tensor, row: Row) -> Any:
        """The best class, or the one the row names, and what each part of the image contributed to its mean probability."""
        from handlerkit.explain import explain  # Captum is not loaded before it is wanted
        from handlerkit.heatmap import draw

        probabilities = self._network.run(tensor.unsqueeze(0))[0]
        target = chosen_class(probabilities, row, self._labels)
        explanation = explain(self._explainer, tensor, target, row.option("method"))
        if row.accepts("image/png"):
            row.reply(draw(picture(binary(row, self.limits), self._options), explanation["attributions"]), "image/png")
            return None
        return self._labels.answer(target, float(probabilities[target])) | explanation

    def _judged(self, mean: torch.Tensor) -> dict[str, Any]:
        found = uncertainty(mean)
        limit = self._options.unsure_above
        return {"uncertainty": round(found, 6)} | ({} if limit is None else {"unsure": found > limit})
