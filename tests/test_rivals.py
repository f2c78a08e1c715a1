"""The rivals of a comparison: which are trained, which are left out, and what is compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import flops
from shapeflow.compiler import compile_file
from shapeflow.ir.events import Measured
from shapeflow.ir.plan import Totals
from shapeflow.ir.plan_check import faults
from shapeflow.ir.plan_json import save, sealed
from shapeflow.preview.comparison import comparison_view, verdict
from shapeflow.preview.screen import show
from shapeflow.running.pool import Job
from shapeflow.running.rivals import (
    Choice,
    Compared,
    Entry,
    OfFile,
    OfPlan,
    Past,
    Prediction,
    Result,
    Train,
    halved,
    joined,
    metric_of,
    predictions,
    rivals_of,
)
from shapeflow.running.rivals.halving import Round, shape_of
from shapeflow.running.rivals.ways import ROOM
from shapeflow.running.runs import Run
from shapeflow.running.training import training

EXAMPLES = Path(__file__).parent.parent / "examples"


def cases_of(name: str, folder: Path, *sentences: str, seeds: tuple[int, ...] = (0,)) -> OfFile:
    return OfFile.of(EXAMPLES / f"{name}.shape", sentences, seeds, folder, Report())


@pytest.mark.parametrize("name", ["batch", "digits_width", "by_hand"])
def test_default_rivals_that_cannot_be_trained_are_left_out(name: str, tmp_path: Path) -> None:
    found = rivals_of(cases_of(name, tmp_path), (), "cross_entropy")
    assert "last" in [entry.name for entry in found.entries]
    left = {one.name: one.note for one in found.left}
    assert "cannot take steps in" in left["random"].message
    assert (left["random"].code, left["random"].severity) == ("rival-left-out", "warning")


def test_warnings_of_the_plan_are_given_once_for_all_seeds(tmp_path: Path) -> None:
    report = Report()
    OfFile.of(EXAMPLES / "digits_width.shape", (), (0, 1, 2), tmp_path, report)
    codes = [one.code for one in report.diagnostics]
    assert codes.count("loose-law") == 1


def test_a_rival_that_was_asked_for_is_not_left_out(tmp_path: Path) -> None:
    cases = cases_of("batch", tmp_path)
    with pytest.raises(Refused, match="not-blendable"):
        rivals_of(cases, ["last", "random"], "loss@own")
    assert [entry.name for entry in rivals_of(cases, ["last"], "loss@own").entries] == ["last"]


def test_ways_that_train_in_the_same_way_are_trained_once(tmp_path: Path) -> None:
    """`last` and `best` are one shape in this file; in the other the plan itself is that shape."""
    cases = cases_of("lm_context", tmp_path)
    plan, last, best = joined(cases.plan, rivals_of(cases, ["last", "best"], cases.plan.plan.metric).entries)
    assert (plan.same, last.same, best.same) == (None, None, "last")
    assert best.jobs == last.jobs
    cases = cases_of("digits_width", tmp_path)
    plan, last, best = joined(cases.plan, rivals_of(cases, ["last", "best"], cases.plan.plan.metric).entries)
    assert (last.same, best.same) == ("plan", "plan")
    assert last.jobs == best.jobs == plan.jobs


def test_of_two_equal_rivals_the_longer_is_trained(tmp_path: Path) -> None:
    """`steepest` may spend the budget of the plan, a fixed shape more; here both stay in one shape."""
    cases = cases_of("digits_width", tmp_path)
    entries = [cases.fixed(name, name, Shape.of(width=32)) for name in ("short", "long")]
    entries[0] = attrs.evolve(entries[0], jobs=tuple(shorter(job) for job in entries[0].jobs))
    _, first, second = joined(cases.plan, entries)
    assert (first.name, first.same, second.same) == ("short", None, "short")
    assert first.jobs == second.jobs == entries[1].jobs


def shorter(job: Job) -> Job:
    """The same job with half of its steps."""
    (stage,) = job.plan.stages
    steps, cost = stage.last_step // 2, stage.cost
    end = attrs.evolve(stage.leave, step=steps, compute=steps * cost)
    plan = attrs.evolve(job.plan, stages=(attrs.evolve(stage, steps=steps, leave=end),))
    return attrs.evolve(job, plan=sealed(attrs.evolve(plan, totals=Totals(steps * cost, None, steps))))


@pytest.mark.parametrize(
    "sentence", ["seed 1", "model vit(depth: 3, patch: 2 px, head_width: 16)", "data digits(batch: 32)"]
)
def test_other_seeds_models_and_data_are_other_training(sentence: str, tmp_path: Path) -> None:
    one, other = (compile_file(EXAMPLES / "digits_width.shape", said) for said in ([], [sentence]))
    assert training(one) != training(other)
    named = compile_file(EXAMPLES / "digits_width.shape", ["evaluate every 10%", 'plan "another name"'])
    assert named.digest != one.digest
    assert training(named) == training(one)


# -- the best fixed shape, by training ---------------------------------------------------------------------------------


def curves(values: dict[int, tuple[float, ...]], seen: list[tuple[str, int | None]]) -> Train:
    """Trains nothing: the k-th quarter of the plan's compute takes a width to the k-th of its values, up to the job's
    pause."""

    def train(ways: Sequence[Entry]) -> dict[Path, Run]:
        found = {}
        for job in (job for way in ways for job in way.jobs):
            seen.append((job.folder.name, job.pause))
            stage, offset = job.plan.stages[0], 0.01 * job.plan.seed
            steps = [round(job.plan.steps / ROOM * share) for share in (0.25, 0.5, 0.75, 1.0)]
            points = list(zip(steps, values[stage.shape.number("width")], strict=True))
            found[job.folder] = Run(
                job.folder,
                job.plan,
                tuple(
                    Measured(step, 0, stage.shape, step * stage.cost, None, {"cross_entropy": value + offset}, 1.0)
                    for step, value in points
                    if job.pause is None or step <= job.pause + 1
                ),
            )
        return found

    return train


FIVE = """\
plan "five widths"
model vit(depth: 1, patch: 4 px, head_width: 8)
data digits(batch: 32)
objective cross_entropy
metric cross_entropy
axis width in [16, 24, 32, 48, 64] via width_expand
stage (width: 16) until 50%
stage (width: 64) until end
budget 1 GFLOPs
evaluate every 1%
"""

WIDTHS = {
    16: (0.5, 0.49, 0.48, 0.47),
    24: (0.9, 0.8, 0.7, 0.1),
    32: (0.6, 0.5, 0.45, 0.4),
    48: (0.7, 0.6, 0.3, 0.2),
    64: (0.8, 0.7, 0.65, 0.6),
}
"""The best after a quarter is the worst of those that are left at the end; the very best at the end is the worst after
a quarter."""


def test_half_of_the_fixed_shapes_go_on(tmp_path: Path) -> None:
    """Five shapes, by hand: three go on after a quarter (16, 32, 48), two after a half (16 and 32), the better of which
    at the end is 32."""
    (tmp_path / "five.shape").write_text(FIVE, encoding="utf-8")
    cases = OfFile.of(tmp_path / "five.shape", (), (0, 1), tmp_path, Report())
    seen: list[tuple[str, int | None]] = []
    field = [cases.fixed("fixed", "fixed", Shape.of(width=width)) for width in WIDTHS]
    compute = cases.plan.plan.totals.compute or 0.0
    best, found = halved(field, cases.plan.plan, "cross_entropy", curves(WIDTHS, seen), {})
    assert [[shape["width"] for shape, _ in one.values] for one in found.rounds] == [
        [16, 32, 48, 64, 24],
        [16, 32, 48],
        [32, 16],
    ]
    assert [one.compute for one in found.rounds] == [0.25 * compute, 0.5 * compute, compute]
    assert found.rounds[0].values[0][1] == pytest.approx(0.505, abs=1e-3)
    assert shape_of(best) == found.shape == Shape.of(width=32)
    assert found.runs == 10
    expected = 2 * compute * (2 * 1 + 0.5 + 2 * 0.25)
    assert found.spent == pytest.approx(expected, rel=0.05)
    widest = [pause for name, pause in seen if name == "fixed-width16-seed0"]
    assert widest == sorted(widest)
    assert len(widest) == 3


def test_two_fixed_shapes_are_compared_at_the_end_alone(tmp_path: Path) -> None:
    cases = cases_of("digits_width", tmp_path)
    field = [cases.fixed("fixed", "fixed", Shape.of(width=width)) for width in (16, 32)]
    best, found = halved(field, cases.plan.plan, "cross_entropy", curves(WIDTHS, []), {})
    assert [len(one.values) for one in found.rounds] == [2]
    assert shape_of(best) == found.shape == Shape.of(width=32)


def test_laws_of_another_metric_do_not_choose_the_best_fixed_shape(tmp_path: Path) -> None:
    """The laws of this file predict `loss@own`."""
    cases = cases_of("lm_context", tmp_path)
    assert rivals_of(cases, ["best"], "loss@own").field == ()
    asked = rivals_of(cases, ["best"], "loss@longest")
    assert asked.entries == ()
    assert [shape_of(entry) for entry in asked.field] == [Shape.of(context=number) for number in (16, 32, 64)]


def test_every_candidate_is_a_rival_without_laws(tmp_path: Path) -> None:
    found = rivals_of(cases_of("by_hand", tmp_path), (), "classification_error")
    assert [entry.name for entry in found.entries] == ["last"]
    assert len(found.field) == 4
    assert [entry.name for entry in found.with_best(found.field[2])] == ["last", "best"]


# -- what was predicted ------------------------------------------------------------------------------------------------


def foreseen(
    cases: OfFile, end: float, rival: tuple[float | None, ...], metric: str | None = None, *, chosen: bool = False
) -> list[Prediction]:
    """The predictions of a plan that ends at an error, and whose rivals need these multiples of its compute."""
    plan = cases.plan.plan
    seeds = len(cases.plan.jobs)
    runs = {
        job.folder: Run(job.folder, plan, (Measured(9, 0, plan.stages[-1].shape, 1e12, None, {plan.metric: end}, 1.0),))
        for job in cases.plan.jobs
    }
    own = Result("plan", "", (1.0,) * seeds, (1.0,) * seeds, (end,) * seeds)
    others = [Result(name, "", rival, rival, (end,) * seeds) for name in ("last", "random", "best")]
    return list(predictions(cases.plan, [own, *others], runs, metric or plan.metric, chosen=chosen))


def test_measured_values_are_inside_or_outside_their_intervals(tmp_path: Path) -> None:
    """The savings are those of the plan's answer, the error is that of its uncertainty."""
    cases = cases_of("batch", tmp_path, seeds=(0, 1))
    plan = cases.plan.plan
    assert plan.answer is not None
    assert plan.answer.best is not None
    assert plan.answer.last is not None
    assert plan.uncertainty is not None
    assert plan.uncertainty.error is not None
    low, high = plan.uncertainty.error
    for end, times, says in (
        (low, (1.0, 1 / (1 - 1.9 * plan.answer.best.high)), "inside"),
        (high + 1e-6, (3.0, 3.0), "outside"),
    ):
        error, last, best = foreseen(cases, end, times)
        assert [one.what for one in (error, last, best)] == ["error", "last", "best"]
        assert (error.predicted, error.low, error.high, error.measured) == (plan.totals.error, low, high, end)
        assert (best.low, best.predicted, best.high) == (
            plan.answer.best.low,
            plan.answer.best.middle,
            plan.answer.best.high,
        )
        assert (last.low, last.high) == (plan.answer.last.low, plan.answer.last.high)
        assert error.says == says
        assert (best.says, best.why) == (says, None)
    assert best.measured == pytest.approx(2 / 3)


def test_why_a_saving_was_not_predicted(tmp_path: Path) -> None:
    def whys(cases: OfFile, **choices: Any) -> list[tuple[str, str | None]]:
        return [(one.says, one.why) for one in foreseen(cases, 1.58, (1.5,), **choices)]

    batch = cases_of("batch", tmp_path)
    assert whys(batch, metric="loss@longest") == [("inside", None), *[("not predicted", "other-metric")] * 2]
    assert whys(batch, chosen=True) == [("inside", None), *[("not predicted", "other-target")] * 2]
    assert whys(cases_of("by_hand", tmp_path)) == [("not predicted", "no-laws")] * 3
    own = ('laws from fit("laws/bytes.csv")', "metric loss(context: own)")
    assert whys(cases_of("bytes", tmp_path, *own)) == [("not predicted", "mixture")] * 3
    error, last, random, _ = foreseen(cases_of("bytes", tmp_path), 1.76, (1.3,))
    assert (error.says, last.what, last.says) == ("inside", "last", "outside")
    assert (random.what, random.why) == ("rival", "unpiloted")
    steps = cases_of("batch", tmp_path, "budget 3000 steps")
    assert whys(steps)[1:] == [("not predicted", "other-unit")] * 2
    never = foreseen(batch, 1.58, (None,))
    assert [(one.says, one.why, one.measured) for one in never[1:]] == [("not measured", "never", None)] * 2


# -- a compiled plan instead of a file ---------------------------------------------------------------------------------


def of_plan(name: str, folder: Path, *sentences: str, seeds: tuple[int, ...] = (0,)) -> tuple[OfFile, OfPlan]:
    """The ways of an example, and those of its compiled plan."""
    of_file = cases_of(name, folder, *sentences, seeds=seeds)
    save(compile_file(EXAMPLES / f"{name}.shape", sentences), folder / "plan.json")
    return of_file, OfPlan.of(folder / "plan.json", seeds, folder, Report())


@pytest.mark.parametrize("name", ["batch", "by_hand", "lm_context", "bytes", "digits_width", "joint", "fashion"])
def test_fixed_shapes_of_a_plan_file_train_like_those_of_its_source(name: str, tmp_path: Path) -> None:
    """Every shape of a stage or a blend, with two seeds; its plan also measures at about the same places."""
    of_file, of_plan_file = of_plan(name, tmp_path, seeds=(0, 1))
    (ours, again), (theirs, other) = ([job.plan for job in cases.plan.jobs] for cases in (of_plan_file, of_file))
    assert training(ours) == training(theirs)
    # A compiler that knows the seed may leave out a step of a stage with blends, to stay within the budget.
    assert again.steps == pytest.approx(other.steps, abs=2)
    assert again.totals.compute == pytest.approx(other.totals.compute, rel=2e-3)
    assert list(faults(again)) == []
    shapes = {stage.shape for stage in of_file.plan.plan.stages}
    shapes |= {blend.shape for stage in of_file.plan.plan.stages for blend in stage.blends}
    for shape in shapes:
        whole, derived = (cases.fixed("fixed", "fixed", shape).jobs for cases in (of_file, of_plan_file))
        assert [job.folder for job in derived] == [job.folder for job in whole]
        for ours, theirs in ((one.plan, two.plan) for one, two in zip(derived, whole, strict=True)):
            assert training(ours) == training(theirs)
            assert ours.steps == pytest.approx(theirs.steps, abs=1)
            assert ours.evaluate == theirs.evaluate
            assert list(faults(ours)) == []


def test_what_a_plan_file_does_not_contain(tmp_path: Path) -> None:
    """The plan stays at a width of 16. Its other widths and traversals need the file."""
    _, cases = of_plan("digits_width", tmp_path)
    with pytest.raises(Refused, match=r"not-in-plan: the plan does not train in \(width: 32\)"):
        cases.fixed("fixed", "fixed", Shape.of(width=32))
    with pytest.raises(Refused, match="not-in-plan"):
        rivals_of(cases, ["random"], "cross_entropy")
    found = rivals_of(cases, (), "classification_error")
    assert [one.name for one in found.left] == ["fixed (width: 32)", "fixed (width: 64)", "random"]
    assert [way.same for way in joined(cases.plan, found.entries)] == [None, "plan"]


def test_a_plan_file_is_compared_at_a_constant_rate(tmp_path: Path) -> None:
    save(compile_file(EXAMPLES / "by_hand.shape", ["cooldown 10%"]), tmp_path / "plan.json")
    report = Report()
    cases = OfPlan.of(tmp_path / "plan.json", None, tmp_path, report)
    assert cases.plan.plan.cooldown is None
    assert [one.code for one in report.diagnostics] == ["cooldown-left-out"]
    assert cases.plan.plan.seed == 17


def test_all_ways_are_measured_often_enough(tmp_path: Path) -> None:
    """The file evaluates every 50 of 600 steps; at 4% of the compute, the first measurement of a fixed shape is not
    later than that of the plan by more than this."""
    cases = cases_of("by_hand", tmp_path)
    plan = cases.plan.plan
    assert plan.evaluate == 24
    (fixed,) = (job.plan for job in cases.fixed("fixed", "fixed", Shape.of(patch=4, width=32)).jobs)
    assert fixed.evaluate is not None
    assert plan.totals.compute is not None
    assert fixed.evaluate * fixed.stages[0].cost == pytest.approx(0.04 * plan.totals.compute, rel=0.01)
    assert cases_of("by_hand", tmp_path, "evaluate every 1%").plan.plan.evaluate == 6


@pytest.mark.parametrize(
    ("name", "size", "count"), [("digits", "90 images", 90), ("lm_context", "4_096 tokens", 4096), ("batch", "", None)]
)
def test_all_ways_are_measured_on_the_same_held_out_data(
    name: str, size: str, count: int | None, tmp_path: Path
) -> None:
    cases = cases_of(name, tmp_path, f"evaluate every 10% on {size}" if size else "evaluate every 10%")
    last = cases.plan.plan.stages[-1].shape
    ways = [cases.plan, cases.fixed("last", "last", last), cases.traversal("evenly", "evenly")]
    plans = [job.plan for way in ways for job in way.jobs]
    assert [plan.held_out for plan in plans] == [count] * 3
    save(cases.plan.plan, tmp_path / "plan.json")
    by_plan = OfPlan.of(tmp_path / "plan.json", None, tmp_path, Report())
    assert by_plan.fixed("last", "last", last).jobs[0].plan.held_out == count


def test_an_earlier_run_on_other_held_out_data_is_not_used(tmp_path: Path) -> None:
    job = cases_of("by_hand", tmp_path).fixed("fixed", "fixed", Shape.of(patch=4, width=32)).jobs[0]
    done = Measured(job.steps, 0, job.plan.stages[0].shape, 1.0, None, {"cross_entropy": 1.0}, 1.0)
    for held_out, found in ((None, True), (90, False)):
        run = Run(tmp_path, attrs.evolve(job.plan, held_out=held_out), (done,))
        past = Past({training(run.plan): (run,)})
        assert (past.find(job, "cross_entropy") is not None) is found


# -- the screen --------------------------------------------------------------------------------------------------------


def screen(cases: OfFile, capsys: pytest.CaptureFixture[str], choice: Choice | None, *ways: Result) -> str:
    seeds = tuple(job.plan.seed for job in cases.plan.jobs)
    show(comparison_view(Compared("cross_entropy", 0.5, seeds, ways, choice, (), (), {}), cases.plan.plan))
    return capsys.readouterr().out


def test_the_screen_shows_pairs_and_the_cost_of_the_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Savings of 20% and 40%: t = 3 with one degree of freedom, so p = 1 - 2 atan(3) / pi = 0.205."""
    cases = cases_of("digits_width", tmp_path, seeds=(0, 1))
    compute = cases.plan.plan.totals.compute or 0.0
    rounds = (Round(compute, ((Shape.of(width=32), 0.25), (Shape.of(width=16), 0.5))),)
    choice = Choice(Shape.of(width=32), rounds, 3 * compute, 4)
    plan = Result("plan", "the plan", (0.8e9, 0.6e9), (1.0, 1.0), (0.5, 0.5))
    rival = Result("best", "the best fixed shape", (1e9, 1e9), (1.0, 1.0), (0.5, 0.5))
    again = Result("last", "the fixed last shape", (1e9, 1e9), (1.0, 1.0), (0.5, 0.5), same="best")
    never = Result("random", "uniform random", (1e9, None), (1.0, None), (0.5, 0.5))
    lines = [" ".join(line.split()) for line in screen(cases, capsys, choice, plan, rival, again, never).splitlines()]
    assert "the best fixed shape +30.0% -97.1% to +157.1% 0.2" in lines
    assert "uniform random - - -" in lines
    assert "the fixed last shape: the same runs as the best fixed shape" in lines
    spent = f"4 more runs, {flops(3 * compute)}, 1.5 times the plan's"
    assert f"to find the best of 2 fixed shapes by cross_entropy: {spent}" in lines
    assert f"after {flops(compute)} each: (width: 32) 0.25, (width: 16) 0.5" in lines
    assert "uniform random 1 of 2 seeds 1 of 2 seeds 0.5" in lines


def test_one_fixed_shape_was_not_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = cases_of("digits_width", tmp_path)
    best = cases.fixed("best", "best", Shape.of(width=32))
    way, found = halved([best], cases.plan.plan, "cross_entropy", lambda ways: {}, {})
    assert way == best
    assert found == Choice(Shape.of(width=32), (), 0.0, 0)
    plan = Result("plan", "the plan", (1e9,), (1.0,), (0.5,))
    assert "found by training" not in screen(cases, capsys, found, plan)


def test_laws_predict_the_default_metric_unless_contexts_differ() -> None:
    found = {
        name: metric_of(compile_file(EXAMPLES / f"{name}.shape"), None) for name in ("batch", "lm_context", "fashion")
    }
    assert found == {"batch": "loss@own", "lm_context": "loss@longest", "fashion": "cross_entropy"}


@pytest.mark.parametrize(
    ("plan", "rivals", "said"),
    [
        (
            (1.0,),
            ((2.0,), (1.25,)),
            "measured with one seed: the plan saves 20.0% of the FLOPs against rival 2, the best",
        ),
        ((1.0,), ((0.8,),), "measured with one seed: the plan saves nothing: -25.0% of the FLOPs against rival 1; "),
        (
            (1.0, 1.0, 1.0),
            ((2.0, 2.1, 2.2),),
            "measured: the plan saves 52.3% of the FLOPs (95%: 46.7% to 58.0%; 3 seeds)",
        ),
        ((1.0, 1.0, 1.0), ((0.8, 0.8, 0.81),), "measured: the plan saves nothing: -24.5% of the FLOPs (95%: "),
        ((1.0, 1.0, 1.0), ((1.3, 0.9, 1.2),), "measured: not settled: the plan saves 9.5% of the FLOPs (95%: "),
        ((1.0,), ((None,),), "measured: no rival with runs of its own reached the target with every seed"),
        ((1.0,), (), "measured: every rival has the runs of the plan, which saves nothing"),
    ],
)
def test_what_was_measured_is_said_first(
    plan: tuple[float, ...], rivals: tuple[tuple[float | None, ...], ...], said: str
) -> None:
    """About the rival that leaves the smallest saving."""
    seeds = tuple(range(len(plan)))
    ways = [("plan", "the plan", plan), *((f"r{i}", f"rival {i}", one) for i, one in enumerate(rivals, 1))]
    found = [Result(name, what, compute, (1.0,) * len(seeds), (0.5,) * len(seeds)) for name, what, compute in ways]
    assert verdict(Compared("cross_entropy", 0.5, seeds, tuple(found), None, (), (), {})).startswith(said)
