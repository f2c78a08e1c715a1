"""The law of a stage with constant shares of several shapes."""

from __future__ import annotations

from collections.abc import Mapping

from shapeflow.base.shapes import Shape
from shapeflow.ir.law import Law
from shapeflow.ir.mixture import Laws
from shapeflow.ir.program import Program
from shapeflow.ir.route import Route
from shapeflow.ir.tabulated import AnyLaw


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


def predicting(laws: Laws, route: Route, mixed: Law | None) -> Mapping[Shape, AnyLaw]:
    """The laws that predict a route. Empty if there is a law of mixtures and it does not describe the route, such as
    one with a shape that no pilot saw. `mixed`: the law of the route by the law of mixtures."""
    mixture = laws.mixture
    if mixture is None or mixed is not None:
        return laws
    alone = len(route.legs) == 1 and route.legs[0].shape == mixture.target and not route.legs[0].shares
    return laws if alone else {}
