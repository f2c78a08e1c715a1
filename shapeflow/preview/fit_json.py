"""Writes a fit as JSON, with everything that is needed to assess its laws or to fit them again.

The contents follow the reporting checklist of Li, Kudugunta and Zettlemoyer, "(Mis)Fitting scaling laws" (2025).
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.ir.law_json import law_to_json
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.preview.fit import decades, refused
from shapeflow.preview.joint import joint_json

LEVEL = 0.9
"""The level of all intervals."""
FORM = "error = a (compute + d)^-b + c"


def fit_to_json(name: str, found: FittedLaws) -> dict[str, Any]:
    """The output of `shapeflow fit --json`."""
    laws = list(found.laws.values())
    about = laws[0].provenance
    return {
        "name": name,
        "shapeflow": version("shapeflow"),
        "form": FORM,
        "metric": about.metric,
        "unit": about.unit,
        "compute": {"unit": "FLOPs", "convention": about.convention},
        "method": dict(found.method),
        "level": LEVEL,
        "spent": sum(law.provenance.spent or 0.0 for law in laws),
        **({} if found.joint is None else {"joint": joint_json(found.joint)}),
        "laws": [_law(shape, law, found) for shape, law in found.laws.items()],
        "refused": sum(map(refused, laws)),
    }


def _law(shape: Shape, law: Law, found: FittedLaws) -> dict[str, Any]:
    """One law as JSON: its parameters and report, its points as (compute, error, run), and the fit to its first
    half."""
    half, points = found.halves.get(shape), found.points[shape]
    flat = law_to_json(law)
    return {
        "shape": shape.json(),
        **{name: value for name, value in flat.items() if name != "verdict"},
        "decades": decades(law),
        "measured": [
            list(each) for each in zip(points.compute.tolist(), points.error.tolist(), points.run.tolist(), strict=True)
        ],
        "half": None if half is None else {name: getattr(half, name) for name in "abcd"},
        "refused": refused(law),
        "reasons": flat["verdict"],
    }
