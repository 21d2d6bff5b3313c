"""Every road on every model: how far its answers are from the eager network's, and the table of docs/roads.md."""

from __future__ import annotations

from collections.abc import Callable

import parity_roads as roads
import pytest
from parity_roads import Sampled
from parity_table import MODELS, ROADS, Model, allowed, as_table, read_table, table_text, write_table

from marina.errors import UsageError
from marina.roads.export import make
from marina.roads.order import Order

RUN: dict[str, Callable[[Sampled], float]] = {
    "ONNX, by a trace": lambda sampled: roads.onnx(sampled, "trace"),
    "ONNX, by dynamo": lambda sampled: roads.onnx(sampled, "dynamo"),
    "ONNX, with preprocessing": lambda sampled: roads.onnx(sampled, "trace", inside=True),
    "C++, TorchScript": lambda sampled: roads.classify(sampled, "torchscript"),
    "C++, AOTInductor": lambda sampled: roads.classify(sampled, "aotinductor"),
    "ExecuTorch, XNNPACK": roads.executorch,
    "Triton, Python backend": roads.triton,
    "SageMaker": roads.sagemaker,
}
SERVED = {"TorchServe": roads.torchserve, "TorchServe, KServe's envelope": roads.kserve}
REFUSING = {
    "ONNX, by a trace": ("onnx", "trace", False),
    "ONNX, by dynamo": ("onnx", "dynamo", False),
    "ONNX, with preprocessing": ("onnx", "trace", True),
    "ExecuTorch, XNNPACK": ("executorch", "xnnpack", False),
}
CELLS = [(road, model) for model in MODELS for road in ROADS if road not in dict(model.refused)]
REFUSED = [(road, model, reason) for model in MODELS for road, reason in model.refused]
pytestmark = [pytest.mark.timeout(3600), pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize(("road", "model"), CELLS, ids=str)
def test_a_road_answers_as_the_eager_network(
    road: str, model: Model, sampled: dict[str, Sampled], measured: dict[tuple[str, str], float], request: pytest.FixtureRequest
) -> None:
    """Of the sample and of pictures of noise, the largest difference is within what the table allows."""
    asked = sampled[model.name]
    found = SERVED[road](asked, request.getfixturevalue("server").url("")) if road in SERVED else RUN[road](asked)
    measured[road, model.name] = found
    assert found <= allowed(road, model)


@pytest.mark.parametrize(("road", "model", "reason"), REFUSED, ids=str)
def test_a_road_that_cannot_have_a_model_says_why(road: str, model: Model, reason: str, sampled: dict[str, Sampled]) -> None:
    """What the table has as "no" is refused by the command, in one line."""
    name, way, inside = REFUSING[road]
    asked = sampled[model.name]
    order = Order(model.name, model.version, model.found, asked.store, way, with_preprocessing=inside)
    with pytest.raises(UsageError, match=reason):
        make(name, order, asked.folder / "refused")


def test_the_docs_have_the_table_that_was_measured(
    measured: dict[tuple[str, str], float], request: pytest.FixtureRequest
) -> None:
    """With --update it is written there. Figures are powers of ten; that none exceeds its tolerance is seen cell by cell."""
    if not measured:
        pytest.skip("this run has measured no cell")
    if request.config.getoption("--update"):
        write_table(as_table(read_table() if table_text() else {}, measured))
    assert as_table(read_table()) == table_text()
    assert not [cell for cell in measured if read_table()[cell[0]][cell[1]] == "not measured"]
