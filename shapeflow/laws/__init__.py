"""Law sources: where the laws of a plan come from.

`fit` answers `laws(request, report)` with a law for each candidate that has runs; `power` is a law that is stated.
"""

from shapeflow.laws.fit import Fit
from shapeflow.laws.power import Power

COMPONENTS: tuple[type, ...] = (Fit, Power)
