"""Marina beside other servers with the same network and weights: as their own guides have them, and with our runtime."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from goals.bench import Bench, Compared
from goals.best import INT8
from goals.pictures import photograph
from goals.results import Result
from goals.serving_peers import PEERS, peer_serving
from goals.without_server import unpacked

GUIDES, EQUAL = 1.3, 1.0


def against(bench: Bench, *, name: str) -> list[Result]:
    """One peer: (a) eager fp32 as its guides have it, (b) with our OpenVINO model in int8; ours between them in each round."""
    peer, kept, picture = PEERS[name], bench.kept, photograph(bench.kept.pictures)
    with ExitStack() as stack:
        ours = bench.serve(stack, "ours", INT8.archive(kept), INT8.serving)
        networks: dict[str, tuple[Path, str]] = {
            "guide": (kept.weights("resnet18"), "fp32"),
            "equal": (_openvino(unpacked(kept, INT8.archive(kept))), "int8"),
        }
        targets = {
            case: stack.enter_context(peer_serving(peer, *network, picture, bench.logs / f"{name}-{case}"))
            for case, network in networks.items()
        }
        rounds = bench.in_turns(
            {"guide": bench.case(targets["guide"], [picture]), "ours": bench.case(ours, [picture])}
            | {"equal": bench.case(targets["equal"], [picture])}
        )
    what, group, share = "ResNet-18, 65 KB JPEG, 16 connections", f"peer_{name}", {"share": str(peer.share)}
    return [
        Compared(f"{what}: {peer.name} as its guide has it", group, GUIDES).of(rounds, "ours", "guide", "throughput", share),
        Compared(f"{what}: {peer.name} with our runtime", group, EQUAL).of(rounds, "ours", "equal", "throughput", share),
    ]


GROUPS: dict[str, Callable[[Bench], list[Result]]] = {f"peer_{name}": partial(against, name=name) for name in PEERS}


def _openvino(folder: Path) -> Path:
    (found,) = folder.glob("*.xml")
    return found
