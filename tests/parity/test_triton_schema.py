"""What is written for Triton's own backends, read by Triton's own schema: no tritonserver with these is to be had here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripts_of_ours import call_script

from marina.paths import Store


@pytest.mark.filterwarnings("ignore")  # of torch's exporters
@pytest.mark.parametrize("platform", ["handler", "onnx", "torchscript"])
def test_a_config_is_a_model_config(
    platform: str, specs_store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every key and every value is known to Triton; batches, delay, workers and the version are the spec's."""
    inside = [] if platform == "handler" else ["--with-preprocessing"]
    given = [
        "--to",
        "triton",
        "--platform",
        platform,
        *inside,
        "--store",
        str(specs_store.folder),
        "--out",
        str(tmp_path / "out"),
    ]
    done = call_script(capsys, "export_model", "digits", *given)
    assert done.code == 0, done.err
    config = read_config(tmp_path / "out" / "digits" / "config.pbtxt")
    assert (config.name, config.max_batch_size) == ("digits", 8)
    assert config.dynamic_batching.max_queue_delay_microseconds == 1000
    assert [one.count for one in config.instance_group] == [1]
    assert config.parameters["marina_version"].string_value == "1.0"
    assert config.input[0].data_type == (13 if platform == "handler" else 2)  # TYPE_STRING, TYPE_UINT8
    assert list(config.input[0].dims) == ([1] if platform == "handler" else [1, -1, -1])


def read_config(path: Path) -> Any:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
