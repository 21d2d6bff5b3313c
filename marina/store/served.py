"""The method of a network that is served: ``forward``, or another that the spec names."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from marina.errors import UsageError
from marina.reading import nearest_of


class Served(nn.Module):
    """A network whose ``forward`` is another of its methods, for exporters that know ``forward`` alone."""

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__()
        self.network = network
        self.method = method
        self.training = network.training

    def forward(self, *inputs: torch.Tensor) -> Any:
        """What the method makes of the inputs."""
        return getattr(self.network, self.method)(*inputs)


def check_method(network: nn.Module, method: str, inputs: int, model: str) -> None:
    """See that a network has the method, and that it takes the spec's inputs and needs nothing else.

    Raises:
        UsageError: it does not; the message says what to write.
    """
    found = getattr(network, method, None)
    if not callable(found):
        known = [name for name, _ in inspect.getmembers(type(network), inspect.isfunction) if not name.startswith("_")]
        raise UsageError(f"{model}: the network has no method '{method}': {nearest_of(method, known)}")
    try:
        inspect.signature(found).bind(*[None] * inputs)
    except TypeError as error:
        reason = f"is given the spec's inputs, {inputs} in number, and nothing else ({error})"
        raise UsageError(f"{model}: {method} {reason}: give other arguments a default, as in batch_idx=0") from error


def draws_random_numbers(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> bool:
    """Whether running a network takes from torch's random numbers, as dropout does where it is on."""
    before = torch.get_rng_state()
    network(*inputs)
    return not torch.equal(before, torch.get_rng_state())
