"""Quantiles of draws that are infinite or NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shapeflow.ir.quantiles import quantiles
from shapeflow.laws.exponents.estimate import Estimate


@pytest.mark.filterwarnings("error")
def test_quantiles_next_to_infinite_draws_are_infinite() -> None:
    draws = np.array([-np.inf, -np.inf, 1.0, 2.0, np.inf, np.inf])
    assert quantiles(draws, [0.1, 0.3, 0.5, 0.7, 0.9]).tolist() == [-math.inf, -math.inf, 1.5, math.inf, math.inf]


@pytest.mark.filterwarnings("error")
def test_draws_that_are_not_numbers_do_not_count() -> None:
    assert Estimate.of(np.array([np.nan, 1.0, 2.0, 3.0, np.nan])).value == 2.0
    assert math.isnan(Estimate.of(np.array([np.nan, np.nan])).value)
