"""A network in a Python file: its class, the arguments of its constructor, and weights of a file, of training, or random."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import nn

from marina.errors import UsageError
from marina.paths import Store
from marina.reading import nearest_of
from marina.store.index import Weights
from marina.store.served import check_method
from marina.store.sources.code import run_code
from marina.store.sources.network import SEED, Progress, WeightsChoice
from marina.store.sources.state_dict import digest_of_state, load_file
from marina.store.sources.training import load_trained
from marina.store.spec import SpecFile, Version

SOURCE_FILE = "network_source.py"
BUILDER = '''"""{name}: {kind} with the arguments of its spec."""

from {module} import {kind}


class Network({kind}):
    """{kind}, built without arguments."""

    def __init__(self):
        super().__init__(**{arguments!r})
'''


@dataclass(frozen=True)
class Built:
    """A network that was built from code.

    Attributes:
        code: the Python file's text.
        builder: of a Python file that builds it of ``network_source.py`` without arguments, where it needs some.
    """

    module: nn.Module
    code: str
    builder: str | None = None


def load(found: SpecFile, version: str, store: Store, choice: WeightsChoice, progress: Progress) -> tuple[Built, Weights]:
    """The network of a version with the chosen weights: those of the command line, of its source, or of training."""
    wanted = found.spec.versions[version]
    built = build(found, wanted, network_class(found, wanted), wanted.source.arguments)
    if choice.random or (wanted.source.is_random and not choice.file):
        weights = random_weights(built.module, choice)
    elif choice.file or wanted.source.weights_file:
        weights = load_file(built.module, found, wanted, choice)
    else:
        weights = load_trained(built.module, found, version, store, progress)
    return built, weights


def random_weights(module: nn.Module, choice: WeightsChoice) -> Weights:
    """What is recorded of a network that is as its constructor made it."""
    return Weights(source="random", name=f"seed {SEED}", sha256=digest_of_state(module), chosen=choice.random)


def network_class(found: SpecFile, version: Version) -> type[nn.Module]:
    """The class of the spec's Python file that is the network.

    Raises:
        UsageError: the file does not import, or has no such class, or several.
    """
    code = found.beside(cast("str", version.source.network)).read_text(encoding="utf-8")
    namespace = run_code(code, found)
    classes = {
        name: member
        for name, member in vars(namespace).items()
        if inspect.isclass(member) and issubclass(member, nn.Module) and member.__module__ == "network"
    }
    if wanted := version.source.class_:
        if wanted not in classes:
            missing = f"{version.source.network} has no class '{wanted}'"
            raise UsageError(f"{found.spec.name}: {missing}: {nearest_of(wanted, [*classes])}")
        return classes[wanted]
    if len(classes) != 1:
        which = f": {', '.join(classes)}; choose one by 'class' in its source" if classes else ""
        required = f"the network's file must define exactly one torch.nn.Module, not {len(classes)}"
        raise UsageError(f"{found.spec.name}: {required}{which}")
    return next(iter(classes.values()))


def build(found: SpecFile, version: Version, kind: type[nn.Module], arguments: dict[str, Any]) -> Built:
    """The network, as its constructor makes it.

    Raises:
        UsageError: the constructor takes other arguments, or fails, or the network has no such method as is to be served.
    """
    code = found.beside(cast("str", version.source.network)).read_text(encoding="utf-8")
    _check_arguments(found, kind, arguments)
    module = construct(found, kind, arguments)
    check_method(module, version.method, len(found.spec.tensors), found.spec.name)
    plain = not arguments and not version.source.class_
    return Built(module, code, None if plain else _builder(found, version, kind, arguments))


def construct(found: SpecFile, kind: Any, arguments: dict[str, Any]) -> nn.Module:
    """The network that a class makes of arguments; what it raises is told in one line."""
    try:
        network = kind(**arguments)
    except Exception as error:
        raise UsageError(f"{found.spec.name}: the network cannot be built: {type(error).__name__}: {error}") from error
    return cast("nn.Module", network)


def parameters_of(kind: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """The parameters of a class's constructor by name."""
    return dict(inspect.signature(kind).parameters)


def takes_any(parameters: dict[str, inspect.Parameter]) -> bool:
    """Whether there is a ``**kwargs`` among parameters."""
    return any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def _check_arguments(found: SpecFile, kind: type[nn.Module], arguments: dict[str, Any]) -> None:
    known = parameters_of(kind)
    plain = [name for name, one in known.items() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    where = f"{found.spec.name}: the constructor of {kind.__name__}"
    for name in arguments:
        if name not in plain and not takes_any(known):
            raise UsageError(f"{where} takes no '{name}': {nearest_of(name, plain) if plain else 'it takes none'}")
    missing = [name for name in plain if name not in arguments and known[name].default is inspect.Parameter.empty]
    if missing:
        example = ", ".join(f"{name}: …" for name in missing)
        raise UsageError(f"{where} needs {', '.join(missing)}: give 'arguments: {{{example}}}' in its source")


def _builder(found: SpecFile, version: Version, kind: type[nn.Module], arguments: dict[str, Any]) -> str | None:
    """Code for a worker, which builds networks without arguments; only an eager one needs it."""
    if version.runtime != "eager":
        return None
    try:
        as_written = ast.literal_eval(repr(arguments))
    except (ValueError, SyntaxError):
        as_written = None
    if as_written != arguments:
        other = [name for name, value in arguments.items() if not _is_literal(value)]
        reason = f"its archive cannot write down the arguments {', '.join(other)}, which are no plain values"
        raise UsageError(f"{found.spec.name}: runtime eager: {reason}; choose another runtime, as torchscript")
    return BUILDER.format(name=found.spec.name, kind=kind.__name__, module=Path(SOURCE_FILE).stem, arguments=arguments)


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False
