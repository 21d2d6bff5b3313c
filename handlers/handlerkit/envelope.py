"""How a request is wrapped: not at all, or as KServe's protocols do it, version 1 or 2; told by the request itself.

    TorchServe row ─► envelope_of ─► inputs, one for each row ─► answers ─► Envelope.close ─► body of the reply

KServe's requests carry several inputs; each becomes a row of its own, so that it meets the same stages, the same limits
and the same refusals as if it had come alone. The protocols have no status for one input among several: if one is
refused, the request is, and the message says which.

Sources: KServe, "Data Plane" v1 and "Open Inference Protocol" v2.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handlerkit.errors import BadRequest, PayloadTooLarge

if TYPE_CHECKING:
    import numpy as np

DATATYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
MOST_DIMENSIONS = 32  # numpy takes twice as many
LARGEST_SIDE = 2**31 - 1


@dataclass(frozen=True)
class Plain:
    """A request that is one row, and is answered by what the row is answered."""

    inputs: list[Mapping[str, Any]]


@dataclass(frozen=True)
class KServeV1:
    """``{"instances": [...]}``, answered by ``{"predictions": [...]}``."""

    inputs: list[Mapping[str, Any]]
    explains: bool

    def close(self, answers: Sequence[Any]) -> Any:
        """The body of the reply, a JSON value."""
        return {"explanations" if self.explains else "predictions": list(answers)}


@dataclass(frozen=True)
class KServeV2:
    """``{"inputs": [{"name", "shape", "datatype", "data"}, ...]}``, answered by ``{"outputs": [...]}``."""

    inputs: list[Mapping[str, Any]]
    request_id: str | None
    model: str
    version: str

    def close(self, answers: Sequence[Any]) -> Any:
        """The body of the reply: each answer as JSON text in one output of datatype BYTES."""
        return self._reply("answers", answers)

    def refuse(self, refusal: Mapping[str, Any]) -> Any:
        """The body of a reply that says why there is no answer, where a status cannot."""
        return self._reply("error", [refusal])

    def _reply(self, name: str, values: Sequence[Any]) -> Any:
        data = [json.dumps(value, allow_nan=False) for value in values]
        output = {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": data}
        identity = {"id": self.request_id} if self.request_id is not None else {}
        return {"model_name": self.model, "model_version": self.version, **identity, "outputs": [output]}


Envelope = Plain | KServeV1 | KServeV2


def envelope_of(parts: Mapping[str, Any], model: str, version: str, explains: bool, most: int) -> Envelope:
    """The envelope of a request, opened.

    Args:
        parts: TorchServe's row.
        model: its name, for the reply.
        version: that replies.
        explains: whether an explanation is asked for.
        most: how many inputs one request may carry.

    Raises:
        BadRequest: it is a KServe request, but a malformed one.
        PayloadTooLarge: it carries more inputs than ``most``.
    """
    body = parts.get("body", parts.get("data"))
    if isinstance(body, dict) and isinstance(body.get("instances"), list):
        inputs = [_instance(one, body) for one in _limited(body["instances"], most)]
        return KServeV1(inputs, explains)
    if isinstance(body, dict) and isinstance(body.get("inputs"), list):
        return KServeV2(_tensors(body["inputs"], body, most), request_id(body), model, version)
    return Plain([parts])


def request_id(body: Mapping[str, Any]) -> str | None:
    """The caller's own id of a request by version 2 of the protocol, which is echoed.

    Raises:
        BadRequest: it is no text.
    """
    found = body.get("id")
    if found is not None and not isinstance(found, str):
        raise BadRequest(f'"id" must be text; found a JSON {type(found).__name__}.')
    return found


def _instance(instance: Any, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """One instance as a plain JSON body: what is no object is data."""
    if not isinstance(instance, dict):
        instance = {"data": instance}
    return {"body": {**_parameters(body), **instance}}


def _tensors(inputs: list[Any], body: Mapping[str, Any], most: int) -> list[Mapping[str, Any]]:
    """The rows of all inputs, which must have as many as each other; of a single one also as plain data, without its name."""
    if not inputs:
        raise BadRequest('"inputs" is empty.')
    named = {str(_field(one, "name", str)): _rows(one, most) for one in inputs}
    if len(named) < len(inputs):
        raise BadRequest("Two of the inputs have the same name.")
    lengths = {name: len(rows) for name, rows in named.items()}
    if len(set(lengths.values())) != 1:
        raise BadRequest(f"The inputs must have as many rows as each other; found {lengths}.")
    rows = [dict(zip(named, values, strict=True)) for values in zip(*named.values(), strict=True)]
    plain = [{"data": next(iter(row.values()))} if len(named) == 1 else {} for row in rows]
    return [{"body": {**_parameters(body), **data, "inputs": row}} for row, data in zip(rows, plain, strict=True)]


def _rows(one: Any, most: int) -> list[Any]:
    name, shape, datatype = str(_field(one, "name", str)), _field(one, "shape", list), _field(one, "datatype", str)
    if not 0 < len(shape) <= MOST_DIMENSIONS or not all(type(side) is int and 0 <= side <= LARGEST_SIDE for side in shape):
        found = str([side if isinstance(side, (int, str)) else type(side).__name__ for side in shape])
        raise BadRequest(f"Input '{name[:40]}': shape must be a list of sizes, rows first; found {found[:60]}.")
    _check_count(shape[0], most)
    data: list[Any] = _field(one, "data", list)
    if datatype != "BYTES":
        return list(_array(name, shape, datatype, data))
    if len(data) != math.prod(shape):
        raise BadRequest(_other_size(name, shape, len(data)))
    return data


def _array(name: str, shape: list[int], datatype: str, data: list[Any]) -> np.ndarray[Any, Any]:
    if datatype not in DATATYPES:
        known = ", ".join(DATATYPES)
        raise BadRequest(f"Input '{name[:40]}': datatype must be BYTES or one of {known}; found {datatype[:20]!r}.")
    import numpy as np  # plain requests for texts need none

    try:
        with np.errstate(over="ignore"):  # what FP16 cannot hold is infinite, and refused as that
            array: np.ndarray[Any, Any] = np.asarray(data, dtype=DATATYPES[datatype])
        if array.size != math.prod(shape):
            raise BadRequest(_other_size(name, shape, array.size))
        return array.reshape(shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadRequest(f"Input '{name[:40]}': data does not fit {datatype}: {str(error)[:200]}.") from error


def _other_size(name: str, shape: list[int], found: int) -> str:
    return f"Input '{name[:40]}': shape {shape} needs {math.prod(shape)} values; found {found}."


def _field(one: Any, name: str, kind: type) -> Any:
    if not isinstance(one, dict) or not isinstance(one.get(name), kind):
        wanted = "text" if kind is str else "a list"
        raise BadRequest(f'Each of "inputs" must have "{name}", {wanted}.')
    return one[name]


def _parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """Options for all inputs of a request."""
    parameters = body.get("parameters")
    return dict(parameters) if isinstance(parameters, dict) else {}


def _limited(items: Sequence[Any], most: int) -> Sequence[Any]:
    _check_count(len(items), most)
    return items


def _check_count(rows: int, most: int) -> None:
    if not rows:
        raise BadRequest("The request has no rows.")
    if rows > most:
        raise PayloadTooLarge(f"The request has {rows} rows; the limit is {most}.")
