"""`traversal mixture(target: (context: 256 tokens))`: the target shape, with the best constant share of a cheaper
one."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import TraversalHooks
from shapeflow.ir.mixture import Choice, MixtureLaw
from shapeflow.ir.route import END, Leg, Problem, Route, Share
from shapeflow.traversals.bounds import Budget, budget_of, no_end, prices, written
from shapeflow.traversals.shares import SHARE, Shares, cannot_blend

GIVEN = "the share is given in the file"


@attrs.frozen
class Mixture(TraversalHooks):
    """One stage in the target shape, of which a constant share of steps is taken in a cheaper shape. `laws from
    mixture` gives the share that needs the least compute, at every budget and every error, in closed form.

    `target` gives the axes and values that the model will be used at, such as `(context: 256 tokens)`. Without a law of
    mixtures, the target gets 10% of the steps, a default that is not fitted to the model or the data, and the cheap
    shape is the best fixed one by its law.
    """

    target: Shape = setting(help="the axes and values that the model is trained for")  # noqa: RUF009
    share: float | None = setting(
        "ratio",
        default=None,
        above=0.0,
        high=1.0,
        help="the share of the data in the target shape; default: the best one by the law of mixtures",
    )

    def route(self, problem: Problem, report: Report) -> Route | None:
        """One leg; None after an error."""
        if problem.mixture is None:
            return self._default(problem, report)
        budget = budget_of(problem, report)
        if problem.budget is not None and budget is None:
            return None
        if budget is None and problem.target is None:
            no_end(problem, "mixture", report)
            return None
        target, mixture = self._target(problem.mixture, problem, report), problem.mixture
        if target is None:
            return None
        # A shape that one-way transitions do not allow to go back and forth cannot be mixed in.
        others = [s for s in problem.candidates if s != target and _both_ways(problem, s, target)]
        others = [shape for shape in others if mixture.knows([shape])]
        if not others:
            cannot_blend(target, problem, report)
            return None
        choice = mixture.choose(_prices(problem, budget), others)
        if self.share is not None:
            choice = Choice(cheap=choice.cheap or others[0], share=self.share)
        return _route(target, choice, problem, self.share is not None)

    def _default(self, problem: Problem, report: Report) -> Route | None:
        """A share without a law of mixtures. Without any laws, the cheap shape must be the only one that can be mixed
        in. None after an error."""
        share = SHARE if self.share is None else self.share
        shares = Shares(target=self.target, share=share)
        found = shares.route(problem, report) if problem.laws else self._only(shares, problem, report)
        if found is None or self.share is not None:
            return found
        note = f"the share of {share:.0%} is a default: `shapeflow pilot` measures the best one"
        return attrs.evolve(found, notes=(note, *found.notes))

    def _only(self, shares: Shares, problem: Problem, report: Report) -> Route | None:
        """The target with the only other candidate that switches both ways. None after reporting that there are more
        (`missing-laws`), or none (`not-blendable`)."""
        if not shares.known(problem, report):
            return None
        targets = [shape for shape in problem.candidates if not shape.changed(shape.with_(self.target))]
        others = [s for s in problem.candidates if s not in targets and _both_ways(problem, s, s.with_(self.target))]
        if not others:
            cannot_blend(self.target, problem, report)
            return None
        if len(others) > 1 or len(targets) > 1:
            report.error(
                "missing-laws",
                "`mixture` has no law that says what to mix",
                problem.spans.get(""),
                "several candidates can be mixed with the target",
                help="`shapeflow pilot` trains short runs, and finds the shape and its share",
            )
            return None
        return Route((Leg(targets[0], END, (Share(others[0], round(1 - shares.share, 9)),)),))

    def _target(self, mixture: MixtureLaw, problem: Problem, report: Report) -> Shape | None:
        """The target. None after reporting that the pilots have another one (`other-target`)."""
        target = mixture.target.with_(self.target)
        if target == mixture.target:
            return target
        theirs, own = written(mixture.target, problem), written(self.target, problem)
        at = problem.spans.get("target", problem.spans.get(""))
        message, why = f"the pilots were measured at {theirs}, not at {own}", "nothing is known about this target"
        help_ = f"write `target: {mixture.target.written(problem.units)}`, or train pilots of this target"
        report.error("other-target", message, at, why, help=help_)
        return None


def _both_ways(problem: Problem, shape: Shape, target: Shape) -> bool:
    return problem.allowed(shape, target) and problem.allowed(target, shape)


def _prices(problem: Problem, budget: Budget | None) -> dict[Shape, float]:
    """Budget per unit of data in each shape."""
    assert problem.step_compute is not None
    assert problem.step_data is not None
    units: Sequence[float] = [1.0] * len(problem.candidates)
    if budget is not None:
        units = budget.unit
    elif (found := prices(problem, problem.unit)) is not None:
        units = [1 / price for price in found]
    pairs = zip(problem.candidates, units, strict=True)
    return {shape: problem.step_compute[shape] * unit / problem.step_data[shape] for shape, unit in pairs}


def _route(target: Shape, choice: Choice, problem: Problem, given: bool) -> Route:
    if choice.cheap is None or choice.share >= 1:
        note = "no mixture pays by the law of the pilots: the target alone is the best"
        return Route((Leg(target, END),), (GIVEN if given else note,))
    assert problem.step_data is not None
    steps = [part / problem.step_data[s] for s, part in ((target, choice.share), (choice.cheap, 1 - choice.share))]
    share = float(f"{steps[0] / sum(steps):.3g}")
    notes = []
    if choice.raised:
        notes.append(f"the best share lies below the smallest of the pilots, {choice.share:.2g}, which is used instead")
    if given:
        notes.append(GIVEN)
    return Route((Leg(target, END, (Share(choice.cheap, round(1 - share, 9)),)),), tuple(notes))
