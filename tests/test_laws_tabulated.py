"""Laws that are tables of points: interpolation, JSON, and routes along them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from shapeflow.ir.law import Law, Provenance
from shapeflow.ir.law_json import any_law_from_json, law_from_json, law_to_json
from shapeflow.ir.route import Curve
from shapeflow.ir.tabulated import TabulatedLaw
from shapeflow.traversals.bounds import InUnit
from shapeflow.traversals.envelope import Lines, crossings, greedy, openings, total
from shapeflow.traversals.search import End, cheapest

ABOUT = Provenance(source="theory", metric="loss", convention="flops")


def table(law: Curve, first: float = 1e-3, last: float = 1e6, count: int = 200) -> TabulatedLaw:
    compute = np.geomspace(first, last, count).tolist()
    return TabulatedLaw(law.floor, tuple(compute), tuple(law.error(each) - law.floor for each in compute), ABOUT)


def power(a: float, b: float, c: float) -> Law:
    return Law(a, b, c, 0.0, ABOUT)


def curved() -> TabulatedLaw:
    """Steep, then flat, then steep again."""
    compute = np.geomspace(1.0, 1e6, 40)
    return TabulatedLaw(0.1, tuple(compute.tolist()), tuple((3 / compute + compute**-0.1).tolist()), ABOUT)


def test_many_rates_at_once_are_those_of_each_law() -> None:
    """Tables of different lengths next to a power law, at, between and beyond their points, and below their floors."""
    laws: list[Curve] = [curved(), power(2.0, 0.5, 0.3), table(power(1.0, 0.7, 0.05), count=9)]
    laws.append(InUnit(curved(), 1e-3))
    errors = np.concatenate([*(law.bends for law in laws), np.linspace(-1.0, 9.0, 801), [law.floor for law in laws]])
    lines = Lines.of(laws)
    expected = np.array([[law.log_rate(error) for error in errors.tolist()] for law in laws])
    rows = [np.broadcast_to(rates, errors.shape) for rates in lines.rates(np.sort(errors))]
    np.testing.assert_allclose(rows, expected[:, np.argsort(errors)], rtol=1e-12, atol=1e-12)
    law, error = (np.array(each).ravel() for each in np.meshgrid(np.arange(len(laws)), errors, indexing="ij"))
    np.testing.assert_allclose(lines.rate(law, error), expected.ravel(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("compute", [1e-9, 0.7, 31.0, 1e5, 1e8])
def test_a_table_of_a_power_law_is_that_law(compute: float) -> None:
    truth = power(2.0, 0.6, 0.3)
    law = table(truth, count=30)
    error = truth.error(compute)
    assert law.error(compute) == pytest.approx(error, rel=1e-12)
    assert law.compute(error) == pytest.approx(truth.compute(error), rel=1e-7)
    assert law.log_rate(error) == pytest.approx(truth.log_rate(error), abs=1e-6)
    assert law.slope(compute) == pytest.approx(truth.slope(compute), rel=1e-6)


@given(st.floats(-12, 20))
def test_compute_is_the_inverse_of_error(log: float) -> None:
    law = curved()
    assert math.log(law.compute(law.error(math.exp(log)))) == pytest.approx(log, abs=1e-7)


@pytest.mark.parametrize("compute", np.geomspace(0.1, 1e7, 29).tolist())
def test_slopes_are_those_of_the_curve(compute: float) -> None:
    law, step = curved(), 1e-5
    change = (law.error(compute * (1 + step)) - law.error(compute * (1 - step))) / (2 * step * compute)
    assert law.slope(compute) == pytest.approx(change, rel=1e-3)
    assert law.log_rate(law.error(compute)) == pytest.approx(-math.log(-law.slope(compute)), abs=1e-6)


def test_the_interpolation_is_that_of_scipy() -> None:
    law = curved()
    reference = PchipInterpolator(-np.log(law.above), np.log(law.compute_points))
    inner = 0.5 * (np.log(law.above[1:-2]) + np.log(law.above[2:-1]))
    found = [math.log(law.compute(law.floor + math.exp(each))) for each in inner]
    np.testing.assert_allclose(found, reference(-inner), rtol=1e-12, atol=1e-12)


def test_the_ends() -> None:
    law = curved()
    assert law.error(0.0) == math.inf
    assert law.slope(0.0) == -math.inf
    assert law.compute(0.1) == law.log_rate(0.1) == math.inf
    assert law.compute(1e300) >= 0
    assert law.measured == (law.error(1.0), law.error(1e6))
    assert law.begins == 0.0
    assert law.error(1e30) > law.floor


@pytest.mark.parametrize(
    ("floor", "compute", "above"),
    [
        (0.0, (1.0,), (1.0,)),
        (0.0, (1.0, 2.0), (1.0,)),
        (0.0, (1.0, 1.0), (2.0, 1.0)),
        (0.0, (1.0, 2.0), (1.0, 1.0)),
        (0.0, (0.0, 2.0), (2.0, 1.0)),
        (0.0, (1.0, 2.0), (2.0, 0.0)),
        (0.0, (1.0, math.inf), (2.0, 1.0)),
        (math.nan, (1.0, 2.0), (2.0, 1.0)),
    ],
)
def test_what_is_not_a_law(floor: float, compute: tuple[float, ...], above: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="table of a law"):
        TabulatedLaw(floor, compute, above, ABOUT)


def test_json() -> None:
    law = curved()
    data = json.loads(json.dumps(law_to_json(law), allow_nan=False))
    assert any_law_from_json(data) == law
    assert any_law_from_json(law_to_json(power(1, 1, 0))) == power(1, 1, 0)
    with pytest.raises(ValueError, match="lacks a, b, c, d"):
        law_from_json(data)
    for change in ({"table": []}, {"table": [[1, 2], [3]]}, {"table": 1}, {"floor": "x"}, {"extra": 1}):
        with pytest.raises(ValueError, match=r"table|floor|unknown keys"):
            any_law_from_json({**data, **change})


S, L = power(1, 1, 0.2), power(4, 1, 0)
P, Q = power(72 / 49, 1, 1 / 7), power(1, 0.5, 0)


@pytest.mark.parametrize("laws", [(S, L), (P, Q), (S, L, P, Q)])
@pytest.mark.parametrize("kept", [0, 1])
def test_tables_cross_where_their_laws_do(laws: Sequence[Law], kept: int) -> None:
    """Also where some laws are power laws and others tables."""
    tables: list[Curve] = [*laws[:kept], *(table(law) for law in laws[kept:])]
    for target in (None, 0.22):
        expected, found = crossings(laws, 3.9, target), crossings(tables, 3.9, target)
        assert [(one.upper, one.lower) for one in found] == [(one.upper, one.lower) for one in expected]
        assert [one.error for one in found] == pytest.approx([one.error for one in expected], rel=1e-5)
    assert openings(tables, 1.1) == openings(laws, 1.1)


def test_a_credit_shifts_the_crossing_of_tables() -> None:
    ease = np.log([[1.0, 0.8], [0.8, 1.0]])
    (expected,), (found,) = crossings([S, L], 1.2, 0.25, ease), crossings([table(S), table(L)], 1.2, 0.25, ease)
    assert found.error == pytest.approx(expected.error, rel=1e-5)


@pytest.mark.parametrize("unit", [1.0, 1e-9])
def test_the_cheapest_route_along_tables(unit: float) -> None:
    laws: list[Curve] = [InUnit(table(law), unit) for law in (P, Q)]
    found = greedy(laws, 4, 0.2)
    assert [one.law for one in found] == [1, 0, 1]
    assert [one.compute / unit for one in found] == pytest.approx([15 / 16, 12, 9], rel=1e-4)
    way = cheapest(laws, 4, crossings(laws, 4, 0.2), End(target=0.2))
    assert way is not None
    assert way.total == pytest.approx(total(laws, found), rel=1e-9)


@pytest.mark.parametrize(("p", "q", "ceiling"), [(0.75, 1.2, 0.9012), (0.28, 0.34, 0.946), (1.0, 1.0, 0.844)])
def test_the_most_that_a_continuous_width_can_save(p: float, q: float, ceiling: float) -> None:
    """With loss = A r^-p + C d^-q and compute r d, the cheapest route over all widths costs g(1/p + 1/q) / g(1/p) of
    the best fixed width, g(y) = (1 + 1/y)^(y + 1), at every error."""
    widths = np.geomspace(1.0, 10 ** (4 / q), 240).tolist()
    laws = [power(d**p, p, 3 * d**-q) for d in widths]
    target, start = 3 * widths[-1] ** -q * 30, 1.0
    route = total(laws, greedy(laws, start, target))
    best = min(law.compute(target) for law in laws)

    def g(y: float) -> float:
        return (1 + 1 / y) ** (y + 1)

    assert g(1 / p + 1 / q) / g(1 / p) == pytest.approx(ceiling, abs=1e-3)
    assert route / best == pytest.approx(g(1 / p + 1 / q) / g(1 / p), rel=1e-3)


def test_a_table_is_compared_by_its_points() -> None:
    law = curved()
    assert law == attrs.evolve(law)
    assert law != attrs.evolve(law, floor=0.2)
