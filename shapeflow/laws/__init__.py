"""Law sources: where the laws of a plan come from.

`fit` fits a law to the logged runs of each candidate, `mixture` fits one law to runs that mix candidates, `published`
returns laws from papers, `phases` the laws of a model that theory solves, and `table` reads laws that were fitted
before. `power` is the form of a law that the file states.
"""

from shapeflow.ir.components import LawForm, LawSource
from shapeflow.laws.fit import Fit
from shapeflow.laws.mixture import Mixture
from shapeflow.laws.phases import Phases
from shapeflow.laws.power import Power
from shapeflow.laws.published import Published
from shapeflow.laws.table import Table

COMPONENTS: tuple[type[LawSource] | type[LawForm], ...] = (Fit, Mixture, Phases, Power, Published, Table)
