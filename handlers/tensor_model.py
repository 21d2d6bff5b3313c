"""Run a network on named tensors."""

from __future__ import annotations

from typing import Any

import torch
from handlerkit import BadRequest, Batch, ModelHandler, Row
from handlerkit.explainer import FEATURE_METHODS, Explainer
from handlerkit.labels import Labels
from handlerkit.options import read_options
from handlerkit.payload import document
from handlerkit.ranking import best_classes, chosen_class
from handlerkit.tensors import TensorOptions, name_outputs, read_inputs


class TensorModel(ModelHandler):
    """Take numbers, as those of a table's row, and answer classes or numbers.

    Request   JSON {"data": [numbers]}, or the list alone, for a network of one input; {"inputs": {"name": [numbers], …}}
              for any; with or without a content type, or KServe's envelopes around those
    Response  with labels and one output of a score for each: [{"label": "red", "probability": 0.87, "index": 2}, …],
              best first, as many as "top_k" and as probable as "threshold" beside the data ask; else
              {"outputs": {"name": [numbers], …}}
    Explain   the same request, and "target" (a label or an index) where not the best class is meant, and "method";
              {"label": …, "probability": …, "index": …, "method": …, "steps": …, "reduced": …,
              "attributions": {"feature": …, …}}, strongest first; without labels "value" stands in place of label and
              probability
    Options   handlerkit.tensors.TensorOptions, and explain: handlerkit.explainer.ExplainOptions
    """

    def setup(self) -> None:
        """Check the options against the network, by running it once."""
        self._explainer, rest = Explainer.read(self.options, FEATURE_METHODS, self.runtime)
        self._options = read_options(TensorOptions, rest)
        self._labels = Labels(self.labels)
        outputs = self._named(self.runtime.run(*self._options.example()))
        first = next(iter(outputs.values()))
        self._scores = first.shape[1] if len(outputs) == 1 and first.is_floating_point() and first.ndim == 2 else 0
        if self.labels and self._scores not in (0, len(self.labels)):
            raise ValueError(f"labels: {len(self.labels)} names; the network's output has {self._scores} classes")

    def preprocess_row(self, row: Row) -> tuple[torch.Tensor, ...]:
        """The network's inputs, each without the batch's dimension."""
        sent = document(row, self.limits)
        if len(row) == 1:
            row["body"] = sent  # where row.option looks for what stands beside the data
        return read_inputs(sent, self._options)

    def preprocess(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """The network's inputs, each of shape [rows, …]."""
        return tuple(torch.stack(column) for column in zip(*self.read(batch), strict=True))

    def inference(self, inputs: tuple[torch.Tensor, ...]) -> Any:
        """The network's outputs."""
        return self.runtime.run(*inputs)

    def postprocess(self, outputs: Any, batch: Batch) -> list[Any]:
        """An answer for each row."""
        named = self._named(outputs)
        return [self.postprocess_row({name: one[index] for name, one in named.items()}, row) for index, row in enumerate(batch)]

    def postprocess_row(self, output: dict[str, torch.Tensor], row: Row) -> Any:
        """The best classes, or all outputs by their names."""
        if not (self.labels and self._scores):
            return {"outputs": {name: one.tolist() for name, one in output.items()}}
        (scores,) = output.values()
        return best_classes(self._probabilities(scores), row, self._labels, self._options, self.meter)

    def explain_row(self, tensor: tuple[torch.Tensor, ...], row: Row) -> dict[str, Any]:
        """The best class, or the one the row names, and what each value of the input contributed to its score."""
        from handlerkit.explain_features import explain_features  # Captum is not loaded before it is wanted

        if not self._scores:
            raise BadRequest("This model has no explanations: they need one output, a list of scores for each row.")
        outputs = self._named(self.runtime.run(*(one.unsqueeze(0) for one in tensor)))
        scores = next(iter(outputs.values()))[0]
        target = chosen_class(scores, row, self._labels)
        asked = row.option("method")
        return self._answer(target, scores) | explain_features(self._explainer, tensor, target, self._options, asked)

    def _answer(self, target: int, scores: torch.Tensor) -> dict[str, Any]:
        if not self.labels:
            return {"index": target, "value": float(scores[target])}
        return self._labels.answer(target, float(self._probabilities(scores)[target]))

    def _named(self, outputs: Any) -> dict[str, torch.Tensor]:
        return name_outputs(outputs, self._options.outputs)

    def _probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        return scores.softmax(dim=-1) if self._options.softmax else scores
