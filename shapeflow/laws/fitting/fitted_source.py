"""The base of law sources that fit laws to runs."""

from __future__ import annotations

from abc import abstractmethod

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import LawSourceHooks
from shapeflow.ir.law import Law
from shapeflow.ir.route import LawRequest
from shapeflow.laws.fitting.fitted_laws import FittedLaws


class FittedSource(LawSourceHooks):
    """Base class of a law source that fits laws. A subclass implements `fitted`. `shapeflow fit` then works with it as
    with the built-in source `fit`: JSON output, figure and files of laws included."""

    __slots__ = ()

    @abstractmethod
    def fitted(self, request: LawRequest, report: Report) -> FittedLaws:
        """Return the laws of the candidates with the points that they were fitted to.

        Report errors to `report`, and return empty laws after an error. Each law contains its draws, intervals and
        verdict. The compiler fills in `source` and `settings` of the provenance.
        """

    def laws(self, request: LawRequest, report: Report) -> dict[Shape, Law]:
        """Return the laws of the candidates. Empty after an error."""
        return dict(self.fitted(request, report).laws)
