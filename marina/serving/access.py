"""How our scripts get in: whose certificate they trust, and which token they send.

TorchServe makes its tokens at the start, in ``key_file.json`` of the folder that it was started in: one for each API, and a
third that makes new ones. A token is looked for when TorchServe asks for one; one that has ended is renewed.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import psutil
import requests
from requests.adapters import HTTPAdapter

from marina import paths
from marina.errors import MarinaError, UsageError

Api = Literal["inference", "management"]
KEY_FILE = "key_file.json"
SERVER = "org.pytorch.serve.ModelServer"
REFUSED = "InvalidKeyException"
ONLY_TLS = "only accepts HTTPS"
TIMEOUT_SECONDS = 30
LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass
class Access:
    """The way in to one server.

    Attributes:
        management: address of its Management API, which renews tokens.
        cacert: PEM file of the certificates that are trusted; the system's, or REQUESTS_CA_BUNDLE, where it is not given.
        keys: its key_file.json; looked for on this machine where it is not given.
        pinned: certificate of a server that we started ourselves; trusted whatever name it is for.
    """

    management: str
    cacert: Path | None = None
    keys: Path | None = None
    pinned: Path | None = None
    _tokens: dict[str, str] = field(default_factory=dict)

    def session(self) -> requests.Session:
        """A session that trusts what we trust."""
        session = requests.Session()
        if self.pinned is not None:
            session.mount("https://", _Pinned(self.pinned))
        return session

    def send(self, session: requests.Session, api: Api, method: str, url: str, **given: Any) -> requests.Response:
        """Send a request, with a token where TorchServe asks for one.

        Raises:
            requests.ConnectionError, requests.Timeout: as requests has them.
            MarinaError: the certificate is not trusted, or no token can be had.
        """
        answer = self._sent(session, api, method, url, **given)
        if not _asks_for_token(answer):
            return answer
        file, had = self._key_file(url), self._tokens.pop(api, None)
        self._tokens[api] = _read(file, api, "key")
        if had == self._tokens[api]:
            self._renew(session, api, file)
        answer = self._sent(session, api, method, url, **given)
        if _asks_for_token(answer) and _has_ended(file, api):
            self._renew(session, api, file)
            answer = self._sent(session, api, method, url, **given)
        if _asks_for_token(answer):
            raise MarinaError(f"{_address(url)} refuses the {api} token of {file}: it is another server's; give --keys FILE")
        return answer

    def headers(self, api: Api) -> dict[str, str]:
        """What requests to an API are let in by, for who sends them himself: its token, where ``send`` was asked for one."""
        return {"Authorization": f"Bearer {self._tokens[api]}"} if api in self._tokens else {}

    def _sent(self, session: requests.Session, api: Api, method: str, url: str, **given: Any) -> requests.Response:
        headers = {**given.pop("headers", {}), **self.headers(api)}
        try:
            answer = session.request(method, url, headers=headers, verify=self._trusted(), **given)
        except requests.exceptions.SSLError as error:
            raise MarinaError(_untrusted(url, str(error))) from error
        if not answer.ok and ONLY_TLS in answer.text:
            raise MarinaError(f"{_address(url)} speaks TLS alone: write https://")
        return answer

    def _renew(self, session: requests.Session, api: Api, file: Path) -> None:
        """Have TorchServe write a new token into its file; the old one has ended."""
        headers = {"Authorization": f"Bearer {_read(file, 'API', 'key')}"}
        address = f"{self.management.rstrip('/')}/token"
        asked = {"type": api}
        try:
            answer = session.get(address, params=asked, headers=headers, verify=self._trusted(), timeout=TIMEOUT_SECONDS)
        except requests.ConnectionError as error:
            raise MarinaError(
                f"the {api} token of {file} has ended, and no Management API answers at {self.management}"
            ) from error
        if not answer.ok:
            raise MarinaError(f"the {api} token of {file} has ended, and {address} makes no new one: restart the server")
        self._tokens[api] = _read(file, api, "key")

    def _trusted(self) -> str | None:
        """Given with each request: a session's own goes behind REQUESTS_CA_BUNDLE."""
        return str(self.cacert) if self.cacert else None

    def _key_file(self, url: str) -> Path:
        """The file that was given; else this machine's, for this machine's addresses alone."""
        if self.keys is not None:
            return self.keys
        local = all(urlsplit(one).hostname in LOCAL for one in (url, self.management))
        file = _find_key_file(urlsplit(self.management).port) if local else None
        if file is None:
            where = "was found on this machine" if local else "is looked for, for another machine"
            raise MarinaError(f"{_address(url)} asks for a token, and no {KEY_FILE} {where}: give --keys FILE")
        return file


class _Pinned(HTTPAdapter):
    """Trusts one certificate, whatever name it is for."""

    def __init__(self, certificate: Path) -> None:
        self._context = ssl.create_default_context(cafile=str(certificate))
        self._context.check_hostname = False
        self._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        super().__init__()

    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        super().init_poolmanager(*given, ssl_context=self._context, assert_hostname=False, **named)

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Nothing to add: the context has what is trusted."""


def checked_file(path: Path | None, option: str) -> Path | None:
    """A file that an option names.

    Raises:
        UsageError: it is not there.
    """
    if path is not None and not path.is_file():
        raise UsageError(f"{option}: {path} is no file")
    return path


def _find_key_file(port: int | None) -> Path | None:
    """The key file of the server that listens on a port of this machine."""
    folders = [*_folders_of_servers(port), Path.cwd(), paths.ROOT]
    return next((folder / KEY_FILE for folder in folders if (folder / KEY_FILE).is_file()), None)


def _folders_of_servers(port: int | None) -> list[Path]:
    """Where TorchServes were started that listen on a port; other users' are not ours to see."""
    found = []
    for process in psutil.process_iter():
        try:
            if SERVER in process.cmdline() and any(one.laddr.port == port for one in process.net_connections("tcp") if one.laddr):
                found.append(Path(process.cwd()))
        except psutil.Error:
            continue
    return found


def _asks_for_token(answer: requests.Response) -> bool:
    if answer.status_code not in (requests.codes.bad_request, requests.codes.unauthorized):
        return False
    try:
        return bool(answer.json()["type"] == REFUSED)
    except (ValueError, KeyError, TypeError):
        return False


def _read(file: Path, api: str, what: str) -> str:
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))[api][what])
    except OSError as error:
        raise MarinaError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise MarinaError(f"{file}: must be TorchServe's {KEY_FILE}, with '{api}'; found something else") from error


def _has_ended(file: Path, api: Api) -> bool:
    """TorchServe writes nanoseconds, of which Python reads six digits."""
    written = _read(file, api, "expiration time").removesuffix("Z")
    return datetime.fromisoformat(written[:26]).replace(tzinfo=UTC) < datetime.now(UTC)


def _untrusted(url: str, reason: str) -> str:
    address = _address(url)
    if "WRONG_VERSION_NUMBER" in reason:
        return f"{address} speaks no TLS: write http://"
    if "doesn't match" in reason or "not valid for" in reason or "mismatch" in reason:
        return (
            f"the certificate of {address} is for another name: ask by that, or make one with scripts/make_certificate.py --name"
        )
    return f"the certificate of {address} is not trusted: name it with --cacert FILE"


def _address(url: str) -> str:
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))
