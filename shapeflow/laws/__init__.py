"""Law sources: where the laws of a plan come from.

`fit` answers `laws(request, report)` with a law for each candidate that has runs, `published` with laws out of papers;
`table` with laws that were fitted before; `power` is a law that is stated.
"""

from shapeflow.ir.components import LawForm, LawSource
from shapeflow.laws.fit import Fit
from shapeflow.laws.power import Power
from shapeflow.laws.published import Published
from shapeflow.laws.table import Table

COMPONENTS: tuple[type[LawSource] | type[LawForm], ...] = (Fit, Power, Published, Table)
