"""The law of a stage with constant shares of several shapes."""

from __future__ import annotations

from shapeflow.ir.law import Law
from shapeflow.ir.mixture import Laws
from shapeflow.ir.program import Program
from shapeflow.ir.route import Route


def mixture_law(program: Program, laws: Laws, route: Route) -> Law | None:
    """The law of a route of one leg in the target of the mixtures, over the compute of its steps as if all were in the
    target. None without a law of mixtures, for other routes, and for shapes that no pilot saw."""
    mixture, trained = laws.mixture, program.trained
    if mixture is None or trained is None or len(route.legs) != 1:
        return None
    (leg,) = route.legs
    constant = all((share.first, share.last) == (0.0, 1.0) for share in leg.shares)
    if leg.shape != mixture.target or not leg.shares or not constant:
        return None
    if not mixture.knows([share.shape for share in leg.shares]):
        return None
    shares = {leg.shape: 1 - sum(one.share for one in leg.shares), **{one.shape: one.share for one in leg.shares}}
    cost = trained.cost(leg.shape)
    return mixture.law({shape: share * trained.batch(shape) / cost for shape, share in shares.items()})
