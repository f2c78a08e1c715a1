"""`shapeflow phases --fit`: exponents measured on curves with known exponents, and refusals."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import exponents
import phase_curves
from shapeflow.base.diagnostics import Refused
from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.laws.exponents.crossings import crossing
from shapeflow.laws.exponents.estimate import Estimate
from shapeflow.laws.exponents.family import family_of
from shapeflow.laws.exponents.measure import Findings, measure
from shapeflow.laws.exponents.resemblance import resembling
from shapeflow.laws.logs.runs import Run
from shapeflow.preview.exponents import exponents_view
from shapeflow.preview.screen import show

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples/laws/random_features.csv"
WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096)
P, Q = 0.75, 1.2
Loss = Callable[[float, float], float]


def power(steps: float, width: float) -> float:
    """A family with xi = P / (P + Q) and eta = P Q / (P + Q)."""
    return steps**-P + 3 * width**-Q


def runs(loss: Loss, widths: Sequence[int] = WIDTHS, noise: float = 0.005, seed: int = 0, cost: int = 1) -> list[Run]:
    """A run of each width; a step costs width^cost FLOPs."""
    rng, found = np.random.default_rng(seed), []
    for width in widths:
        run = Run(Shape.of({"width": width}), "a file")
        for step in np.geomspace(1, 1e7, 60).tolist():
            value = loss(step, width) * float(np.exp(noise * rng.standard_normal()))
            run.add(step * width**cost, value, step)
        found.append(run)
    return found


def findings(loss: Loss, widths: Sequence[int] = WIDTHS, *, budgets: Sequence[float] = (), **how: float) -> Findings:
    return measure(family_of(runs(loss, widths, **how)), budgets)  # type: ignore[arg-type]


def contains(interval: Estimate, value: float) -> bool:
    return interval.low <= value <= interval.high


def named(found: Findings) -> set[str]:
    return {one.phase for one in found.resembles}


@pytest.mark.parametrize(
    ("alpha", "beta", "phase", "others"), [(0.8, 0.3, "Ia", set()), (1.0, 0.7, "II", set()), (0.8, 1.4, "III", {"II"})]
)
def test_exact_losses_of_random_features(alpha: float, beta: float, phase: str, others: set[str]) -> None:
    """The best widths of the exact envelope are those of the crossings, 90 to 2900."""
    truth = exponents.measured(alpha, beta, exponents.NARROW)
    for seed, noise in ((0, 0.002), (1, 0.01), (2, 0.03)):
        made = []
        for width, step, compute, loss in phase_curves.rows(alpha, beta, seed, noise):
            if not made or made[-1].shape["width"] != width:
                made.append(Run(Shape.of({"width": width}), "a file"))
            made[-1].add(compute, loss, step)
        found = measure(family_of(made))
        assert contains(found.xi, truth.width_exponent)
        assert contains(found.eta, truth.loss_exponent)
        assert max(found.xi.wide, found.eta.wide) < 0.07
        assert found.floor is None
        assert named(found) == {phase, *others}


def test_a_pure_power_law_has_its_exponents() -> None:
    hits = [findings(power, seed=seed) for seed in range(10)]
    assert sum(contains(one.xi, P / (P + Q)) for one in hits) >= 9
    assert sum(contains(one.eta, P * Q / (P + Q)) for one in hits) >= 9
    assert all(one.xi.wide < 0.03 and one.constant for one in hits)


def test_a_floor_is_estimated_where_the_loss_flattens() -> None:
    found = findings(lambda steps, width: 0.001 + power(steps, width))
    assert found.floor is not None
    assert contains(found.floor, 0.001)
    assert found.floor.wide < 0.0005
    assert contains(found.eta, P * Q / (P + Q))
    assert contains(found.xi, P / (P + Q))
    few = findings(lambda steps, width: 0.001 + power(steps, width), WIDTHS[::2])
    assert few.floor is None
    assert few.floor_wanted
    assert few.constant is False


def test_drift_is_reported_and_not_extrapolated(capsys: pytest.CaptureFixture[str]) -> None:
    """What a width cannot express falls as width^-0.4 up to a width of about 500, and as width^-1.8 from there on."""

    def loss(steps: float, width: float) -> float:
        return steps**-P + 3 / (width**0.4 + width**1.8 / 500**1.4)

    found = findings(loss, budgets=(1e5, 1e12))
    assert found.constant is False
    assert found.floor is None
    assert found.by_half is not None
    assert not {one.phase for one in found.by_half[0]} & {one.phase for one in found.by_half[1]}
    inside, beyond = found.predicted
    assert inside.width is not None
    assert (beyond.width, beyond.loss) == (None, None)
    show(exponents_view(found, ()))
    screen = capsys.readouterr().out
    assert "the exponents are not constant and should not be extrapolated" in screen
    assert "the runs cross a line between phases" in screen


def test_budgets() -> None:
    found = findings(power, budgets=(1e6, 1e10))
    inside, beyond = found.predicted
    assert inside.beyond == 1
    assert beyond.beyond == pytest.approx(1e10 / found.compute[1])
    for one in (inside, beyond):
        assert one.width is not None
        assert one.loss is not None
        # The minimum of (C / d)^-P + 3 d^-Q over d; a crossing is half an octave from it.
        best = (3 * Q / P * one.budget**P) ** (1 / (P + Q))
        assert one.width.value == pytest.approx(best, rel=0.1)
        assert one.loss.value == pytest.approx(power(one.budget / best, best), rel=0.1)


def test_the_cost_of_a_step_is_measured() -> None:
    """Where a step costs width^2, the theory's width is the square of the width."""
    found = findings(lambda steps, width: power(steps, width**2), (8, 16, 32, 64), cost=2)
    assert found.family.step_cost == pytest.approx(2.0)
    assert contains(found.size_xi, P / (P + Q))
    assert contains(found.xi, P / (P + Q) / 2)
    assert named(found) == {"Ia"}


@pytest.mark.parametrize(
    ("code", "loss", "widths", "how"),
    [
        ("few-widths", power, (64, 256), {}),
        ("few-widths", power, (1000, 1005, 1010), {}),
        ("few-widths", power, (64, 128, 255), {}),
        ("short-envelope", power, (64, 128, 256), {}),
        ("no-interior-optimum", lambda steps, width: (steps * width) ** -0.3 * width**0.2, WIDTHS, {}),
        ("no-interior-optimum", lambda steps, width: (steps * width) ** -0.3 * width**-0.2, WIDTHS, {}),
        ("rising-loss", lambda steps, width: 1.0, WIDTHS, {"noise": 0.3}),
        ("rising-loss", lambda steps, width: power(steps, width) * (1 + (steps > 3e6)), WIDTHS, {"noise": 0.002}),
        (
            "loose-exponents",
            lambda steps, width: steps**-0.3 + 1.5 * width**-0.4,
            WIDTHS[:4],
            {"noise": 0.03, "seed": 2},
        ),
    ],
)
def test_refusals(code: str, loss: Loss, widths: Sequence[int], how: dict[str, float]) -> None:
    with pytest.raises(Refused) as refused:
        findings(loss, widths, **how)
    assert [one.code for one in refused.value.diagnostics] == [code]


@pytest.mark.parametrize("seed", range(6))
def test_noise_around_one_curve_has_no_exponents(seed: int) -> None:
    with pytest.raises(Refused):
        findings(lambda steps, width: (steps * width) ** -0.3, noise=0.1, seed=seed)


def test_a_width_that_is_never_the_best_is_left_out() -> None:
    def loss(steps: float, width: float) -> float:
        return power(steps, width) * (1.3 if width == 512 else 1.0)

    found = findings(loss)
    assert all(512 not in one.widths for one in found.crossings)
    assert contains(found.xi, P / (P + Q))


def test_an_interval_of_a_negative_multiple_is_in_order() -> None:
    assert Estimate(2.0, 1.0, 4.0).times(-2.0) == Estimate(-4.0, -8.0, -2.0)


def test_a_step_that_costs_less_for_wider_models_is_doubted(capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(power)
    show(exponents_view(attrs.evolve(found, family=attrs.evolve(found.family, step_cost=-0.5)), ()))
    assert "a step costs width^-0.5: is the compute" in capsys.readouterr().out


def test_crossing() -> None:
    x = np.linspace(0, 10, 101)
    assert crossing(x, 3.14 - x) == pytest.approx(3.14)
    assert crossing(x, x - 20) is None
    assert crossing(x, 20 - x) is None
    # A dip before the crossing, as noise makes it, is not the crossing.
    assert crossing(x, np.where((x > 1) & (x < 1.2), -0.1, 7.05 - x)) == pytest.approx(7.05)


def test_resembling() -> None:
    def near(value: float) -> Estimate:
        return Estimate(value, value - 0.005, value + 0.005)

    (only,) = resembling(near(0.7 / 1.7), near(1.2 / 1.7))
    assert (only.phase, only.practical) == ("II", True)
    assert only.alpha[0] < 1.0 < only.alpha[1]
    assert only.beta[0] < 0.7 < only.beta[1]
    assert resembling(near(0.7 / 1.7), near(1.2 / 1.7), 1.0, 2.0) == ()
    assert [one.phase for one in resembling(near(0.68), near(0.456))] == ["IVa"]  # exact losses of 0.4, 1.5
    assert resembling(near(0.2), near(0.1)) == ()


def test_the_first_lines_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["phases", "--fit", str(EXAMPLE), "--budget", "1 PFLOPs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("the best width grows as compute^0.41")
    assert lines[1].startswith("and the loss falls as compute^-0.70")
    assert "phase II, with alpha" in lines[2]
    assert "a resemblance is not a proof" in lines[3]
    assert any("times above" in line for line in lines)


@pytest.mark.parametrize(("beta", "says"), [("0.7", "it agrees"), ("2", "it does not agree")])
def test_known_alpha_and_beta(beta: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["phases", "--fit", str(EXAMPLE), "--alpha", "1", "--beta", beta]) == 0
    assert says in capsys.readouterr().out


@pytest.mark.parametrize("known", [["--beta", "-3"], ["--alpha", "nan"], ["--alpha", "0.2", "--beta", "0.2"]])
def test_alpha_and_beta_outside_the_theory(known: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["phases", "--fit", str(EXAMPLE), *known]) == 1
    assert "outside-theory" in capsys.readouterr().err


def test_a_table_without_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("width,step,compute,loss\n")
    assert answer(["phases", "--fit", str(path)]) == 1
    assert "it has no rows" in capsys.readouterr().err


def test_json_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "runs.svg"
    assert answer(["phases", "--fit", str(EXAMPLE), "--json", "--plot", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["width_exponent"]["low"] < 0.413 < found["width_exponent"]["high"]
    assert [one["phase"] for one in found["resembles"]] == ["II"]
    assert len(found["crossings"]) == 6
    assert path.read_text().startswith("<?xml")


def write(path: Path, rows: Sequence[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_columns_and_widths_of_other_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Widths in the names of files, compute as a product, rows that are selected."""
    for width in WIDTHS:
        rows = [
            {"step": step, "y": power(step, width) * (2 if tag == "bad" else 1), "tag": tag}
            for tag in ("good", "bad")
            for step in np.unique(np.geomspace(1, 1e7, 60).astype(int)).tolist()
        ]
        write(tmp_path / f"width-{width}.csv", rows)
    asked = ["phases", "--fit", str(tmp_path / "*.csv"), "--loss-column", "y", "--where", "tag=good", "--json"]
    assert answer([*asked, "--compute", "step * width"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["widths"] == list(WIDTHS)
    assert found["width_exponent"]["value"] == pytest.approx(P / (P + Q), abs=0.01)
    assert answer([*asked, "--compute", "steps * width"]) == 1
    assert "did you mean `step`?" in capsys.readouterr().err


def test_a_width_column_that_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"breadth": width, "step": step, "compute": step * width, "loss": power(step, width)}
        for width in WIDTHS
        for step in np.unique(np.geomspace(1, 1e7, 60).astype(int)).tolist()
    ]
    write(tmp_path / "runs.csv", rows)
    asked = ["phases", "--fit", str(tmp_path / "runs.csv"), "--json"]
    assert answer(asked) == 1
    assert "no-width-family" in capsys.readouterr().err
    assert answer([*asked, "--width-column", "breadth"]) == 0
    assert json.loads(capsys.readouterr().out)["widths"] == list(WIDTHS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["phases"],
        ["phases", "--alpha", "1"],
        ["phases", "--alpha", "1", "--beta", "0.7", "--where", "a=b"],
        ["phases", "--fit", str(EXAMPLE), "--width", "64"],
        ["phases", "--fit", str(EXAMPLE), "--batch", "8"],
        ["phases", "--fit", str(EXAMPLE), "--where", "a"],
    ],
)
def test_arguments_that_do_not_go_together(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(arguments) == 2
    assert "--" in capsys.readouterr().err


def test_the_example_is_what_the_benchmark_writes() -> None:
    with EXAMPLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    made = phase_curves.rows(1.0, 0.7)
    assert [(int(row["width"]), int(row["step"])) for row in rows] == [(width, step) for width, step, *_ in made]
    assert [float(row["loss"]) for row in rows] == pytest.approx([loss for *_, loss in made], rel=1e-4)
