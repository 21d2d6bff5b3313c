"""By what a caller is known again: three ways to a key, tried in order, each a route of its own.

The key's hash is salted by the experiment, so that who is in one arm of one experiment is in any arm of the next. Whatever a
header may hold is only hashed and logged; it names nothing in Envoy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from marina.comparing.split import Sticky
from marina.gateway.messages import Message, has_header, typed

REQUEST_ID = "x-request-id"  # Envoy's own, a random UUID; a caller's is moved away before
COOKIE_SECONDS = 180 * 24 * 3600
VALUE = "[!-:<-~]+"  # what a cookie may hold
KEY_FILTER = "key"


@dataclass(frozen=True)
class Way:
    """One way to a key.

    Attributes:
        name: ``header``, ``cookie`` or ``fresh``.
        matches: requests that have the key this way.
        hashed: Envoy's policy for the hash.
        source: where the key is taken from for the access log; empty where it is nobody's key.
        cookie: that is set by the answer.
    """

    name: str
    matches: list[Message]
    hashed: Message
    source: dict[str, str] = field(default_factory=dict)
    cookie: str | None = None

    @property
    def logged(self) -> Message:
        """Settings of the filter that puts the key where the access log finds it."""
        rule = {"on_header_present": {"metadata_namespace": "marina", "key": "key", "type": "STRING"}, "remove": False}
        rules = [{**self.source, **rule}] if self.source else []
        return {KEY_FILTER: typed("envoy.extensions.filters.http.header_to_metadata.v3.Config", request_rules=rules)}


def ways(sticky: Sticky, experiment: str, *, is_secure: bool) -> list[Way]:
    """The ways to a key, the first that a request fits is taken.

    Args:
        sticky: which header, which cookie.
        experiment: the salt.
        is_secure: whether callers speak TLS, so that the cookie is not sent without.
    """
    found = []
    if sticky.header:
        name = sticky.header.lower()
        found.append(Way("header", [has_header(name)], _hash(name, experiment), {"header": name}))
    if sticky.cookie:
        found.append(_by_cookie(sticky.cookie, experiment))
    minted = f"{sticky.cookie}=%REQ({REQUEST_ID})%; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax"
    return [
        *found,
        Way(
            "fresh",
            [],
            _hash(REQUEST_ID, experiment),
            {"header": REQUEST_ID} if sticky.cookie else {},
            minted + "; Secure" * is_secure if sticky.cookie else None,
        ),
    ]


def _by_cookie(name: str, experiment: str) -> Way:
    before = rf"(?:\C*?;[ \t]*)?{re.escape(name)}="
    taken = _hash("cookie", experiment, rf"^{before}({VALUE})\C*$", r"\1")
    return Way("cookie", [has_header("cookie", rf"{before}{VALUE}\C*")], taken, {"cookie": name})


def _hash(header: str, experiment: str, regex: str = "^", kept: str = "") -> Message:
    """Hash the experiment and a header, or a part of it."""
    rewrite = {"pattern": {"regex": regex}, "substitution": f"{experiment}:{kept}"}
    return {"header": {"header_name": header, "regex_rewrite": rewrite}}
