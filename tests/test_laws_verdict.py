"""What a fit reports of a law: its hold-out, its autocorrelation, and whether its learning rate falls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from test_laws_logs import PATCHES, ask, sweep

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.compiler import program_of
from shapeflow.ir.law import Law, Provenance
from shapeflow.laws.fit import Fit
from shapeflow.laws.fitting.from_points import laws_of_points
from shapeflow.laws.fitting.holdout import hold_out, in_first_half
from shapeflow.laws.fitting.solver import FitOptions
from shapeflow.laws.fitting.verdict import notes
from shapeflow.laws.laws_file import save
from shapeflow.laws.logs.points import Points
from shapeflow.stages.find_laws import find_laws

TRUTH = ((2.0, 0.45, 0.3, 0.0), (3.0, 0.45, 0.22, 1e14), (5.0, 0.45, 0.17, -2e14))
"""(a at 1e15 FLOPs, b, c, d)"""
COMPUTE = np.geomspace(1e15, 1e18, 60)


def points(law: tuple[float, ...], sigma: float = 0.0, seed: int = 0) -> Points:
    a, b, c, d = law
    noise = np.random.default_rng(seed).normal(0, sigma, len(COMPUTE)) if sigma else 0.0
    return Points(COMPUTE, (a * ((COMPUTE + d) / 1e15) ** -b + c) * np.exp(noise))


def fitted(sets: Sequence[Points], resamples: int = 60, **about: Any) -> list[Law]:
    report = Provenance(source="fit", metric="loss@own", convention="flops", **about)
    named = {Shape.of(width=width): one for width, one in enumerate(sets, 1)}
    return list(laws_of_points(named, dict.fromkeys(named, report), FitOptions(), resamples).laws.values())


def test_laws_with_noise_are_reported_in_full() -> None:
    laws = fitted([points(law, 0.002, seed) for seed, law in enumerate(TRUTH)])
    for law, (_, _, c, _) in zip(laws, TRUTH, strict=True):
        about = law.provenance
        assert about.verdict == ()
        assert about.intervals["c"][0] - 0.01 < c < about.intervals["c"][1] + 0.01
        assert about.holdout is not None
        assert about.holdout.factor is not None
        assert about.resampling is not None
        assert about.objective is not None
        assert about.autocorrelation is not None
        assert abs(about.autocorrelation) < 0.35


def test_a_rate_that_is_known_to_fall_is_a_reason() -> None:
    (law,) = fitted([points(TRUTH[0], 0.002)], learning_rate="falling")
    assert [reason for reason in law.provenance.verdict if "learning rate" in reason]
    (law,) = fitted([points(TRUTH[0], 0.002)], learning_rate="constant")
    assert not [reason for reason in law.provenance.verdict if "learning rate" in reason]


def test_notes_say_what_was_not_tested_and_what_is_at_a_bound() -> None:
    provenance = Provenance(source="fit", metric="loss@own", convention="flops", points=12, exponent="own")
    law = Law(2.0, 3.99, 1.0, 0.0, provenance)
    assert list(notes(law)) == [
        "not tested on held-out points: a test needs 8 points in the first half of log compute",
        "the learning rate is not known: no log shows it",
        "the exponent is at the limit of the search range: b = 3.99",
    ]
    assert len(list(notes(attrs.evolve(law, provenance=attrs.evolve(provenance, exponent="fixed"))))) == 2


def test_the_hold_out_uses_only_the_first_half() -> None:
    whole = [points(law, 0.002, seed) for seed, law in enumerate(TRUTH)]
    spoilt = [Points(one.compute, np.where(in_first_half(one), one.error, 2 * one.error)) for one in whole]
    for half, other in zip(hold_out(whole, FitOptions()), hold_out(spoilt, FitOptions()), strict=True):
        assert half is not None
        assert other is not None
        assert half.law == other.law
        assert half.points.compute[-1] <= np.sqrt(COMPUTE[0] * COMPUTE[-1])
        assert half.holdout.points + len(half.points.compute) == len(COMPUTE)
        assert other.holdout.last == pytest.approx(half.holdout.last - np.log(2))


def test_halves_of_exact_laws_predict_the_rest() -> None:
    for half in hold_out([points(law) for law in TRUTH], FitOptions()):
        assert half is not None
        assert half.law.exponent == "pooled"
        assert half.holdout.error < 1e-5
        assert half.holdout.factor == pytest.approx(1, rel=1e-3)


def test_a_half_with_too_few_points_is_not_held_out() -> None:
    whole = points(TRUTH[0])
    fifteen = Points(COMPUTE[::4], whole.error[::4])
    often = Points(np.repeat(COMPUTE[::6], 3), np.repeat(whole.error[::6], 3), np.tile(np.arange(3), 10))
    assert in_first_half(fifteen).sum() == 8
    assert in_first_half(often).sum() == 15
    first, second = hold_out([fifteen, often], FitOptions())
    assert first is not None
    assert second is None


def test_runs_at_different_levels_are_not_a_misfit() -> None:
    one, other = points(TRUTH[0], 0.002, 1), points(TRUTH[0], 0.002, 2)
    run = np.arange(2 * len(COMPUTE)) % 2
    error = np.where(run == 0, np.repeat(one.error, 2), 1.01 * np.repeat(other.error, 2))
    (law,) = fitted([Points(np.repeat(COMPUTE, 2), error, run)])
    assert law.provenance.rms is not None
    assert law.provenance.rms > 0.004
    assert law.provenance.autocorrelation is not None
    assert abs(law.provenance.autocorrelation) < 0.3


def test_run_folders_state_the_provenance_of_their_runs(tmp_path: Path) -> None:
    for shape in PATCHES:
        folder = sweep(tmp_path / "runs", shape)
        (folder / "data.json").write_text('{"data": "digits", "sha256": "0123456789abcdef0123"}')
    report = Report()
    for law in Fit("runs/*", data="of my own", resamples=0).laws(ask(tmp_path, metric="loss@own"), report).values():
        about = law.provenance
        assert (about.evaluation, about.learning_rate) == ("held-out", "constant")
        assert about.data == "digits sha256:0123456789abcdef"
    (tmp_path / "runs" / f"patch-{PATCHES[0]['patch']}" / "data.json").unlink()
    laws = Fit("runs/*", data="of my own", resamples=0).laws(ask(tmp_path, metric="loss@own"), report)
    assert {law.provenance.data for law in laws.values()} == {"of my own", "digits sha256:0123456789abcdef"}


def test_runs_of_different_data_make_no_law(tmp_path: Path) -> None:
    for name, digest in (("a", "0" * 64), ("b", "1" * 64)):
        (sweep(tmp_path / "runs", PATCHES[0], name) / "data.json").write_text(
            f'{{"data": "text", "sha256": "{digest}"}}'
        )
    report = Report()
    assert not Fit("runs/*", resamples=0).laws(ask(tmp_path, PATCHES[:1], metric="loss@own"), report)
    assert [one.code for one in report.diagnostics] == ["mixed-laws"]
    assert len(report.errors[0].notes) == 2


TABLE = """\
axis width in [1, 2] via width_expand
laws from table("laws.json")
traversal steepest
stop when error <= 0.35
"""
TYPES = {
    "metric": ("loss@longest", "but this file is for metric `loss@own`"),
    "convention": ("paper", "but this file is for compute by `flops`"),
    "unit": ("bits", "but this file is for errors in `nats`"),
    "evaluation": ("training", "but the law of (width: 1) is for errors that are `held-out`"),
    "data": ("b", "but the law of (width: 1) is for data `a`"),
    "learning_rate": ("falling", "but the law of (width: 1) is for a learning rate that is `constant`"),
}


GOOD = Law(
    2.0,
    0.4,
    1.0,
    0.0,
    Provenance(source="fit", metric="loss@own", convention="flops", points=12, learning_rate="constant"),
)


def of_table(folder: Path, change: Callable[[Provenance], Provenance] = lambda about: about) -> Report:
    """The report on a program whose table has two laws, the second with a changed provenance."""
    alike = attrs.evolve(GOOD.provenance, unit="nats", evaluation="held-out", data="a")
    laws = {1: alike, 2: change(alike)}
    save(folder / "laws.json", {Shape.of(width=w): attrs.evolve(GOOD, provenance=one) for w, one in laws.items()})
    (folder / "a.shape").write_text(TABLE)
    report = Report()
    program = program_of(folder / "a.shape", [], report)
    assert program is not None
    found = find_laws(program, report)
    assert report.failed or len(found) == 2
    return report


@pytest.mark.parametrize("kind", TYPES)
def test_laws_of_different_things_are_refused(kind: str, tmp_path: Path) -> None:
    assert of_table(tmp_path).diagnostics == []
    value, said = TYPES[kind]
    (wrong,) = of_table(tmp_path, lambda about: attrs.evolve(about, **{kind: value})).errors
    assert wrong.code == "mixed-laws"
    assert f"`{value}`" in wrong.message
    assert said in wrong.message


@pytest.mark.parametrize("kind", ["unit", "evaluation", "data", "learning_rate"])
def test_unknown_provenance_mixes_with_any(kind: str, tmp_path: Path) -> None:
    assert of_table(tmp_path, lambda about: attrs.evolve(about, **{kind: None})).diagnostics == []
