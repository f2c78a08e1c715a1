"""Credits of switches: the estimator against curves with known eta, the file of credits, and plans that use it."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapeflow.api import compile
from shapeflow.base.diagnostics import Refused, Report, Source
from shapeflow.base.sealed import digest_of
from shapeflow.base.shapes import Shape
from shapeflow.compiler import program_of
from shapeflow.ir import credits as credits_file
from shapeflow.ir.credits import Credits, Pair
from shapeflow.ir.law import Law, Provenance
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import dumps, loads
from shapeflow.language.fmt import formatted
from shapeflow.language.parse import parse
from shapeflow.preview.plan import plan_view
from shapeflow.preview.screen import console
from shapeflow.running.transfer import Forked, Point, etas, interval, pair, recovery, trial


def law(a: float = 4.0, b: float = 0.5, c: float = 0.2, d: float = 0.0) -> Law:
    return Law(a, b, c, d, Provenance(source="stated", metric="error", convention="flops"))


def forked(after: Law, before: float, eta: float, length: float, points: int = 20) -> Forked:
    """A run that continues along a law, at `eta` times the compute at which the law has the run's error."""
    stood = eta * after.compute(before)
    spent = [length * (number + 1) / points for number in range(points)]
    return Forked(0, 100.0, before, tuple(Point(s, s, after.error(stood + s)) for s in spent), before, 0.5)


@given(st.floats(0.3, 0.9), st.floats(0.0, 0.4), st.floats(-5.0, 5.0), st.floats(0.1, 1.5), st.floats(0.2, 3.0))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_the_estimator_returns_the_eta_of_a_curve(b: float, c: float, d: float, eta: float, times: float) -> None:
    after = law(b=b, c=c, d=d)
    before = after.error(100.0)
    length = times * after.compute(before)
    found = etas(forked(after, before, eta, length), after.compute)
    assert found == pytest.approx([eta] * len(found), rel=1e-6)
    assert len(found) > 0


def test_a_credit_may_be_negative_or_above_one() -> None:
    """A run that is worse than one from scratch, and a run that is better than its law."""
    after = law(d=50.0)
    before = after.error(100.0)
    assert trial(forked(after, before, -0.2, 200.0), after.compute).eta == pytest.approx(-0.2)
    assert trial(forked(after, before, 1.3, 200.0), after.compute).eta == pytest.approx(1.3)


def test_a_transient_after_the_switch_does_not_count() -> None:
    after = law()
    whole = forked(after, 0.6, 0.5, 100.0)
    bump = tuple(attrs.evolve(point, error=point.error + 5.0) if point.spent < 30 else point for point in whole.moved)
    found = trial(attrs.evolve(whole, moved=bump), after.compute)
    assert found.eta == pytest.approx(0.5)
    assert found.after > 5
    assert found.recovery is not None
    assert found.recovery >= 30


def test_steps_in_another_shape_count_at_the_price_of_the_shape_after() -> None:
    after = law()
    whole = forked(after, 0.6, 0.5, 100.0)
    cheap = tuple(attrs.evolve(point, spent=0.7 * point.spent) for point in whole.moved)
    found = trial(attrs.evolve(whole, moved=cheap), after.compute)
    assert found.eta == pytest.approx(0.5)
    assert found.trained == pytest.approx(70.0)


def test_recovery_is_between_two_measurements() -> None:
    points = [Point(10.0, 10.0, 3.0), Point(20.0, 20.0, 1.0)]
    assert recovery(2.5, points) == pytest.approx(12.5)
    assert recovery(0.5, points) is None
    assert recovery(3.5, points) == 10.0


def test_a_reference_that_misses_the_error_gives_no_eta() -> None:
    after = law()
    below = forked(law(c=0.0), 0.25, 1.0, 1e9)
    assert trial(below, after.compute).eta is None
    one = pair("context", (64, 256), Shape.of({}), "law", 1.0, [trial(below, after.compute)])
    assert (one.eta, one.used, one.low) == (None, None, None)


def test_an_interval_over_seeds() -> None:
    """Three seeds: 4.3027 times the standard error, from Student's t with two degrees of freedom."""
    low, high = interval([0.4, 0.5, 0.6])
    assert (low, high) == (pytest.approx(0.5 - 4.302653 * 0.1 / 3**0.5), pytest.approx(0.5 + 4.302653 * 0.1 / 3**0.5))
    after = law()
    seeds = [
        trial(attrs.evolve(forked(after, 0.6, eta, 50.0), seed=n), after.compute) for n, eta in enumerate((0.4, 0.6))
    ]
    both = pair("context", (64, 256), Shape.of({}), "law", 7.0, seeds)
    assert both.eta == pytest.approx(0.5)
    assert both.low is not None
    assert both.low < 0.4
    assert both.seeds == (0, 1)
    assert pair("context", (64, 256), Shape.of({}), "law", 7.0, seeds[:1]).low is None


FILE = """
model     vit(depth: 1, head_width: 8, width: 16)
data      digits(batch: 16)
objective cross_entropy
metric    cross_entropy
axis patch in [4, 2] px via flexi_resize(base: 4 px)
law for (patch: 4 px) is power(a: 60, b: 0.25, c: 0.5, d: 0)
law for (patch: 2 px) is power(a: 400, b: 0.33, c: 0, d: 0)
credits from "credits.json"
traversal steepest
start at error 2
budget 200 GFLOPs
"""


def measured(eta: float | None, **fields: object) -> Pair:
    after = law()
    one = trial(forked(after, 0.6, 0.5, 50.0), after.compute)
    found = pair("patch", (4, 2), Shape.of({}), "law", 3e9, [one, attrs.evolve(one, seed=1)])
    width = {} if eta is None else {"low": eta - 0.1, "high": eta + 0.1}
    return attrs.evolve(found, **{"eta": eta, "recovery": 2e9, "seconds": 0.25, **width, **fields})


def planned(folder: Path, *pairs: Pair, text: str = FILE) -> Plan:
    """The plan compiled from the text above with these measured credits."""
    path = folder / "a.shape"
    path.write_text(text)
    program = program_of(path, [], Report())
    assert program is not None
    credits_file.save(Credits(program.subject(), pairs), folder / "credits.json")
    return compile(path)


def test_a_setting_that_came_later_may_be_missing(tmp_path: Path) -> None:
    planned(tmp_path, measured(0.9))
    program = program_of(tmp_path / "a.shape", [], Report())
    assert program is not None
    old = program.subject()
    for part in ("optimizer", "model"):
        old[part][0]["settings"].pop({"optimizer": "clip", "model": "mlp_ratio"}[part])
    assert program.unlike(old) is None
    old["model"][0]["settings"].pop("width")
    assert program.unlike(old) == "`width` of `vit`"
    assert program.unlike({}) == "`convention`"
    assert program.unlike({"convention": "flops"}) == "`metric`"


def stages(plan: Plan) -> list[int]:
    return [stage.shape.number("patch") for stage in plan.stages]


def shown(plan: Plan) -> str:
    out = console()
    out.width = 1000
    with out.capture() as capture:
        out.print(plan_view(plan))
    return capture.get()


def test_the_sentence_is_laid_out_as_others_are() -> None:
    report = Report()
    document = parse(Source("a.shape", 'credits   from\n"runs/credits.json"'), report)
    assert not report.failed
    assert formatted(document) == 'credits    from "runs/credits.json"\n'


def test_a_traversal_plans_by_what_was_measured(tmp_path: Path) -> None:
    """With a measured credit of 100% the plan switches, with one of 30% it does not. Measurements override `credit`."""
    assert stages(planned(tmp_path, measured(1.0))) == [4, 2]
    assert stages(planned(tmp_path, measured(0.3))) in ([4], [2])
    assert stages(planned(tmp_path, measured(1.0), text=FILE.replace("4 px)\nlaw", "4 px, credit: 2%)\nlaw"))) == [4, 2]


def test_a_plan_says_what_was_measured(tmp_path: Path) -> None:
    plan = planned(tmp_path, measured(0.9))
    transition = plan.stages[1].transition
    assert transition is not None
    assert (transition.credit, transition.seconds) == (0.9, 0.25)
    (credit,) = transition.credits
    assert (credit.eta, credit.low, credit.high, credit.seeds) == (0.9, 0.8, 1.0, (0, 1))
    assert loads(dumps(plan), "here") == plan
    text = shown(plan)
    assert "patch 4 -> 2: 90% of the progress survived, measured (seeds 0, 1, 80% to 100%)" in text
    assert "the error recovered after 2 GFLOPs" in text
    assert "measuring the credits took 3 GFLOPs" in text
    assert "1 of 2 switches along patch have a measured credit" in text


def test_credits_that_were_not_measured_are_reported_as_assumed(tmp_path: Path) -> None:
    plan = planned(tmp_path, measured(0.9, before=2, after=4))
    assert plan.stages[1].transition is not None
    assert (plan.stages[1].transition.credit, plan.stages[1].transition.credits) == (1.0, ())
    assert "the credit of patch 4 -> 2 was not measured: the 100% of `flexi_resize` is assumed" in plan.notes
    assert "flexi_resize: 100% of the progress is assumed to survive the switch" in shown(plan)
    assert any("gave no credit" in note for note in planned(tmp_path, measured(None)).notes)


def test_a_credit_above_one_counts_as_one(tmp_path: Path) -> None:
    plan = planned(tmp_path, measured(1.2))
    assert plan.stages[1].transition is not None
    assert plan.stages[1].transition.credit == 1.0
    assert plan.stages[1].transition.credits[0].eta == 1.2
    assert any("measured as 1.2; the stages use 1" in note for note in plan.notes)


def test_a_negative_credit_counts_as_zero(tmp_path: Path) -> None:
    """A stated switch at a credit of 0 continues as training from scratch does."""
    text = FILE.replace("traversal steepest\n", "stage (patch: 4 px) until 50%\nstage (patch: 2 px) until end\n")
    plan = planned(tmp_path, measured(-0.4), text=text)
    second, after = plan.stages[1], plan.law(Shape.of(patch=2))
    assert second.transition is not None
    assert second.transition.credit == 0.0
    assert after is not None
    assert second.leave.error == pytest.approx(after.error((second.steps or 0) * second.cost))


def test_a_file_of_credits_survives_writing_and_reading(tmp_path: Path) -> None:
    whole = Credits({"metric": "loss@own"}, (measured(0.9), measured(None, before="a", after="b")))
    credits_file.save(whole, tmp_path / "credits.json")
    assert credits_file.load(tmp_path / "credits.json") == whole
    anew = whole.joined([measured(0.7)])
    assert [one.eta for one in anew.pairs] == [0.7, None]
    assert anew.spent == pytest.approx(6e9)


@pytest.mark.parametrize("what", ["torn", "edited", "version", "surplus", "nan", "list"])
def test_files_that_are_not_credits(what: str, tmp_path: Path) -> None:
    path = tmp_path / "credits.json"
    credits_file.save(Credits({}, (measured(0.9),)), path)
    text = path.read_text()
    body = json.loads(text)
    if what == "torn":
        text = text[: len(text) // 2]
    elif what == "edited":
        body["pairs"][0]["eta"] = 0.99
    elif what == "version":
        body["version"] = 99
    elif what == "surplus":
        body["pairs"][0]["more"] = 1
        body.pop("digest")
        body["digest"] = digest_of(body)
    path.write_text({"torn": text, "nan": '{"format": NaN}', "list": "[]"}.get(what, json.dumps(body)))
    with pytest.raises(Refused) as refused:
        credits_file.load(path)
    assert [one.code for one in refused.value.diagnostics] == ["broken-credits"]


@pytest.mark.parametrize(
    ("old", "new", "other"),
    [
        ("width: 16", "width: 24", "`width` of `vit`"),
        ("batch: 16", "batch: 8", "`batch` of `digits`"),
        (
            "objective cross_entropy",
            "objective cross_entropy(label_smoothing: 10%)",
            "`label_smoothing` of `cross_entropy`",
        ),
        ("metric    cross_entropy", "metric    classification_error", "`metric`"),
        ("base: 4 px", "base: 4 px, preview: 10%", "`preview` of `flexi_resize`"),
    ],
)
def test_credits_of_something_else_are_refused(old: str, new: str, other: str, tmp_path: Path) -> None:
    planned(tmp_path, measured(0.9))
    (tmp_path / "a.shape").write_text(FILE.replace(old, new))
    with pytest.raises(Refused) as refused:
        compile(tmp_path / "a.shape")
    assert "foreign-credits" in [one.code for one in refused.value.diagnostics]
    assert f"a different {other}" in str(refused.value)


SWITCHED = """
model     vit(depth: 1, head_width: 8, width: 16, patch: 4 px)
data      digits(batch: 16)
metric    cross_entropy
let hard = cross_entropy
let soft = cross_entropy(label_smoothing: 10%)
axis loss in [hard, soft] via loss_switch
credits from "credits.json"
stage (loss: hard) until 50%
stage (loss: soft) until end
budget 8 steps
"""


def test_swapped_names_are_different_objectives(tmp_path: Path) -> None:
    """A credit identifies its losses by name, so after swapping names it would apply to the reverse switch."""
    back = measured(0.5, axis="loss", before="hard", after="soft")
    assert planned(tmp_path, back, text=SWITCHED).stages[1].transition is not None
    swapped = (
        SWITCHED.replace("let hard =", "let x =").replace("let soft =", "let hard =").replace("let x =", "let soft =")
    )
    (tmp_path / "a.shape").write_text(swapped)
    with pytest.raises(Refused, match="foreign-credits") as refused:
        compile(tmp_path / "a.shape")
    assert "a different `label_smoothing` of `cross_entropy`" in str(refused.value)
    (tmp_path / "a.shape").write_text(SWITCHED.replace("soft", "softer"))
    with pytest.raises(Refused, match="a different `objective`"):
        compile(tmp_path / "a.shape")


def test_without_laws_credits_are_shown_and_reported_as_unused(tmp_path: Path) -> None:
    plan = planned(tmp_path, measured(0.5, axis="loss", before="hard", after="soft"), text=SWITCHED)
    text = shown(plan)
    assert "loss hard -> soft: 50% of the progress survived, measured" in text
    assert "the credits of `credits.json` affect no stage" in text
    assert "is assumed" not in text
