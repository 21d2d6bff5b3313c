"""How often a server that ends by itself is started again."""

from __future__ import annotations

import pytest
from scripts_of_ours import run_script

from marina.errors import MarinaError
from marina.serving.starting_again import StartsAgain


def test_restarts_come_slower_and_slower_until_they_are_too_many() -> None:
    """The first at once; when as many as are allowed did not help, the end says so."""
    starts = StartsAgain(3, now=lambda: 0.0)
    assert [starts.take() for _ in range(3)] == [0, 5, 10]
    with pytest.raises(MarinaError, match=r"^TorchServe has ended; restarts within 5 minutes that did not help: 3$"):
        starts.take()


def test_a_server_that_ran_long_enough_has_its_restarts_back() -> None:
    """What happened more than five minutes ago does not count."""
    clock = iter([0.0, 299.0, 301.0])
    starts = StartsAgain(2, now=lambda: next(clock))
    assert [starts.take() for _ in range(3)] == [0, 5, 5]


def test_without_restarts_the_first_end_is_the_end() -> None:
    """For those whom a container engine starts again."""
    with pytest.raises(MarinaError, match=r"^TorchServe has ended$"):
        StartsAgain(0).take()


def test_a_number_of_restarts_is_asked_for() -> None:
    """Anything else is one line, before anything starts."""
    done = run_script("serve_models", "--restarts", "often")
    assert done.code == 2
    assert "argument --restarts: required a number of 0 or more, found 'often'" in done.err
