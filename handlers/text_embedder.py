"""Turn a text into an embedding, to compare it with others."""

from __future__ import annotations

import base64
from typing import Any

import torch
from handlerkit import BadRequest, Batch, ModelHandler, Row
from handlerkit.explainer import Explainer
from handlerkit.options import read_options
from handlerkit.payload import text
from handlerkit.request_options import one_of
from handlerkit.vocabulary import ENCODINGS, EmbeddingOptions, Tokens, Vocabulary
from torch.nn import functional

PADDING_MAY_CHANGE = 0.02  # of an embedding's length: bf16 rounds; padding that is read changes far more


class TextEmbedder(ModelHandler):
    """Turn a text into a vector whose direction says what it is about.

    Request   text in UTF-8, a form's part "data" or "text", JSON {"text": "…"} or {"data": "…"} with its content type, or
              KServe's envelopes around those, which carry several; beside the text "encoding": "base64" for a shorter answer
    Response  {"embedding": [0.0123, …], "tokens": 12, "truncated": false}; in base64 the embedding is little-endian float32
    Explain   the same request with "other", a text to compare with; {"similarity": 0.83, "truncated": …, "method": …,
              "fidelity": …, "tokens": [{"token": "…", "weight": …}, …]}: what each token adds to the cosine of both
              embeddings, the strongest 64 in the order of the text
    Options   handlerkit.vocabulary.EmbeddingOptions, and explain: handlerkit.explainer.ExplainOptions
    """

    def setup(self) -> None:
        """Read the vocabulary, and check it and the options against the network by running that."""
        self._explainer, rest = Explainer.read(self.options, ("feature_ablation",), self.runtime)
        self._options = read_options(EmbeddingOptions, rest)
        self._vocabulary = Vocabulary(self.folder / self._options.vocabulary, self._options.length)
        ids = torch.full((2, self._options.multiple), self._vocabulary.largest)
        short, long = self._tried(ids), self._tried(self._padded(ids, self._options.length))
        if float((short - long).norm()) > PADDING_MAY_CHANGE * float(short.norm()):
            raise ValueError(f"padding: the network reads id {self._options.padding}; it must leave padding out")

    def preprocess_row(self, row: Row) -> torch.Tensor:
        """The text's token ids, shape [tokens]."""
        self._encoding(row)
        return torch.tensor(self._tokens(row).all)

    def preprocess(self, batch: Batch) -> torch.Tensor:
        """Token ids of shape [rows, longest]: only as long as the longest text needs."""
        texts = self.read(batch)
        longest = max(map(len, texts), default=0)
        return torch.stack([self._padded(ids, longest) for ids in texts]) if texts else torch.empty(0)

    def postprocess_row(self, output: torch.Tensor, row: Row) -> dict[str, Any]:
        """The embedding, and how much of the text is in it."""
        values = output.float().cpu()
        embedding = _as_base64(values) if self._encoding(row) == "base64" else [float(f"{one:.6g}") for one in values.tolist()]
        tokens = self._tokens(row)
        return {"embedding": embedding, "tokens": len(tokens.all), "truncated": tokens.truncated}

    def explain_row(self, tensor: torch.Tensor, row: Row) -> dict[str, Any]:
        """How similar the row's text is to its "other" one, and what each token contributed to that."""
        from handlerkit.explain_similarity import explain_similarity  # Captum is not loaded before it is wanted

        other = row.option("other")
        if not isinstance(other, str):
            raise BadRequest('An embedding alone cannot be explained: send "other" beside the text, a text to compare it with.')
        self._explainer.choose(row.option("method"))
        tokens, compared = self._tokens(row), self._tokens(Row({"text": other}))
        return explain_similarity(self._explainer, self._embed, tokens, compared, self._options.padding)

    def _encoding(self, row: Row) -> str:
        return one_of(row, "encoding", self._options.encoding, ENCODINGS)

    def _tokens(self, row: Row) -> Tokens:
        return self._vocabulary.tokens(text(row, self.limits))

    def _embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings [rows, size] of token ids [rows, tokens]."""
        embeddings: torch.Tensor = self.runtime.run(self._padded(ids, ids.shape[1])).float().cpu()
        return embeddings

    def _padded(self, ids: torch.Tensor, least: int) -> torch.Tensor:
        """Ids, along their last dimension padded to a size of at least ``least`` that the options allow."""
        multiple = self._options.multiple
        size = min(-(-least // multiple) * multiple, self._options.length)
        return functional.pad(ids, (0, size - ids.shape[-1]), value=self._options.padding)

    def _tried(self, ids: torch.Tensor) -> torch.Tensor:
        try:
            made = self.runtime.run(ids)
        except Exception as error:
            given = f"ids to {self._vocabulary.largest} of shape [rows, {ids.shape[1]}]"
            raise ValueError(f"length, vocabulary: the network does not take {given}: {type(error).__name__}") from error
        if not isinstance(made, torch.Tensor) or made.ndim != 2:
            raise ValueError("the network must give one output, embeddings of shape [rows, size]")
        return made.float()


def _as_base64(values: torch.Tensor) -> str:
    return base64.b64encode(values.numpy().astype("<f4").tobytes()).decode()
