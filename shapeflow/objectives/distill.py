"""Distillation: what another model says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from shapeflow.base.settings import found, setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import ObjectiveHooks
from shapeflow.ir.parameters import ANY, Convention, DataFacts, Teacher, input_of


@attrs.frozen
class Distill(ObjectiveHooks):
    """The divergence of the student's answer from a teacher's, `KL(softmax(t/T) || softmax(s/T))`, averaged over
    samples (of text: over tokens), at a temperature T (Hinton et al., arXiv 1503.02531; paper A distils at 2). Labels
    are not used: see `mixture`.

    The teacher is a file that `shapeflow export` wrote. It must have the data's classes, or vocabulary (ids that
    `denoising` reserves on either side do not count), and take the same images, of which it gets the student's crop at
    its own resolution. The path is relative to the `.shape` file (or to the plan, where a plan is run without its
    source). The plan keeps the file's digest and what the teacher's forward pass costs; every step pays it."""

    data: ClassVar[str] = ANY
    reserved: ClassVar[int] = 0

    teacher: str = setting(
        help="the teacher's weights, a `.safetensors` file of `shapeflow export`", example='"vit.safetensors"'
    )
    temperature: float = setting(default=2.0, above=0.0, help="T: how much both answers are softened")
    scale: bool = setting(default=True, help="multiply by T squared, so that gradients keep their size")
    sha256: str = found("")
    forward: Mapping[str, float] = found(attrs.Factory(dict))

    @property
    def teachers(self) -> dict[str, str]:
        """Where a file of weights is named -> the file."""
        return {"teacher": self.teacher}

    def taught(self, found: Mapping[str, Teacher]) -> Distill:
        """With what was found of the file."""
        teacher = found[self.teacher]
        return attrs.evolve(self, sha256=teacher.sha256, forward=teacher.forward)

    def passes(self, shape: Shape) -> dict[str, float]:
        """Digest -> the teacher's forward pass, in the convention in which it was found."""
        return {self.sha256: self.forward[input_of(shape)]}

    def compute(self, facts: DataFacts, shape: Shape, convention: Convention) -> float:
        """The teacher's forward pass."""
        return sum(self.passes(shape).values())
