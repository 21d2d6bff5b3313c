"""Who gets which version: 10,000 keys at a real Envoy, in front of a stand-in that answers at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from gateways import Running, StandIn, assigned, gateway_to, split_of, stand_in

from marina.comparing.split import Split, Sticky
from marina.errors import MarinaError
from marina.gateway.gateway import Gateway
from marina.paths import State

KEYS = [f"user-{number:05d}" for number in range(10_000)]
BOTH: dict[str, dict[str, int]] = {"1.0": {}, "2.0": {}, "3.0": {}}


@pytest.fixture(scope="module")
def torchserve() -> Iterator[StandIn]:
    """Something that answers as TorchServe does."""
    with stand_in() as started:
        yield started


@pytest.fixture(scope="module")
def running(torchserve: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway with a split of digits, and two models without one."""
    digits = {"default": "1.0", "versions": BOTH, "split": {"weights": split_of(v1=50.0, v2=50.0)}}
    other = {"default": "1.0", "versions": {"1.0": {}}}
    models = {"digits": digits, "other": other, "odd-name.v2_x": digits}
    with gateway_to(torchserve.port, models, tmp_path_factory.mktemp("gateway")) as started:
        yield started


def set_split(running: Running, **weights: float) -> None:
    """Change the split of digits."""
    running.gateway.set_split("digits", Split(weights=split_of(**weights)))


@pytest.mark.parametrize(
    ("weights", "within"),
    [
        ({"v1": 50.0, "v2": 50.0}, 1.0),
        ({"v1": 90.0, "v2": 10.0}, 1.0),
        ({"v1": 99.0, "v2": 1.0}, 0.3),
        ({"v1": 60.0, "v2": 30.0, "v3": 10.0}, 1.0),
    ],
    ids=str,
)
def test_ten_thousand_keys_are_shared_as_the_weights_say(running: Running, weights: dict[str, float], within: float) -> None:
    """Each arm has its share of the keys, and every key the same arm when it comes again."""
    set_split(running, **weights)
    first = assigned(running.place.callers, KEYS)
    counted = Counter(first.values())
    for version, percent in split_of(**weights).items():
        assert abs(counted[version] / 100 - percent) <= within, counted
    assert assigned(running.place.callers, KEYS[::10]) == {key: first[key] for key in KEYS[::10]}


def test_more_weight_moves_the_changed_share_and_nobody_back_also_by_a_restart(running: Running) -> None:
    """From 10 to 20 percent 10 percent of the keys move, all of them to the arm that grew; a killed Envoy forgets nothing."""
    set_split(running, v1=90.0, v2=10.0)
    before = assigned(running.place.callers, KEYS)
    set_split(running, v1=80.0, v2=20.0)
    running.restart()
    after = assigned(running.place.callers, KEYS)
    moved = [key for key in KEYS if before[key] != after[key]]
    assert 900 <= len(moved) <= 1100
    assert {after[key] for key in moved} == {"2.0"}
    assert running.gateway.splits()["digits"].weights == {"1.0": 80.0, "2.0": 20.0}


def test_another_experiment_assigns_everybody_anew(running: Running) -> None:
    """Who was in 2.0 is in either arm of the next experiment, half and half."""
    weights = split_of(v1=50.0, v2=50.0)
    running.gateway.set_split("digits", Split(weights=weights))
    before = assigned(running.place.callers, KEYS[:4000])
    running.gateway.set_split("digits", Split(weights=weights, experiment="another"))
    after = assigned(running.place.callers, KEYS[:4000])
    stayed = sum(before[key] == after[key] for key in before)
    assert 0.45 < stayed / len(before) < 0.55


def test_who_has_no_header_is_known_by_a_cookie(running: Running) -> None:
    """The first answer sets it, for this site and no script; whoever sends it back keeps the arm of that first answer."""
    set_split(running, v1=50.0, v2=50.0)
    for _ in range(8):
        caller = requests.Session()
        first = caller.get(f"{running.url}/predictions/digits", timeout=10)
        assert "HttpOnly; SameSite=Lax" in first.headers["Set-Cookie"]
        again = [caller.get(f"{running.url}/predictions/digits", timeout=10) for _ in range(4)]
        assert {one.headers["X-Assigned-Version"] for one in [first, *again]} == {first.headers["X-Assigned-Version"]}
        assert not any("Set-Cookie" in one.headers for one in again)


def test_a_cookie_is_found_among_others(running: Running) -> None:
    """Before and behind others, and not where another's name ends alike."""
    set_split(running, v1=50.0, v2=50.0)
    for key in KEYS[:20]:
        sent = [f"marina-user={key}", f"a=b; marina-user={key}; c=d", f"xmarina-user=other; marina-user={key}"]
        answers = [requests.get(f"{running.url}/predictions/digits", headers={"Cookie": one}, timeout=10) for one in sent]
        assert len({one.headers["X-Assigned-Version"] for one in answers}) == 1
        assert assigned(running.place.callers, [key])[key] == answers[0].headers["X-Assigned-Version"]


@pytest.mark.parametrize(
    "key", ["", "x" * 6000, "käse", "a, b", "%00", "${env}", "%REQ(host)%", '"; }'], ids=lambda key: key[:12]
)
def test_odd_keys_are_keys(running: Running, key: str) -> None:
    """Empty, very long, not ASCII, or like Envoy's own language: the answer is labelled, the same each time or with a cookie."""
    set_split(running, v1=50.0, v2=50.0)
    sent = {"X-User-Id": key.encode()}
    answers = [requests.get(f"{running.url}/predictions/digits", headers=sent, timeout=10) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 200]
    assert all(one.headers["X-Assigned-Version"] == one.headers["X-Model-Version"] for one in answers)
    if key:
        assert len({one.headers["X-Assigned-Version"] for one in answers}) == 1
    else:
        assert "Set-Cookie" in answers[0].headers


def test_callers_cannot_speak_as_the_gateway(running: Running, torchserve: StandIn) -> None:
    """Headers of ours and of Envoy's change nothing: neither the arm, nor the path, nor the request's id, nor repeats."""
    set_split(running, v1=100.0, v2=0.0)
    torchserve.paths.clear()
    ours = {"x-marina-assigned": "2.0", "x-assigned-version": "2.0", "x-marina-summary": "1", "host": "arm-0"}
    envoys = {
        "x-envoy-original-path": "/models",
        "x-envoy-retry-on": "5xx",
        "x-envoy-max-retries": "9",
        "x-rewrite-url": "/models",
    }
    answer = requests.get(f"{running.url}/predictions/digits", headers=ours | envoys | {"X-Request-Id": "mine"}, timeout=10)
    assert answer.headers["X-Assigned-Version"] == answer.headers["X-Model-Version"] == "1.0"
    assert answer.headers["X-Client-Request-Id"] == "mine" != answer.headers["X-Request-Id"]
    assert [path for path in torchserve.paths if not path.startswith("/models/")] == ["/predictions/digits/1.0"]


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        ("/predictions/digits?top_k=1", "/predictions/digits/1.0?top_k=1"),
        ("/explanations/digits", "/explanations/digits/1.0"),
        ("/predictions/digits/2.0", "/predictions/digits/2.0"),
        ("/predictions/other", "/predictions/other"),
        ("/predictions/nobody-knows/7", "/predictions/nobody-knows/7"),
        ("/predictions/odd-name.v2_x?a=/predictions/digits", None),
        ("/predictions/digi%74s", "/predictions/digits/1.0"),
        ("/v1/models/digits:predict", "/v1/models/digits:predict"),
        ("/v2/models/digits/infer", "/v2/models/digits/infer"),
        ("/ping", "/ping"),
    ],
)
def test_paths_reach_what_they_name(running: Running, torchserve: StandIn, path: str, reached: str | None) -> None:
    """Without a version an arm; with one that version; other models, KServe's routes and the rest as they are."""
    set_split(running, v1=100.0, v2=0.0)
    torchserve.paths.clear()
    assert requests.get(f"{running.url}{path}", timeout=10).status_code == 200
    asked = [path for path in torchserve.paths if not path.startswith("/models/")]
    if reached is None:
        assert asked[0] in {f"/predictions/odd-name.v2_x/{version}?a=/predictions/digits" for version in ("1.0", "2.0")}
    else:
        assert asked == [reached]


HIDDEN = ["/models", "//models", "/predictions/../models", "/%2e%2e/models", "/predictions/%2e%2e/models/digits", "/./models"]
HIDDEN += ["/", "/predictions/%2e%2e%2fmodels", "/predictions/..%5cmodels", "/MODELS"]
HIDDEN += ["/stats", "/config_dump", "/quitquitquit", "/metrics", "/look"]


@pytest.mark.parametrize("path", HIDDEN)
def test_only_what_is_for_callers_is_reached(running: Running, torchserve: StandIn, path: str) -> None:
    """Neither TorchServe's Management API nor Envoy's own interface, however the path is dressed: an error as JSON."""
    torchserve.paths.clear()
    with requests.Session() as session:
        asked = requests.Request("GET", f"{running.url}/x").prepare()
        asked.url = f"{running.url}{path}"
        answer = session.send(asked, timeout=10)
    assert answer.status_code in (400, 404)
    assert answer.json()["code"] == answer.status_code
    assert not [path for path in torchserve.paths if not path.startswith("/models/")]  # those are the gateway's own looks


def test_the_internal_listener_is_for_figures_and_management_alone(running: Running) -> None:
    """Nothing there can stop Envoy or change how it runs."""
    internal = f"http://{running.place.internal}"
    for path in ("/quitquitquit", "/drain_listeners", "/runtime_modify?a=b", "/logging?level=debug", "/stats"):
        assert requests.post(f"{internal}{path}", timeout=10).status_code == 404
    assert requests.get(f"{internal}/stats/prometheus", timeout=10).ok
    assert requests.get(f"{internal}/models/digits/1.0", timeout=10).ok
    assert requests.post(f"{internal}/reopen_logs", timeout=10).ok
    assert requests.get(f"{internal}/reopen_logs", timeout=10).status_code == 404


@pytest.mark.parametrize(("status", "answered"), [(503, 200), (404, 200), (500, 500), (504, 504), (507, 507)])
def test_only_an_arm_that_cannot_answer_is_stood_in_for(
    running: Running, torchserve: StandIn, status: int, answered: int
) -> None:
    """No worker and not registered: the other arm answers, and both labels say so. What failed at work is never repeated."""
    set_split(running, v1=1.0, v2=99.0)
    errors = running.gateway.arms("digits")["2.0"].errors
    torchserve.failing["2.0"] = status
    try:
        of_arm = [key for key, version in assigned(running.place.callers, KEYS[:5]).items() if version == "2.0"]
        torchserve.paths.clear()
        answer = requests.get(f"{running.url}/predictions/digits", headers={"X-User-Id": of_arm[0]}, timeout=10)
    finally:
        torchserve.failing.clear()
    assert answer.status_code == answered
    assert answer.headers["X-Assigned-Version"] == "2.0"
    assert answer.headers["X-Model-Version"] == ("1.0" if answered == 200 else "2.0")
    assert len([path for path in torchserve.paths if path.startswith("/predictions/")]) == (2 if answered == 200 else 1)
    assert running.gateway.arms("digits")["2.0"].errors == errors + len(of_arm) + 1


def test_an_arm_without_weight_stands_in_for_nobody(running: Running, torchserve: StandIn) -> None:
    """Who was rolled back is not asked when the other fails; three arms fall to those with a weight."""
    set_split(running, v1=100.0, v2=0.0)
    torchserve.failing["1.0"] = 503
    try:
        assert requests.get(f"{running.url}/predictions/digits", timeout=10).status_code == 503
        set_split(running, v1=50.0, v2=0.0, v3=50.0)
        answers = [requests.get(f"{running.url}/predictions/digits", timeout=10) for _ in range(10)]
        assert {answer.headers["X-Model-Version"] for answer in answers} == {"3.0"}
    finally:
        torchserve.failing.clear()


def test_a_rejected_split_changes_nothing_and_says_why(running: Running) -> None:
    """Envoy's reason is raised, the weights that were stay, also through a restart."""
    set_split(running, v1=70.0, v2=30.0)
    wrong = Split(weights=split_of(v1=50.0, v2=50.0)).model_copy(
        update={"sticky": Sticky().model_copy(update={"header": "a\nb"})}
    )
    with pytest.raises(MarinaError, match=r"the gateway rejected its callers: .*Name: value does not match regex"):
        running.gateway.set_split("digits", wrong)
    assert running.gateway.splits()["digits"].weights == {"1.0": 70.0, "2.0": 30.0}
    running.restart()
    assert running.gateway.splits()["digits"].weights == {"1.0": 70.0, "2.0": 30.0}


def test_a_model_that_the_gateway_does_not_know_is_named(running: Running, tmp_path: Path) -> None:
    """A mistake of a script, in one line; so is a gateway that is not there."""
    with pytest.raises(MarinaError, match=r"the gateway knows no model 'digit'; known: digits, other, odd-name\.v2_x"):
        running.gateway.set_split("digit", Split(weights=split_of(v1=100.0)))
    with pytest.raises(MarinaError, match="has no gateway: start one with make serve"):
        Gateway(State(tmp_path), "http://127.0.0.1:1").splits()
    with pytest.raises(MarinaError, match=r"no gateway answers at http://127.0.0.1:1: start one with make serve"):
        Gateway(running.state, "http://127.0.0.1:1").splits()
