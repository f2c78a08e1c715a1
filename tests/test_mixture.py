"""The law of a mixture from pilots to the answer: the share, the reasons to doubt it, and what it does not predict."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from pilots import FILE, Pilot, Truth, pilots, write
from plans import toy_text_plan

from shapeflow.base.diagnostics import Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.compiler import compile_file
from shapeflow.ir.answer import Answer, Mix, Range
from shapeflow.ir.plan import Blend, Plan
from shapeflow.ir.plan_check import faults
from shapeflow.ir.plan_json import answer_to_json, load, save
from shapeflow.preview.answer import conditions, headline

ROOT = Path(__file__).parent.parent
CHEAP, TARGET = Shape.of(context=64), Shape.of(context=256)
BY_HAND = FILE.replace("traversal  mixture(target: (context: 256 tokens))\n", "")


def plan_of(folder: Path, runs: Sequence[Pilot], *sentences: str, file: str = FILE) -> Plan:
    (folder / "plan.shape").write_text(file)
    write(folder / "pilots.csv", runs)
    return compile_file(folder / "plan.shape", sentences, Report())


def refused(folder: Path, runs: Sequence[Pilot], *sentences: str, file: str = FILE) -> str:
    with pytest.raises(Refused) as found:
        plan_of(folder, runs, *sentences, file=file)
    return found.value.diagnostics[0].code


def answer_of(plan: Plan) -> Answer:
    assert plan.answer is not None
    return plan.answer


def mix_of(plan: Plan) -> Mix:
    assert plan.answer is not None
    assert plan.answer.mix is not None
    return plan.answer.mix


def shares_of(plan: Plan) -> dict[Shape, float]:
    data = plan.data_of(plan.steps)
    return {shape: count / sum(data.values()) for shape, count in data.items()}


def reasons_of(plan: Plan) -> str:
    return "\n".join(reason.text for reason in answer_of(plan).reasons)


def saves_nothing(plan: Plan) -> None:
    """No saving is stated anywhere in the plan, on the screen or as JSON."""
    found = answer_of(plan)
    assert (found.say, found.best, found.last, found.saved, found.error) == ("unknown", None, None, None, None)
    assert plan.uncertainty is None
    for one in (plan.comparison.best_fixed, plan.comparison.last_shape_fixed):
        assert (one.saving, one.compute) == (None, None)
    said = "\n".join([headline(plan, found), *(text for _, text in conditions(plan, found))])
    assert "saves" not in said
    assert not found.mix or not found.mix.against
    assert not found.mix or found.mix.seeds > 1 or found.mix.measured is None


# -- counting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_steps_and_data_are_those_of_each_step(seed: int) -> None:
    """Blends with odd shares that begin and end anywhere, in two stages of different batches."""
    draw, plan = random.Random(seed), toy_text_plan(batch=None)
    stages = []
    for number, (first, steps) in enumerate([(0, 523), (523, 268)]):
        stage, blends = plan.stages[number], []
        for share, context in ((draw.uniform(0.01, 0.4), 32), (draw.uniform(0.01, 0.5), 128)):
            begin = draw.choice([0, draw.randrange(steps // 2)])
            blends.append(Blend(Shape.of(context=context), share, begin, draw.randrange(begin + 1, steps + 1), 1.0, ()))
        enter, leave = attrs.evolve(stage.enter, step=first), attrs.evolve(stage.leave, step=first + steps)
        kinds = {"steps": steps, "enter": enter, "leave": leave, "blends": tuple(blends), "batch": 256 * (number + 1)}
        stages.append(attrs.evolve(stage, **kinds))
    plan = attrs.evolve(plan, stages=tuple(stages), seed=seed)
    steps, data = Counter[Shape](), Counter[Shape]()
    for done in range(523 + 268):
        index = 0 if done < 523 else 1
        stage = plan.stages[index]
        if done in (0, 1, 37, 100, 222, 523, 524, 600, 700):
            assert {s: n for s, n in plan.data_of(done).items() if n} == dict(data)
        if index == 0 and done in (1, 37, 100, 222, 300, 522):
            assert {s: n for s, n in stage.steps_of(seed, 0, done).items() if n} == dict(steps)
        blend = stage.blend_at(seed, index, done - stage.first_step)
        shape = stage.shape if blend is None else blend.shape
        steps[shape] += 1
        assert stage.batch is not None
        data[shape] += stage.batch
    assert plan.data_of(523 + 268) == data
    assert plan.data_of(10_000) == data


# -- the share ------------------------------------------------------------------------------------------------------


def closed_form(truth: Truth, cheap: float, target: float) -> float:
    """The best share of the target in the data, at prices per unit of data, by the formula of the law."""
    first = cheap / truth.k
    ratio = (truth.lam * first / (target - first)) ** (1 / (1 + truth.b))
    return ratio / (ratio + (1 - ratio) / truth.k)


def exact(truth: Truth, **options: Any) -> list[Pilot]:
    """Pilots of the law itself, long enough that weak priors do not matter much."""
    return pilots(truth, level=0.0, noise=0.0, end=3e12, begin=0.02, count=40, **options)


SHARP = 'laws from mixture("pilots.csv", seeds_differ: 0.02%, noise: 0.01%, start: 2%)'


@pytest.mark.parametrize("budget", ["budget 2 TFLOPs", "budget 20 TFLOPs", "budget 6 Mtokens", "budget 9000 steps"])
def test_the_share_is_the_closed_form_at_the_prices_of_the_budget(budget: str, tmp_path: Path) -> None:
    truth = Truth()
    plan = plan_of(tmp_path, exact(truth), budget, SHARP)
    stage, (blend,) = plan.stages[0], plan.stages[0].blends
    assert (stage.shape, blend.shape) == (TARGET, CHEAP)
    # With equal batches, a step of either shape has the same tokens.
    prices = (blend.compute, stage.cost) if "FLOPs" in budget else (1.0, 1.0)
    expected = closed_form(truth, *prices)
    assert 1 - blend.share == pytest.approx(expected, rel=0.02)
    middle = mix_of(plan).share
    assert middle is not None
    assert middle.middle == pytest.approx(expected, rel=0.02)
    assert shares_of(plan)[TARGET] == pytest.approx(1 - blend.share, abs=0.002)


def test_a_budget_of_tokens_asks_for_another_share_than_one_of_compute(tmp_path: Path) -> None:
    plans = [plan_of(tmp_path, pilots(), budget) for budget in ("budget 2 TFLOPs", "budget 6 Mtokens")]
    compute, tokens = (shares_of(plan)[TARGET] for plan in plans)
    assert tokens > 1.2 * compute
    assert [answer_of(plan).unit for plan in plans] == ["compute", "tokens"]
    assert answer_of(plans[1]).saved is None


def test_the_error_of_the_plan_is_that_of_the_law(tmp_path: Path) -> None:
    truth = Truth()
    plan = plan_of(tmp_path, exact(truth), SHARP)
    data = plan.data_of(plan.steps)
    expected = float(truth.error(np.array(data[TARGET]), np.array(data[CHEAP])))
    assert plan.totals.error == pytest.approx(expected, abs=0.002)
    uncertainty = plan.uncertainty
    assert uncertainty is not None
    assert uncertainty.error is not None
    assert uncertainty.error[0] < expected < uncertainty.error[1]
    alone = plan_of(tmp_path, exact(truth), SHARP, "traversal fixed(shape: (context: 256 tokens))")
    data = alone.data_of(alone.steps)
    assert alone.totals.error == pytest.approx(float(truth.error(np.array(data[TARGET]), np.array(0.0))), abs=0.002)


def test_a_target_error_ends_the_plan(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, pilots(), "stop when error <= 1.45")
    assert plan.totals.error == pytest.approx(1.45, abs=1e-3)
    endless = FILE.replace("budget     2 TFLOPs\n", "")
    assert plan_of(tmp_path, pilots(), "stop when error <= 1.35", file=endless).totals.error == pytest.approx(
        1.35, abs=1e-3
    )
    assert refused(tmp_path, pilots(), "stop when error <= 0.5", file=endless) == "target-out-of-reach"


def test_no_share_far_below_those_of_the_pilots_is_planned(tmp_path: Path) -> None:
    runs = pilots(Truth(lam=1e-4), shares=(1.0, 0.5, 0.2))
    plan = plan_of(tmp_path, runs)
    assert shares_of(plan)[TARGET] == pytest.approx(0.2, abs=0.003)
    low = mix_of(plan).share
    assert low is not None
    assert low.middle < 0.16
    assert all(one.share >= 0.16 for one in mix_of(plan).against)
    json_ = tmp_path / "plan.json"
    save(plan, json_)
    assert "the best share lies below the smallest of the pilots, 0.2" in json_.read_text()
    given = plan_of(tmp_path, runs, "traversal mixture(target: (context: 256 tokens), share: 5%)")
    assert "lies below the smallest of the pilots" in headline(given, answer_of(given))
    tiny = plan_of(tmp_path, pilots(), "traversal mixture(target: (context: 256 tokens), share: 0.001%)")
    # No step of this plan is in the target.
    assert "0%, lies below the smallest of the pilots, 3%" in answer_of(tiny).reasons[0].text
    assert answer_of(tiny).reasons[0].help == "a larger share"
    saves_nothing(given)


def test_a_share_may_be_given(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, pilots(), "traversal mixture(target: (context: 256 tokens), share: 30%)")
    assert shares_of(plan)[TARGET] == pytest.approx(0.3, abs=0.003)
    assert "the share is given in the file" in plan.notes
    own, best = answer_of(plan).best, answer_of(plan_of(tmp_path, pilots())).best
    assert own is not None
    assert best is not None
    assert 0 < own.middle < best.middle


@pytest.mark.parametrize(
    "traversal",
    ["mixture(target: (context: 256 tokens), share: 100%)", "fixed(shape: (context: 256 tokens))"],
)
def test_the_target_alone_is_not_the_best_only_because_it_is_planned(traversal: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, pilots(), f"traversal {traversal}")
    assert not plan.stages[0].blends
    assert (answer_of(plan).say, mix_of(plan).cheap) == ("unknown", CHEAP)
    assert "a mixture with 12% of it and (context: 64 tokens) would probably save FLOPs" in headline(
        plan, answer_of(plan)
    )
    assert not any("no mixture pays" in note for note in plan.notes)


def test_without_a_law_of_mixtures_the_share_is_a_default_that_is_named_so() -> None:
    own = ['laws from fit("laws/bytes.csv")', "metric loss(context: own)"]
    plan = compile_file(ROOT / "examples/bytes.shape", own, Report())
    assert shares_of(plan)[TARGET] == pytest.approx(0.1, abs=0.001)
    assert "the share of 10% is a default: `shapeflow pilot` measures the best one" in plan.notes
    given = "traversal mixture(target: (context: 256 tokens), share: 20%)"
    plan = compile_file(ROOT / "examples/bytes.shape", [*own, given], Report())
    assert shares_of(plan)[TARGET] == pytest.approx(0.2, abs=0.001)
    assert not any("default" in note for note in plan.notes)


def test_without_any_law_the_only_other_shape_is_mixed_in(tmp_path: Path) -> None:
    file = FILE.replace('laws       from mixture("pilots.csv")\n', "")
    assert refused(tmp_path, pilots(), file=file) == "missing-laws"
    plan = plan_of(tmp_path, pilots(), "axis context in [64, 256] tokens via context_grow", file=file)
    assert shares_of(plan)[TARGET] == pytest.approx(0.1, abs=0.001)
    assert plan.answer is None
    assert any("the share of 10% is a default" in note for note in plan.notes)
    wide = FILE.replace("context: longest", "context: own").replace("width: 64, ", "context: 64 tokens, ")
    wide = wide.replace(
        "axis context in [16, 64, 256] tokens via context_grow", "axis width in [32, 64] via width_expand"
    )
    wide = wide.replace('laws       from mixture("pilots.csv")\n', "").replace("(context: 256 tokens)", "(width: 64)")
    assert refused(tmp_path, pilots(), file=wide) == "not-blendable"


def test_pilots_of_another_target_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, pilots(), "traversal mixture(target: (context: 64 tokens))") == "other-target"


# -- the answer -----------------------------------------------------------------------------------------------------


def test_yes_with_a_saving_that_covers_the_truth(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, pilots())
    found = answer_of(plan)
    assert (found.say, found.doubts, found.reasons) == ("yes", (), ())
    assert found.best is not None
    truth, share = Truth(), shares_of(plan)[TARGET]
    prices = np.array([plan.stages[0].blends[0].compute, plan.stages[0].cost])
    level = (truth.k * (1 - share) + share) ** -truth.b + truth.lam * share**-truth.b
    cost = ((1 - share) * prices[0] + share * prices[1]) / prices[1] * (level / (1 + truth.lam)) ** (1 / truth.b)
    assert found.best.low < 1 - cost < found.best.high
    assert found.best.high - found.best.low < 0.3
    assert found.spent == pytest.approx(8 * 1.4e12)
    assert (mix_of(plan).pilots, mix_of(plan).seeds) == (8, 2)
    assert headline(plan, found).startswith("yes: saves 4")


def test_savings_against_other_shares_grow_with_their_distance(tmp_path: Path) -> None:
    against = mix_of(plan_of(tmp_path, pilots())).against
    shares = [one.share for one in against]
    assert shares == sorted(shares)
    assert shares[0] >= 0.8 * 0.03
    assert shares[-1] == 1.0
    above = [one.saving.middle for one in against if one.share > 0.15]
    assert above == sorted(above)
    widths = [one.saving.high - one.saving.low for one in against if one.share > 0.15]
    assert widths[0] < widths[-1]


def test_one_seed_of_the_target_gives_a_share_and_no_saving(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [run for run in pilots() if run.name != "1-seed1"]
    plan = plan_of(tmp_path, runs)
    saves_nothing(plan)
    assert "has no second seed: the share is known, the saving is not" in headline(plan, answer_of(plan))
    share = mix_of(plan).share
    assert share is not None
    assert 0.05 < share.middle < 0.2
    assert shares_of(plan)[TARGET] == pytest.approx(share.middle, rel=0.02)
    assert answer(["compile", str(tmp_path / "plan.shape"), "-o", str(tmp_path / "plan.json")]) == 0
    screen = capsys.readouterr().out
    assert "saves" not in screen
    assert "best share of (context: 256 tokens)" in screen
    saves_nothing(load(tmp_path / "plan.json"))
    assert answer(["simulate", str(tmp_path / "plan.json"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    def savings(value: Any) -> list[Any]:
        if isinstance(value, dict):
            own = [value[key] for key in ("saving", "saved", "best", "last") if key in value]
            return own + [each for one in value.values() for each in savings(one)]
        return [each for one in value for each in savings(one)] if isinstance(value, list) else []

    assert savings(found)
    assert set(savings(found)) == {None}


def test_a_copy_of_a_pilot_is_not_a_second_seed(tmp_path: Path) -> None:
    """By the name of another run, with and without a seed, and in a second table that ends earlier."""
    runs = pilots(seeds=(0,))
    copies = [attrs.evolve(run, name=f"copy of {run.name}") for run in runs]
    plan = plan_of(tmp_path, [*runs, *copies])
    saves_nothing(plan)
    assert "has no second seed" in headline(plan, answer_of(plan))
    assert (mix_of(plan).pilots, mix_of(plan).seeds) == (4, 1)
    table = tmp_path / "pilots.csv"
    head, *rows = table.read_text().splitlines()
    cut = [",".join([cells[0], "", *cells[2:]]) for cells in (row.split(",") for row in rows)]
    table.write_text("\n".join([head, *cut]) + "\n")
    (tmp_path / "pilots-more.csv").write_text(
        "\n".join([head, *(row for row in cut if float(row.split(",")[2]) < 5e11)])
    )
    report = Report()
    plan = compile_file(tmp_path / "plan.shape", ['laws from mixture("pilots*.csv")'], report)
    assert (mix_of(plan).pilots, mix_of(plan).seeds) == (4, 1)
    (warning,) = (each for each in report.diagnostics if each.code == "skipped-runs")
    assert "it is the same run as `pilots.csv: " in warning.notes[0]


WORSE = Truth(k=0.02, lam=0.9)


def test_mixtures_that_are_all_worse_give_no_before_any_other_reason(tmp_path: Path) -> None:
    one_seed = pilots(WORSE, seeds=(0,), shares=(1.0, 0.5, 0.1))
    for runs in (pilots(WORSE), one_seed):
        plan = plan_of(tmp_path, runs)
        found = answer_of(plan)
        assert (found.say, found.doubts, mix_of(plan).cheap) == ("no", (), None)
        assert found.best == Range(low=0.0, middle=0.0, high=0.0)
        assert headline(plan, found).startswith("no: no mixture pays; in the pilots every one ended at least ")
        gap = mix_of(plan).worse
        assert gap is not None
        ends = {pilot.name: pilot.error[-1] for pilot in runs}
        least = min(ends[f"{share}-seed0"] for share in ("0.5", "0.1")) - ends["1-seed0"]
        assert 0.5 * least < gap < 1.5 * least
        assert not plan.stages[0].blends
    # A mixture that is planned all the same is still answered.
    plan = plan_of(tmp_path, one_seed, "traversal mixture(target: (context: 256 tokens), share: 10%)")
    assert answer_of(plan).say == "no"
    assert plan.stages[0].blends


def test_the_best_share_of_the_pilots_is_compared_in_pairs_of_one_seed(tmp_path: Path) -> None:
    """All pilots follow the law without noise, so that the measured saving is that of the law."""
    truth = Truth()
    (measured,) = {mix_of(plan_of(tmp_path, pilots(level=0.0, noise=0.0, count=30))).measured}
    assert measured is not None
    assert measured.share == pytest.approx(0.1)
    level = (truth.k * 0.9 + 0.1) ** -truth.b + truth.lam * 0.1**-truth.b
    cost = (0.9 * 0.418 + 0.1 * 0.566) / 0.566 * (level / (1 + truth.lam)) ** (1 / truth.b)
    assert measured.saving.middle == pytest.approx(1 - cost, abs=0.005)
    assert mix_of(plan_of(tmp_path, pilots(seeds=(0,)))).measured is None


def test_mixtures_that_are_about_as_good_are_unknown_or_no(tmp_path: Path) -> None:
    runs = pilots(Truth(k=0.8, lam=0.03))
    plan = plan_of(tmp_path, runs)
    found = answer_of(plan)
    assert found.best is not None
    assert (found.say, found.doubts) == ("unknown", ())
    assert found.best.low < 0 < found.best.high
    assert headline(plan, found).startswith("unknown: the mixture may save between -")
    worse = plan_of(tmp_path, runs, "traversal mixture(target: (context: 256 tokens), share: 3%)")
    assert answer_of(worse).say == "no"
    assert "no: this mixture saves between -" in headline(worse, answer_of(worse))


def plateaus(end: float, cap: float = 2.4, width: float = 0.05) -> list[Pilot]:
    """Pilots from the start of training on: the error falls fast to a plateau near `cap`, and leaves it where the law
    lies below, after about 0.15 M tokens."""
    found = []
    for run in pilots(end=end, begin=0.05, count=24, level=0.004, noise=0.001):
        start = cap + 3 * np.exp(-sum(run.data.values()) / 8e3)
        error = -width * np.log(np.exp(-run.error / width) + np.exp(-start / width))
        found.append(attrs.evolve(run, error=error))
    return found


@pytest.mark.parametrize(
    ("reason", "runs"),
    [
        ("the pilot of the target alone has no second seed", [run for run in pilots() if run.name != "1-seed0"]),
        ("there are 3 pilots, and a law of 5 parameters needs at least 4", pilots(shares=(1.0, 0.1))[:3]),
        ("`b` of the law stands at the bound", pilots(Truth(b=5.0, a=0.01), level=1e-4, noise=1e-4)),
        ("`k` of the law stands at the bound", pilots(Truth(k=80.0), level=1e-4, noise=1e-4)),
        ("below 30% of the lowest error", pilots(Truth(c=0.01, a=1.0, b=0.3), level=1e-4, noise=1e-4)),
        ("the law misses the pilots by 0.05", pilots(noise=0.05)),
        ("the saving changes by 15% without the first half of every pilot", plateaus(0.06e12)),
        ("too few measurements to fit the law to its second half", pilots(begin=0.3, count=4)),
    ],
)  # fmt: skip
def test_each_reason_is_given(reason: str, runs: list[Pilot], tmp_path: Path) -> None:
    plan = plan_of(tmp_path, runs)
    assert reason in reasons_of(plan)
    saves_nothing(plan)
    assert answer_of(plan).doubts == ("pilots",)
    said = [headline(plan, answer_of(plan)), *(text for name, text in conditions(plan, answer_of(plan)))]
    assert any(reason in text for text in said)
    assert all(reason.help for reason in answer_of(plan).reasons)
    advice = dict(conditions(plan, answer_of(plan)))["settle"].split("; ")
    assert not [one for one in advice if advice.count(one) > 1 or any(other.startswith(f"{one}:") for other in advice)]


def test_an_error_that_moves_has_no_interval_but_the_saving_has(tmp_path: Path) -> None:
    """All errors are bent alike, so that the ratios at equal error stay, and the end does not."""
    straight = pilots(level=5e-4, noise=5e-4, begin=0.2, count=30)
    runs = [attrs.evolve(run, error=run.error + 0.5 * (run.error - 1.45) ** 2) for run in straight]
    plan = plan_of(tmp_path, runs, 'laws from mixture("pilots.csv", seeds_differ: 0.1%)')
    found = answer_of(plan)
    assert (found.say, found.doubts, found.error) == ("yes", (), None)
    assert found.best is not None
    assert plan.uncertainty is None
    assert "no interval: the error at the end changes by" in dict(conditions(plan, found))["error"]


def test_a_shape_that_no_pilot_saw_is_not_predicted(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path, pilots(), "stage (context: 256 tokens) with 50% (context: 16 tokens) until end", file=BY_HAND
    )
    assert (answer_of(plan).say, answer_of(plan).doubts, answer_of(plan).mix) == ("unknown", ("mixture",), None)
    assert plan.totals.error is None
    saves_nothing(plan)
    assert not list(faults(plan))


@pytest.mark.parametrize(
    "stages",
    [
        ("stage (context: 64 tokens) until 50%", "stage (context: 256 tokens) until end"),
        ("stage (context: 64 tokens) with 50% (context: 256 tokens) until end",),
    ],
)
def test_routes_that_the_law_does_not_describe_are_not_predicted(stages: tuple[str, ...], tmp_path: Path) -> None:
    plan = plan_of(tmp_path, pilots(), *stages, file=BY_HAND)
    assert plan.totals.error is None
    saves_nothing(plan)


def test_stages_by_hand_with_constant_shares_are_predicted(tmp_path: Path) -> None:
    sentence = "stage (context: 256 tokens) with 50% (context: 64 tokens) until end"
    plan = plan_of(tmp_path, pilots(), sentence, file=BY_HAND)
    given = plan_of(tmp_path, pilots(), "traversal mixture(target: (context: 256 tokens), share: 50%)")
    assert plan.totals.error == pytest.approx(given.totals.error)
    assert answer_of(plan).best == answer_of(given).best


def test_plans_with_a_law_of_mixtures_survive_their_file(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, pilots())
    save(plan, tmp_path / "plan.json")
    again = load(tmp_path / "plan.json")
    assert again == plan
    assert again.digest == plan.digest


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"share": Range(low=0.2, middle=0.1, high=0.3)}, "the best share of its mixture is not ordered"),
        ({"share": Range(low=0.2, middle=0.3, high=1.3)}, "the best share of its mixture is not ordered"),
        ({"flat": (0.3, 0.2)}, "the flat range of its mixture"),
    ],
)
def test_impossible_mixtures_in_a_plan_are_faults(change: dict[str, Any], fault: str, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, pilots())
    answer_ = attrs.evolve(answer_of(plan), mix=attrs.evolve(mix_of(plan), **change))
    assert any(fault in one for one in faults(attrs.evolve(plan, answer=answer_)))


def test_a_saving_despite_a_doubt_is_a_fault(tmp_path: Path) -> None:
    found = answer_of(plan := plan_of(tmp_path, pilots()))
    doubted = attrs.evolve(found, say="unknown", doubts=("pilots",), last=None)
    assert any("its pilots do not support" in one for one in faults(attrs.evolve(plan, answer=doubted)))
    assert any("without a saving" in one for one in faults(attrs.evolve(plan, answer=attrs.evolve(found, best=None))))


# -- reading --------------------------------------------------------------------------------------------------------


def test_the_order_and_the_names_of_pilots_do_not_matter(tmp_path: Path) -> None:
    runs = pilots()
    first = answer_to_json(answer_of(plan_of(tmp_path, runs)))
    renamed = [attrs.evolve(run, name=f"run {len(runs) - place}") for place, run in enumerate(runs)]
    assert answer_to_json(answer_of(plan_of(tmp_path, renamed[::-1]))) == first


def test_rows_of_a_table_that_are_not_numbers_are_left_out(tmp_path: Path) -> None:
    runs = pilots()
    expected = answer_of(plan_of(tmp_path, runs)).best
    table = tmp_path / "pilots.csv"
    lines = table.read_text().splitlines()
    broken = ["1-seed0,0,,1,1,1.5", "1-seed0,0,1e12,-5,1,1.5", "1-seed0,0,1e12,0,0,1.5", "1-seed0,0,1e12,0,5,nan"]
    broken.append("1-seed0,0,1e12,0,1e-308,1.5")
    table.write_text("\n".join([*lines, *broken]) + "\n")
    report = Report()
    assert answer_of(compile_file(tmp_path / "plan.shape", [], report)).best == expected
    (warning,) = (each for each in report.diagnostics if each.code == "excluded-points")
    assert warning.message == "some rows of `pilots.csv` are left out: 5"


@pytest.mark.parametrize("column", ["run", "compute", "loss@longest"])
def test_a_table_without_a_column_is_refused(column: str, tmp_path: Path) -> None:
    plan_of(tmp_path, pilots())
    table = tmp_path / "pilots.csv"
    table.write_text(table.read_text().replace(column, "other", 1))
    with pytest.raises(Refused) as found:
        compile_file(tmp_path / "plan.shape", [], Report())
    (error,) = found.value.diagnostics
    assert error.code == "missing-column"
    assert error.help == "`shapeflow pilot --csv` writes such a table"


def test_compute_counted_otherwise_is_refused(tmp_path: Path) -> None:
    plan_of(tmp_path, pilots())
    table = tmp_path / "pilots.csv"
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([f"{head},convention", *(f"{row},paper" for row in rows)]))
    with pytest.raises(Refused) as found:
        compile_file(tmp_path / "plan.shape", [], Report())
    assert found.value.diagnostics[0].code == "mixed-conventions"


@pytest.mark.parametrize("end", [0.03e12, 0.04e12, 0.06e12, 0.1e12, 0.2e12])
def test_pilots_that_end_on_a_plateau_or_just_after_it_give_no_saving(end: float, tmp_path: Path) -> None:
    saves_nothing(plan_of(tmp_path, plateaus(end)))


def test_pilots_that_end_long_after_a_plateau_are_as_good_as_without_it(tmp_path: Path) -> None:
    found = answer_of(plan_of(tmp_path, plateaus(0.5e12)))
    assert found.best is not None
    assert found.best.middle == pytest.approx(0.48, abs=0.03)


def test_a_fit_outside_the_interval_of_its_draws_is_included(tmp_path: Path) -> None:
    """At a bound, all draws lie on one side of the fit."""
    found = answer_of(plan_of(tmp_path, pilots(Truth(b=5.0, a=0.01), level=1e-4, noise=1e-4)))
    assert found.mix is not None
    assert found.mix.share is not None
    assert found.mix.share.low <= found.mix.share.middle <= found.mix.share.high


def test_a_plan_far_beyond_its_pilots_has_no_saving(tmp_path: Path) -> None:
    runs = pilots(end=0.25e12)
    assert answer_of(plan_of(tmp_path, runs, "budget 9.9 TFLOPs")).say == "yes"
    plan = plan_of(tmp_path, runs, "budget 10.1 TFLOPs")
    saves_nothing(plan)
    assert "20.2 times as long as the longest pilot" in reasons_of(plan)


def test_pilots_of_another_model_are_refused(tmp_path: Path) -> None:
    runs = pilots()
    wider = [attrs.evolve(run, compute=1.5 * run.compute) for run in runs]
    assert refused(tmp_path, wider) == "foreign-pilots"
    assert refused(tmp_path, runs, file=FILE.replace("width: 64", "width: 96")) == "foreign-pilots"


def test_a_pilot_that_just_left_a_plateau_is_doubted(tmp_path: Path) -> None:
    """Its error falls faster in the second half, which no power law does."""
    runs = pilots()
    late = runs[3]
    half = late.compute[-1] / 2
    bent = np.where(late.compute < half, late.error[0], late.error[0] - 0.3 * np.log(late.compute / half))
    plan = plan_of(tmp_path, [*runs[:3], attrs.evolve(late, error=bent), *runs[4:]])
    saves_nothing(plan)
    assert f"`pilots.csv: {late.name}` falls faster in its second half" in reasons_of(plan)
