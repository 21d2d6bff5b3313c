"""Networks by their name in torchvision: the code that builds one, its weights and its labels."""

from __future__ import annotations

from typing import Any

from marina.errors import MarinaError, UsageError
from marina.reading import nearest_of
from marina.store.labels import Entries
from marina.store.spec import Source, Version

CLASSIFICATION = '''"""torchvision's {name}, without weights: those are in the archive's serialised file."""

from torch import Tensor, nn
from torchvision.models import get_model


class Network(nn.Module):
    """Scores of the classes for images of shape [rows, 3, height, width]."""

    def __init__(self) -> None:
        super().__init__()
        self.network = get_model("{name}", weights=None{arguments})

    def forward(self, images: Tensor) -> Tensor:
        """Scores before softmax, shape [rows, classes]."""
        return self.network(images)
'''

DETECTION = '''"""torchvision's {name}, without weights: those are in the archive's serialised file."""

import torch
from torch import Tensor, nn
from torchvision.models import get_model


class Network(nn.Module):
    """What is in images of shape [rows, 3, height, width], each of the images with 100 candidates, the best first."""

    def __init__(self) -> None:
        super().__init__()
        self.network = get_model("{name}", weights=None, weights_backbone=None{arguments})

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes [rows, 100, 4], scores [rows, 100] and labels [rows, 100]; where there are fewer the rest is 0."""
        if torch.jit.is_scripting():
            found = self.network(list(images.unbind(0)))[1]
        else:
            found = self.network(list(images.unbind(0)))
        boxes, scores, labels = [], [], []
        for one in found:
            free = 100 - min(100, one["scores"].shape[0])
            boxes.append(nn.functional.pad(one["boxes"][:100], [0, 0, 0, free]))
            scores.append(nn.functional.pad(one["scores"][:100], [0, free]))
            labels.append(nn.functional.pad(one["labels"][:100], [0, free]))
        return torch.stack(boxes), torch.stack(scores), torch.stack(labels)
'''

SEGMENTATION = '''"""torchvision's {name}, without weights: those are in the archive's serialised file."""

from torch import Tensor, nn
from torchvision.models import get_model


class Network(nn.Module):
    """Scores of each pixel's classes for images of shape [rows, 3, height, width]."""

    def __init__(self) -> None:
        super().__init__()
        self.network = get_model("{name}", weights=None, weights_backbone=None{arguments})

    def forward(self, images: Tensor) -> Tensor:
        """Scores before softmax, shape [rows, classes, height, width]."""
        return self.network(images)["out"]
'''
FOR_TRAINING = "aux_classifier."  # of segmentation networks: it helps while they are trained, and is not run afterwards

OF_A_TRACE = "goes by a trace, which keeps the number of images that it was made with"
OF_A_GRAPH = "goes by torch.export, which cannot follow a number of boxes that depends on the image"
NOT_FOR_DETECTION = {"export": OF_A_GRAPH, "aotinductor": OF_A_GRAPH, "onnx": OF_A_TRACE, "openvino": OF_A_TRACE}


def is_detector(name: str) -> bool:
    """Whether torchvision's network ``name`` finds boxes; it then answers with dictionaries, one for each image.

    Raises:
        UsageError: torchvision has none of that name.
    """
    return _template(name) is DETECTION


def _template(name: str) -> str:
    from torchvision.models import get_model_builder, list_models

    if name not in list_models():
        raise UsageError(f"torchvision has no network '{name}': {nearest_of(name, list_models())}")
    where = str(get_model_builder(name).__module__)
    return DETECTION if ".detection." in where else SEGMENTATION if ".segmentation." in where else CLASSIFICATION


def check_runtime(version: Version) -> None:
    """See that a version's runtime can carry its network of torchvision.

    Raises:
        UsageError: it cannot: the reason, and what can.
    """
    name = version.source.torchvision
    if name is None or not is_detector(name):
        return
    instead = f"for torchvision's {name} choose runtime torchscript with script: true, or eager"
    if version.runtime in NOT_FOR_DETECTION:
        raise UsageError(f"runtime {version.runtime}: {NOT_FOR_DETECTION[version.runtime]}; {instead}")
    if version.runtime == "torchscript" and not version.script:
        raise UsageError(f"runtime torchscript: without script: true it {OF_A_TRACE}; {instead}")
    if version.precision == "bf16":
        raise UsageError(f"precision bf16: torchvision's {name} drops overlapping boxes in fp32 alone; use precision fp32")


def source_code(name: str, arguments: dict[str, Any]) -> str:
    """A Python file with the network ``name`` as its ``self.network``, built with arguments, as num_classes.

    Raises:
        UsageError: torchvision has none of that name.
    """
    given = "".join(f", {key}={value!r}" for key, value in arguments.items())
    return _template(name).format(name=name, arguments=given)


def for_inference(state: dict[str, Any]) -> dict[str, Any]:
    """A state dict of a network of torchvision without what is of use in training alone."""
    return {key: value for key, value in state.items() if not key.startswith(FOR_TRAINING)}


def weights_of(source: Source) -> Any:
    """The member of torchvision's enum of weights that a spec names, or None where it names none or others.

    Raises:
        UsageError: the network has no such weights.
    """
    if source.torchvision is None or source.weights is None or source.weights_file or source.is_random:
        return None
    from torchvision.models import get_model_weights

    known = {one.name: one for one in get_model_weights(source.torchvision)}
    if source.weights not in known:
        others = "a file has a suffix, as cats.pth; and there is random"
        raise UsageError(f"{source.torchvision} has no weights '{source.weights}'; it has: {', '.join(known)}; {others}")
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
        return for_inference(weights.get_state_dict(progress=True, check_hash=True)), str(weights.url)
    except (OSError, RuntimeError) as error:  # urllib's URLError is an OSError
        raise MarinaError(
            f"the weights of {name} could not be fetched from {weights.url} ({error}): "
            "give --weights FILE with a state dict, or --random-weights to try speed alone"
        ) from error


def labels_of(source: Source) -> Entries | None:
    """Names of the classes that the spec's weights were trained on."""
    weights = weights_of(source)
    return list(weights.meta["categories"]) if weights is not None else None
