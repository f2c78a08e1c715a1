"""Distillation from a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional

from shapeflow_torch.objectives.parts import IGNORED, Asked, Objective, Site, exact
from shapeflow_torch.objectives.teacher import teacher_of


class Distill(Objective):
    """See the component of the same name."""

    def __init__(self, settings: Mapping[str, Any], site: Site) -> None:
        self._temperature = float(settings["temperature"])
        self._factor = self._temperature**2 if settings["scale"] else 1.0
        self.teacher = teacher_of(settings["teacher"], settings["sha256"], site)

    def loss(self, logits: Tensor, asked: Asked) -> Tensor:
        taught = self.teacher.logits(asked)
        return self._factor * divergence(logits, taught, asked.targets, self._temperature)


def divergence(logits: Tensor, taught: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Return KL(softmax(taught / T) || softmax(logits / T)) over the last axis, averaged over all targets that are not
    IGNORED. T: `temperature`; `taught`: logits of the teacher.

    If the student has more logits than the teacher, the additional ones belong to reserved ids. They are left out, so
    that only the data's tokens are compared."""
    common = logits[..., : taught.shape[-1]]
    student, teacher = (functional.log_softmax(exact(one) / temperature, -1) for one in (common, taught))
    each = functional.kl_div(student, teacher, log_target=True, reduction="none").sum(-1)
    asked = (targets.flatten() != IGNORED).to(each.dtype)
    return (each * asked).sum() / asked.sum()
