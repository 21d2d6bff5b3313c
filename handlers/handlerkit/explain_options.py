"""What an archive says of explanations; read at load, long before Captum is."""

from __future__ import annotations

from dataclasses import dataclass

GRADIENTS = ("integrated_gradients", "saliency")
PERTURBATIONS = ("occlusion", "feature_ablation", "kernel_shap")
METHODS = GRADIENTS + PERTURBATIONS


@dataclass(frozen=True)
class ExplainOptions:
    """How much an explanation may cost.

    Attributes:
        method: one of METHODS; None takes integrated gradients where the runtime is differentiable, else occlusion.
        steps: of integrated gradients, and samples of kernel SHAP.
        cells: side of the grid whose cells are perturbed together.
        budget_seconds: time that steps, or cells, are reduced to fit.
    """

    method: str | None = None
    steps: int = 50
    cells: int = 8
    budget_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what could only fail at the first explanation."""
        if self.method not in (None, *METHODS):
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {self.method!r}")
        if self.steps < 2 or self.cells < 2 or self.budget_seconds <= 0:
            raise ValueError("steps and cells must be at least 2, budget_seconds above 0")
