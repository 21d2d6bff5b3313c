"""What a bf16 version's rounding costs: nothing has to be calibrated, but answers may change as in int8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marina.store import agreement, exporters, int8, parity, preflight
from marina.store.index import Bf16, Parity
from marina.store.sources import HeldOut, Network
from marina.store.spec import SpecFile

ADVICE = "choose precision fp32, or another runtime; a 'tolerance' of the version limits its numbers instead"


@dataclass(frozen=True)
class Comparison:
    """What a bf16 version is compared with fp32 on: requests, and what these are."""

    requests: list[bytes]
    compared_on: Any


def comparison(found: SpecFile, version: str, held_out: HeldOut | None) -> Comparison | None:
    """Requests to compare on: those held out, else those to calibrate int8 on, else generated inputs; None without bf16."""
    if found.version(version).precision != "bf16":
        return None
    if held_out and held_out.requests:
        return Comparison([request for request, _ in held_out.requests][: int8.COMPARED], "held-out requests")
    if requests := int8.named_requests(found):
        return Comparison(requests, "calibration requests")
    return Comparison([], "generated inputs")


def measure(found: SpecFile, version: str, network: Network, compared: Comparison, tried: preflight.Tried) -> Bf16:
    """How often the archive in bf16 has the best class of the eager network in fp32.

    Raises:
        MarinaError: less often than the spec's ``calibration.agreement``, where the version has no tolerance of its own.
    """
    pairs = tried.read or tried.pairs
    shares = agreement.shares(network, pairs)
    cost = Bf16(
        agreement=round(sum(shares) / len(shares), 4) if shares else None,
        compared=len(shares),
        compared_on=compared.compared_on if tried.read else "generated inputs",
    )
    is_limited = network.weights.source != "random" and found.version(version).tolerance is None
    if cost.agreement is not None and is_limited:
        compared_with = f"{cost.compared} {cost.compared_on}"
        agreement.check("bf16", cost.agreement, compared_with, found.spec.calibration.agreement, ADVICE)
    return cost


def differences(found: SpecFile, version: str, network: Network, cost: Bf16, tried: preflight.Tried) -> Parity:
    """How far its numbers are from the eager network's; limited where its version says so, or where there are no classes.

    Raises:
        MarinaError: too far.
    """
    largest = found.version(version).tolerance or (found.spec.tolerance if cost.agreement is None else None)
    return parity.compare(network, tried.pairs + tried.read, largest)


def more_inputs(found: SpecFile, compared: Comparison) -> list[exporters.Inputs]:
    """Inputs to compare on where there are no requests to."""
    return [] if compared.requests else int8.generated(found)
