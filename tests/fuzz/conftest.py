"""How hard is tried: a little and always the same in ``make test``, thousands of times by ``make fuzz``."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.configuration import set_hypothesis_home_dir

ROOM_BYTES = 3 << 30  # that a test may take beyond what the process has when it begins
SEED = int(os.environ.get("FUZZ_SEED") or random.SystemRandom().randrange(2**32))
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example, HealthCheck.function_scoped_fixture]

set_hypothesis_home_dir(Path(__file__).parents[2] / ".pytest_cache" / "hypothesis")  # what fails is kept there
settings.register_profile("steady", deadline=None, derandomize=True, database=None, max_examples=12, suppress_health_check=SLOW)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES") or 2000),
    suppress_health_check=SLOW,
    print_blob=True,
)
IS_FUZZING = os.environ.get("FUZZ") == "1"
settings.load_profile("fuzz" if IS_FUZZING else "steady")


def pytest_report_header() -> str | None:
    """The seed of what is random, to try the same again."""
    return f"fuzzing with seed {SEED}: make fuzz SEED={SEED} tries the same again" if IS_FUZZING else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the seed; pytest's option for it would leave failed examples unkept."""
    for item in items:
        if IS_FUZZING and isinstance(item, pytest.Function) and hasattr(item.obj, "hypothesis"):
            seed(SEED)(item.obj)


@pytest.fixture(autouse=True, scope="module")
def little_memory() -> Iterator[None]:
    """What asks for more memory than a reader needs fails here, and does not take the machine's."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)
