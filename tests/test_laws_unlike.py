"""Runs of one shape are compared with each other: as one pair at a time would, and in time that is that of their
number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from shapeflow.ir.law import MeasuredCurve
from shapeflow.laws.fitting import unlike
from shapeflow.laws.fitting.curve import slope_of
from shapeflow.laws.fitting.unlike import COMPARED, FEWEST, SIGMAS, shifts
from shapeflow.laws.logs.points import Floats


def curves_of(count: int, seed: int) -> list[MeasuredCurve]:
    """Curves of other lengths, ranges and noise, some of them of other settings."""
    rng = np.random.default_rng(seed)
    found: list[MeasuredCurve] = []
    for index in range(count):
        points = int(rng.integers(8, 30))
        compute = np.geomspace(10 ** rng.uniform(12, 14), 10 ** rng.uniform(14.5, 16), points)
        own = 1.3 if index % 5 == 0 else 1.0
        error = 1 + 3e3 * (own * compute) ** -0.27 * np.exp(rng.normal(0, 1e-3, points))
        found.append(
            MeasuredCurve(
                compute=tuple(compute),
                error=tuple(error),
                noise=float(10 ** rng.uniform(-4, -2)),
                runs=1,
                spread=0.0,
            )
        )
    return found


def one_by_one(curves: Sequence[MeasuredCurve]) -> list[float]:
    """The same, one pair at a time."""

    def shift(one: MeasuredCurve, other: MeasuredCurve) -> float:
        x, y = np.log(one.compute), np.log(one.error)
        x2, y2 = np.log(other.compute), np.log(other.error)
        shared = (x >= x2[0]) & (x <= x2[-1])
        if int(shared.sum()) < FEWEST // 2:
            return 0.0
        off = y[shared] - np.interp(x[shared], x2, y2)
        noise = math.hypot(one.noise, other.noise) / np.sqrt(shared.sum())
        return 0.0 if abs(off.mean()) < SIGMAS * noise else float(np.median(off / -slope_of(x, y)[shared]))

    return [float(np.median([shift(one, other) for other in curves if other is not one])) for one in curves]


def test_all_pairs_at_once_are_one_pair_at_a_time() -> None:
    for count, seed in ((2, 0), (3, 1), (COMPARED, 2)):
        curves = curves_of(count, seed)
        found = shifts(curves)
        assert np.abs(found - one_by_one(curves)).max() < 1e-12
        assert np.abs(found).max() > 0.1


def test_a_run_alone_is_compared_with_none() -> None:
    assert shifts(curves_of(1, 0)).tolist() == [0.0]
    assert shifts([]).tolist() == []


def test_many_runs_are_compared_with_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    curves, seen = curves_of(100, 3), list[int]()
    own = unlike._Curves.shifts

    def counted(self: unlike._Curves, other: MeasuredCurve) -> Floats:
        seen.append(1)
        return own(self, other)

    monkeypatch.setattr(unlike._Curves, "shifts", counted)
    found = shifts(curves)
    assert len(seen) == COMPARED
    # The median of some is that of all within the noise of the runs.
    assert np.abs(found - one_by_one(curves)).max() < 0.03


def test_runs_that_are_listed_by_turns_are_compared_with_all_kinds() -> None:
    """Every fourth run is of another setting, and so would be all of 64 at equal distances."""
    compute = np.geomspace(1e13, 1e15, 8)
    own = [1.5 if index % 4 == 0 else 1.0 for index in range(253)]
    curves = [
        MeasuredCurve(
            compute=tuple(compute),
            error=tuple(1 + 3e3 * (each * compute) ** -0.27),
            noise=1e-6,
            runs=1,
            spread=0.0,
        )
        for each in own
    ]
    found = np.abs(shifts(curves))
    assert found[1::4].max() < 1e-6
    assert found[0::4].min() > 0.3
