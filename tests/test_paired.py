"""Paired statistics of savings, against formulas in closed form, scipy and numbers from the literature."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from shapeflow.running.rivals import Paired, paired

SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
"""Additional hours of sleep of ten patients, second drug less first: Student, "The probable error of a mean", 1908."""


def known(values: list[float]) -> tuple[float, float, float, float]:
    found = paired(values)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.p is not None
    return found.mean, found.low, found.high, found.p


def test_the_data_of_student() -> None:
    """R documents `t.test` with these data: t = 4.0621 with 9 degrees of freedom, p = 0.002833, 0.7001 to 2.4599."""
    mean, low, high, p = known(SLEEP)
    assert mean == pytest.approx(1.58)
    assert (low, high) == (pytest.approx(0.7001142, abs=1e-6), pytest.approx(2.4598858, abs=1e-6))
    assert p == pytest.approx(0.00283289, abs=1e-7)


@pytest.mark.parametrize("values", [SLEEP, [0.5, 0.4, 0.48], [-0.1, 0.3], [0.2, -0.2, 0.01, 0.0]])
def test_scipy_agrees(values: list[float]) -> None:
    _, low, high, p = known(values)
    test = stats.ttest_1samp(values, 0.0)
    assert p == pytest.approx(test.pvalue, rel=1e-9)
    assert (low, high) == pytest.approx(tuple(test.confidence_interval(0.95)), rel=1e-9)


def test_two_pairs_in_closed_form() -> None:
    """One degree of freedom is the Cauchy distribution: its quantile is tan(0.475 pi), and p = 1 - 2 atan(t) / pi."""
    mean, low, high, p = known([0.2, 0.4])
    assert mean == pytest.approx(0.3)
    assert high - mean == pytest.approx(0.1 * math.tan(0.475 * math.pi))
    assert mean - low == pytest.approx(0.1 * math.tan(0.475 * math.pi))
    assert p == pytest.approx(1 - 2 / math.pi * math.atan(3))


def test_the_interval_contains_zero_where_p_is_above_five_percent() -> None:
    for shift in (0.0, 0.05, 0.1, 0.2, 0.5):
        _, low, high, p = known([shift - 0.1, shift + 0.02, shift + 0.08])
        assert (low <= 0 <= high) == (p >= 0.05)


def test_one_pair_no_pair_and_equal_pairs() -> None:
    assert paired([0.3]) == Paired(0.3, None, None, None)
    assert paired([]) is None
    assert paired([0.3, None, 0.2]) is None, "a seed that never reaches the target cannot be left out"
    assert paired([0.25, 0.25]) == Paired(0.25, 0.25, 0.25, 0.0)
    assert paired([0.0, 0.0]) == Paired(0.0, 0.0, 0.0, 1.0)
