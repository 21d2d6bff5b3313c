"""Every road on every model: how far its answers are from the eager network's, and the table of docs/roads.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import parity_roads as roads
import parity_served as serving_roads
import pytest
from parity_roads import Sampled
from parity_served import ENVELOPES, Servers, build, predictions, version_of
from parity_table import BUILT, MODELS, ROADS, Model, allowed, as_table, read_table, table_text, write_table

from marina.errors import UsageError
from marina.roads.export import make

RUN: dict[str, Callable[[Sampled], float]] = {
    "Flask": serving_roads.flask,
    "Lightning, many inputs": serving_roads.lightning,
    "ONNX, by a trace": lambda sampled: roads.onnx(sampled, "trace"),
    "ONNX, by dynamo": lambda sampled: roads.onnx(sampled, "dynamo"),
    "ONNX, with preprocessing": roads.onnx_of_pixels,
    "C++, TorchScript": lambda sampled: roads.classify(sampled, "torchscript"),
    "C++, AOTInductor": lambda sampled: roads.classify(sampled, "aotinductor"),
    "ExecuTorch, XNNPACK": roads.executorch,
    "Triton, Python backend": roads.triton,
    "SageMaker": roads.sagemaker,
}
REFUSING = {
    "ONNX, by a trace": ("onnx", "trace", False),
    "ONNX, by dynamo": ("onnx", "dynamo", False),
    "ONNX, with preprocessing": ("onnx", "trace", True),
    "ExecuTorch, XNNPACK": ("executorch", "xnnpack", False),
}
FIRST = (*ENVELOPES, *BUILT)  # so that one server after the other is enough
CELLS = [(road, model) for model in MODELS for road in (*FIRST, *RUN) if road not in dict(model.refused)]
REFUSED = [(road, model, reason) for model in MODELS for road, reason in model.refused]
pytestmark = [pytest.mark.timeout(3600), pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize(("road", "model"), CELLS, ids=str)
def test_a_road_answers_as_the_eager_network(
    road: str, model: Model, sampled: Sampled, servers: Servers, measured: dict[tuple[str, str], float]
) -> None:
    """Of the sample and of pictures of noise, the largest difference is within what the table allows."""
    if road in RUN:
        servers.stop()
        found = RUN[road](sampled)
    elif road in ENVELOPES:
        found = sampled.answers_apart(ENVELOPES[road](sampled, servers.of(sampled, own_road(model))))
    else:
        found = sampled.answers_apart(predictions(sampled, servers.of(sampled, road)))
    print(f"{road}, {model}: {found:.2g}")  # noqa: T201 - pytest -s shows what bounds were made of
    measured[road, model.name] = found
    assert found <= allowed(road, model)


@pytest.mark.parametrize(("road", "model", "reason"), REFUSED, ids=str)
def test_a_road_that_cannot_have_a_model_says_why(road: str, model: Model, reason: str, sampled: Sampled, tmp_path: Path) -> None:
    """What the table has as "no" is refused by the command, in one line."""
    if road in BUILT:
        assert reason in build(model, *version_of(model, road, tmp_path / "spec"), sampled.store).error
        return
    name, way, inside = REFUSING[road]
    with pytest.raises(UsageError, match=reason):
        make(name, sampled.order(way, inside), tmp_path / "refused")


def own_road(model: Model) -> str:
    """The road by which a model's own version is served."""
    own = model.found.spec.versions[model.version]
    return next(road for road, built in BUILT.items() if built == (own.runtime, own.precision))


def test_the_docs_have_the_table_that_was_measured(
    measured: dict[tuple[str, str], float], request: pytest.FixtureRequest
) -> None:
    """With --update it is written there. Figures are powers of ten; that none exceeds its tolerance is seen cell by cell."""
    assert {*FIRST, *RUN} == {*ROADS}
    if not measured:
        pytest.skip("this run has measured no cell")
    if request.config.getoption("--update"):
        write_table(as_table(read_table() if table_text() else {}, measured))
    assert as_table(read_table()) == table_text()
    assert not [cell for cell in measured if read_table()[cell[0]][cell[1]] == "not measured"]
