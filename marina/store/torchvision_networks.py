"""Networks by their name in torchvision: the code that builds one, its weights and its labels."""

from __future__ import annotations

from typing import Any

from marina.errors import MarinaError, UsageError
from marina.reading import nearest_of
from marina.store.labels import Entries
from marina.store.spec import Source

CLASSIFICATION = '''"""torchvision's {name}, without weights: those are in the archive's serialised file."""

from torch import Tensor, nn
from torchvision.models import get_model


class Network(nn.Module):
    """Scores of the classes for images of shape [rows, 3, height, width]."""

    def __init__(self) -> None:
        super().__init__()
        self.network = get_model("{name}", weights=None)

    def forward(self, images: Tensor) -> Tensor:
        """Scores before softmax, shape [rows, classes]."""
        return self.network(images)
'''


def source_code(name: str) -> str:
    """A Python file with the network ``name`` as its ``self.network``.

    Raises:
        UsageError: torchvision has none of that name.
    """
    from torchvision.models import list_models

    if name not in list_models():
        raise UsageError(f"torchvision has no network '{name}': {nearest_of(name, list_models())}")
    return CLASSIFICATION.format(name=name)


def weights_of(source: Source) -> Any:
    """The member of torchvision's enum of weights that a spec names, or None.

    Raises:
        UsageError: the network has no such weights.
    """
    if source.torchvision is None or source.weights is None:
        return None
    from torchvision.models import get_model_weights

    known = {one.name: one for one in get_model_weights(source.torchvision)}
    if source.weights not in known:
        raise UsageError(f"{source.torchvision} has no weights '{source.weights}'; it has: {', '.join(known)}")
    return known[source.weights]


def fetch_state(source: Source) -> tuple[dict[str, Any], str]:
    """The state dict of the weights that a spec names, fetched or from torch's cache, and where it is fetched from.

    Raises:
        UsageError: the spec names none.
        MarinaError: they could not be fetched.
    """
    weights, name = weights_of(source), source.torchvision
    if weights is None:
        raise UsageError(f"{name}: the spec names no weights: add 'weights' to it, or give --weights FILE or --random-weights")
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True)), str(weights.url)
    except (OSError, RuntimeError) as error:  # urllib's URLError is an OSError
        raise MarinaError(
            f"the weights of {name} could not be fetched from {weights.url} ({error}): "
            "give --weights FILE with a state dict, or --random-weights to try speed alone"
        ) from error


def labels_of(source: Source) -> Entries | None:
    """Names of the classes that the spec's weights were trained on."""
    weights = weights_of(source)
    return list(weights.meta["categories"]) if weights is not None else None
