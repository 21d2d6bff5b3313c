"""Our tables of keys are TorchServe's: none is missing, none is invented."""

from __future__ import annotations

import inspect
import re

import pytest
from handlerkit.limits import Limits
from handlerkit.runtimes import RUNTIMES
from java_constants import java_class
from ts import model_server

from marina import paths
from marina.config import model_config
from marina.config.check import check_text
from marina.config.findings import Level
from marina.config.keys import KEYS, OF_A_VERSION
from marina.config.log_config import LOGGERS
from marina.config.machine import HANDLERS_TAKE_MB
from marina.config.metrics_config import KINDS
from marina.config.place import Place
from marina.config.values import OF_THE_LAUNCHER
from marina.store.archive import model_config as built_config
from marina.store.spec import find_spec

MANAGER = java_class("org/pytorch/serve/util/ConfigManager")
NO_KEYS = (
    "DEFAULT_TS_ALLOWED_URLS",
    "METRIC_FORMAT_PROMETHEUS",
    "DEFAULT_REQUEST_SEQUENCE_ID",
    "DEFAULT_REQUEST_SEQUENCE_START",
    "DEFAULT_REQUEST_SEQUENCE_END",
)


def test_every_key_of_the_jar_is_in_the_table_and_no_other() -> None:
    """Constants of ConfigManager in TorchServe's jar, and what the launcher reads in Python."""
    of_java = {value for name, value in MANAGER.fields.items() if name not in NO_KEYS and not name.endswith("LOGGER")}
    of_python = set(re.findall(r'props\.get\("(\w+)"', inspect.getsource(model_server)))
    assert of_python == set(OF_THE_LAUNCHER)
    assert set(KEYS) == of_java | of_python | {"tsConfigFile"}


def test_every_variable_of_the_environment_is_in_the_table() -> None:
    """TS_… variables are named by ConfigManager's fields, which are not always the key in capitals."""
    assert {key.variable: key.name for key in KEYS.values() if key.variable} == {
        name: value for name, value in MANAGER.fields.items() if name.startswith("TS_")
    }


def test_text_defaults_are_those_of_the_jar() -> None:
    """Addresses, ports, patterns and names that ConfigManager has as strings stand in the table as they are."""
    texts = [key for key in KEYS.values() if key.kind in ("address", "host", "port", "pattern", "text") and key.default]
    assert len(texts) > 10
    assert [key.name for key in texts if key.default not in MANAGER.strings] == []


def test_keys_of_a_version_are_those_of_the_jar() -> None:
    """What ``models`` may have for a version."""
    assert set(OF_A_VERSION) == {
        value for name, value in java_class("org/pytorch/serve/wlm/Model").fields.items() if name != "DEFAULT_DATA_QUEUE"
    }


def test_keys_of_model_config_are_those_of_the_jar() -> None:
    """The strings that ModelConfig looks for in model-config.yaml are its one-word constants."""
    words = {text for text in java_class("org/pytorch/serve/archive/model/ModelConfig").strings if text.isalpha()}
    assert set(model_config.KEYS) == words
    torchrun = java_class("org/pytorch/serve/archive/model/ModelConfig$TorchRun").strings
    assert set(model_config.TORCHRUN) - {"max-restarts"} <= torchrun


def test_loggers_and_metrics_are_those_of_the_jar() -> None:
    """Names that log4j2.xml and metrics.yaml may have."""
    named = {value for name, value in MANAGER.fields.items() if name.endswith("LOGGER")}
    assert named <= set(LOGGERS)
    assert "ACCESS_LOG" in java_class("org/pytorch/serve/http/Session").strings | java_class(
        "org/pytorch/serve/http/HttpRequestHandler"
    ).strings | set(LOGGERS)
    fields = {"counter", "gauge", "histogram"}
    assert set(KINDS) == fields


def test_defaults_have_no_findings_of_their_own() -> None:
    """A file that writes out every default is right, word for word."""
    text = "".join(f"{key.name}={key.default}\n" for key in KEYS.values() if key.default)
    assert [str(one) for one in check_text(text, "x", Place(paths.ROOT)) if one.level is Level.ERROR] == []


def test_handlers_take_what_the_checker_says() -> None:
    """The limit of a row and the runtimes, which live on the other side of the wall."""
    assert Limits().megabytes == HANDLERS_TAKE_MB
    assert set(model_config.Handlerkit.model_fields["runtime"].annotation.__args__) == set(RUNTIMES)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", sorted(path.parent.name for path in paths.SPECS.glob("*/model.yaml")))
def test_what_the_build_writes_is_right(name: str) -> None:
    """model-config.yaml of each version of each spec."""
    found = find_spec(name)
    for version in found.spec.versions:
        document = built_config(found, version, None)
        assert [one.text for one in model_config.findings_of(document, Place(paths.ROOT))] == []
