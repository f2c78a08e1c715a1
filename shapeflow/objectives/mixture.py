"""A weighted sum of objectives."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from shapeflow.base.settings import name_of, setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import Objective, ObjectiveHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import ANY, Convention, DataFacts, Teacher


@attrs.frozen
class Mixture(ObjectiveHooks):
    """A weighted sum of objectives over the same samples, such as labels and a teacher:
    `objective mixture(of: [cross_entropy, distill(teacher: "vit.safetensors")], weights: [0.5, 0.5])`.

    Weights are constant. An objective with weight 0 is not computed and costs nothing. Objectives with the same teacher
    run it once, and its cost counts once. For a weight that changes, list the objectives on an axis `loss` and blend
    them. Label smoothing and a teacher cannot be combined."""

    of: tuple[Objective, ...] = setting(
        kind="objective", help="the objectives", example='[cross_entropy, distill(teacher: "vit.safetensors")]'
    )
    weights: tuple[float, ...] = setting("ratio", low=0.0, help="the weight of each, in the same order")

    def __attrs_post_init__(self) -> None:
        """Raises EditError `mixture-weights`, `wrong-data`, `not-mixable`."""
        if len(self.of) != len(self.weights):
            message = f"a mixture of {len(self.of)} objectives has {len(self.weights)} weights"
            raise EditError("mixture-weights", message, why="needs one weight for each objective")
        if not sum(self.weights):
            raise EditError("mixture-weights", "all weights of a mixture are 0", why="nothing to minimise")
        kinds = sorted({one.data for one in self.of} - {ANY})
        if len(kinds) > 1:
            raise EditError("wrong-data", f"a mixture cannot combine objectives for {' and for '.join(kinds)}")
        marked = [name_of(one) for one in self.of if one.reserved]
        if marked:
            message = f"`{marked[0]}` needs other inputs than the rest of the mixture"
            help = "list the objectives on an axis `loss`, and share the steps among them"
            raise EditError("not-mixable", message, why="masks its own inputs", help=help)
        if any(one.label_smoothing for one in self.active) and any(one.teachers for one in self.active):
            raise EditError(
                "not-mixable",
                "the mixture combines `label_smoothing` and a teacher",
                why="a teacher's outputs are already soft targets",
                help="leave `label_smoothing` out, or list the objectives on an axis `loss`",
            )

    @property
    def active(self) -> tuple[Objective, ...]:
        """The objectives with a weight above 0, with inner mixtures expanded."""
        parts = [one for one, weight in zip(self.of, self.weights, strict=True) if weight]
        return tuple(leaf for one in parts for leaf in (one.active if isinstance(one, Mixture) else (one,)))

    @property
    def per_logit(self) -> float:
        """That of all parts together: what each of them makes is kept until the backward pass."""
        return sum(float(one.per_logit) for one in self.active)

    @property
    def data(self) -> str:
        """The kind of data of its parts."""
        return next((str(one.data) for one in self.of if one.data != ANY), ANY)

    @property
    def reserved(self) -> int:
        """0: objectives that reserve ids cannot be mixed (`not-mixable`)."""
        return 0

    @property
    def teachers(self) -> dict[str, str]:
        """Setting that names a file of weights -> the file."""
        parts = enumerate(one.teachers for one in self.of)
        return {f"of.{number}.{place}": file for number, files in parts for place, file in files.items()}

    def taught(self, found: Mapping[str, Teacher]) -> Mixture:
        """This mixture with the facts of its teachers' files."""
        return attrs.evolve(self, of=tuple(one.taught(found) for one in self.of))

    def compute(self, facts: DataFacts, shape: Shape, convention: Convention) -> float:
        """Compute of the parts with a weight above 0. A teacher that several parts share counts once."""
        passes: dict[str, float] = {}
        additional = 0.0
        for one in self.active:
            if own := one.passes(shape):
                passes |= own
            else:
                additional += float(one.compute(facts, shape, convention))
        return additional + sum(passes.values())
