"""Muon for the matrices of the blocks, AdamW for all other parameters."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.parameters import Growth, Parameter


@attrs.frozen
class Muon:
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) for the matrices of the blocks, AdamW for
    all other parameters: embeddings, positions, patch kernels, the output head, norms and biases. Gradients are clipped
    by norm.

    For each matrix Muon keeps a momentum, m = momentum * m + (1 - momentum) * gradient. The update is the momentum, or
    with `nesterov` its look-ahead, approximately orthogonalized by five Newton-Schulz steps with the coefficients
    3.4445, -4.7750 and 2.0315. Matrices that are fused in one tensor are updated one by one.

    The update of an A x B matrix is multiplied by 0.2 * sqrt(max(A, B)), so that its entries are about as large as
    those of an AdamW update (Liu et al., "Muon is Scalable for LLM Training", arXiv 2502.16982, section 2.2). An `lr`
    and a `weight_decay` tuned for `adamw` therefore carry over. Weight decay is decoupled and acts on matrices only.

    The momentum is linear in gradients. At a switch it is mapped exactly as the gradient is, and new entries start at
    0. It is not bias-corrected, since the norm of the momentum does not change the update. `moments: carry` affects
    only the second moments of the AdamW part.

    `beta1`, `beta2`, `eps` and `adamw_lr` are settings of the AdamW part. Both learning rates are multiplied by the
    warm-up, the factor of the stage's shape, the warm-up after a switch, and the schedule or cooldown.
    `width_expand(lr: mup)` is a rule for Adam: with `muon` leave it at `lr: keep`. `average` is as in `adamw`."""

    lr: float = setting(default=1e-3, above=0.0, help="learning rate after the warm-up, in the shape it was tuned for")
    momentum: float = setting(default=0.95, low=0.0, high=0.9999, help="decay of the momentum")
    nesterov: bool = setting(default=True, help="look ahead along the momentum")
    weight_decay: float = setting(default=0.0, low=0.0, help="decoupled weight decay")
    adamw_lr: float | None = setting(default=None, above=0.0, help="learning rate of the AdamW part; default: `lr`")
    beta1: float = setting(default=0.9, low=0.0, high=0.9999, help="decay of the first moment")
    beta2: float = setting(default=0.95, low=0.0, high=0.99999, help="decay of the second moment")
    eps: float = setting(default=1e-8, above=0.0, help="added to the root of the second moment")
    warmup: int = setting("steps", default=100, low=0, help="linear warm-up of the learning rates")
    clip: float = setting(default=1.0, above=0.0, help="largest norm of the gradient")
    average: int = setting("steps", default=200, low=1, help="horizon of the averaged weights")

    def orthogonal(self, parameter: Parameter) -> bool:
        """Whether Muon updates a parameter: those of each block that are stored as matrices. AdamW updates parameters
        that a model has once (embedding, positions, head), and kernels with more than two axes."""
        return parameter.role == "matrix" and bool(parameter.listed) and len(parameter.dims) == 2

    def state(self, parameter: Parameter) -> Mapping[str, Growth]:
        """The momentum of a matrix that Muon updates, or the state of AdamW."""
        if self.orthogonal(parameter):
            return {"momentum": "gradient"}
        return {"step": "count", "exp_avg": "gradient", "exp_avg_sq": "squared"}

    def decays(self, memory: float) -> Mapping[str, float]:
        """`beta2` of the AdamW part raised to the power `memory`, for a step that counts as `memory` steps."""
        return {"beta2": self.beta2**memory}
