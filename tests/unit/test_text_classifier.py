"""The text classifier, with networks whose answers are known beforehand."""

from __future__ import annotations

import base64
import inspect
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from handlerkit.options import OptionError, read_options
from handlerkit.tokens import TextOptions, split_tokens, token_ids
from text_classifier import TextClassifier
from torch import nn
from workers import Worker, config

from marina.store.sources import load_module

EXPLAIN = [{"explain": "True"}]
LABELS = ["other", "cat"]
OPTIONS: dict[str, Any] = {"length": 6, "buckets": 5000}
(CAT,) = token_ids(["cat"], 1, 5000)


class Cats(nn.Module):
    """Scores 0, and 2 for each token "cat" less 1; ids are looked up in an embedding, which knows no others."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5000, 2)
        self.embedding.weight.data = torch.zeros(5000, 2)
        self.embedding.weight.data[CAT] = torch.tensor([0.0, 2.0])
        self.least = nn.Parameter(torch.tensor([0.0, 1.0]))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.embedding(tokens).sum(1) - self.least  # type: ignore[no-any-return]


def serve(
    folder: Path, options: dict[str, Any] | None = None, labels: list[str] | None = None, runtime: str = "torchscript"
) -> Worker:
    given = OPTIONS | (options or {})
    example = torch.zeros(2, 6, dtype=torch.int64)
    if runtime == "onnx":
        axes = {"tokens": {0: "rows"}}
        torch.onnx.export(
            Cats().eval(), (example,), str(folder / "model.pt"), input_names=["tokens"], dynamic_axes=axes, dynamo=False
        )
    else:
        torch.jit.save(torch.jit.freeze(torch.jit.trace(Cats().eval(), example)), str(folder / "model.pt"))
    return Worker(TextClassifier(), folder, config(given, labels or LABELS, runtime))


@pytest.fixture
def cats(tmp_path: Path) -> Worker:
    """Says whether a text of up to six tokens has a cat."""
    return serve(tmp_path)


def test_tokens_are_words_and_punctuation_in_lower_case() -> None:
    """A text is read the same way in every language and on every machine."""
    assert split_tokens("Der Kater, Äpfel_2!\n猫", 9) == ["der", "kater", ",", "äpfel_2", "!", "猫"]
    assert split_tokens("a b c", 2) == ["a", "b"]
    assert token_ids(["cat", "the"], 4, 5000) == [4334, 356, 0, 0]
    assert set(token_ids(list("abcdefgh"), 8, 2)) == {1}


@pytest.mark.parametrize(
    "row",
    [{"body": b"A CAT."}, {"data": b"A CAT."}, {"text": "A CAT."}, {"body": {"text": "A CAT."}}, {"body": {"data": "A CAT."}}],
    ids=["bytes", "form data", "form text", "JSON text", "JSON data"],
)
def test_text_is_taken_in_every_form(cats: Worker, row: dict[str, Any]) -> None:
    """Whichever way it comes, the answer is the same: the best class first."""
    (answer,) = cats.ask(row)
    assert answer.status == 200
    assert [one["label"] for one in answer.body] == ["cat", "other"]
    assert answer.body[0] == {"label": "cat", "probability": pytest.approx(math.e / (1 + math.e), abs=1e-6), "index": 1}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"a \xff cat", 422, "The text is not UTF-8: byte 2 cannot be read."),
        (b" \n\t", 422, "The text is empty."),
        ({"text": " "}, 422, "The text is empty."),
        ({"text": "a \ud800"}, 422, "The text is not Unicode: character 2 is half of one."),
        (b"", 400, "The request has an empty body: send the bytes of a file, for example curl -T FILE."),
        ({"text": 7}, 415, 'Expected text, or JSON {"text": "…"}; the request is a JSON int.'),
        ({"text": "a", "top_k": "many"}, 400, "'top_k' must be a number from 1 to 1000; found 'many'."),
        ({"text": "a", "top_k": math.inf}, 400, "'top_k' must be a number from 1 to 1000; found 'inf'."),
        ({"text": "a", "threshold": 2}, 400, "'threshold' must be a number from 0 to 1; found '2'."),
    ],
    ids=["not UTF-8", "spaces", "JSON of spaces", "half a character", "nothing", "a number", "top_k", "infinite", "threshold"],
)
def test_what_is_no_text_is_refused_alone(cats: Worker, body: Any, status: int, message: str) -> None:
    """The refusal says what was wrong; the rows beside it are answered, predictions and explanations."""
    before, refused, after = cats.ask({"body": b"cat"}, {"body": body}, {"body": b"cat"}, headers=[{}, {}, *EXPLAIN])
    assert (refused.status, refused.body["message"]) == (status, message)
    assert before.body[0]["label"] == after.body["label"] == "cat"


def test_broken_json_is_not_read_as_a_text(cats: Worker) -> None:
    """What is sent as JSON, but is none, is refused; it used to be classified, braces and all."""
    as_json = {"content-type": "application/json"}
    bytes_inside = {"text": {"b64": base64.b64encode(b"a cat").decode()}}
    broken, fine = cats.ask({"body": b'{"text": "a cat'}, {"body": bytes_inside}, headers=[as_json, as_json])
    assert (broken.status, fine.status) == (400, 200)
    assert broken.body["message"].startswith("The request is not JSON: Unterminated string")


def test_a_request_chooses_how_many_classes_it_wants(cats: Worker) -> None:
    """top_k and threshold count for one request alone."""
    one, two, three = cats.ask({"body": {"text": "cat", "top_k": 1}}, {"text": b"cat", "threshold": b"0.5"}, {"body": b"cat"})
    assert [len(answer.body) for answer in (one, two, three)] == [1, 1, 2]
    assert one.body == two.body


def test_kserve_requests_carry_several_texts(cats: Worker) -> None:
    """Version 1 and 2 of the protocol are answered from one batch with a plain request."""
    second = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a cat", "a dog"]}]}
    one, two, three = cats.ask({"body": {"instances": ["a cat", {"text": "a dog"}]}}, {"body": second}, {"body": b"dog"})
    assert [answer[0]["label"] for answer in one.body["predictions"]] == ["cat", "other"]
    assert [json.loads(answer)[0]["label"] for answer in two.body["outputs"][0]["data"]] == ["cat", "other"]
    assert three.body[0]["label"] == "other"


def test_base64_is_text_too(cats: Worker) -> None:
    """KServe and TensorFlow Serving wrap bytes as {"b64": …}, as an instance or within one; which is not base64 is refused."""
    wrapped = {"b64": base64.b64encode(b"a cat").decode()}
    rows: list[Any] = [{"instances": [wrapped, {"text": wrapped}]}, {"text": wrapped}, {"instances": ["a dog", {"b64": "="}]}]
    one, two, three = cats.ask(*({"body": row} for row in rows))
    assert [answer[0]["label"] for answer in one.body["predictions"]] == ["cat", "cat"]
    assert two.body[0]["label"] == "cat"
    assert three.status == 400
    assert three.body["message"].startswith('Row 1: The text under "b64" is not base64: ')


def test_a_text_that_was_cut_is_called_so(cats: Worker) -> None:
    """What stands after the sixth token is not read, and the first class of the answer says that some was not."""
    whole, cut = cats.ask({"body": b"one two three four five cat"}, {"body": b"one two three four five six cat"})
    assert whole.body[0]["label"] == "cat"
    assert "truncated" not in whole.body[0]
    assert cut.body[0]["label"] == "other"
    assert [one.get("truncated") for one in cut.body] == [True, None]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's ONNX exporter announces its successor
@pytest.mark.parametrize("runtime", ["torchscript", "onnx"])
def test_an_explanation_finds_the_one_token_that_counts(tmp_path: Path, runtime: str) -> None:
    """Of a network that looks for cats, "cat" has the whole weight, and without it nothing of the score is left."""
    (answer,) = serve(tmp_path, runtime=runtime).ask({"body": b"A dog, a CAT"}, headers=EXPLAIN)
    assert answer.status == 200, answer.body
    assert answer.body == {
        "label": "cat",
        "probability": pytest.approx(math.e / (1 + math.e), abs=1e-6),
        "index": 1,
        "truncated": False,
        "method": "feature_ablation",
        "steps": 5,
        "reduced": False,
        "fidelity": 1.0,
        "tokens": [{"token": word, "weight": 2.0 if word == "cat" else 0.0} for word in ("a", "dog", ",", "a", "cat")],
    }


def test_an_explanation_uses_gradients_where_the_embedding_can_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runtime eager: integrated gradients from the embedding, exact for a linear network; ablation on request."""
    source = f"import torch\nfrom torch import nn\nCAT = {CAT}\n\n{inspect.getsource(Cats)}"
    (tmp_path / "network.py").write_text(source)
    torch.save(Cats().state_dict(), tmp_path / "model.pt")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "network", raising=False)
    worker = Worker(TextClassifier(), tmp_path, config(OPTIONS, LABELS, "eager"))
    rows = [{"body": {"text": "A dog, a CAT", **more}} for more in ({}, {"method": "feature_ablation"}, {"method": "saliency"})]
    gradients, ablation, refused = worker.ask(*rows, headers=EXPLAIN * 3)
    assert gradients.body["method"] == "layer_integrated_gradients"
    assert (gradients.body["steps"], gradients.body["completeness_gap"]) == (50, pytest.approx(0, abs=1e-5))
    weights = {one["token"]: one["weight"] for one in gradients.body["tokens"]}
    assert weights == pytest.approx({"a": 0, "dog": 0, ",": 0, "cat": 2}, abs=1e-5)
    assert (ablation.body["method"], ablation.body["fidelity"]) == ("feature_ablation", 1.0)
    methods = "layer_integrated_gradients, feature_ablation"
    assert refused.body["message"] == f"No method is named 'saliency'; methods: {methods}."


def test_a_slow_network_replaces_neighbours_together(tmp_path: Path) -> None:
    """Within the budget two groups of tokens are looked at, and the reply says that it is reduced."""
    answer = serve(tmp_path, {"explain": {"budget_seconds": 1e-9}}).ask({"body": b"a dog a cat"}, headers=EXPLAIN)[0]
    assert (answer.body["steps"], answer.body["reduced"]) == (2, True)
    assert [one["weight"] for one in answer.body["tokens"]] == [0.0, 0.0, 1.0, 1.0]


def test_another_class_can_be_explained(cats: Worker) -> None:
    """A request may name the class; one that there is not is refused with those there are."""
    rows = [{"body": {"text": "one two three four five six cat", "target": wanted}} for wanted in ("cat", 0, "dog")]
    one, two, three = cats.ask(*rows, headers=EXPLAIN * 3)
    assert (one.body["label"], one.body["truncated"], one.body["fidelity"]) == ("cat", True, 0.0)
    assert two.body["label"] == "other"
    assert three.body["message"] == "No class is named 'dog'; the first classes are: other, cat."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "options: length must be a whole number of at least 1, not 0"),
        ({"buckets": 1}, "options: buckets must be a whole number of at least 2, not 1"),
        ({"top_k": 1.5}, "options: top_k must be a whole number of at least 1, not 1.5"),
        ({"threshold": 2}, "options: threshold must be a number from 0 to 1, not 2"),
        ({"lenght": 6}, "unknown option 'lenght': did you mean 'length'?"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    """What could only fail at the first request fails when the options are read."""
    with pytest.raises(OptionError) as refused:
        read_options(TextOptions, options)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("options", "labels", "message"),
    [
        (
            {"buckets": 5001},
            LABELS,
            r"length, buckets: the network does not take ids below 5001 of shape \[rows, 6\]: \w+",
        ),
        ({}, ["a", "b", "c"], "labels: 3 names; the network's output has 2 classes"),
    ],
    ids=["too many buckets", "too many labels"],
)
def test_options_that_do_not_fit_the_network_fail_at_load(
    tmp_path: Path, options: dict[str, Any], labels: list[str], message: str
) -> None:
    """The network is run once as it is loaded, so that no caller is the first to notice."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        serve(tmp_path, options, labels)


def test_a_training_file_may_read_texts_as_the_handler_does(tmp_path: Path) -> None:
    """A file beside a spec imports handlerkit, wherever it lies."""
    (tmp_path / "training.py").write_text("from handlerkit.tokens import split_tokens\nTOKENS = split_tokens('A cat', 9)\n")
    assert load_module(tmp_path / "training.py").TOKENS == ["a", "cat"]
