"""Whatever a file has, its reader reads it, or refuses it in one line that says what is wrong: no traceback, no hang."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import changed_bytes, changed_documents, texts, written
from readers import READERS, YAML_NOBODY_WRITES, Reader

from marina.config.keys import KEYS
from marina.errors import MarinaError

LONGEST = 30_000  # characters of what is said, twenty complaints at most
DIGITS = "9" * 5000
DEEP = "[" * 960 + "]" * 960


def _read(reader: Reader, folder: Path, content: bytes) -> None:
    path = folder / reader.name
    path.write_bytes(content)
    try:
        said = reader.read(path)
    except MarinaError as error:
        said = str(error).splitlines() if reader.name.startswith("outcomes") else [str(error)]
        assert any(said), content
    for line in said if isinstance(said, list) and all(isinstance(one, str) for one in said) else []:
        assert line == "".join(one for one in str(line) if one.isprintable()), line
        assert len(line) < LONGEST


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_good_files_are_read(reader: Reader, tmp_path: Path) -> None:
    """What the changed ones are made of; of the rollout only that it is refused in a sentence."""
    for content in reader.good:
        (tmp_path / reader.name).write_bytes(content)
        if reader.name == "rollout.json":
            with pytest.raises(MarinaError, match="is not what was written there"):
                reader.read(tmp_path / reader.name)
        else:
            reader.read(tmp_path / reader.name)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
@given(data=st.data())
def test_a_changed_file_is_read_or_refused_in_one_line(reader: Reader, tmp_path: Path, data: st.DataObject) -> None:
    """Files that are valid but for some bytes, and documents with values that nobody meant."""
    changed = changed_bytes(reader.good) | st.binary(max_size=60)
    documents = reader.documents
    _read(reader, tmp_path, data.draw(changed | changed_documents(documents).map(written) if documents else changed))


@pytest.mark.parametrize("content", YAML_NOBODY_WRITES, ids=range(len(YAML_NOBODY_WRITES)))
@pytest.mark.parametrize("reader", [one for one in READERS if one.is_yaml], ids=lambda reader: reader.name)
def test_what_yaml_can_do_and_nobody_writes_is_refused_in_one_line(reader: Reader, content: bytes, tmp_path: Path) -> None:
    """Impossible dates, numbers of 5,000 digits, lists within themselves, a billion laughs, terminal codes, Python's objects."""
    _read(reader, tmp_path, content)


@given(pairs=st.lists(st.tuples(st.sampled_from([*KEYS, "metrics-mode", "a\\nb"]), texts | st.integers().map(str)), max_size=8))
@example(pairs=[("default_workers_per_model", DIGITS), ("grpc_inference_port", DIGITS), ("vmargs", f"-Xmx{DIGITS}")])
@example(pairs=[("inference_address", f"http://127.0.0.1:{DIGITS}"), ("metric_time_interval", DIGITS)])
@example(pairs=[("models", f'{{"a": {DIGITS}}}'), ("model_snapshot", "[" * 5000), ("blacklist_env_vars", "a{99999999999}")])
@example(pairs=[("models", f'{{"a": {{"1": {{"marName": {DEEP}, "batchSize": {{}}}}}}}}')])
@example(pairs=[("metrics_config", "x" * 5000), ("certificate_file", "\\u0000"), ("keystore", "a/" * 3000)])
@example(pairs=[("private_key_file", "\\ud800"), ("certificate_file", "x")])
@example(pairs=[("model_store", "."), ("load_models", "x" * 999 + ",\\u0000"), ("allowed_urls", "(" * 5000)])
def test_any_value_of_any_key_of_a_servers_configuration_is_told_or_taken(pairs: list[tuple[str, str]], tmp_path: Path) -> None:
    """Keys of TorchServe with values that nobody meant: findings, each in one line."""
    text = "".join(f"{key}={value}\n" for key, value in pairs).encode(errors="replace")
    _read(next(one for one in READERS if one.name == "config.properties"), tmp_path, text)
