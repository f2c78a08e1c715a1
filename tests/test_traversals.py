"""Traversals: routes along laws against closed forms, their properties, and each component."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.law import Law, Provenance
from shapeflow.ir.route import END, Problem, Route, Share, Until
from shapeflow.traversals import COMPONENTS
from shapeflow.traversals.envelope import Stretch, crossings, greedy, total
from shapeflow.traversals.evenly import Evenly
from shapeflow.traversals.fixed import Fixed
from shapeflow.traversals.logarithmic import Logarithmic
from shapeflow.traversals.random import Random
from shapeflow.traversals.search import End, Rules, Way, cheapest
from shapeflow.traversals.shares import Shares
from shapeflow.traversals.steepest import Steepest


def law(a: float, b: float, c: float, d: float, measured: tuple[float, float] | None = None) -> Law:
    return Law(a, b, c, d, Provenance(source="stated", metric="error", convention="flops", error=measured))


S, L = law(1, 1, 0.2, 0), law(4, 1, 0, 0)
P, Q = law(72 / 49, 1, 1 / 7, 0), law(1, 0.5, 0, 0)
VIT = [
    law(150, 0.15, 0.38, 2e15), law(300, 0.16, 0.30, 5e15), law(900, 0.18, 0.235, 1.5e16), law(2600, 0.20, 0.205, 4e16),
]  # fmt: skip
GEMSTONES = [
    law(1509452301.0, 0.52879887, 3.335952564, -3.679808613e17),
    law(6944549788.0, 0.5519020437, 3.084867722, -7.252119876e17),
    law(6391987980.0, 0.5219708088, 2.656268269, -2.677626444e18),
    law(6752138396.0, 0.511407883, 2.503845024, -4.604353732e18),
    law(3995951453.0, 0.4904698756, 2.403525078, -9.097324497e18),
]


def way(laws: Sequence[Law], start: float, target: float, **rules: Any) -> Way:
    found = cheapest(laws, start, crossings(laws, start, target), End(target=target), Rules(**rules))
    assert found is not None
    return found


def one_way(p: int, q: int) -> Callable[[int, int], bool]:
    return lambda before, after: (before, after) == (p, q)


def near(value: float, rel: float = 1e-9) -> Any:
    return pytest.approx(value, rel=rel)


def test_two_laws() -> None:
    found = greedy([S, L], 1.2, 0.25)
    assert [(one.law, one.compute) for one in found] == [(0, near(4)), (1, near(6))]
    assert found[0].last == near(0.4)
    assert total([S, L], found) == near(11)
    assert way([S, L], 1.2, 0.25).total == near(11)
    assert (L.compute(0.25), S.compute(0.25)) == (near(16), near(20))


@pytest.mark.parametrize(("price", "expected", "stages"), [(0, 11, 2), (4.9, 15.9, 2), (5.1, 16, 1)])
def test_a_constant_price(price: float, expected: float, stages: int) -> None:
    found = way([S, L], 1.2, 0.25, price=lambda p, q, error: price)
    assert (found.total, len(found.stretches)) == (near(expected), stages)
    if stages == 2:
        assert found.stretches[0].last == near(0.4)


def test_two_crossings_of_one_pair() -> None:
    found = greedy([P, Q], 4, 0.2)
    assert [one.law for one in found] == [1, 0, 1]
    assert [one.last for one in found] == [near(1), near(0.25), near(0.2)]
    assert [one.compute for one in found] == [near(15 / 16), near(12), near(9)]
    assert Q.compute(0.2) - Q.compute(4) == near(24.9375)


def test_one_way() -> None:
    forth = way([P, Q], 4, 0.2, allowed=one_way(0, 1), from_nothing=False)
    assert (forth.total, [one.law for one in forth.stretches]) == (near(67 / 3), [0, 1])
    back = way([P, Q], 4, 0.2, allowed=one_way(1, 0), from_nothing=False)
    assert (back.total, [one.law for one in back.stretches]) == (near(24.9375), [1])


def test_a_price_drops_the_first_stage() -> None:
    found = way([P, Q], 4, 0.2, price=lambda p, q, error: 1.4, from_nothing=False)
    assert (found.total, [one.law for one in found.stretches]) == (near(67 / 3 + 1.4), [0, 1])


def test_a_dominated_law_is_never_used() -> None:
    laws = [S, law(4, 1, 0.21, 0), L]
    found = greedy(laws, 1.2, 0.25)
    assert math.fsum(one.compute for one in found) == near(10)
    assert [one.law for one in found] == [0, 2]


def test_equal_laws_make_one_stage() -> None:
    assert len(greedy([L, L], 1.2, 0.25)) == 1
    assert len(way([L, L], 1.2, 0.25).stretches) == 1


def test_a_law_that_cannot_reach_the_target_still_helps() -> None:
    early = law(1, 1, 0.3, 0)
    found = greedy([early, L], 1.2, 0.25)
    assert found[0].last == near(0.6)
    assert math.fsum(one.compute for one in found) == near(1 / 0.3 - 1 / 0.9 + 16 - 4 / 0.6)
    with pytest.raises(ValueError, match="no law passes"):
        greedy([early], 1.2, 0.25)
    assert cheapest([early], 1.2, [], End(target=0.25)) is None


def test_the_offset_moves_no_crossing() -> None:
    laws = [law(1, 1, 0.2, 0.3), law(4, 1, 0, 2)]
    found = greedy(laws, 1.2, 0.25)
    assert found[0].last == near(0.4)
    assert total(laws, found) == near(10.7)


def test_a_vit_family() -> None:
    found = greedy(VIT, 0.85, 0.30)
    assert [one.last for one in found] == [
        near(0.6855805944), near(0.6162815582), near(0.4914289073), near(0.30),
    ]  # fmt: skip
    reached = total(VIT, greedy(VIT, 0.85, 0.47))
    assert reached == near(7.720042e19, 1e-6)
    assert VIT[2].compute(0.47) == near(8.062041e19, 1e-6)
    savings = [1 - total(VIT, greedy(VIT, 0.85, t)) / min(p.compute(t) for p in VIT) for t in (0.55, 0.30)]
    assert savings == [pytest.approx(0.1092, abs=5e-5), pytest.approx(0.00089, abs=5e-6)]


def test_real_laws() -> None:
    found = greedy(GEMSTONES, 3.6, 2.65)
    assert [one.law for one in found] == [1, 2, 3, 4]
    assert [one.last for one in found[:3]] == [near(3.42817516, 1e-8), near(3.00865058, 1e-8), near(2.76997540, 1e-8)]
    spent = total(GEMSTONES, found)
    assert spent == near(5.61698849e20, 1e-8)
    assert min(p.compute(2.65) for p in GEMSTONES) == near(6.64430076e20, 1e-8)
    priced = way(GEMSTONES, 3.6, 2.65, price=lambda p, q, error: 0.02 * spent)
    assert priced.total == near(5.91431302e20, 1e-8)
    assert [one.law for one in priced.stretches] == [2, 3, 4]


laws_of_chance = st.lists(
    st.builds(law, st.floats(0.5, 50), st.floats(0.2, 1.0), st.floats(0.0, 0.5), st.floats(0.0, 0.2)),
    min_size=1,
    max_size=6,
)


def spent(found: Sequence[Stretch]) -> float:
    return math.fsum(one.compute for one in found)


@settings(derandomize=True, deadline=None)
@given(laws_of_chance)
def test_no_fixed_shape_beats_free_switching(laws: list[Law]) -> None:
    start, target = 1.5, max(min(p.c for p in laws) + 0.05, 0.1)
    # Above a law's error at compute 0, the route charges no compute, while eq. 2 alone would.
    assume(all(p.compute(start) >= 0 for p in laws))
    best = spent(greedy(laws, start, target))
    fixed = [p.compute(target) - p.compute(start) for p in laws if p.c < target]
    assert best <= min(fixed) * (1 + 1e-9)
    assert way(laws, start, target, from_nothing=False).total == pytest.approx(best, rel=1e-8)
    assert way(laws, start, target).total <= min(max(p.compute(target), 0) for p in laws) * (1 + 1e-9) + 1e-9 + sum(
        max(-p.compute(start), 0) for p in laws
    )


@settings(derandomize=True, deadline=None)
@given(laws_of_chance, st.floats(1e-3, 1e12), st.floats(0.5, 100))
def test_scale_and_names_do_not_matter(laws: list[Law], k: float, m: float) -> None:
    start, target = 1.5, max(min(p.c for p in laws) + 0.05, 0.1)
    plain = spent(greedy(laws, start, target))
    assert spent(greedy(laws[::-1], start, target)) == pytest.approx(plain, rel=1e-8)
    larger = [law(p.a * k**p.b, p.b, p.c, p.d * k) for p in laws]
    assert spent(greedy(larger, start, target)) == pytest.approx(k * plain, rel=1e-6)
    taller = [law(p.a * m, p.b, p.c * m, p.d) for p in laws]
    assert spent(greedy(taller, start * m, target * m)) == pytest.approx(plain, rel=1e-6)


@settings(derandomize=True, deadline=None)
@given(laws_of_chance, st.floats(0, 100), st.floats(0, 100))
def test_more_freedom_never_costs_more(laws: list[Law], price: float, other: float) -> None:
    start, target = 1.5, max(laws[0].c + 0.05, 0.1)
    free = way(laws, start, target).total
    assert free <= way(laws[:1], start, target).total * (1 + 1e-9)
    low, high = sorted((price, other))
    cheap = way(laws, start, target, price=lambda p, q, error: low).total
    dear = way(laws, start, target, price=lambda p, q, error: high).total
    assert free <= cheap * (1 + 1e-9)
    assert cheap <= dear * (1 + 1e-9)
    assert free <= way(laws, start, target, allowed=lambda p, q: p < q).total * (1 + 1e-9)


def test_many_laws_take_no_time() -> None:
    many = [law(10 ** (2 + i % 9 / 4), 0.12 + 0.003 * (i % 31), 0.1 + 0.005 * i, 1e13 * i) for i in range(54)]
    begin = time.perf_counter()
    found = greedy(many, 0.95, 0.15)
    assert way(many, 0.95, 0.15, from_nothing=False).total == pytest.approx(spent(found), rel=1e-9)
    assert time.perf_counter() - begin < 1.0


PATCH = [Shape.of(patch=side) for side in (30, 20, 12, 8)]


def ask(
    laws: Mapping[Shape, Law],
    start: float | None = None,
    target: float | None = None,
    budget: Amount | None = None,
    steps: Mapping[Shape, float] | None = None,
    allowed: Callable[[Shape, Shape], bool] = lambda p, q: True,
    credit: float = 1.0,
    candidates: Sequence[Shape] = (),
) -> Problem:
    return Problem(
        candidates=tuple(candidates or laws),
        laws=laws,
        units={"patch": "px", "context": "tokens"},
        start=start,
        target=target,
        budget=budget,
        step_compute=steps,
        allowed=allowed,
        credit=lambda p, q: credit,
        spans={},
    )


def two(**more: Any) -> Problem:
    return ask(dict(zip(PATCH, (S, L), strict=False)), **{"start": 1.2, **more})


def route(traversal: Any, problem: Problem) -> Route:
    report = Report()
    found = traversal.route(problem, report)
    assert not report.diagnostics, report.diagnostics
    assert isinstance(found, Route)
    return found


def code(traversal: Any, problem: Problem) -> str:
    report = Report()
    assert traversal.route(problem, report) is None
    (only,) = report.diagnostics
    return only.code


def shapes(found: Route) -> list[Shape]:
    return [leg.shape for leg in found.legs]


def test_steepest_to_a_target() -> None:
    found = route(Steepest(), two(target=0.25))
    assert shapes(found) == PATCH[:2]
    assert found.legs[0].until.error == near(0.4)
    assert found.legs[-1].until == END
    assert found.notes == ()


@pytest.mark.parametrize(
    ("budget", "used"),
    [
        (Amount(4.0, "compute"), 1),
        (Amount(5.1, "compute"), 2),
        (Amount(1e3, "compute"), 2),
        (Amount(1.5, "compute"), 1),
    ],
)
def test_steepest_to_a_budget(budget: Amount, used: int) -> None:
    # The switch is at 5 FLOPs, counted from scratch.
    assert len(route(Steepest(), two(budget=budget)).legs) == used


def test_steepest_optimizes_a_budget_of_steps() -> None:
    """A step of the second shape buys eight times the FLOPs of one of the first: per step it is always better."""
    costs = dict(zip(PATCH, (0.5, 4.0), strict=False))
    (only,) = route(Steepest(), two(budget=Amount(10.5, "steps"), steps=costs)).legs
    assert only.shape == PATCH[1]
    # The other way round, the first law needs 0.25 / (E - 0.2) steps to error E, and the second 8 / E.
    dear = dict(zip(PATCH, (4.0, 0.5), strict=False))
    first, second = route(Steepest(), two(budget=Amount(40.0, "steps"), steps=dear)).legs
    assert [first.shape, second.shape] == PATCH[:2]
    assert first.until.error == pytest.approx(0.2 * 32**0.5 / (32**0.5 - 1))
    assert code(Steepest(), two(budget=Amount(0.5, "steps"), steps=costs)) == "no-way"


def test_the_first_limit_reached_ends_the_plan() -> None:
    assert len(route(Steepest(), two(target=0.25, budget=Amount(4.0, "compute"))).legs) == 1
    assert len(route(Steepest(), two(target=0.25, budget=Amount(99.0, "compute"))).legs) == 2
    assert len(route(Steepest(), two(target=0.9, budget=Amount(99.0, "compute"))).legs) == 1


def test_no_credit_leaves_one_stage_and_says_why() -> None:
    found = route(Steepest(), two(target=0.25, credit=0.0))
    assert shapes(found) == [PATCH[1]]
    assert "`(patch: 20 px)` is the best fixed shape" in found.notes[0]
    assert found.notes[1] == (
        "`(patch: 30 px)` needs 0.36 times the compute per unit of error at error 1.2, 6.25 times at 0.25, and "
        "1.25 times from scratch"
    )
    assert found.notes[2] == (
        "if switches were free: `(patch: 30 px)`, `(patch: 20 px)`, for 11 FLOPs instead of 16 FLOPs"
    )
    assert len(found.notes) == 3


def test_steepest_never_goes_a_forbidden_way() -> None:
    assert shapes(route(Steepest(), two(target=0.25, allowed=lambda p, q: False))) == [PATCH[1]]


@pytest.mark.parametrize(
    ("at_least", "used"),
    [(Amount(4.9, "compute"), 2), (Amount(5.5, "compute"), 2), (Amount(0.45, "ratio"), 2), (Amount(15, "steps"), 1)],
)
def test_the_shortest_stage(at_least: Amount, used: int) -> None:
    costs = dict(zip(PATCH, (0.5, 0.5), strict=False))
    problem = two(target=0.25, budget=Amount(11.0, "compute"), steps=costs)
    assert len(route(Steepest(stage_at_least=at_least), problem).legs) == used


def test_only_measured_crossings_count() -> None:
    laws = {PATCH[0]: law(1, 1, 0.2, 0, (1.2, 0.5)), PATCH[1]: law(4, 1, 0, 0, (1.2, 0.3))}
    found = route(Steepest(), ask(laws, target=0.25))
    assert shapes(found) == [PATCH[1]]
    assert any("1 of 1 crossings are outside the measured range" in note for note in found.notes)
    assert shapes(route(Steepest(extrapolate=True), ask(laws, target=0.25))) == PATCH[:2]


def test_stated_and_measured_laws_may_meet() -> None:
    laws = {PATCH[0]: law(1, 1, 0.2, 0), PATCH[1]: law(4, 1, 0, 0, (1.2, 0.3))}
    assert len(route(Steepest(), ask(laws, start=1.2, target=0.25)).legs) == 2


def test_what_steepest_refuses() -> None:
    cheap = Amount(5.0, "compute")
    assert code(Steepest(), two()) == "no-end"
    assert code(Steepest(), two(start=None, budget=cheap)) == "missing-start"
    assert code(Steepest(), two(start=0.3, target=0.3)) == "target-above-start"
    assert code(Steepest(), ask({PATCH[0]: S}, start=1.2, target=0.15)) == "target-out-of-reach"
    assert code(Steepest(), ask({PATCH[0]: S}, start=0.15, budget=cheap)) == "no-way"
    assert code(Steepest(), ask({}, candidates=PATCH, budget=cheap)) == "missing-laws"
    assert code(Steepest(), two(budget=Amount(5.0, "steps"))) == "uncounted-budget"
    assert code(Steepest(), two(budget=Amount(5.0, "samples"), steps={})) == "uncounted-budget"
    assert code(Steepest(Amount(5.0, "steps")), two(budget=cheap)) == "steps-without-model"
    assert code(Steepest(Amount(0.1, "ratio")), two(target=0.3)) == "ratio-without-budget"


def test_the_nearest_reachable_error_is_reported() -> None:
    report = Report()
    Steepest().route(ask({PATCH[0]: S}, start=1.2, target=0.15), report)
    assert "the lowest floor is 0.2, of `(patch: 30 px)`" in report.errors[0].notes[0]


CONTEXTS = [Shape.of(context=n) for n in (32, 64, 256)]


def contexts(**more: Any) -> Problem:
    laws = [law(1, 1, 0.3, 0, (1.2, 0.35)), law(2, 1, 0.1, 0, (1.2, 0.3)), law(8, 1, 0.0, 0, (1.2, 0.3))]
    return ask(dict(zip(CONTEXTS, laws, strict=True)), **more)


def test_shares_takes_the_cheapest_shape_besides_the_target() -> None:
    found = route(Shares(target=CONTEXTS[2]), contexts(budget=Amount(9.0, "compute")))
    (leg,) = found.legs
    assert leg.shape == CONTEXTS[2]
    assert leg.shares == (Share(CONTEXTS[1], 0.9),)
    assert leg.until == END
    said = "`(context: 64 tokens)` is the best fixed shape except the target: its law predicts error 0.3222"
    assert said in found.notes[0]
    assert "`(context: 32 tokens)`: error 0.4111" in found.notes[1]
    assert len(found.notes) == 2


def test_shares_says_when_it_extrapolates() -> None:
    found = route(Shares(target=CONTEXTS[2], share=0.25), contexts(target=0.2))
    assert found.legs[0].shares == (Share(CONTEXTS[1], 0.75),)
    assert "20 FLOPs to error 0.2" in found.notes[0]
    assert "only measured down to error 0.3 (10 FLOPs)" in found.notes[-1]


def test_what_shares_refuses() -> None:
    target = CONTEXTS[2]
    assert code(Shares(target=target), contexts()) == "no-end"
    assert code(Shares(target=Shape.of(context=512)), contexts(target=0.4)) == "unknown-candidate"
    assert code(Shares(target=target), ask({}, candidates=CONTEXTS, target=0.4)) == "missing-laws"


def test_evenly() -> None:
    found = route(Evenly(), ask({}, candidates=PATCH, budget=Amount(8e9, "compute")))
    assert shapes(found) == PATCH
    assert [leg.until for leg in found.legs] == [
        *(Until(amount=Amount(ratio, "ratio")) for ratio in (0.25, 0.5, 0.75)),
        END,
    ]


def test_evenly_takes_equal_compute_of_a_budget_of_steps() -> None:
    steps = {PATCH[0]: 1.0, PATCH[1]: 3.0}
    found = route(Evenly(), ask({}, candidates=PATCH[:2], budget=Amount(40.0, "steps"), steps=steps))
    assert found.legs[0].until == Until(amount=Amount(0.75, "ratio"))


def test_logarithmic() -> None:
    found = route(Logarithmic(growth=2.0), ask({}, candidates=PATCH, budget=Amount(8e9, "compute")))
    ends = [leg.until.amount.value for leg in found.legs if leg.until.amount]
    assert ends == [near(0.125), near(0.25), near(0.5)]


def test_what_spacing_refuses() -> None:
    for traversal in (Evenly(), Logarithmic()):
        assert code(traversal, ask({}, candidates=PATCH)) == "no-end"
        back = ask({}, candidates=PATCH, budget=Amount(1.0, "compute"), allowed=lambda p, q: False)
        assert code(traversal, back) == "one-way-transition"
        many = tuple(Shape.of(width=1 + index) for index in range(10_001))
        assert code(traversal, ask({}, candidates=many, budget=Amount(1.0, "compute"))) == "too-many-candidates"


def test_random_draws_all_alike() -> None:
    (leg,) = route(Random(), ask({}, candidates=PATCH)).legs
    assert leg.shape == PATCH[-1]
    assert leg.shares == tuple(Share(shape, 0.25) for shape in PATCH[:-1])


def test_fixed() -> None:
    (leg,) = route(Fixed(shape=PATCH[1]), ask({}, candidates=PATCH)).legs
    assert (leg.shape, leg.until) == (PATCH[1], END)
    assert code(Fixed(shape=Shape.of(patch=7)), ask({}, candidates=PATCH)) == "unknown-candidate"


@pytest.mark.parametrize(
    "traversal",
    [Fixed(shape=CONTEXTS[0]), Evenly(), Logarithmic(), Random(), Shares(target=CONTEXTS[0]), Steepest()],
)
def test_a_target_at_a_floor_is_refused_by_all(traversal: Any) -> None:
    laws = dict(zip(reversed(CONTEXTS), [law(1, 1, 0.2, 0), law(1, 1, 0.16, 0), law(1, 1, 0.2, 0)], strict=True))
    problem = ask(laws, start=1.2, target=0.15, budget=Amount(9.0, "compute"))
    assert code(traversal, problem) == "target-out-of-reach"
    above = ask(laws, start=1.2, target=0.25, budget=Amount(9.0, "compute"))
    assert route(traversal, above)


def test_a_plan_may_not_end_in_a_shape_that_misses_the_target() -> None:
    report = Report()
    assert Fixed(shape=PATCH[0]).route(two(target=0.15), report) is None
    (error,) = report.diagnostics
    assert error.message == "`(patch: 30 px)` never reaches error 0.15"
    assert error.notes == ("the plan ends in this shape, and its law approaches 0.2 but never reaches it",)
    assert route(Fixed(shape=PATCH[1]), two(target=0.15))


def test_shares_takes_no_shape_that_it_cannot_blend() -> None:
    both = [Shape.of(patch=side, width=width) for side in (4, 2) for width in (16, 32)]
    laws = dict(zip(both, [law(1, 1, 0.1, 0), law(2, 1, 0.1, 0), law(3, 1, 0.1, 0), law(4, 1, 0, 0)], strict=True))

    def wider(before: Shape, after: Shape) -> bool:
        return after.number("width") >= before.number("width")

    problem = ask(laws, budget=Amount(9.0, "compute"), allowed=wider)
    (leg,) = route(Shares(target=both[3]), problem).legs
    assert leg.shape == both[3]
    assert leg.shares == (Share(both[1], 0.9),)
    assert code(Shares(target=Shape.of(width=32)), problem) == "not-blendable"


def test_every_component_is_documented() -> None:
    for component in COMPONENTS:
        assert component.__doc__
