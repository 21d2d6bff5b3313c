"""docs/reliability.md has what make faults measured of every fault that there is."""

from __future__ import annotations

from fault_table import read_table
from faults_to_try import FAULTS


def test_every_fault_has_its_row() -> None:
    """None is left out, and none stands there that is no longer tried."""
    assert list(read_table()) == [one.name for one in FAULTS]


def test_nothing_is_lost_and_nothing_is_wrong() -> None:
    """A row that broke the promise could not stand there unnoticed."""
    table = read_table()
    assert {(row["lost"], row["wrong"]) for row in table.values()} == {("0", "0")}
    for row in table.values():
        fates = ("right", "error", "refused", "cut", "wrong")
        assert int(row["sent"]) == sum(int(row[fate]) for fate in fates)
