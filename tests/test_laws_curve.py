"""Laws as curves: inverse, slope, JSON, and laws stated in the text."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapeflow.ir.law import Law, Provenance
from shapeflow.ir.law_json import law_from_json, law_to_json
from shapeflow.laws.power import Power

STATED = Provenance(source="stated", metric="loss@own", convention="flops")
FITTED = Provenance(
    source="fit",
    metric="loss@own",
    convention="flops",
    files=(("runs/a.csv", "0" * 64),),
    runs=2,
    points=60,
    dropped={"warm-up": 4},
    compute=(1e15, 1e18),
    error=(3.5, 2.5),
    rms=0.004,
    exponent="pooled",
    settings={"paths": "runs/*.csv"},
    spent=2e18,
)


@settings(derandomize=True, deadline=None)
@given(
    a=st.floats(1e-2, 1e6),
    b=st.floats(0.1, 2.0),
    c=st.floats(0.0, 5.0),
    d=st.floats(-0.5, 10.0),
    drop=st.floats(1e-3, 10.0),
)
def test_compute_is_the_inverse_of_error(a: float, b: float, c: float, d: float, drop: float) -> None:
    law = Law(a, b, c, d, STATED)
    error = c + drop
    if law.compute(error) > 0:
        assert law.error(law.compute(error)) == pytest.approx(error, rel=1e-6)


def test_rate_is_the_slope_turned_over() -> None:
    law = Law(4.0, 0.3, 0.2, 2.0, STATED)
    compute = law.compute(0.9)
    assert law.log_rate(0.9) == pytest.approx(-math.log(-law.slope(compute)), rel=1e-12)
    step = 1e-4
    assert law.slope(5.0) == pytest.approx((law.error(5 + step) - law.error(5 - step)) / (2 * step), rel=1e-6)


def test_no_compute_reaches_the_floor() -> None:
    law = Law(1.0, 1.0, 0.2, 0.0, STATED)
    assert law.compute(0.2) == law.log_rate(0.1) == math.inf
    assert law.error(0.0) == math.inf
    assert law.slope(0.0) == -math.inf
    assert law.floor == 0.2
    assert law.measured is None


def test_compute_may_overflow_without_an_exception() -> None:
    assert Law(1e6, 1e-3, 0.0, 0.0, STATED).compute(1e-3) == math.inf


@pytest.mark.parametrize("numbers", [(0, 1, 0, 0), (1, -1, 0, 0), (1, 1, math.nan, 0), (1, 1, 0, math.inf)])
def test_a_law_is_a_falling_power_law(numbers: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="law's"):
        Law(*numbers, STATED)


@pytest.mark.parametrize("provenance", [STATED, FITTED])
def test_json_both_ways(provenance: Provenance) -> None:
    law = Law(1.0, 0.5, 0.25, -3.0, provenance)
    assert law_from_json(json.loads(json.dumps(law_to_json(law), allow_nan=False))) == law


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"a": math.nan}, "a must be a finite number"),
        ({"a": "1"}, "a must be a finite number"),
        ({"rms": math.inf}, "rms must be a finite number"),
        ({"colour": 1}, "unknown keys: colour"),
        ({"runs": -1}, "runs must be a count"),
        ({"compute": [1.0]}, "compute must be a pair"),
        ({"files": [["only a name"]]}, "files must be a list"),
        ({"source": "guess"}, "source must be one of"),
        ({"dropped": {"warm-up": 0.5}}, "warm-up must be a count"),
    ],
)
def test_json_is_read_strictly(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        law_from_json({**law_to_json(Law(1.0, 0.5, 0.25, 0.0, FITTED)), **change})


def test_json_with_a_missing_key() -> None:
    data = law_to_json(Law(1.0, 0.5, 0.25, 0.0, FITTED))
    del data["metric"]
    with pytest.raises(ValueError, match="lacks metric"):
        law_from_json(data)


def test_power_states_a_law() -> None:
    law = Power(a=4.1, b=0.31, c=0.19, d=2e15).law("classification_error", "flops")
    assert (law.a, law.b, law.c, law.d) == (4.1, 0.31, 0.19, 2e15)
    assert law.provenance.source == "stated"
