"""Distillation: the outputs of a teacher as targets."""

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
    """The divergence of the student's output from a teacher's, `KL(softmax(t/T) || softmax(s/T))`, averaged over
    samples (for text: over tokens), at a temperature T (Hinton et al., arXiv 1503.02531). Labels are not used: see
    `mixture`.

    The teacher is a file written by `shapeflow export`, or a folder of `transformers` or `timm` that `shapeflow import`
    reads. It must have the classes or vocabulary of the data, without ids that `denoising` reserves, and take the same
    images. It gets the student's crop, at the teacher's own resolution. The path is relative to the `.shape` file (or
    to the plan, if a plan is run without its source). The plan contains the digest of the file and the compute of the
    teacher's forward pass, which is added to every step."""

    data: ClassVar[str] = ANY
    reserved: ClassVar[int] = 0

    teacher: str = setting(
        help="the teacher's weights: a `.safetensors` file of `shapeflow export`, or a folder of another library",
        example='"vit.safetensors"',
    )
    temperature: float = setting(default=2.0, above=0.0, help="T: how much both outputs are softened")
    scale: bool = setting(default=True, help="multiply by T squared, so that gradients keep their size")
    sha256: str = found("")
    forward: Mapping[str, float] = found(attrs.Factory(dict))

    @property
    def per_logit(self) -> float:
        """The log-softmax of the student and of the teacher, their divergence, and three gradients."""
        return 28.0

    @property
    def teachers(self) -> dict[str, str]:
        """Setting that names a file of weights -> the file."""
        return {"teacher": self.teacher}

    def taught(self, found: Mapping[str, Teacher]) -> Distill:
        """This objective with the facts of the teacher's file."""
        teacher = found[self.teacher]
        return attrs.evolve(self, sha256=teacher.sha256, forward=teacher.forward)

    def passes(self, shape: Shape) -> dict[str, float]:
        """Digest -> compute of the teacher's forward pass, in the plan's convention."""
        return {self.sha256: self.forward[input_of(shape)]}

    def compute(self, facts: DataFacts, shape: Shape, convention: Convention) -> float:
        """Compute of the teacher's forward pass."""
        return sum(self.passes(shape).values())
