"""Numbers of a request as the network's inputs, checked by name, shape, type and range; and its outputs by name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from handlerkit.choice import Form, check_choice
from handlerkit.errors import SHOWN, BadRequest, UnprocessableInput
from handlerkit.options import OptionError, read_options
from handlerkit.payload import array

DTYPES: dict[str, Any] = {"float32": np.float32, "int64": np.int64, "uint8": np.uint8}
NUMBERS = {int, float, bool}  # of JSON
EXAMPLES = 2


@dataclass(frozen=True)
class InputOptions:
    """One input of a network, for one row.

    Attributes:
        shape: its sizes; an empty list for a single number.
        dtype: one of DTYPES.
        least, most: bounds of its values, both allowed; None is what the dtype can hold.
        baseline: what an explanation compares with, for example the mean of each feature: one number, or one for each
            value.
    """

    shape: Sequence[int] = ()
    dtype: str = "float32"
    least: float | None = None
    most: float | None = None
    baseline: float | Sequence[Any] = 0.0

    def __post_init__(self) -> None:
        """Refuse values that could only fail at the first request."""
        if not isinstance(self.shape, tuple) or not all(type(side) is int and side > 0 for side in self.shape):
            raise ValueError(f"shape must be a list of sizes above 0, not {self.shape!r}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")
        if not self.least_allowed <= self.most_allowed:
            raise ValueError(f"least ({self.least}) must not be above most ({self.most})")
        if self.least_allowed < self._limits.min or self.most_allowed > self._limits.max:
            raise ValueError(f"least and most must be within what {self.dtype} can hold")
        self.baseline_tensor()

    @property
    def least_allowed(self) -> float:
        """The least value that a request may have."""
        return self._limits.min if self.least is None else self.least

    @property
    def most_allowed(self) -> float:
        """The largest value that a request may have."""
        return self._limits.max if self.most is None else self.most

    @property
    def values(self) -> int:
        """How many numbers a row has."""
        return math.prod(self.shape)

    def example(self) -> torch.Tensor:
        """An input that is allowed: shape [EXAMPLES, …], all zeros, or as near to it as the bounds allow."""
        value = min(max(0, self.least_allowed), self.most_allowed)
        return torch.from_numpy(np.full((EXAMPLES, *self.shape), value, DTYPES[self.dtype]))

    def baseline_tensor(self) -> torch.Tensor:
        """The baseline, of the input's shape."""
        given = np.asarray(self.baseline, DTYPES[self.dtype])
        if given.shape not in ((), tuple(self.shape)):
            raise ValueError(f"baseline must be a number or of shape {list(self.shape)}; it has shape {list(given.shape)}")
        if not np.allclose(given, np.asarray(self.baseline, np.float64)):
            raise ValueError(f"baseline must be numbers that {self.dtype} can hold")
        return torch.from_numpy(np.full(self.shape, given, DTYPES[self.dtype]))

    @property
    def _limits(self) -> Any:
        return np.finfo(np.float32) if self.dtype == "float32" else np.iinfo(DTYPES[self.dtype])


@dataclass(frozen=True)
class TensorOptions:
    """What a network takes and gives.

    Attributes:
        inputs: InputOptions by the input's name, in the network's order.
        outputs: names of the network's outputs, in its order; left out, those it gives itself, else ``output``, or
            ``output_0`` and so on.
        features: a name for each value of the input, for explanations; with several inputs, such lists by the input's name.
        softmax: whether the network's scores are still to be made probabilities, where the model has labels.
        top_k: how many classes an answer lists.
        threshold: least probability of a class that an answer lists.
        form: of an answer: ``marina``, or ``stock`` as TorchServe's own handlers have it, an object of probabilities by label.
    """

    inputs: Mapping[str, InputOptions] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    features: Sequence[str] | Mapping[str, Sequence[str]] = ()
    softmax: bool = True
    top_k: int = 5
    threshold: float = 0.0
    form: Form = "marina"

    def __post_init__(self) -> None:
        """Read the inputs, and refuse values that could only fail at the first request."""
        if not isinstance(self.inputs, Mapping) or not self.inputs:
            raise ValueError("inputs must name each input of the network, for example {measurements: {shape: [13]}}")
        object.__setattr__(self, "inputs", {str(name): _read_input(str(name), given) for name, given in self.inputs.items()})
        if not isinstance(self.outputs, tuple) or len(set(map(str, self.outputs))) != len(self.outputs):
            raise ValueError(f"outputs must be a list of names, each once, not {self.outputs!r}")
        if type(self.softmax) is not bool:
            raise ValueError(f"softmax must be true or false, not {self.softmax!r}")
        check_choice(self)
        _check_features(self)

    def example(self) -> tuple[torch.Tensor, ...]:
        """Inputs that are allowed, to try the network with."""
        return tuple(one.example() for one in self.inputs.values())

    def feature_names(self) -> list[str]:
        """A name for each value of all inputs, in order: its own, else its place."""
        given = self.named_features()
        several = len(self.inputs) > 1
        return [
            feature
            for name, one in self.inputs.items()
            for feature in given.get(name) or _places(name if several else "", one.shape)
        ]

    def named_features(self) -> dict[str, list[str]]:
        """The given names, by the name of their input."""
        if isinstance(self.features, Mapping):
            return {name: list(features) for name, features in self.features.items()}
        return {next(iter(self.inputs)): list(self.features)} if self.features else {}


def read_inputs(document: Any, options: TensorOptions) -> tuple[torch.Tensor, ...]:
    """The network's inputs for one row, in its order.

    Raises:
        BadRequest: the JSON has neither data nor inputs.
        UnprocessableInput: a name is unknown or missing, or numbers have the wrong shape, type or range.
    """
    named = _named_values(document, options.inputs)
    _check_names(named, options.inputs)
    return tuple(_read_tensor(name, named[name], wanted) for name, wanted in options.inputs.items())


def name_outputs(outputs: Any, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """A network's outputs by name, whatever holds them.

    Raises:
        ValueError: they are no tensors of shape [rows, …], or not as many as there are names.
    """
    if isinstance(outputs, torch.Tensor):
        outputs = {"output": outputs}
    elif not isinstance(outputs, dict):
        outputs = {f"output_{index}": one for index, one in enumerate(outputs)}
    if not outputs or not all(isinstance(one, torch.Tensor) and one.ndim for one in outputs.values()):
        raise ValueError("the network must give tensors of shape [rows, …]: one, several, or several by name")
    if names and len(names) != len(outputs):
        raise ValueError(f"outputs: {len(names)} names; the network gives {len(outputs)}")
    return dict(zip(names or outputs, outputs.values(), strict=True))


def _read_input(name: str, given: Any) -> InputOptions:
    if not isinstance(given, Mapping) or "shape" not in given:
        raise ValueError(f"inputs.{name} must have a shape, for example {{shape: [13]}}")
    try:
        return read_options(InputOptions, given)
    except OptionError as error:
        raise ValueError(f"inputs.{name}: {str(error).removeprefix('options: ')}") from error


def _check_features(options: TensorOptions) -> None:
    if not isinstance(options.features, Mapping) and options.features and len(options.inputs) > 1:
        raise ValueError("features must be lists of names by the input's name, since the network takes several inputs")
    for name, features in options.named_features().items():
        if name not in options.inputs:
            raise ValueError(f"features: no input is named '{name}': {_nearest(name, options.inputs)}")
        if len(features) != options.inputs[name].values:
            raise ValueError(f"features: {len(features)} names for the {options.inputs[name].values} values of '{name}'")
    names = options.feature_names()
    if len(set(names)) != len(names):
        raise ValueError("features: each name may stand once")


def _places(name: str, shape: Sequence[int]) -> list[str]:
    places = [",".join(map(str, place)) for place in np.ndindex(*shape)]
    if not shape:
        return [name or "0"]
    return [f"{name}[{place}]" for place in places] if name else places


def _named_values(document: Any, inputs: Mapping[str, InputOptions]) -> Mapping[str, Any]:
    if isinstance(document, dict):
        if isinstance(document.get("inputs"), dict):
            return dict(document["inputs"])
        if "data" not in document:
            raise BadRequest(_neither_found(document, inputs))
        document = document["data"]
    if len(inputs) > 1:
        raise UnprocessableInput(f"This model takes {len(inputs)} inputs by name: send {_form(inputs)}.")
    return {next(iter(inputs)): document}


def _neither_found(document: dict[str, Any], inputs: Mapping[str, InputOptions]) -> str:
    if "instances" in document or "inputs" in document:
        return "A KServe request needs the header Content-Type: application/json."
    found = ", ".join(sorted(document)[:5])
    return f"Expected JSON {_form(inputs)}; found {found[:60] or 'an empty object'}."


def _form(inputs: Mapping[str, InputOptions]) -> str:
    named = ", ".join(f'"{name}": …' for name in inputs)
    return f'{{"inputs": {{{named}}}}}' if len(inputs) > 1 else '{"data": […]}'


def _check_names(named: Mapping[str, Any], inputs: Mapping[str, InputOptions]) -> None:
    for name in named:
        if name not in inputs:
            raise UnprocessableInput(f"No input is named '{name[:40]}': {_nearest(name, inputs)}")
    for name in inputs:
        if name not in named:
            raise UnprocessableInput(f"The input '{name}' is missing: this model takes {', '.join(inputs)}.")


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    nearest = difflib.get_close_matches(name[:SHOWN], known, n=1)
    return f"did you mean '{nearest[0]}'?" if nearest else f"this model takes {', '.join(known)}."


def _read_tensor(name: str, value: Any, wanted: InputOptions) -> torch.Tensor:
    if not (held := _held_by(value)) <= NUMBERS:  # before numpy makes room for every text as if it were the longest
        kind = "text" if str in held else "something else"
        raise UnprocessableInput(f"'{name}' must be numbers of shape {list(wanted.shape)}; found {kind} among them.")
    found = array(value, tuple(wanted.shape), None, name)
    if found.dtype.kind not in "biuf":
        raise UnprocessableInput(f"'{name}' must be numbers of shape {list(wanted.shape)}; found larger ones among them.")
    if found.dtype.kind == "f":
        found = found.astype(np.float64)
        if wanted.dtype != "float32" and (broken := found[found % 1 != 0]).size:
            raise UnprocessableInput(f"'{name}' must be whole numbers; found {broken[0]:g}.")
    outside = found[(found < wanted.least_allowed) | (found > wanted.most_allowed)]
    if outside.size:
        bounds = f"from {wanted.least_allowed:g} to {wanted.most_allowed:g}"
        raise UnprocessableInput(f"'{name}' must have values {bounds}; found {float(outside[0]):g}.")
    return torch.from_numpy(found.astype(DTYPES[wanted.dtype]))


def _held_by(value: Any) -> set[type]:
    """The types of what nested lists hold."""
    if isinstance(value, (np.ndarray, np.generic)):  # of an envelope that says the type of its numbers
        return set()
    found, lists = set[type](), [value]
    while lists:
        one = lists.pop()
        kinds = set(map(type, one)) if isinstance(one, list) else {type(one)}
        if list in kinds:
            lists += [part for part in one if isinstance(part, list)]
        found |= kinds - {list}
    return found
