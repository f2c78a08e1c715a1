"""The error about laws that do not describe the state of a run: `fit` ends with it, and `frontier` gives no answer."""

from __future__ import annotations

from collections.abc import Mapping

from shapeflow.base.diagnostics import Diagnostic, Label
from shapeflow.base.shapes import Shape
from shapeflow.ir.program import Program
from shapeflow.ir.tabulated import AnyLaw

SHOWN = 8
"""At most this many laws are listed in the diagnostic; the report contains all."""


def refused_laws(program: Program, laws: Mapping[Shape, AnyLaw]) -> Diagnostic | None:
    """Return the error about the laws that were fitted to runs and are refused (`falling-rate`); None if none is. The
    verdict on a published law says how the models of a file differ from those of the paper."""
    wrong = [shape for shape, law in laws.items() if law.provenance.verdict and law.provenance.source == "fit"]
    if not wrong:
        return None
    notes = [shape.written(program.units) for shape in wrong]
    more = [f"and {len(notes) - SHOWN} more"] if len(notes) > SHOWN else []
    at = program.spans.get("laws")
    return Diagnostic(
        "falling-rate",
        f"{len(wrong)} of {len(laws)} laws are fitted to runs whose learning rate falls",
        None if at is None else Label(at, "earlier points do not show what shorter runs reach"),
        notes=(*notes[:SHOWN], *more),
        help="fit laws to runs at a constant learning rate",
    )
