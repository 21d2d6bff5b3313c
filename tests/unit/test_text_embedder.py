"""The text embedder, with a vocabulary of seven words and a network whose embeddings are known beforehand."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handlerkit import Batch, Row
from handlerkit.options import OptionError, read_options
from handlerkit.vocabulary import EmbeddingOptions, Vocabulary
from text_embedder import TextEmbedder
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from workers import Worker, config

EXPLAIN = [{"explain": "True"}]
WORDS = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "cat": 4, "dog": 5, "sat": 6, "##s": 7, "[": 8, "]": 9, "pad": 10}
OPTIONS: dict[str, Any] = {"length": 8, "multiple": 4}


class Counts(nn.Module):
    """Embeds a text as what its cats, dogs and sats (with "s") are among its tokens, 3 where it has none; padding counts not."""

    def __init__(self, ids: int = len(WORDS), reads_padding: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(ids, 3)
        self.embedding.weight.data = torch.zeros(ids, 3)
        self.embedding.weight.data[4:7] = torch.eye(3)
        self.embedding.weight.data[7] = torch.tensor([0.0, 0.0, 1.0])
        self.embedding.weight.data[0] = float(reads_padding)
        self.least = nn.Parameter(torch.tensor([0.0, 0.0, 0.25]))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.embedding(tokens).sum(1) + self.least  # type: ignore[no-any-return]


def write_vocabulary(path: Path, words: dict[str, int]) -> None:
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))  # noqa: S106 - a token of a text
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [("[CLS]", words["[CLS]"]), ("[SEP]", words["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=128)
    tokenizer.save(str(path))


def serve(
    folder: Path, options: dict[str, Any] | None = None, network: nn.Module | None = None, words: dict[str, int] = WORDS
) -> Worker:
    write_vocabulary(folder / "tokenizer.json", words)
    example = torch.ones(2, 4, dtype=torch.int64)
    torch.jit.save(torch.jit.freeze(torch.jit.trace((network or Counts()).eval(), example)), str(folder / "model.pt"))
    return Worker(TextEmbedder(), folder, config(OPTIONS | (options or {})))


@pytest.fixture
def counts(tmp_path: Path) -> Worker:
    """Embeds a text of up to six tokens of its own as how many cats, dogs and sats it has."""
    return serve(tmp_path)


@pytest.mark.parametrize(
    "row",
    [{"body": b"Cats SAT."}, {"data": b"Cats SAT."}, {"text": "Cats SAT."}, {"body": {"text": "Cats SAT."}}],
    ids=["bytes", "form data", "form text", "JSON"],
)
def test_text_is_taken_in_every_form(counts: Worker, row: dict[str, Any]) -> None:
    """Whichever way it comes, the answer is the same; the file's own settings of padding and cutting do not count."""
    (answer,) = counts.ask(row)
    assert answer.status == 200
    assert answer.body == {"embedding": [1.0, 0.0, 2.25], "tokens": 6, "truncated": False}  # [CLS] cat ##s sat [UNK] [SEP]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"a \xff cat", 422, "The text is not UTF-8: byte 2 cannot be read."),
        (b" \n", 422, "The text is empty."),
        ("\u200b\u0007".encode(), 422, "The text has no characters that the model's vocabulary reads."),
        ({"text": "a \ud800"}, 422, "The text is not Unicode: character 2 is half of one."),
        (b"", 400, "The request has an empty body: send the bytes of a file, for example curl -T FILE."),
        ({"text": ["cat"]}, 415, 'Expected text, or JSON {"text": "…"}; the request is a JSON list.'),
        ({"text": "cat", "encoding": "hex"}, 400, "'encoding' must be float or base64; found 'hex'."),
        ({"text": "cat", "encoding": ["float"]}, 400, "'encoding' must be float or base64; found a JSON list."),
    ],
    ids=["not UTF-8", "spaces", "control characters", "half a character", "nothing", "a list", "encoding", "a list of them"],
)
def test_what_is_no_text_is_refused_alone(counts: Worker, body: Any, status: int, message: str) -> None:
    """The refusal says what was wrong; the rows beside it are answered, predictions and explanations."""
    rows = [{"body": b"cat"}, {"body": body}, {"body": {"text": "cat", "other": "dog"}}]
    before, refused, after = counts.ask(*rows, headers=[{}, {}, *EXPLAIN])
    assert (refused.status, refused.body["message"]) == (status, message)
    assert before.body["embedding"] == [1.0, 0.0, 0.25]
    assert after.status == 200


def test_a_batch_is_padded_to_its_longest_text_alone(counts: Worker) -> None:
    """Rounded up to a multiple of four; beside a longer text a short one has the same embedding."""
    short, long = {"body": b"cat"}, {"body": b"cat dog sat"}
    (alone,) = counts.ask(short)
    beside, _ = counts.ask(short, long)
    assert beside.body == alone.body
    shapes = [counts.handler.preprocess(Batch(map(Row, rows))).shape for rows in ([short], [short, long])]
    assert shapes == [(1, 4), (2, 8)]


def test_an_embedding_comes_in_base64_where_the_request_or_the_archive_says_so(tmp_path: Path) -> None:
    """Little-endian float32, the numbers of the list; a request chooses for itself."""
    row = {"text": "dog dog", "encoding": "base64"}
    numbers, coded = serve(tmp_path).ask({"text": "dog dog"}, row)
    assert np.frombuffer(base64.b64decode(coded.body["embedding"]), "<f4").tolist() == numbers.body["embedding"]
    always = serve(tmp_path, {"encoding": "base64"})
    assert [answer.body for answer in always.ask({"text": "dog dog"}, row | {"encoding": "float"})] == [coded.body, numbers.body]


def test_kserve_requests_carry_several_texts(counts: Worker) -> None:
    """Version 1 and 2 of the protocol are answered from one batch with a plain request."""
    second = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["cat", "dog"]}]}
    one, two, three = counts.ask({"body": {"instances": ["cat", {"text": "dog"}]}}, {"body": second}, {"body": b"dog"})
    assert [answer["embedding"] for answer in one.body["predictions"]] == [[1.0, 0.0, 0.25], [0.0, 1.0, 0.25]]
    assert [json.loads(answer) for answer in two.body["outputs"][0]["data"]] == one.body["predictions"]
    assert three.body == one.body["predictions"][1]


def test_a_text_that_was_cut_is_called_so(counts: Worker) -> None:
    """Six tokens stand between the two that the vocabulary adds; of a very long text not even the characters are read."""
    whole, cut, endless = counts.ask(
        {"body": b"cat " * 6}, {"body": b"cat " * 6 + b"dog"}, {"body": b"cat" + b" " * 10**6 + b"dog"}
    )
    assert (whole.body["tokens"], whole.body["truncated"]) == (8, False)
    assert cut.body == whole.body | {"truncated": True}
    assert endless.body == {"embedding": [1.0, 0.0, 0.25], "tokens": 3, "truncated": True}


def test_nobody_can_write_padding(counts: Worker) -> None:
    """A text that spells the name of a token of the vocabulary's own is a text."""
    (answer,) = counts.ask({"body": b"[PAD]"})
    assert answer.body["tokens"] == 5  # [CLS] [ pad ] [SEP]


def test_an_explanation_says_what_each_token_adds_to_the_similarity(counts: Worker) -> None:
    """Without its cat a text has nothing left of the other one, without its dog it has more; the words are the text's own."""
    (answer,) = counts.ask({"body": {"text": "A Cat, dog", "other": "cat"}}, headers=EXPLAIN)
    assert answer.status == 200, answer.body
    other, whole = torch.tensor([1, 0, 0.25]), torch.tensor([1, 1, 0.25])
    similarity = _cosine(whole, other)
    assert answer.body["similarity"] == pytest.approx(similarity, abs=1e-6)
    assert (answer.body["method"], answer.body["truncated"]) == ("feature_ablation", False)
    weights = {one["token"]: one["weight"] for one in answer.body["tokens"]}
    assert list(weights) == ["A", "Cat", ",", "dog"]
    assert weights["Cat"] == pytest.approx(similarity - _cosine(torch.tensor([0, 1, 0.25]), other), abs=1e-5)
    assert weights["dog"] == pytest.approx(similarity - 1, abs=1e-5)
    assert weights["A"] == weights[","] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"cat", 400, 'An embedding alone cannot be explained: send "other" beside the text, a text to compare it with.'),
        ({"text": "cat", "other": 7}, 400, 'An embedding alone cannot be explained: send "other" beside the text, a text'),
        ({"text": "cat", "other": " "}, 422, "The text is empty."),
    ],
)
def test_an_explanation_needs_a_second_text(counts: Worker, body: Any, status: int, message: str) -> None:
    """One embedding has no score that could be shared among tokens."""
    (answer,) = counts.ask({"body": body}, headers=EXPLAIN)
    assert answer.status == status
    assert answer.body["message"].startswith(message)


def test_another_id_may_be_the_padding(tmp_path: Path) -> None:
    """As in RoBERTa's vocabulary, whose 0 begins a text."""
    words = {"[CLS]": 0, "[PAD]": 1, **{word: number for word, number in WORDS.items() if number > 1}}
    worker = serve(tmp_path, {"padding": 1}, words=words)
    short, _ = worker.ask({"body": b"cat"}, {"body": b"cat dog sat"})
    assert short.body["embedding"] == [1.0, 0.0, 0.25]
    (explained,) = worker.ask({"body": {"text": "cat dog", "other": "cat"}}, headers=EXPLAIN)
    assert [one["weight"] > 0 for one in explained.body["tokens"]] == [True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "options: length must be a whole number of at least 1, not 0"),
        ({"multiple": 1.5}, "options: multiple must be a whole number of at least 1, not 1.5"),
        ({"multiple": 9}, "options: multiple must be at most length, 8, not 9"),
        ({"padding": -1}, "options: padding must be a whole number of at least 0, not -1"),
        ({"encoding": "hex"}, "options: encoding must be one of float, base64, not 'hex'"),
        ({"lenght": 6}, "unknown option 'lenght': did you mean 'length'?"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    """What could only fail at the first request fails when the options are read."""
    with pytest.raises(OptionError) as refused:
        read_options(EmbeddingOptions, {"length": 8} | options)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("options", "network", "message"),
    [
        ({}, Counts(ids=10), r"length, vocabulary: the network does not take ids to 10 of shape \[rows, 4\]: \w+"),
        ({}, Counts(reads_padding=True), "padding: the network reads id 0; it must leave padding out"),
        ({}, nn.Embedding(11, 3), r"the network must give one output, embeddings of shape \[rows, size\]"),
        ({"length": 2, "multiple": 1}, Counts(), "length: tokenizer.json adds 2 tokens to a text; length must be above that"),
        (
            {"vocabulary": "vocab.json"},
            Counts(),
            "vocabulary: the archive has no vocab.json: name it under 'files' in model.yaml",
        ),
    ],
    ids=["too few embeddings", "padding is read", "no embedding", "too short", "no vocabulary"],
)
def test_what_does_not_fit_together_fails_at_load(
    tmp_path: Path, options: dict[str, Any], network: nn.Module, message: str
) -> None:
    """The network is run once as it is loaded, so that no caller is the first to notice."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        serve(tmp_path, options, network)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": {"type": "Word"}}'])
def test_a_file_that_is_no_vocabulary_fails_at_load(tmp_path: Path, content: bytes) -> None:
    """The library's own reason is in the message, on one line."""
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"^vocabulary: tokenizer\.json is none of the tokenizers library: [^\n]+$"):
        Vocabulary(tmp_path / "tokenizer.json", 8)


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(one @ other) / math.sqrt(float(one @ one) * float(other @ other))
