"""The search for how a model is served best: what it does on surfaces that are made up, and what it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from surfaces import Surface, made_up, served

from marina.errors import MarinaError
from marina.tuning.journal import AloneAt, Build, Kept, Tried
from marina.tuning.machine import this_machine
from marina.tuning.objective import Objective
from marina.tuning.result import median_of
from marina.tuning.search import Alone, Search
from marina.tuning.space import Format, Layout, Point, Space, layouts

EAGER, FAST = Format(runtime="eager"), Format(runtime="openvino", precision="int8")
SPACE = Space(formats=(EAGER, FAST), layouts=layouts(2), batches=(1, 2, 4, 8, 16), delays_ms=(1, 5, 20))
ANY = Objective()


def surface(space: Space = SPACE) -> Surface:
    """Made up; without a server each format is as fast as its best point."""
    points = dict(made_up(space))
    alone = {
        (how, layout): Alone(rows_per_second={8: max(one.throughput for point, one in points.items() if point.format == how)})
        for how in space.formats
        for layout in space.layouts
    }
    return Surface(alone, points)


def best_of(bench: Surface, objective: Objective = ANY) -> float:
    return max(objective.value(one) for one in bench.with_server.values() if objective.rank(one).meets)


def test_what_is_slow_without_a_server_is_never_served() -> None:
    """A format of half the rate is not worth a point."""
    bench = surface()
    found = Search(SPACE, ANY, bench).run()
    assert {point.format for point in bench.asked} == {FAST}
    assert bench.with_server[found[0]].throughput == best_of(bench)


def test_a_point_that_cannot_be_served_is_left_out() -> None:
    """Where the first ones fail, the search goes on with the others."""
    bench = surface()
    for point in list(bench.with_server):
        if point.layout == SPACE.layouts[0]:
            del bench.with_server[point]
    found = Search(SPACE, ANY, bench).run()
    assert found
    assert all(point.layout != SPACE.layouts[0] for point in found)
    assert any(point.layout == SPACE.layouts[0] for point in bench.asked)


def test_without_time_the_search_gives_what_it_has() -> None:
    """Three points were measured, three are ranked, and it says that it did not end."""
    bench = surface()
    bench.points_left = 3
    search = Search(SPACE, ANY, bench)
    assert len(search.run()) == 3
    assert not search.is_done


def test_nothing_to_serve_is_nothing_found() -> None:
    """No format could be built."""
    search = Search(SPACE, ANY, Surface({}, {}))
    assert search.run() == []
    assert search.is_done


def test_who_meets_the_objective_goes_before_who_is_faster() -> None:
    """Of those that do not, the nearest goes first; one with failures is the last."""
    objective = Objective(p99_s=0.05)
    fast, slow, near, failing = served(200, 0.2), served(100, 0.04), served(50, 0.06), served(500, 0.01, failures=1)
    order = sorted([fast, slow, near, failing], key=objective.rank, reverse=True)
    assert order == [slow, near, fast, failing]
    assert str(objective) == "most answers a second with p99 within 50 ms, 16 connections"
    assert str(Objective(goal="latency", connections=1)) == "the lowest p50, 1 connection"
    assert Objective(goal="latency").rank(served(1, 0.02)) > Objective(goal="latency").rank(served(9, 0.04))


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, ["1 × 1"]),
        (2, ["1 × 2", "2 × 1", "2 × 2"]),
        (4, ["1 × 4", "2 × 2", "4 × 1", "2 × 4", "4 × 2"]),
        (6, ["1 × 6", "2 × 3", "4 × 1", "2 × 6", "4 × 3"]),
    ],
)
def test_workers_and_threads_share_the_cores(cores: int, expected: list[str]) -> None:
    """As many as there are, or twice as many, so that some decode while others compute."""
    assert list(map(str, layouts(cores))) == expected


def test_a_batch_of_one_waits_for_nobody() -> None:
    """Its delay makes no difference, and is no point of its own."""
    alone = [point for point in SPACE.points() if point.batch_size == 1]
    assert {point.max_batch_delay_ms for point in alone} == {1}
    assert len(SPACE.points()) == 2 * 3 * (1 + 4 * 3)


def point(batch: int = 8) -> Point:
    return Point(format=FAST, layout=Layout(workers=1, threads=2), batch_size=batch, max_batch_delay_ms=1)


def test_a_second_run_goes_on_where_the_first_one_stopped(tmp_path: Path) -> None:
    """What was measured is read again; under other conditions it is of no use, and is forgotten."""
    path, machine = tmp_path / "journal.json", this_machine()
    kept = Kept(path, "same", machine)
    assert not kept.is_resumed
    kept.add(Build(format=EAGER, reason="no memory"))
    kept.add(AloneAt(format=FAST, layout=point().layout, measured=Alone(rows_per_second={8: 90.5})))
    kept.add(Tried(point=point(), served=served(80)))
    kept.add_round((Tried(point=point(), served=served(81)),))
    again = Kept(path, "same", machine)
    assert again.is_resumed
    assert again.journal == kept.journal
    assert again.journal.at(point()) == Tried(point=point(), served=served(80))
    assert again.journal.at(point(4)) is None
    assert not Kept(path, "other", machine).is_resumed


def test_a_damaged_journal_is_one_line(tmp_path: Path) -> None:
    """It is not taken for an empty one, which would cost what was measured."""
    (tmp_path / "journal.json").write_text("{")
    with pytest.raises(MarinaError, match=r"journal.json: is not what was written there: .*; mend it, or remove it"):
        Kept(tmp_path / "journal.json", "same", this_machine())


def test_medians_are_of_the_rounds_that_a_point_survived() -> None:
    """One that died in a round is no finalist: it would die in service."""
    rounds = [(Tried(point=point(), served=served(rate)), Tried(point=point(4), served=served(50))) for rate in (70, 90, 80)]
    found = median_of(rounds, point())
    assert found is not None
    assert (found.throughput, found.sent) == (80, 300)
    died = [*rounds, (Tried(point=point(), reason="killed"), Tried(point=point(4), served=served(50)))]
    assert median_of(died, point()) is None
