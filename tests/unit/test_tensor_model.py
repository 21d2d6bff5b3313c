"""The handler of named tensors, with networks whose answers are known beforehand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from documents import blocks
from handlerkit.options import OptionError, read_options
from handlerkit.tensors import TensorOptions
from ruamel.yaml import YAML
from tensor_model import TensorModel
from torch import nn
from workers import Worker, config

from marina import paths
from marina.store.spec import find_spec

EXPLAIN = [{"explain": "True"}]
LABELS = ["low", "high"]
ONE: dict[str, Any] = {"inputs": {"size": {"shape": [3], "least": -100, "most": 100}}, "features": ["length", "width", "height"]}
TWO: dict[str, Any] = {"inputs": {"length": {"shape": [2]}, "count": {"shape": [], "dtype": "int64", "least": 0, "most": 9}}}


class Linear(nn.Module):
    """Scores 0 and 1 x length - 2 x width + 4 x height."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2, bias=False)
        self.linear.weight.data = torch.tensor([[0.0, 0.0, 0.0], [1.0, -2.0, 4.0]])

    def forward(self, size: torch.Tensor) -> torch.Tensor:
        return self.linear(size)  # type: ignore[no-any-return]


class Twofold(nn.Module):
    """Two inputs, two outputs: the length times the count, and the count."""

    def forward(self, length: torch.Tensor, count: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return length * count.unsqueeze(1), count.clone()


class Product(nn.Module):
    """Two inputs, one score: the sum of the length, times the count."""

    def forward(self, length: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        return (length.sum(1) * count).unsqueeze(1)


class Root(nn.Module):
    """The square root of each of three numbers, which is none for those below zero."""

    def forward(self, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return size.sqrt(), size


def serve(
    folder: Path, network: nn.Module, options: dict[str, Any], labels: list[str] | None = None, runtime: str = "torchscript"
) -> Worker:
    inputs = {name: value for name, value in options.items() if name != "explain"}
    examples = read_options(TensorOptions, inputs).example()
    if runtime == "onnx":
        names = list(options["inputs"])
        axes = {name: {0: "rows"} for name in names}
        torch.onnx.export(network, examples, str(folder / "model.pt"), input_names=names, dynamic_axes=axes, dynamo=False)
    else:
        torch.jit.save(torch.jit.trace(network.eval(), examples), str(folder / "model.pt"))
    return Worker(TensorModel(), folder, config(options, labels, runtime))


@pytest.fixture
def classes(tmp_path: Path) -> Worker:
    """One input, two labelled classes."""
    return serve(tmp_path, Linear(), ONE, LABELS)


@pytest.fixture
def twofold(tmp_path: Path) -> Worker:
    """Two inputs, two outputs."""
    return serve(tmp_path, Twofold(), TWO | {"outputs": ["area", "seen"]})


@pytest.mark.parametrize(
    "body",
    [
        {"data": [1, 0, 0]},
        [1, 0, 0],
        {"inputs": {"size": [1, 0, 0]}},
        b'{"data": [1, 0, 0]}',
        bytearray(b" [1.0, 0, 0]\n"),
        b'{"inputs": {"size": [1, 0, 0]}}',
    ],
    ids=["parsed data", "parsed list", "parsed inputs", "bytes of data", "bytes of a list", "bytes of inputs"],
)
def test_numbers_are_taken_in_every_form(classes: Worker, body: Any) -> None:
    """With a content type TorchServe parses the JSON, without one it does not; the answer is the same."""
    (answer,) = classes.ask({"body": body})
    assert answer.status == 200
    assert [one["label"] for one in answer.body] == ["high", "low"]
    assert answer.body[0] == {"label": "high", "probability": pytest.approx(math.e / (1 + math.e), abs=1e-6), "index": 1}


def test_probabilities_of_the_network_are_left_alone(tmp_path: Path) -> None:
    """With softmax: false the scores are answered as they are, and top_k limits their number."""
    worker = serve(tmp_path, Linear(), ONE | {"softmax": False, "top_k": 1}, LABELS)
    assert worker.ask({"body": [0.5, 0, 0]})[0].body == [{"label": "high", "probability": 0.5, "index": 1}]


def test_a_request_chooses_how_many_classes_it_wants(classes: Worker) -> None:
    """top_k and threshold beside the data count for one request alone, parsed or as bytes."""
    few, likely, wrong = classes.ask(
        {"body": {"data": [1, 0, 0], "top_k": 1}},
        {"body": b'{"data": [1, 0, 0], "threshold": 0.5}'},
        {"body": {"data": [1, 0, 0], "threshold": -1}},
    )
    assert [one["label"] for one in few.body] == [one["label"] for one in likely.body] == ["high"]
    assert (wrong.status, wrong.body["message"]) == (400, "'threshold' must be a number from 0 to 1; found '-1'.")


def test_several_inputs_and_outputs_have_names(twofold: Worker) -> None:
    """What is no choice among labels is answered as numbers, by the outputs' names."""
    (answer,) = twofold.ask({"body": {"inputs": {"count": 3, "length": [1, 2.5]}}})
    assert answer.status == 200, answer.body
    assert answer.body == {"outputs": {"area": [3.0, 7.5], "seen": 3}}


def test_outputs_without_names_are_numbered(tmp_path: Path) -> None:
    """Where neither the network nor the options name the outputs, their places do."""
    (answer,) = serve(tmp_path, Twofold(), TWO).ask({"body": {"inputs": {"count": 1, "length": [1, 2]}}})
    assert answer.body == {"outputs": {"output_0": [1.0, 2.0], "output_1": 1}}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ("[1, 2]", "'size' must have shape [3]; found [2]."),
        ("[[1, 2, 3]]", "'size' must have shape [3]; found [1, 3]."),
        ("7", "'size' must have shape [3]; found []."),
        ("[1, NaN, 3]", "'size' has values that are no finite numbers."),
        ("[1, -Infinity, 3]", "'size' has values that are no finite numbers."),
        ("[1, 1e999, 3]", "'size' has values that are no finite numbers."),
        ('["1", "2", "3"]', "'size' must be numbers of shape [3]; found text among them."),
        ("[1, null, 3]", "'size' must be numbers of shape [3]; found something else among them."),
        ("[1, 2, 101]", "'size' must have values from -100 to 100; found 101."),
    ],
    ids=["too few", "too deep", "a number", "NaN", "Infinity", "too large for a float", "text", "null", "out of range"],
)
def test_what_is_no_input_is_refused_with_what_would_be(classes: Worker, numbers: str, message: str) -> None:
    """The refusal names the input, what it must be, and what was found."""
    (answer,) = classes.ask({"body": f'{{"data": {numbers}}}'.encode()})
    assert (answer.status, answer.body["message"]) == (422, message)


def test_ragged_numbers_are_refused(classes: Worker) -> None:
    """Lists of several lengths are refused with the shape that is wanted."""
    (answer,) = classes.ask({"body": [[1, 2], [3]]})
    assert answer.status == 422
    assert answer.body["message"].startswith("'size' must be numbers of shape [3]: ")
    assert "inhomogeneous" in answer.body["message"]


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1.5, "'count' must be whole numbers; found 1.5."),
        (10, "'count' must have values from 0 to 9; found 10."),
        (-1, "'count' must have values from 0 to 9; found -1."),
    ],
)
def test_whole_numbers_are_not_rounded(twofold: Worker, count: float, message: str) -> None:
    """A number that the input's type or bounds would change is refused."""
    (answer,) = twofold.ask({"body": {"inputs": {"length": [1, 2], "count": count}}})
    assert (answer.status, answer.body["message"]) == (422, message)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"inputs": {"lenght": [1, 2], "count": 1}}, 422, "No input is named 'lenght': did you mean 'length'?"),
        ({"inputs": {"x": [1, 2]}}, 422, "No input is named 'x': this model takes length, count."),
        ({"inputs": {"length": [1, 2]}}, 422, "The input 'count' is missing: this model takes length, count."),
        ({"data": [1, 2]}, 422, 'This model takes 2 inputs by name: send {"inputs": {"length": …, "count": …}}.'),
        ({"values": [1]}, 400, 'Expected JSON {"inputs": {"length": …, "count": …}}; found values.'),
        (b"{", 400, "The request is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)."),
        (b"[" * 100_000, 400, "The request is not JSON: maximum recursion depth exceeded while decoding a JSON array*."),
        (b"", 400, "The request has an empty body: send the bytes of a file, for example curl -T FILE."),
    ],
    ids=["nearest name", "unknown name", "missing name", "no names", "no data", "no JSON", "too deep", "empty"],
)
def test_names_are_checked(twofold: Worker, body: Any, status: int, message: str) -> None:
    """Whoever sends a wrong name, or none, is told the right ones."""
    (answer,) = twofold.ask({"body": body})
    start, _, _ = message.partition("*")
    assert answer.status == status
    assert answer.body["message"].startswith(start)


def test_a_kserve_request_of_another_type_is_told_the_right_one(twofold: Worker) -> None:
    """Without a content type it is known by its body; with a wrong one TorchServe's caller has said that it is something else."""
    (answer,) = twofold.ask({"body": b'{"instances": [[1]]}'}, headers=[{"Content-Type": "application/octet-stream"}])
    assert answer.status == 400
    assert answer.body["message"] == "A KServe request needs the header Content-Type: application/json."


def test_a_form_without_a_file_is_told_what_to_send(classes: Worker) -> None:
    """A request by curl -d without a content type sends a form; the refusal says what to add."""
    (answer,) = classes.ask({"[1, 2, 3]": ""}, headers=[{"Content-Type": "application/x-www-form-urlencoded"}])
    assert answer.status == 400
    assert answer.body["message"] == "A form of this kind carries no JSON. With curl, add -H 'Content-Type: application/json'."


def test_kserve_requests_carry_several_rows(classes: Worker) -> None:
    """KServe's requests, version 1 and 2, and a plain one, are answered from one batch, each in its own form."""
    first = {"instances": [[1, 0, 0], {"data": [-1, 0, 0]}]}
    second = {"inputs": [{"name": "size", "shape": [2, 3], "datatype": "FP32", "data": [1, 0, 0, -1, 0, 0]}]}
    one, two, three = classes.ask({"body": first}, {"body": second}, {"body": [1, 0, 0]})
    assert [answer[0]["label"] for answer in one.body["predictions"]] == ["high", "low"]
    assert [json.loads(answer)[0]["label"] for answer in two.body["outputs"][0]["data"]] == ["high", "low"]
    assert three.body[0]["label"] == "high"


def test_a_single_input_of_kserve_must_have_the_name_that_the_model_knows(classes: Worker) -> None:
    """Protocol v2 names its inputs: another name is another input, and is refused with the nearest, or those there are."""
    one = {"shape": [2, 3], "datatype": "FP32", "data": [1, 0, 0, -1, 0, 0]}
    answers = classes.ask(*({"body": {"inputs": [one | {"name": name}]}} for name in ("sise", "weights", "size")))
    assert [answer.status for answer in answers] == [422, 422, 200]
    assert answers[0].body["message"] == "Row 0: No input is named 'sise': did you mean 'size'?"
    assert answers[1].body["message"] == "Row 0: No input is named 'weights': this model takes size."


def test_kserve_requests_name_several_inputs(twofold: Worker) -> None:
    """Both versions of the protocol carry several inputs by name, row by row."""
    first = {"instances": [{"inputs": {"length": [1, 2], "count": 2}}, {"inputs": {"length": [1, 2], "count": 3}}]}
    length = {"name": "length", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 1, 2]}
    second = {"inputs": [length, {"name": "count", "shape": [2], "datatype": "INT64", "data": [2, 3]}]}
    one, two = twofold.ask({"body": first}, {"body": second})
    expected = [{"outputs": {"area": [2.0, 4.0], "seen": 2}}, {"outputs": {"area": [3.0, 6.0], "seen": 3}}]
    assert one.body == {"predictions": expected}
    assert [json.loads(answer) for answer in two.body["outputs"][0]["data"]] == expected


def test_a_bad_row_does_not_touch_its_neighbours(twofold: Worker) -> None:
    """In a batch of predictions and explanations each row is answered, or refused, for itself."""
    good = {"body": {"inputs": {"length": [1, 2], "count": 2}}}
    bad = {"body": {"inputs": {"length": [1, 2, 3], "count": 2}}}
    headers = [{}, {}, {"explain": "True"}, {}, {"explain": "True"}]
    answers = twofold.ask(good, bad, good, {"body": b"no JSON"}, bad, headers=headers)
    assert [answer.status for answer in answers] == [200, 422, 400, 400, 422]
    assert answers[0].body["outputs"]["seen"] == 2
    assert answers[2].body["message"] == "This model has no explanations: they need one output, a list of scores for each row."


def test_an_output_that_is_no_number_is_our_fault_alone(tmp_path: Path) -> None:
    """A row for which the network gives NaN is answered with 500, the others are answered."""
    answers = serve(tmp_path, Root(), ONE).ask({"body": [4, 9, 16]}, {"body": [-1, 1, 1]}, {"body": [1, 1, 1]})
    assert [answer.status for answer in answers] == [200, 500, 200]
    assert answers[0].body["outputs"]["output_0"] == [2.0, 3.0, 4.0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's ONNX exporter announces its successor
@pytest.mark.parametrize(("runtime", "method"), [("torchscript", "integrated_gradients"), ("onnx", "feature_ablation")])
def test_a_linear_model_is_explained_by_weight_times_input(tmp_path: Path, runtime: str, method: str) -> None:
    """Against zeros each feature contributes its weight times its value, whether by gradients or by ablation."""
    worker = serve(tmp_path, Linear().eval(), ONE, LABELS, runtime)
    (answer,) = worker.ask({"body": b"[3, 2, 1]"}, headers=EXPLAIN)
    assert answer.status == 200, answer.body
    assert answer.body["method"] == method
    assert answer.body["label"] == "high"
    assert answer.body["index"] == 1
    assert answer.body["probability"] == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-6)
    assert answer.body["attributions"] == pytest.approx({"height": 4, "width": -4, "length": 3}, rel=1e-4)
    assert list(answer.body["attributions"])[2] == "length"


def test_a_slow_network_replaces_neighbours_together(tmp_path: Path) -> None:
    """Within the budget two groups of values are looked at; each has its group's share, and the reply says so."""
    options = ONE | {"explain": {"budget_seconds": 1e-9, "method": "feature_ablation"}}
    (answer,) = serve(tmp_path, Linear(), options, LABELS).ask({"body": [3, 2, 1]}, headers=EXPLAIN)
    assert (answer.body["method"], answer.body["steps"], answer.body["reduced"]) == ("feature_ablation", 2, True)
    assert len(set(answer.body["attributions"].values())) == 2
    assert sum(answer.body["attributions"].values()) == pytest.approx(3, rel=1e-4)


def test_a_method_that_the_runtime_cannot_do_is_refused(classes: Worker) -> None:
    """With those that there are."""
    (answer,) = classes.ask({"body": {"data": [3, 2, 1], "method": "saliency"}}, headers=EXPLAIN)
    assert answer.body["message"] == "No method is named 'saliency'; methods: integrated_gradients, feature_ablation."


def test_another_class_can_be_explained(classes: Worker) -> None:
    """A request may name the class, also where its JSON comes as raw bytes; batch-mates keep their own explanations."""
    named = {"body": b'{"data": [3, 2, 1], "target": "low"}'}
    one, two, three = classes.ask(named, {"body": [3, 2, 1]}, {"body": {"data": [0, 0, 0], "target": "no"}}, headers=EXPLAIN * 3)
    assert one.body["label"] == "low"
    assert set(one.body["attributions"].values()) == {0.0}
    assert two.body["label"] == "high"
    assert three.body["message"] == "No class is named 'no'; the first classes are: low, high."


def test_an_explanation_starts_at_the_baseline(tmp_path: Path) -> None:
    """With a baseline of its own an input contributes by its difference to it."""
    size = {"shape": [3], "baseline": [3, 0, 1]}
    (answer,) = serve(tmp_path, Linear(), {"inputs": {"size": size}}, LABELS).ask({"body": [3, 2, 2]}, headers=EXPLAIN)
    assert answer.body["attributions"] == pytest.approx({"1": -4, "2": 4, "0": 0}, rel=1e-4)


def test_a_score_without_labels_is_explained_too(tmp_path: Path) -> None:
    """A regression has a value in place of label and probability; whole numbers are explained by ablation."""
    worker = serve(tmp_path, Product(), TWO)
    (answer,) = worker.ask({"body": {"inputs": {"length": [1, 3], "count": 2}}}, headers=EXPLAIN)
    assert answer.body == {
        "index": 0,
        "value": 8.0,
        "method": "feature_ablation",
        "steps": 3,
        "reduced": False,
        "attributions": {"count": 8.0, "length[1]": 6.0, "length[0]": 2.0},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "options: inputs must name each input of the network, for example {measurements: {shape: [13]}}"),
        ({"inputs": {"a": [3]}}, "options: inputs.a must have a shape, for example {shape: [13]}"),
        ({"inputs": {"a": {"shape": 3}}}, "options: inputs.a: shape must be a list of sizes above 0, not 3"),
        ({"inputs": {"a": {"shape": [3, -1]}}}, "options: inputs.a: shape must be a list of sizes above 0, not (3, -1)"),
        ({"inputs": {"a": {"shape": [3], "dtyp": 1}}}, "options: inputs.a: unknown option 'dtyp': did you mean 'dtype'?"),
        (
            {"inputs": {"a": {"shape": [3], "dtype": "text"}}},
            "options: inputs.a: dtype must be one of float32, int64, uint8, not 'text'",
        ),
        (
            {"inputs": {"a": {"shape": [3], "least": 2, "most": 1}}},
            "options: inputs.a: least (2) must not be above most (1)",
        ),
        (
            {"inputs": {"a": {"shape": [3], "baseline": [1, 2]}}},
            "options: inputs.a: baseline must be a number or of shape [3]; it has shape [2]",
        ),
        (
            {"inputs": {"a": {"shape": [3], "dtype": "uint8", "least": -1}}},
            "options: inputs.a: least and most must be within what uint8 can hold",
        ),
        (
            {"inputs": {"a": {"shape": [3], "dtype": "int64", "baseline": 0.5}}},
            "options: inputs.a: baseline must be numbers that int64 can hold",
        ),
        (
            {"inputs": {"a": {"shape": [3], "baseline": float("nan")}}},
            "options: inputs.a: baseline must be numbers that float32 can hold",
        ),
        (ONE | {"features": ["a", "b"]}, "options: features: 2 names for the 3 values of 'size'"),
        (ONE | {"features": ["a", "b", "a"]}, "options: features: each name may stand once"),
        (ONE | {"features": {"sizes": ["a"]}}, "options: features: no input is named 'sizes': did you mean 'size'?"),
        (
            TWO | {"features": ["a", "b", "c"]},
            "options: features must be lists of names by the input's name, since the network takes several inputs",
        ),
        (ONE | {"softmax": "no"}, "options: softmax must be true or false, not 'no'"),
        (ONE | {"top_k": 0}, "options: top_k must be a whole number of at least 1, not 0"),
        (ONE | {"threshold": 2}, "options: threshold must be a number from 0 to 1, not 2"),
        (ONE | {"outputs": "score"}, "options: outputs must be a list of names, each once, not 'score'"),
        (ONE | {"softmaxed": True}, "unknown option 'softmaxed': did you mean 'softmax'?"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    """What could only fail at the first request fails when the options are read."""
    with pytest.raises(OptionError) as refused:
        read_options(TensorOptions, options)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("options", "labels", "message"),
    [
        (ONE, ["low", "middle", "high"], "labels: 3 names; the network's output has 2 classes"),
        (ONE | {"outputs": ["one", "two"]}, LABELS, "outputs: 2 names; the network gives 1"),
    ],
)
def test_options_that_do_not_fit_the_network_fail_at_load(
    tmp_path: Path, options: dict[str, Any], labels: list[str], message: str
) -> None:
    """The network is run once as it is loaded, so that no caller is the first to notice."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        serve(tmp_path, Linear(), options, labels)


def test_the_options_of_wine_fit_its_input() -> None:
    """The spec's input and the handler's option have one shape, and every measurement a name."""
    spec = find_spec("wine").spec
    options = read_options(TensorOptions, spec.options)
    assert [list(one.shape) for one in options.inputs.values()] == [one.shape for one in spec.tensors.values()]
    assert options.feature_names()[::6] == ["alcohol", "flavanoids", "proline"]


def test_the_request_of_the_docs_is_answered(tmp_path: Path) -> None:
    """The options and the request of docs/tasks.md work as they stand."""
    options = YAML(typ="safe", pure=True).load(blocks(paths.ROOT / "docs" / "tasks.md", "yaml")[0])["options"]
    request, answer = blocks(paths.ROOT / "docs" / "tasks.md", "json")[-2:]
    worker = serve(tmp_path, Twofold(), options)
    assert worker.ask({"body": request.encode()})[0].body == json.loads(answer)
