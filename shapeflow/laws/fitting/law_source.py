"""What the compiler asks of every law source, with the defaults of a source that fits nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.ir.route import LawRequest, Purpose
from shapeflow.laws.fitting.fitted_laws import FittedLaws


class LawSource:
    """A component of `laws from ...`. A source that reads laws overrides `laws`; one that fits them overrides `fitted`,
    and then `shapeflow fit`, its JSON, its picture and its tables work with it as with `fit`.
    """

    __slots__ = ()

    setting_names: ClassVar[Mapping[Purpose, str]] = {}
    """What a setting is for -> what it is called here. Messages about logs and fits point at these settings, and advise
    no setting that is not listed."""

    def fitted(self, request: LawRequest, report: Report) -> FittedLaws | None:
        """The laws of the candidates with the points behind them; None for a source that fits nothing.

        Errors are reported, and then the laws are empty. Draws, intervals and verdict stand in each law. The compiler
        itself fills in `source` and `settings` of their provenance.
        """
        return None

    def laws(self, request: LawRequest, report: Report) -> dict[Shape, Law]:
        """The laws of the candidates; empty after errors were reported."""
        found = self.fitted(request, report)
        return {} if found is None else dict(found.laws)

    def refit(self, request: LawRequest) -> str | None:
        """The sentence that fits these laws again, for a source that reads fitted laws; None where it is not known."""
        return None
