"""Test a handler, any handler, by TorchServe's own worker code: without Java, without a server, in pytest.

    pytest_plugins = ["handlerkit.testing"]

    @pytest.fixture
    def archive():
        return "model_store/archives/digits-2.0.mar"

    def test_my_handler(worker):
        check_rows(worker, good=Path("seven.png").read_bytes(), bad=[b"no image"])

Stays beside the person: an archive carries all of handlerkit but this, so that no worker imports pytest.

PYTEST_DONT_REWRITE: nothing here asserts, and a test imports from here before pytest learns that it is a plugin.
"""

from handlerkit.testing.alike import alike
from handlerkit.testing.archives import pack
from handlerkit.testing.check import RowsFailedError, check_rows
from handlerkit.testing.fixtures import archive, worker
from handlerkit.testing.hostile import hostile_rows
from handlerkit.testing.replies import Answer
from handlerkit.testing.workers import DESCRIBE, EXPLAIN, PREDICT, Worker

__all__ = [
    "DESCRIBE",
    "EXPLAIN",
    "PREDICT",
    "Answer",
    "RowsFailedError",
    "Worker",
    "alike",
    "archive",
    "check_rows",
    "hostile_rows",
    "pack",
    "worker",
]
