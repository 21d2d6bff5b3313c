"""Which split is live: the file's or a rollout's, and what becomes of the memory of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from marina.comparing.live import LiveSplit, read_live, standing, write_live
from marina.comparing.split import Shadow, Split
from marina.errors import MarinaError
from marina.paths import State
from marina.serving.deployment import Deployment

EVEN = {"1": 50.0, "2": 50.0}
MOVED = Split(weights={"1": 0, "2": 100})


def deployment(weights: dict[str, float] | None, *versions: str) -> Deployment:
    model: dict[str, Any] = {"default": "1", "versions": dict.fromkeys(versions or ("1", "2"))}
    return Deployment.model_validate({"models": {"m": model | ({"split": {"weights": weights}} if weights else {})}})


def live(split: Split, by: str, file_weights: dict[str, float]) -> LiveSplit:
    return LiveSplit(weights=split.weights, by=by, file_weights=file_weights)


def weights(found: Deployment) -> dict[str, float] | None:
    split = found.models["m"].split
    return split.weights if split else None


def test_the_file_holds_where_nothing_was_moved(tmp_path: Path) -> None:
    """No memory, no note."""
    stands = standing(deployment(EVEN), State(tmp_path))
    assert (weights(stands.deployment), stands.notes) == (EVEN, [])


def test_what_a_rollout_moved_stands_while_the_file_is_as_it_was(tmp_path: Path) -> None:
    """The person is told in one line, and how to have the file's."""
    write_live(State(tmp_path), "m", live(MOVED, "rollout of 2", EVEN))
    stands = standing(deployment(EVEN), State(tmp_path))
    assert weights(stands.deployment) == MOVED.weights
    assert stands.notes == ["m: 1 0 %, 2 100 % stands, by the rollout of 2; --as-file takes the file's 1 50 %, 2 50 %"]


def test_the_file_wins_as_soon_as_it_is_changed(tmp_path: Path) -> None:
    """Also where it says what is live, and on request where it was not changed."""
    write_live(State(tmp_path), "m", live(MOVED, "rollout of 2", EVEN))
    changed = {"1": 10.0, "2": 90.0}
    stands = standing(deployment(changed), State(tmp_path))
    assert (weights(stands.deployment), stands.notes) == (changed, [])
    assert weights(standing(deployment(EVEN), State(tmp_path), as_file=True).deployment) == EVEN
    assert weights(standing(deployment(None), State(tmp_path)).deployment) is None


def test_arms_keep_their_order(tmp_path: Path) -> None:
    """The order decides which callers an arm gets, so a rollout does not turn it round."""
    write_live(State(tmp_path), "m", live(Split(weights={"2": 60, "3": 10, "1": 30}), "rollout of 2", EVEN))
    assert list(weights(standing(deployment(EVEN, "1", "2", "3"), State(tmp_path)).deployment) or ()) == ["1", "2", "3"]


def test_a_live_arm_that_left_the_file_is_refused(tmp_path: Path) -> None:
    """Its callers would have nobody."""
    only = {"1": 100.0}
    write_live(State(tmp_path), "m", live(MOVED, "rollout of 2", only))
    with pytest.raises(MarinaError, match=re.escape("m: 2 has 100 %, by the rollout of 2, and is no longer among the versions")):
        standing(deployment(only, "1"), State(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not what was written there: the file: Invalid JSON"),
        ('{"m": {"weights": {"1": 100}}}', "m.by: Field required"),
        (
            '{"m": {"weights": {"1": 90}, "by": "x", "at": "2026-01-01T00:00:00Z", "file_weights": {"1": 100}}}',
            "m.weights: weights are percent, 100 together; found 90",
        ),
    ],
)
def test_a_corrupt_memory_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    """The file, what is wrong with it, and what to do; nothing is guessed."""
    (tmp_path / "splits.json").write_text(text)
    with pytest.raises(MarinaError, match=re.escape(message)) as error:
        standing(deployment(EVEN), State(tmp_path))
    assert str(error.value).startswith(f"{tmp_path}/splits.json: ")
    assert str(error.value).endswith("mend it, or remove it")
    with pytest.raises(MarinaError):
        write_live(State(tmp_path), "m", live(MOVED, "x", EVEN))
    assert (tmp_path / "splits.json").read_text() == text


def test_a_memory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "state").write_text("")
    with pytest.raises(MarinaError, match=re.escape("splits.json: cannot be written: ")):
        write_live(State(tmp_path / "state"), "m", live(MOVED, "x", EVEN))


def test_models_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each keeps its own."""
    write_live(State(tmp_path), "m", live(MOVED, "rollout of 2", EVEN))
    write_live(State(tmp_path), "n", live(Split(weights=EVEN), "deployment", EVEN))
    assert {model: live.by for model, live in read_live(State(tmp_path)).items()} == {"m": "rollout of 2", "n": "deployment"}
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["splits.json"]


def test_the_shadow_of_a_rollout_stands_with_its_split(tmp_path: Path) -> None:
    """Through a restart too, also at the weights that the file has; the deployment's is back when the rollout has ended."""
    shadow = Shadow(version="2", percent=20)
    for split in (MOVED, Split(weights=EVEN)):
        running = live(split, "rollout of 2", EVEN).model_copy(update={"shadow": shadow})
        write_live(State(tmp_path), "m", running)
        assert standing(deployment(EVEN), State(tmp_path)).deployment.models["m"].shadow == shadow
    write_live(State(tmp_path), "m", live(MOVED, "rollout of 2", EVEN))
    assert standing(deployment(EVEN), State(tmp_path)).deployment.models["m"].shadow is None
