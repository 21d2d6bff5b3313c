"""A version's network, exported by the build's own exporters and compared with the eager one."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from marina.console import step
from marina.errors import MarinaError, UsageError
from marina.roads.order import Made, Order
from marina.roads.pictures import FromPixels, Pictures, Reading, pictures_of, read_picture
from marina.store import exporters, parity, placeless
from marina.store.exporters import Exported, Inputs
from marina.store.index import read_index
from marina.store.source_runtimes import check_runtime
from marina.store.sources import Network, WeightsChoice, load_network
from marina.store.spec import TensorSpec, Version

Run = Callable[..., Any]


class Source:
    """The network of an order with its weights, and what it takes.

    Attributes:
        network: the eager one; with preprocessing wanted, behind the reading of its images.
        tensors: its inputs.
        pictures: how its handler reads images, if it does so in a way that is known here.
    """

    def __init__(self, order: Order) -> None:
        """Load the network; weights that are missing are trained or fetched.

        Raises:
            UsageError: the spec or the weights are wrong, or preprocessing cannot be inside.
            MarinaError: the weights could not be fetched.
        """
        self.order = order
        self.network = load_network(order.spec, order.version, order.store, _choice(order), lambda _done, _of: None)
        self.tensors: dict[str, TensorSpec] = order.spec.spec.tensors
        self.pictures: Pictures | None = None
        try:
            self.pictures = pictures_of(order.spec)
        except UsageError:
            if order.with_preprocessing:
                raise
        if order.with_preprocessing and self.pictures:
            behind = FromPixels(Reading(self.pictures), self.network.served)
            self.network = replace(self.network, module=behind, method="forward")
            self.tensors = {"pixels": self.pictures.pixels}

    def export(self, runtime: str, folder: Path, exporter: str | None = None) -> Exported:
        """Files of the network in ``folder``, for a runtime of the store, in fp32; ``exporter`` is a function of its module.

        Raises:
            UsageError: the runtime cannot have this network.
            MarinaError: the exporter refuses it.
        """
        version = self._version(runtime)
        placeless.forget_earlier_exports()
        with contextlib.redirect_stdout(io.StringIO()):  # where it fails an exporter prints the whole graph, beside its reason
            exported = exporters.export_network(self.network, version, self.tensors, folder, exporter=exporter)
        placeless.forget_place(exported)
        for warning in exported.warnings:
            step(f"{self.order.name}: warning: {warning}")
        return exported

    def compare(self, run: Run, made: Made, inputs: list[Inputs] | None = None) -> Made:
        """What was made, with how far ``run`` is from the eager network on generated inputs, and on the sample's picture.

        Raises:
            MarinaError: it is farther than the spec's tolerance, or fails.
        """
        asked = inputs or [*exporters.generated_inputs(self.tensors), *self.sample()]
        pairs: parity.Pairs = []
        with torch.inference_mode():
            for one in asked:
                torch.manual_seed(parity.SEED)
                pairs.append((one, _run(run, one)))
        found = parity.compare(self.network, pairs, self.order.wanted.tolerance or self.order.spec.spec.tolerance)
        notes = [*made.notes, *self.notes()]
        return replace(
            made, difference=found.largest_difference, tolerance=found.tolerance, compared_rows=found.compared_rows, notes=notes
        )

    def sample(self) -> list[Inputs]:
        """The network's input that its handler makes of the sample, where that is a picture."""
        if self.pictures is None:
            return []
        found = self.order.spec
        pixels = read_picture(found.beside(found.sample.request), self.pictures)
        if self.order.with_preprocessing:
            return [(pixels,)]
        return [(Reading(self.pictures)(pixels).contiguous(),)]  # what AOTInductor compiled reads others wrongly, without a word

    def example(self) -> Inputs:
        """One row of generated input."""
        return exporters.example_inputs(self.tensors, 1)

    def notes(self) -> list[str]:
        """What a user should know of any export of this network."""
        notes, precision = [], self.order.wanted.precision
        if self.network.weights.source == "random":
            notes.append("its weights are random: good for speed tests alone")
        if precision != "fp32":
            notes.append(f"{self.order.name} is {precision}: this is the same network in fp32")
        return notes

    def check_runtime(self, runtime: str) -> None:
        """See that the network's source goes with a runtime of the store.

        Raises:
            UsageError: it does not; the reason.
        """
        try:
            check_runtime(self.order.wanted.source.kind, runtime, self.network.method, "fp32", False)
        except ValueError as error:
            raise UsageError(f"{self.order.name}: {error}") from error

    def refusing(self, road: str, made: Callable[[], Any]) -> Any:
        """What an exporter makes of the network.

        Raises:
            MarinaError: it refuses; the reason in one line.
        """
        try:
            return made()
        except Exception as error:  # the network is the person's own code: anything can come out of it
            reason = " ".join(str(error).split())[:300]
            raise MarinaError(f"{self.order.name} cannot be exported to {road}: {reason}") from error

    def _version(self, runtime: str) -> Version:
        """The version as if its runtime were this one, in fp32 and without what belongs to another."""
        wanted, inside = self.order.wanted, self.order.with_preprocessing
        script = wanted.script and runtime == "torchscript" and not inside
        changes: dict[str, Any] = {"runtime": runtime, "script": script, "precision": "fp32"}
        changes |= {"compile": False, "channels_last": False, "method": self.network.method}
        self.check_runtime(runtime)
        return wanted.model_copy(update=changes)


def _choice(order: Order) -> WeightsChoice:
    """The weights of the command line, else those that the version was built with."""
    if order.weights or order.random:
        return WeightsChoice(order.weights, order.random)
    entry = read_index(order.store).entry(order.model, order.version)
    if entry and entry.weights.chosen and entry.weights.source != "random":
        raise UsageError(f"{order.name} was built with --weights {entry.weights.name}: give them here, too")
    return WeightsChoice(None, bool(entry and entry.weights.chosen))


def _run(run: Run, inputs: Inputs) -> Any:
    try:
        return run(*inputs)
    except MarinaError:
        raise
    except Exception as error:  # whatever runs the network raises its own
        shapes = [list(one.shape) for one in inputs]
        reason = " ".join(str(error).split())[:300]
        raise MarinaError(f"what was exported does not run on inputs of shape {shapes}: {reason}") from error


__all__ = ["Network", "Source"]
