"""What is to be tuned, for what, and what there is to choose."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from marina.errors import UsageError
from marina.paths import State, Store
from marina.serving.payloads import Payload, read_payloads
from marina.store.inputs import inputs_digest
from marina.store.spec import FILE_NAME, SpecFile
from marina.tuning.archives import Weights
from marina.tuning.formats import format_of
from marina.tuning.journal import conditions_of
from marina.tuning.machine import Machine
from marina.tuning.objective import Objective
from marina.tuning.space import Format, Layout, Point, Space, layouts
from marina.tuning.writing import Target, target_of

BATCHES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Plan:
    """A search that is to be carried out.

    Attributes:
        found: the spec; int8 may cost as much agreement as the search allows.
        version: of it, that is tuned.
        objective: what is wanted.
        space: what there is to choose.
        requests: that are asked, in turn.
        weights: that are served.
        machine: that it runs on.
        store: the person's, whose trained weights are used.
        state: where it is kept what was measured.
        budget_s: seconds that all may take.
        becomes: name of a version of its own for what is found, where the person wants one.
        in_place: whether the version itself is to become it.
    """

    found: SpecFile
    version: str
    objective: Objective
    space: Space
    requests: tuple[Payload, ...]
    weights: Weights
    machine: Machine
    store: Store
    state: State
    budget_s: float | None = None
    becomes: str | None = None
    in_place: bool = False

    def target(self, chosen: Point) -> Target:
        """Which version a point would be written as."""
        return target_of(self.found, self.version, chosen, self.becomes, in_place=self.in_place)

    @property
    def name(self) -> str:
        """As people name it."""
        return f"{self.found.spec.name} {self.version}"

    @property
    def folder(self) -> Path:
        """Where archives and journals of the search lie."""
        return self.state.folder / "tuning" / f"{self.found.spec.name}-{self.version}"

    @property
    def journal(self) -> Path:
        """What was measured."""
        return Path(f"{self.folder}.json")

    @property
    def result(self) -> Path:
        """What was found, where a search has ended."""
        return Path(f"{self.folder}.result.json")

    @property
    def default(self) -> Point:
        """What the spec says now."""
        version, serving = self.found.version(self.version), self.found.spec.serving
        threads = version.threads or max(1, self.machine.cores // serving.workers)
        layout = Layout(workers=serving.workers, threads=threads)
        return self.space.point(format_of(version), layout, serving.batch_size, serving.max_batch_delay_ms)

    @property
    def conditions(self) -> str:
        """A digest of all that a measurement depends on; what is wanted of it is not among it."""
        asked = [f"{one.name} {hashlib.sha256(one.content).hexdigest()}" for one in self.requests]
        weights = f"{self.weights.file} {self.weights.random}"
        what = (inputs_digest(self.found, self.version), self.machine.model_dump_json(), weights)
        return conditions_of(*what, str(self.objective.connections), *asked)


def with_floor(found: SpecFile, agreement: float | None) -> SpecFile:
    """The spec, with another least agreement of its reduced precisions."""
    if agreement is None:
        return found
    calibration = found.spec.calibration.model_copy(update={"agreement": agreement})
    return found.model_copy(update={"spec": found.spec.model_copy(update={"calibration": calibration})})


def space_of(formats: tuple[Format, ...], objective: Objective, cores: int) -> Space:
    """What there is to choose: batches no larger than what asks at once, workers and threads that share the cores."""
    batches = tuple(size for size in BATCHES if size <= objective.connections)
    return Space(formats=formats, layouts=layouts(cores), batches=batches)


def requests_of(found: SpecFile, source: str | None) -> tuple[Payload, ...]:
    """What is asked: a file's or a folder's requests, else the spec's sample.

    Raises:
        UsageError: there is none.
    """
    if source:
        return tuple(read_payloads(source))
    if found.spec.sample is None:
        raise UsageError(f"{found.folder / FILE_NAME}: has no sample to ask: name a request, or a folder of them, by --requests")
    path = found.beside(found.sample.request)
    return (Payload(path.name, path.read_bytes()),)
