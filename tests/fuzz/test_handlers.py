"""Whatever a request has, each handler answers it, or refuses it alone, and whoever shares its batch is answered as ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from ended_batches import once_ended_a_batch
from handlerkit.testing import Answer, Worker
from hypothesis import given
from hypothesis import strategies as st
from mutations import changed_bytes, changed_documents, texts, written
from pictures import encoded
from PIL import Image
from small_handlers import PICTURE, SMALL_HANDLERS, Small

from marina.roads.frontend import asked_by

JSON = "application/json"
BOUNDARY = b"----cut"
FORM = f"multipart/form-data; boundary={BOUNDARY.decode()}"
REFUSALS = (400, 413, 415, 422, 504)
PARTS = (
    "data",
    "body",
    "image",
    "text",
    "file",
    "top_k",
    "threshold",
    "form",
    "target",
    "method",
    "mask",
    "encoding",
    "other",
    "x",
)
DEEP = b"[" * 900
LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Request:
    """What a caller sends."""

    content: bytes
    headers: dict[str, str]

    @property
    def row(self) -> dict[str, Any]:
        """As TorchServe hands it to a worker."""
        return {part.name: part.value for part in asked_by(self.content, self.headers, False, "").parts}


def _files(small: Small) -> tuple[bytes, ...]:
    """Contents that are answered, to be damaged."""
    if small.good[1] == "image/png":
        return (small.good[0], *_pictures())
    return (small.good[0], b"seven cats", *(json.dumps(one).encode() for one in small.documents))


@cache
def _pictures() -> tuple[bytes, ...]:
    picture = Image.linear_gradient("L").resize((40, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    others = [
        encoded(picture.convert("RGB"), "JPEG", exif=exif),
        encoded(picture.convert("RGB"), "WEBP"),
        encoded(picture.convert("P"), "GIF", transparency=3),
        encoded(picture, "BMP"),
        encoded(picture.convert("RGBA"), "PNG", exif=exif),
        encoded(picture.convert("P"), "PNG", transparency=b"\x00\x80"),
        encoded(Image.new("I;16", (9, 9), 40_000), "PNG"),
        encoded(picture.convert("1"), "PNG", dpi=(1, 1)),
    ]
    return (PICTURE, *others)


@st.composite
def _forms(draw: st.DrawFn, small: Small) -> bytes:
    parts = []
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(PARTS))
        kind = draw(st.sampled_from(["", "Content-Type: application/json\r\n", "Content-Type: text/plain\r\n"]))
        value = draw(changed_bytes(_files(small)) | changed_documents(small.documents).map(written) | texts.map(_bytes_of))
        head = f'Content-Disposition: form-data; name="{name}"\r\n{kind}\r\n'.encode()
        parts.append(b"--" + BOUNDARY + b"\r\n" + head + value + b"\r\n")
    whole = b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"
    return draw(st.just(whole) | changed_bytes([whole], 2))


def _bytes_of(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


@st.composite
def _with_bytes_behind(draw: st.DrawFn) -> tuple[bytes, str]:
    """KServe's binary tensors, and the header that says where the JSON ends."""
    size: Any = draw(st.sampled_from([0, 4, 9, 12, 10**30, -1, True, "4", None]))
    tensor = {"name": "input", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    document = draw(changed_documents([{"inputs": [tensor]}, {"inputs": [tensor | {"datatype": "FP32", "shape": [1, 3]}]}], 2))
    head = written(document)
    length = draw(st.sampled_from([str(len(head)), "0", "-1", "9" * 5000, "²", "1e3", str(10**18), ""]))
    return head + draw(st.binary(max_size=20) | st.just(b"\x05\x00\x00\x00seven")), length


@st.composite
def requests(draw: st.DrawFn, small: Small) -> Request:
    """A request that is nearly good."""
    kind = draw(st.sampled_from(["document", "document", "document", "file", "form", "bytes behind", "noise"]))
    headers = draw(st.fixed_dictionaries({}, optional=HEADERS))
    if kind == "document":
        return Request(written(draw(changed_documents(small.documents))), {"Content-Type": JSON} | headers)
    if kind == "file":
        return Request(draw(changed_bytes(_files(small))), {"Content-Type": small.good[1]} | headers)
    if kind == "form":
        return Request(draw(_forms(small)), headers | {"Content-Type": FORM})
    if kind == "bytes behind":
        content, length = draw(_with_bytes_behind())
        return Request(content, headers | {LENGTH: length})
    return Request(draw(st.binary(max_size=300)), headers)


HEADERS: dict[str, st.SearchStrategy[str]] = {
    "explain": st.sampled_from(["True", "False", "?"]),
    "Accept": st.just("image/png"),
    "X-Request-Deadline": st.sampled_from(["1", "nan", "inf", "-1e999", "9" * 400, "²", ""]),
    "X-Request-Id": st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=50),
    "traceparent": st.text(max_size=30).map(ascii),
    "Content-Type": st.sampled_from(
        [JSON, "text/plain", "image/png", "application/x-www-form-urlencoded", "text/plain; charset=utf-99", "", FORM]
    ),
}


@pytest.fixture(scope="session")
def worker_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Worker]:
    """A loaded worker for each of the small handlers."""
    return cache(lambda name: SMALL_HANDLERS[name].load(tmp_path_factory.mktemp("small") / "archive"))


def _ask(worker: Worker, *asked: Request) -> list[Answer]:
    return worker.ask(*(one.row for one in asked), headers=[one.headers for one in asked])


def _check(worker: Worker, small: Small, hostile: list[Request], place: int) -> None:
    """Hostile requests with a good one among them: that one is answered as ever, and each of them as if it had come alone."""
    good = Request(small.good[0], {"Content-Type": small.good[1]})
    (expected,) = _ask(worker, good)
    assert expected.status == 200
    batch = [*hostile[:place], good, *hostile[place:]]
    answers = _ask(worker, *batch)
    for one, answer in zip(batch, answers, strict=True):
        if one is good:
            assert (answer.status, answer.body) == (200, expected.body)
            continue
        assert answer.status == 200 or answer.status in REFUSALS, (answer, one)
        alone = _ask(worker, one)[0].status
        assert answer.status == alone or (DEEP in one.content and alone in REFUSALS), one  # Python's reader knows where it is
        if answer.status != 200 and "outputs" not in answer.body:
            assert answer.body["code"] == answer.status
            assert 0 < len(answer.body["message"]) < 1000


@pytest.mark.parametrize("name", SMALL_HANDLERS)
def test_what_once_ended_a_batch_is_refused_alone(worker_of: Callable[[str], Worker], name: str) -> None:
    """Sizes, digits, depths and texts that Python, numpy or JSON cannot take: each was an error for whoever shared its batch."""
    for said, content, headers in once_ended_a_batch():
        try:
            _check(worker_of(name), SMALL_HANDLERS[name], [Request(content, headers)], 0)
        except BaseException as error:
            error.add_note(said)
            raise


@pytest.mark.parametrize("name", SMALL_HANDLERS)
@pytest.mark.filterwarnings("ignore::UserWarning")
@given(data=st.data())
def test_a_hostile_request_costs_nobody_else(worker_of: Callable[[str], Worker], name: str, data: st.DataObject) -> None:
    """Changed documents, files, forms and tensors, with any headers: an answer or a refusal, and no batch-mate notices."""
    small = SMALL_HANDLERS[name]
    hostile = data.draw(st.lists(requests(small), min_size=1, max_size=3))
    _check(worker_of(name), small, hostile, data.draw(st.integers(0, len(hostile))))
