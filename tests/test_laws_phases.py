"""`laws from phases`: plans along the exact laws of power-law random features."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from sources import compiled, refused, written
from threadpoolctl import threadpool_info, threadpool_limits

from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.ir.edits import EditError
from shapeflow.ir.law import Provenance
from shapeflow.ir.plan_json import dumps, loads
from shapeflow.ir.tabulated import TabulatedLaw
from shapeflow.laws.random_features.loss import LossCurve
from shapeflow.laws.random_features.table import SETTLED, points
from shapeflow.laws.random_features.theory import Theory

TEXT = """
axis width in [64, 128, 256] via width_expand
laws from phases(alpha: 1.0, beta: 0.7)
traversal steepest
budget 1 MFLOPs
"""
ONE = Theory(1.0, 0.7)
ABOUT = Provenance(source="theory", metric="loss@own", convention="flops")


def test_a_plan_without_a_model(tmp_path: Path) -> None:
    plan = compiled(tmp_path, TEXT)
    assert [stage.shape.number("width") for stage in plan.stages] == [64, 128, 256]
    assert plan.answer is not None
    assert (plan.answer.say, plan.answer.stated) == ("yes", True)
    assert loads(dumps(plan), "plan") == plan
    for candidate in plan.candidates:
        law = candidate.law
        assert isinstance(law, TabulatedLaw)
        about = law.provenance
        assert (about.source, about.citation) == ("theory", "Paquette et al. 2024, arXiv 2405.15074")
        assert about.settings["features"] == 4 * candidate.shape.number("width")


def test_it_is_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["simulate", str(written(tmp_path, TEXT))]) == 0
    assert "predicted compute to reach each target" in capsys.readouterr().out


def test_switches_are_where_the_exact_rates_cross(tmp_path: Path) -> None:
    """And so is the saving: the table costs no accuracy that matters."""
    plan = compiled(tmp_path, TEXT)
    curves = {width: ONE.curve(width) for width in (64, 128, 256)}

    def rate(width: int, loss: float) -> float:
        """Compute per unit of loss."""
        curve = curves[width]
        steps = curve.steps(loss)
        return -curve.step_compute / float(curve.slope(np.array([steps]))[0])

    for before, after in ((64, 128), (128, 256)):
        low = 1.001 * max(curves[before].floor, curves[after].floor)
        crossed = brentq(lambda loss, p=before, q=after: math.log(rate(p, loss) / rate(q, loss)), low, 0.1)
        switch = next(stage for stage in plan.stages if stage.shape == Shape.of(width=after))
        assert switch.enter.error == pytest.approx(crossed, rel=1e-3)
    spent = 0.0
    for stage in plan.stages[:-1]:
        curve = curves[stage.shape.number("width")]
        spent += curve.compute(stage.leave.error or 0) - (curve.compute(stage.enter.error) if spent else 0.0)
    last = curves[256]
    end = last.error(last.compute(plan.stages[-1].enter.error or 0) + 1e6 - spent)
    assert plan.totals.error == pytest.approx(end, rel=1e-3)


@pytest.mark.parametrize(("alpha", "beta"), [(0.8, 0.3), (0.2, 0.8), (0.8, 1.4), (0.4, 0.9), (0.27, 0.9), (3.0, 3.0)])
@pytest.mark.parametrize("width", [8, 300])
def test_a_table_is_the_curve(alpha: float, beta: float, width: int) -> None:
    curve = Theory(alpha, beta).curve(width)
    compute, above = points(curve, curve.step_compute)
    assert compute[0] == width
    law = TabulatedLaw(curve.floor, compute, above, ABOUT)
    for place in np.geomspace(compute[0], compute[-1], 50)[1:-1].tolist():
        assert law.error(place) == pytest.approx(curve.error(place), rel=1e-3)
    wide = np.linspace(math.log(compute[0]) - 5, math.log(compute[-1]) + 5, 200)
    np.testing.assert_allclose(law.errors(wide), [law.error(math.exp(place)) for place in wide], rtol=1e-11)
    assert above[-1] > SETTLED * curve.floor


def test_a_curve_that_rises_first_begins_at_its_top() -> None:
    """The noise of a large step size can raise the loss before directions are learned."""
    curve = LossCurve(0.1, np.array([1.0, -0.5]), np.array([-0.01, -0.5]), 10.0)
    compute, above = points(curve, curve.step_compute)
    assert compute[0] > 10
    assert all(one > two for one, two in itertools.pairwise(above))


@pytest.mark.parametrize(
    ("settings", "features", "step"),
    [
        ({}, 400, None),
        ({"ratio": 2.5}, 250, None),
        ({"features": 5000, "step": 0.01}, 5000, 0.01),
        ({"step_times_trace": 0.25, "batch": 2}, 400, None),
    ],
)
def test_settings(settings: dict[str, float], features: int, step: float | None) -> None:
    source = Theory(1.0, 0.7, **settings)  # type: ignore[arg-type]
    model = source.model(100)
    assert model.features == features
    expected = step or settings.get("step_times_trace", 0.5) / model.trace
    assert source.step_of(model) == pytest.approx(expected)
    assert source.curve(100).step_compute == 100 * source.batch


def test_the_default_step_is_stable_at_every_batch() -> None:
    for batch in (1, 8, 64):
        for alpha, beta in ((1.0, 0.7), (0.4, 0.9)):
            assert Theory(alpha, beta, batch=batch).curve(64).floor > 0


def test_the_bound_that_is_reported_holds_for_all_widths(tmp_path: Path) -> None:
    (error,) = refused(tmp_path, TEXT.replace("0.7", "0.7, step: 3"))
    assert error.code == "unstable-step"
    assert error.help is not None
    largest = error.help.split("`")[1]
    assert compiled(tmp_path, TEXT.replace("0.7", f"0.7, {largest}")).stages
    for step, says in ((3, "diverges"), (0.593, "the loss rises from")):
        with pytest.raises(EditError, match=says) as raised:
            Theory(1.0, 0.7, step=step).curve(64)
        assert raised.value.code == "unstable-step"


def test_too_few_random_matrices_for_an_interval(tmp_path: Path) -> None:
    (error,) = refused(tmp_path, TEXT.replace("0.7", "0.7, matrices: 2"))
    assert error.code == "out-of-range"
    assert "do not show a 90% interval" in error.message


def test_work_that_is_out_of_proportion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of 3 widths with 4 times as many features: the advice is the most matrices within the bound."""
    each = sum(4 * width * (width + 30) ** 2 for width in (64, 128, 256))
    monkeypatch.setenv("SHAPEFLOW_MOST_PRODUCTS", str(12 * each))
    (error,) = refused(tmp_path, TEXT.replace("0.7", "0.7, matrices: 13"))
    assert error.code == "out-of-range"
    assert f"take {13 * each:,} products" in error.message
    assert error.help == "write `matrices: 12`, or set `SHAPEFLOW_MOST_PRODUCTS`"
    assert compiled(tmp_path, TEXT.replace("0.7", "0.7, matrices: 12")).answer is not None
    monkeypatch.setenv("SHAPEFLOW_MOST_PRODUCTS", str(each - 1))
    (error,) = refused(tmp_path, TEXT.replace("0.7", "0.7, seed: 1"))
    assert error.help == "leave `seed` out, or set `SHAPEFLOW_MOST_PRODUCTS`"


def test_small_matrices_use_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curve, seen = Theory.curve, set[int]()

    def watched(theory: Theory, width: float) -> LossCurve:
        seen.update(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        return curve(theory, width)

    monkeypatch.setattr(Theory, "curve", watched)
    with threadpool_limits(2, "blas"):
        compiled(tmp_path, TEXT.replace("0.7)", "0.7, matrices: 10)"))
        assert any(library["num_threads"] > 1 for library in threadpool_info() if library["user_api"] == "blas")
    assert seen == {1}


def test_more_laws_than_are_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHAPEFLOW_MOST_PHASES_LAWS", "2")
    (error,) = refused(tmp_path, TEXT)
    assert error.code == "out-of-range"
    assert error.message == "`phases` has to compute the laws of 3 candidates"
    assert error.help == "list fewer values on an axis, or set `SHAPEFLOW_MOST_PHASES_LAWS`"
    monkeypatch.setenv("SHAPEFLOW_MOST_PHASES_LAWS", "3")
    assert compiled(tmp_path, TEXT).stages


def test_a_step_size_that_one_random_matrix_does_not_stand(tmp_path: Path) -> None:
    """Of 40 matrices of 8 features, the least stable one allows less than their average."""
    text = TEXT.replace("[64, 128, 256]", "[8, 16]").replace("0.7", "0.7, step: 0.4")
    assert compiled(tmp_path, text).stages
    (error,) = refused(tmp_path, text.replace("step: 0.4", "step: 0.4, matrices: 40"))
    assert error.code == "unstable-step"
    assert error.notes == ("so it is for one of the 40 random matrices, not for their average",)
