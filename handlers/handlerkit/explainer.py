"""What an archive says of explanations, and which method explains a request; read at load, long before Captum is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, jit, nn

from handlerkit.errors import BadRequest, shown
from handlerkit.options import OptionError, read_options
from handlerkit.runtimes import Runtime

# Methods by what is explained, the preferred ones first.
PERTURBATIONS = ("occlusion", "feature_ablation", "kernel_shap")
IMAGE_METHODS = ("integrated_gradients", "saliency", "grad_cam", *PERTURBATIONS)
TOKEN_METHODS = ("layer_integrated_gradients", "feature_ablation")
FEATURE_METHODS = ("integrated_gradients", "feature_ablation")

GRADIENTS = ("integrated_gradients", "saliency")
LAYERS: dict[str, tuple[type[nn.Module], int]] = {
    "grad_cam": (nn.Conv2d, -1),  # the last convolution sees most of the image
    "layer_integrated_gradients": (nn.Embedding, 0),  # the first embedding is that of the tokens
}


@dataclass(frozen=True)
class ExplainOptions:
    """Which method an archive's explanations use, and how much one may cost.

    Attributes:
        method: where a request names none; None takes the first of its task's methods that the runtime can do.
        steps: of integrated gradients, and samples of kernel SHAP.
        cells: of an image: side of the grid whose cells are perturbed together.
        budget_seconds: time that steps, or what is perturbed one after the other, are reduced to fit.
        layer: of the network, that methods which look into it look at, by its name, for example ``network.layer4``; None
            takes the last convolution, or the first embedding.
    """

    method: str | None = None
    steps: int = 50
    cells: int = 8
    budget_seconds: float = 5.0
    layer: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could only fail at the first explanation."""
        if self.steps < 2 or self.cells < 2 or self.budget_seconds <= 0:
            raise ValueError("steps and cells must be at least 2, budget_seconds above 0")


@dataclass(frozen=True)
class Explainer:
    """What explains a network: its runtime, the archive's options, and the methods of its task, the preferred ones first."""

    runtime: Runtime
    options: ExplainOptions
    methods: Sequence[str]

    @classmethod
    def read(cls, options: Mapping[str, Any], methods: Sequence[str], runtime: Runtime) -> tuple[Explainer, dict[str, Any]]:
        """An explainer by the options under ``explain``, and all other options.

        Raises:
            OptionError: they are wrong, or the runtime cannot do what they ask.
        """
        explain = read_options(ExplainOptions, options.get("explain") or {})
        if explain.method not in (None, *methods):
            raise OptionError(f"explain: method must be one of {', '.join(methods)}, not {explain.method!r}")
        if explain.layer is not None and not _may_be_looked_into(runtime):
            raise OptionError("explain: layer needs runtime eager: in no other can a layer be reached")
        if explain.layer is not None and explain.layer not in dict(runtime.model.named_modules()):
            raise OptionError(f"explain: the network has no layer '{explain.layer}'")
        made = cls(runtime, explain, methods)
        if explain.method is not None and (missing := made._missing(explain.method)):
            raise OptionError(f"explain: method {explain.method} needs {missing}")
        return made, {name: value for name, value in options.items() if name != "explain"}

    def choose(self, wanted: object) -> str:
        """The method that a request asks for, else the archive's, else the first that the runtime can do.

        Raises:
            BadRequest: there is no such method, or the runtime cannot do it; the message names those that there are.
        """
        can = [method for method in self.methods if not self._missing(method)]
        if wanted is None:
            return self.options.method if self.options.method in can else can[0]
        if wanted not in self.methods:
            raise BadRequest(f"No method is named {shown(wanted)}; methods: {', '.join(self.methods)}.")
        if wanted not in can:
            raise BadRequest(f"'{wanted}' needs {self._missing(str(wanted))}; methods here: {', '.join(can)}.")
        return str(wanted)

    def layer(self, method: str) -> nn.Module | None:
        """The layer of the network that a method looks at, if it can be reached."""
        if not _may_be_looked_into(self.runtime):
            return None
        if self.options.layer is not None:
            return dict(self.runtime.model.named_modules()).get(self.options.layer)
        kind, place = LAYERS[method]
        found = [one for one in self.runtime.model.modules() if isinstance(one, kind)]
        return found[place] if found else None

    def _missing(self, method: str) -> str | None:
        """What a method needs and the runtime has not."""
        if method in (*GRADIENTS, *LAYERS) and not self.runtime.differentiable:
            return "gradients, which this model's runtime has not"
        if method not in LAYERS or self.layer(method) is not None:
            return None
        if not _may_be_looked_into(self.runtime):
            return "a layer of the network, which runtime eager alone can reach"
        return f"a layer of the kind {LAYERS[method][0].__name__}, which this network has not"


def _may_be_looked_into(runtime: Runtime) -> bool:
    """Whether the network consists of Python modules: a script and a program hide theirs."""
    model = getattr(runtime, "model", None)
    return isinstance(model, nn.Module) and not isinstance(model, (jit.ScriptModule, fx.GraphModule))
