"""Requests of callers that are kept whole where the deployment asks for it: by a real gateway and a real recorder."""

from __future__ import annotations

import json
import resource
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from gateways import Running, gateway_to, split_of, stand_in
from recorders import Recording, recording
from scripts_of_ours import call_script
from servers import eventually

from marina.comparing.kept_payloads import KeptPayloads
from marina.errors import UsageError
from marina.serving.deployment import Deployment
from marina.serving.payloads import Payload, read_payloads

MOST, LARGEST = 6, 50_000
ASKED = {"percent": 100, "most": MOST, "largest_bytes": LARGEST}
FORM = b'--part\r\nContent-Disposition: form-data; name="data"; filename="a.png"\r\n\r\n\x89PNG\n\r\n--part--\r\n'


@dataclass
class House:
    """A gateway, a recorder, and something that answers as TorchServe does."""

    running: Running
    recorder: Recording

    def ask(self, body: bytes, model: str = "digits", **headers: str) -> None:
        """Ask as a caller, who is answered whatever becomes of the copy."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = requests.post(f"{self.running.url}/predictions/{model}", data=body, headers=named, timeout=30)
        assert answer.status_code == 200

    def kept(self, model: str = "digits") -> list[Payload]:
        """What is kept of a model."""
        return KeptPayloads(self.running.state).read(model)

    def keeps(self, body: bytes, model: str = "digits") -> bool:
        """Whether a body comes to be kept."""
        return eventually(lambda: body in [one.content for one in self.kept(model)])

    def apply(self, **of_digits: Any) -> None:
        """Have the gateway follow a deployment."""
        self.running.gateway.apply(Deployment.model_validate({"models": models(**of_digits)}))


def models(**of_digits: Any) -> dict[str, Any]:
    both: dict[str, Any] = {"default": "1.0", "versions": {"1.0": {}, "2.0": {}}}
    digits = both | {"split": {"weights": split_of(v1=50, v2=50)}, "shadow": {"version": "2.0", "percent": 50}}
    return {"digits": digits | of_digits, "private": both, "unshared": both | {"payloads": {"percent": 100}}}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Payloads of digits and of a model without a split are kept, those of another are not."""
    folder = tmp_path_factory.mktemp("payloads")
    with stand_in() as torchserve, gateway_to(torchserve.port, models(payloads=ASKED), folder) as running:
        internal = f"http://{running.place.internal}"
        with recording(running.state, gateway=internal) as recorder:
            yield House(running, recorder)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"\x89PNG\r\n\n bytes", {}),
        (b'{"data": "aGVsbG8="}', {"content-type": "application/json"}),
        (FORM, {"content-type": "multipart/form-data; boundary=part", "accept": "image/png"}),
        (b"\n\n", {"content-type": "application/octet-stream"}),
    ],
    ids=["bytes", "json", "form", "only newlines"],
)
def test_a_request_is_kept_as_it_came(house: House, body: bytes, headers: dict[str, str]) -> None:
    """Byte for byte, with the headers by which it is read, for its owner alone; no name, cookie or secret is with it."""
    secret = {
        "X-User-Id": "ada@example.org",
        "Cookie": "session=secret",
        "Authorization": "Bearer secret",
        "User-Agent": "secret",
    }
    house.ask(body, **secret, **headers)
    assert house.keeps(body)
    (payload,) = (one for one in house.kept() if one.content == body)
    assert payload.headers == {"accept": "*/*"} | headers
    path = Path(payload.name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(one.stat().st_mode) for one in list(path.parents)[:2]} == {0o700}
    assert b"ada@" not in path.read_bytes()
    assert b"secret" not in path.read_bytes()
    assert payload in list(read_payloads(str(path.parent)))


def test_only_what_was_asked_for_is_kept(house: House) -> None:
    """The latest requests up to the size, that name no version; nothing of a model that does not ask; one without a split too."""
    for body in (b"x" * (LARGEST + 1), *(b"%d" % number for number in range(2 * MOST))):
        house.ask(body)
    house.ask(b"named", "digits/1.0")
    house.ask(b"nobody's", "private")
    house.ask(b"unshared", "unshared")
    assert house.keeps(b"unshared", "unshared")
    assert house.keeps(b"%d" % (2 * MOST - 1))
    assert [one.content for one in house.kept()] == [b"%d" % number for number in range(MOST, 2 * MOST)]
    assert {path.name for path in house.running.state.payloads.iterdir()} == {"digits", "unshared"}
    lines = requests.get(f"{house.recorder.url}/metrics", timeout=30).text.splitlines()
    assert 'marina_recorder_payloads_total{result="too large"} 1.0' in lines


def test_a_key_is_forgotten_with_its_payloads(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """By the header or by the cookie that it was known by; those of others stay."""
    cookie = "marina-user=bob@example.org"
    house.ask(b"of ada", X_User_Id="ada@example.org")
    house.ask(b"of bob", Cookie=cookie)
    house.ask(b"of carol", X_User_Id="carol@example.org")
    assert all([house.keeps(b"of ada"), house.keeps(b"of bob"), house.keeps(b"of carol")])
    asked = ("--state", house.running.state.folder, "--json")
    of_bob = call_script(capsys, "forget_key", "bob@example.org", "--dry-run", *asked)
    assert json.loads(of_bob.out)["payloads"] == 1
    for key in ("ada@example.org", "bob@example.org"):
        assert json.loads(call_script(capsys, "forget_key", key, *asked).out)["payloads"] >= 1
    left = [one.content for one in house.kept()]
    assert b"of carol" in left
    assert not {b"of ada", b"of bob"} & set(left)


def test_a_full_disk_loses_payloads_and_no_request(house: House) -> None:
    """What cannot be written leaves nothing behind, is counted, and the next one is kept again when there is room."""
    process = house.recorder.process.pid
    limits = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (20_000, limits[1]))
    body = b"y" * 30_000
    house.ask(body)
    lost = 'marina_recorder_payloads_total{result="lost"} 1.0'
    assert eventually(lambda: lost in requests.get(f"{house.recorder.url}/metrics", timeout=30).text)
    resource.prlimit(process, resource.RLIMIT_FSIZE, limits)
    assert "a payload was not kept: File too large" in house.recorder.output.read_text()
    assert list((house.running.state.payloads / "digits").glob(".*")) == []
    resource.prlimit(process, resource.RLIMIT_FSIZE, (0, limits[1]))  # nor the record, nor the recorder's own log
    house.ask(b"z")
    assert eventually(lambda: house.recorder.metric("troubles_total") >= 1)
    resource.prlimit(process, resource.RLIMIT_FSIZE, limits)
    assert eventually(lambda: house.recorder.metric("unread_bytes") == 0)
    house.ask(b"room again")
    assert house.keeps(b"room again")
    assert body not in [one.content for one in house.kept()]


def test_a_recorder_that_is_gone_holds_nobody_up(house: House) -> None:
    """Copies are lost with it; the next recorder takes them again, by the same socket."""
    house.recorder.kill()
    house.ask(b"meanwhile")
    with recording(house.running.state, gateway=f"http://{house.running.place.internal}"):
        house.ask(b"afterwards")
        assert house.keeps(b"afterwards")
        assert b"meanwhile" not in [one.content for one in house.kept()]


def test_who_no_longer_asks_has_nothing_kept(house: House) -> None:
    """As soon as the gateway follows a deployment that asks for less, or for none."""
    with recording(house.running.state, gateway=f"http://{house.running.place.internal}"):
        assert len(house.kept()) > 2
        house.apply(payloads=ASKED | {"most": 2})
        assert eventually(lambda: len(house.kept()) == 2)
        house.apply(payloads=ASKED | {"keep_days": 1e-9})
        assert eventually(lambda: house.kept() == [])
        house.apply(payloads=ASKED)
        house.ask(b"once more")
        assert house.keeps(b"once more")
        house.apply()
        assert eventually(lambda: house.kept() == [])
        house.ask(b"unshared, still", "unshared")
        assert house.keeps(b"unshared, still", "unshared")


def test_a_file_that_only_looks_like_one_is_refused(tmp_path: Path) -> None:
    """Its name says that the recorder kept it."""
    (tmp_path / "mine.payload").write_bytes(b"\x89PNG")
    with pytest.raises(UsageError, match=r"mine\.payload: \.payload is for requests that the recorder kept, and this is none"):
        list(read_payloads(str(tmp_path)))
