"""Law sources: where the laws of a plan come from.

A component here has `laws(request, report)`, which answers with a law for each candidate it knows, or `law(metric,
convention)`, which states one.
"""

from shapeflow.laws.power import Power

COMPONENTS: tuple[type, ...] = (Power,)
