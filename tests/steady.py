"""A law source as a plugin distribution would define it: it fits laws, but shares no setting with `fit`."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import setting
from shapeflow.ir.law import Provenance
from shapeflow.ir.route import LawRequest, Purpose
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.laws.fitting.fitted_source import FittedSource
from shapeflow.laws.fitting.from_points import laws_of_points
from shapeflow.laws.fitting.solver import FitOptions
from shapeflow.laws.fitting.warnings import doubts
from shapeflow.laws.logs.points import Points


@attrs.frozen
class Steady(FittedSource):
    """Laws with one given exponent, fitted to a table of width, compute and error."""

    file: str = setting(first=True, help="the table")
    slope: float = setting(above=0.0, help="the exponent")
    strict: bool = setting(default=False, help="refuse every law")
    bootstraps: int = setting(default=40, low=0, help="resamples")
    skip: tuple[int, ...] = setting(default=(), help="rows to leave out")

    setting_names: ClassVar[Mapping[Purpose, str]] = {"resamples": "bootstraps"}

    def fitted(self, request: LawRequest, report: Report) -> FittedLaws:
        path = Path(request.folder, self.file)
        measured: dict[int, list[tuple[float, float]]] = defaultdict(list)
        with path.open(encoding="utf-8", newline="") as text:
            for number, row in enumerate(csv.DictReader(text), 1):
                if number not in self.skip:
                    measured[int(row["width"])].append((float(row["compute"]), float(row["error"])))
        points = {shape: Points(*np.array(measured[int(shape["width"])]).T) for shape in request.candidates}
        about = Provenance(
            source="fit",
            metric=request.metric,
            convention=request.convention,
            unit=request.unit,
            files=((self.file, hashlib.sha256(path.read_bytes()).hexdigest()),),
            runs=1,
        )
        options = FitOptions("signed", "auto", self.slope, 1e-3, "log")
        found = laws_of_points(points, dict.fromkeys(points, about), options, self.bootstraps)
        if self.strict:
            refused = {
                shape: attrs.evolve(law, provenance=attrs.evolve(law.provenance, verdict=("strict",)))
                for shape, law in found.laws.items()
            }
            found = attrs.evolve(found, laws=refused)
        doubts(found.laws, request, report)
        return attrs.evolve(found, method={"exponent": self.slope}, summary=f"the exponent is {self.slope:g}")
