"""Move a rollout: on, to a halt, or back. Every move is made under the record's lock, whoever makes it."""

from __future__ import annotations

from dataclasses import dataclass

from marina.comparing.live import LiveSplit, read_live, write_live
from marina.comparing.rollout import Record, Rollout
from marina.comparing.split import Shadow, Split
from marina.comparing.telling import tell_traffic
from marina.errors import MarinaError
from marina.gateway.gateway import Gateway
from marina.paths import State
from marina.serving.management import Management
from marina.serving.service import require_ready_arms


class Ended(Exception):
    """Somebody else has ended, or halted, the rollout that this process carried on."""

    def __init__(self, rollout: Rollout | None) -> None:
        super().__init__(f"{rollout}: {rollout.reason}" if rollout else "its record is gone")
        self.rollout = rollout


@dataclass(frozen=True)
class Controls:
    """What a rollout is moved by."""

    state: State
    gateway: Gateway
    management: Management

    def record(self, model: str) -> Record:
        """Of a model."""
        return Record(self.state, model)


def move_to(controls: Controls, rollout: Rollout, position: int) -> Rollout:
    """Share requests as a step says.

    Raises:
        Ended: somebody else has ended it.
        MarinaError: an arm with weight has no READY workers, or the gateway refuses.
    """
    record = controls.record(rollout.model)
    with record.changing() as now:
        moved = _still(now, rollout).model_copy(update={"position": position, "status": "running", "reason": ""})
        require_ready_arms(controls.management, moved.model, moved.split)
        record.write(moved)
        _share(controls, moved, moved.split, moved.shadow if moved.is_copied else None)
        record.note(moved, "step", f"{moved.split}")
    tell_traffic(controls.state, moved.model, moved.split, "rollout", f"{moved.candidate} at {moved.percent:g} %: {moved.split}")
    return moved


def update(controls: Controls, rollout: Rollout) -> Rollout:
    """Remember what is known beside the split.

    Raises:
        Ended: somebody else has ended it.
    """
    record = controls.record(rollout.model)
    with record.changing() as now:
        _still(now, rollout)
        record.write(rollout)
    return rollout


def pick_up(controls: Controls, model: str) -> Rollout:
    """Go on with a rollout that is paused, or whose process has ended.

    Raises:
        MarinaError: no rollout is open.
    """
    record = controls.record(model)
    with record.changing() as now:
        left = _open(now, model)
        running = left if left.status == "rolling back" else left.model_copy(update={"status": "running", "reason": ""})
        record.write(running)
        record.note(running, "picked up", str(left))
    return running


def halt(controls: Controls, model: str, reason: str) -> Rollout:
    """Stay at the step.

    Raises:
        MarinaError: no rollout is open.
    """
    record = controls.record(model)
    with record.changing() as now:
        halted = _open(now, model).model_copy(update={"status": "paused", "reason": reason})
        record.write(halted)
        record.note(halted, "paused", reason)
    return halted


def finish(controls: Controls, rollout: Rollout) -> Rollout:
    """All steps are done.

    Raises:
        Ended: somebody else has ended it.
    """
    record = controls.record(rollout.model)
    with record.changing() as now:
        done = _still(now, rollout).model_copy(update={"status": "done", "reason": f"{rollout.candidate} did no worse"})
        if done.is_copied:
            _share(controls, done, done.split)
        record.write(done)
        record.note(done, "done", done.reason)
    return done


def roll_back(controls: Controls, model: str, reason: str) -> Rollout:
    """Share requests as before the rollout, by one write of the routes; once more does nothing.

    Raises:
        MarinaError: there was no rollout, the split was changed since, an arm of before is not READY, or the gateway refuses.
    """
    record = controls.record(model)
    with record.changing() as now:
        if now is None:
            raise MarinaError(f"{model}: there was no rollout to go back from; known: {record.file.parent}")
        if now.status == "rolled back":
            return now
        if now.status == "done":
            _require_untouched(controls, now)
        begun = now if now.status == "rolling back" else now.model_copy(update={"status": "rolling back", "reason": reason})
        record.write(begun)
        require_ready_arms(controls.management, model, begun.before)
        _share(controls, begun, begun.before)
        back = begun.model_copy(update={"status": "rolled back", "position": -1})
        record.write(back)
        record.note(back, "rolled back", back.reason)
    tell_traffic(controls.state, model, back.before, "rollback", f"{back.candidate} rolled back: {back.reason}")
    return back


def _open(now: Rollout | None, model: str) -> Rollout:
    """The rollout that is open; raises where none is."""
    if now is None or not now.is_open:
        raise MarinaError(f"{model}: no rollout is open")
    return now


def _still(now: Rollout | None, rollout: Rollout) -> Rollout:
    if now is None or now.began != rollout.began or now.status != "running":
        raise Ended(now)
    return now


def _share(controls: Controls, rollout: Rollout, split: Split, shadow: Shadow | None = None) -> None:
    """Remembered first: a gateway that is started anew in between has what was meant. The rollout's shadow goes with None."""
    live = read_live(controls.state).get(rollout.model)
    by = f"{'roll back' if rollout.status == 'rolling back' else 'rollout'} of {rollout.candidate}"
    written = live.file_weights if live else rollout.file_weights
    now = LiveSplit(weights=split.weights, by=by, file_weights=written, shadow=shadow)
    write_live(controls.state, rollout.model, now)
    told = controls.gateway.deployment().models.get(rollout.model)
    has = told.shadow if told else None
    is_ours = rollout.shadow is not None and has == rollout.shadow
    wanted = shadow or (rollout.before_shadow if is_ours else has)
    if wanted == has:
        controls.gateway.set_split(rollout.model, split)
    else:
        controls.gateway.set_split_and_shadow(rollout.model, split, wanted)


def _require_untouched(controls: Controls, rollout: Rollout) -> None:
    live = controls.gateway.splits().get(rollout.model)
    if live is None or not live.is_as(rollout.split):
        raise MarinaError(
            f"{rollout.model}: since the rollout of {rollout.candidate} its split was changed to {live or 'none'}: write the one "
            "that you want into the deployment, and run scripts/apply_deployment.py"
        )
