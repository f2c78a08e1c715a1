"""Training objectives. Each component of `shapeflow/objectives/` has a file of the same name here."""

from __future__ import annotations

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.plan import Spec
from shapeflow.objectives.denoising import Denoising as Declared
from shapeflow_torch.objectives.cross_entropy import CrossEntropy
from shapeflow_torch.objectives.denoising import Denoising
from shapeflow_torch.objectives.distill import Distill
from shapeflow_torch.objectives.mixture import Mixture
from shapeflow_torch.objectives.next_token import NextToken
from shapeflow_torch.objectives.parts import Asked, Objective, Site
from shapeflow_torch.objectives.squared_error import SquaredError

_KINDS = {"cross_entropy": CrossEntropy, "next_token": NextToken, "squared_error": SquaredError}

__all__ = ["Asked", "Objective", "Site", "objective_of", "reserved_of"]


def objective_of(spec: Spec, site: Site) -> Objective:
    """Return the objective of a plan, with its teachers loaded.

    Raises Refused `no-such-objective`, `teacher-missing`, `teacher-broken`, `teacher-changed`."""
    if spec.name == "denoising" and site.vocabulary is not None:
        return Denoising(spec.settings, site.vocabulary)
    if spec.name == "distill":
        return Distill(spec.settings, site)
    if spec.name == "mixture":
        return Mixture(spec.settings, lambda part: objective_of(part, site))
    made = _KINDS.get(spec.name)
    if made is None:
        raise Refused(
            Diagnostic(
                "no-such-objective", f"this backend does not support the objective `{spec.name}`", place="objective"
            )
        )
    return made(spec.settings)


def reserved_of(spec: Spec) -> int:
    """Return how many token ids an objective reserves after those of the data."""
    return Declared(**spec.settings).reserved if spec.name == "denoising" else 0
