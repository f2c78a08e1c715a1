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
    """A law source that fits laws. It writes `fitted`, and `shapeflow fit`, its JSON, its picture and its files of laws
    work with it as with `fit`."""

    __slots__ = ()

    @abstractmethod
    def fitted(self, request: LawRequest, report: Report) -> FittedLaws:
        """The laws of the candidates with the points behind them.

        Errors are reported, and then the laws are empty. Draws, intervals and verdict stand in each law. The compiler
        itself fills in `source` and `settings` of their provenance.
        """

    def laws(self, request: LawRequest, report: Report) -> dict[Shape, Law]:
        """The laws of the candidates; empty after errors were reported."""
        return dict(self.fitted(request, report).laws)
