"""SECURITY.md names what is in the wheel, and tests that are there."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import ts

from marina import paths

DOCUMENT = paths.ROOT / "SECURITY.md"


def test_the_java_libraries_are_those_of_the_wheel() -> None:
    """By what the jar says of itself; its classes name their versions where no file does."""
    listed = dict(re.findall(r"^\| (\w[\w ]+) \| ([\d.]+\w*)(?: \||\.Final)", DOCUMENT.read_text(), re.MULTILINE))
    with zipfile.ZipFile(Path(ts.__file__).parent / "frontend" / "model-server.jar") as jar:
        netty = jar.read("META-INF/io.netty.versions.properties").decode()
        assert f"netty-codec-http.version={listed['Netty'].rstrip('.')}" in netty
        assert f"ImplementationVersion={listed['Groovy']}" in jar.read("META-INF/groovy-release-info.properties").decode()
        assert f"log4j-core:jar:{listed['Log4j']}" in jar.read("META-INF/DEPENDENCIES").decode()
        assert listed["gRPC"].encode() in jar.read("io/grpc/internal/GrpcUtil.class")
        assert listed["Gson"].encode() in jar.read("com/google/gson/internal/GsonBuildConfig.class")
        assert "org/yaml/snakeyaml/inspector/TagInspector.class" in jar.namelist()  # of SnakeYAML 2


def test_the_tests_that_it_names_are_there() -> None:
    """Each weakness is closed by something that is tried."""
    text = DOCUMENT.read_text()
    named = set(re.findall(r"tests/\w+/test_\w+\.py", text))
    assert len(named) > 6
    assert [name for name in named if not (paths.ROOT / name).is_file()] == []
