"""Classify a text."""

from __future__ import annotations

from typing import Any

import torch
from handlerkit import ModelHandler, Row
from handlerkit.explainer import TOKEN_METHODS, Explainer
from handlerkit.labels import Labels
from handlerkit.options import read_options
from handlerkit.payload import text
from handlerkit.ranking import Answer, best_classes, chosen_class
from handlerkit.tokens import TextOptions, split_tokens, token_ids


class TextClassifier(ModelHandler):
    """Say of which kind a text is.

    Request   text in UTF-8, a form's part "data" or "text", JSON {"text": "…"} or {"data": "…"} with its content type, or
              KServe's envelopes around those; beside the text "top_k" and "threshold" for this request
    Response  [{"label": "torch", "probability": 0.87, "index": 3}, …], best first; of a text that has more tokens than the
              network takes the first has "truncated": true
    Explain   the same request, and "target" (a label or an index) where not the best class is meant, and "method";
              {"label": …, "probability": …, "index": …, "method": …, "steps": …, "reduced": …, "fidelity": …,
              "truncated": …, "tokens": [{"token": "…", "weight": …}, …]}, the strongest 64 in the order of the text
    Options   handlerkit.tokens.TextOptions, and explain: handlerkit.explainer.ExplainOptions
    """

    def setup(self) -> None:
        """Check the options against the network, by running it once on the largest id there is."""
        self._explainer, rest = Explainer.read(self.options, TOKEN_METHODS, self.runtime)
        self._options = read_options(TextOptions, rest)
        self._labels = Labels(self.labels)
        ids = torch.full((2, self._options.length), self._options.buckets - 1)
        try:
            scores = self.runtime.run(ids)
        except Exception as error:
            given = f"ids below {self._options.buckets} of shape [rows, {self._options.length}]"
            raise ValueError(f"length, buckets: the network does not take {given}: {type(error).__name__}") from error
        if not isinstance(scores, torch.Tensor) or scores.ndim != 2:
            raise ValueError("the network must give one output, scores of shape [rows, classes]")
        if self.labels and scores.shape[1] != len(self.labels):
            raise ValueError(f"labels: {len(self.labels)} names; the network's output has {scores.shape[1]} classes")

    def preprocess_row(self, row: Row) -> torch.Tensor:
        """The text's token ids, shape [length]."""
        return torch.tensor(token_ids(self._tokens(row), self._options.length, self._options.buckets))

    def postprocess_row(self, output: torch.Tensor, row: Row) -> Answer:
        """The best classes; ``output`` holds one score before softmax for each class."""
        answer = best_classes(output.float().softmax(dim=-1), row, self._labels, self._options, self.meter)
        if answer and isinstance(answer, list) and self._is_truncated(row):
            answer[0]["truncated"] = True
        return answer

    def explain_row(self, tensor: torch.Tensor, row: Row) -> dict[str, Any]:
        """The best class, or the one the row names, and what each token contributed to its score."""
        from handlerkit.explain_tokens import explain_tokens  # Captum is not loaded before it is wanted

        probabilities = self.runtime.run(tensor.unsqueeze(0))[0].float().softmax(dim=-1)
        target = chosen_class(probabilities, row, self._labels)
        answer = self._labels.answer(target, float(probabilities[target])) | {"truncated": self._is_truncated(row)}
        tokens = self._tokens(row)[: self._options.length]
        return answer | explain_tokens(self._explainer, tensor, tokens, target, row.option("method"))

    def _tokens(self, row: Row) -> list[str]:
        """The text's tokens; one more than the network takes where there are more."""
        return split_tokens(text(row, self.limits), self._options.length + 1)

    def _is_truncated(self, row: Row) -> bool:
        return len(self._tokens(row)) > self._options.length
