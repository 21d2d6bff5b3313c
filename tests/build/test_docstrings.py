"""The spec docstrings: text that is installed anyway, and a network that trains in seconds."""

from __future__ import annotations

import json

from handlerkit.options import read_options
from handlerkit.tokens import TextOptions
from scripts_of_ours import run_script

from marina.paths import Store
from marina.store.sources import load_module
from marina.store.spec import find_spec


def test_docstrings_is_built_in_both_versions(specs_store: Store) -> None:
    """TorchScript and ONNX tell four of five held-out docstrings rightly, and as the eager network does.

    In a process of its own: in this one pytest has put handlerkit on the path, which the training file must find without.
    """
    done = run_script("build_mar", "docstrings", "--store", specs_store.folder, "--json")
    assert done.code == 0, done.err
    built = json.loads(done.out)
    assert [(one["version"], one["runtime"]) for one in built] == [("1", "torchscript"), ("2", "onnx")]
    for one in built:
        assert one["accuracy"]["value"] > 0.8
        assert one["accuracy"]["requests"] == 600
        assert one["parity"]["largest_difference"] <= one["parity"]["tolerance"] == 1e-4


def test_the_options_of_docstrings_fit_its_input_and_its_training() -> None:
    """Tokens are hashed for the network as they were for training."""
    found = find_spec("docstrings")
    options = read_options(TextOptions, found.spec.options)
    training = load_module(found.beside("training.py"))
    assert (options.length, options.buckets) == (training.LENGTH, training.BUCKETS)
    assert [(one.shape, one.high) for one in found.spec.tensors.values()] == [([options.length], options.buckets)]
    assert found.spec.labels == list(training.LIBRARIES)


def test_no_docstring_is_in_both_parts_or_names_its_library() -> None:
    """What is held out was never seen, and the task cannot be solved by reading the name."""
    known, held_out = load_module(find_spec("docstrings").beside("training.py")).split()
    assert not {text for text, _ in known} & {text for text, _ in held_out}
    texts = " ".join(text for text, _ in known + held_out).lower()
    assert not [name for name in ("numpy", "scipy", "sklearn", "scikit", "torch", " np.") if name in texts]
