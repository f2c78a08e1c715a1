"""The answer of a plan in words: the first line answers, the lines below say what it depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.ir.answer import Answer, Doubt
from shapeflow.ir.plan import Plan
from shapeflow.preview.answer_mixture import mixed_conditions, mixed_headline
from shapeflow.preview.charge import charged
from shapeflow.preview.final_error import final_error
from shapeflow.preview.numbers import count, duration, flops, noun
from shapeflow.preview.shares import interval, percent, share

STYLES = {"yes": "bold green", "no": "bold", "unknown": "bold yellow"}

DOUBTS: Mapping[Doubt, str] = {
    "no-measurements": "a law has no measured curve: none is recorded, or runs of its shape share no range of compute",
    "published": "published laws describe other models and data",
    "mixture": "no law describes what steps in several shapes learn together",
    "metric": "equal losses in the longest context do not mean equal progress after training at different contexts",
    "rises": "a measured curve rises: its error does not show how far training has come",
    "runs-differ": "runs of one shape differ too much in the compute that they need",
    "falling-rate": "the learning rate falls along the runs, so earlier points do not show what shorter runs reach",
    "annealed": "the laws are of the ends of runs: they compare shapes at an end, and not the errors of stages before",
    "too-far": "the plan uses a curve beyond 20 times its measured compute",
    "pilots": "the pilots do not support the law of the mixture",
}

SETTLED: Mapping[Doubt, str] = {
    "no-measurements": 'fit the laws again, from runs of a shape that overlap: `laws from fit("runs/*.csv")`',
    "published": '`shapeflow sweep` trains your own candidates; then `laws from fit("runs/*.csv")`',
    "mixture": "`shapeflow compare` trains the plan and its rivals; `shapeflow pilot` finds the law of a mixture",
    "metric": "`shapeflow compare` trains the plan and its rivals",
    "rises": "check these runs for divergence or overfitting, or train on more data",
    "runs-differ": "more runs of each shape, or a lower learning rate",
    "falling-rate": "runs at a constant learning rate",
    "annealed": "runs at a constant learning rate, or `shapeflow compare`, which trains the plan and its rivals",
    "too-far": "a smaller budget, or longer runs",
    "pilots": "more or longer pilots",
}


def answer_view(plan: Plan) -> RenderableType | None:
    """What a screen prints first; None for a plan without laws."""
    found = plan.answer
    if found is None:
        return None
    first, rest = headline(plan, found), Table.grid(padding=(0, 2))
    rest.add_column(no_wrap=True)
    rest.add_column()
    for name, text in conditions(plan, found):
        rest.add_row(f"  {name}", text)
    line = Text(first)
    line.stylize(STYLES[found.say], 0, len(found.say))
    return Group(line, rest)


def headline(plan: Plan, found: Answer) -> str:
    """The answer in one sentence."""
    if found.mix is not None:
        return mixed_headline(plan, found, found.mix)
    if found.doubts:
        differ = f" ({share(found.differ)})" if found.doubts[0] == "runs-differ" and found.differ is not None else ""
        return f"unknown: {DOUBTS[found.doubts[0]]}{differ}"
    saves = _saves(plan, found)
    if found.say == "yes":
        return f"yes{_provided(found)}: saves {saves}"
    best = len(plan.stages) == 1 and bool(found.fixed) and plan.stages[0].shape == found.fixed[0].shape
    if found.say == "no" and best:
        sure = "" if found.stated else f" ({share(found.fixed[0].share)} likely)"
        return f"no: no switch pays; {found.fixed[0].shape.written(plan.units)} is the best fixed shape{sure}"
    if found.say == "no":
        if found.best is not None and found.best.high <= 0:
            return f"no: the plan saves nothing, {saves}"
        return f"no: the plan saves {saves}, less than the {percent(found.useful)} that are useful"
    if best and found.other > 0.5:
        return (
            f"unknown: the plan is the best fixed shape, {found.fixed[0].shape.written(plan.units)}, but a switch "
            f"would probably save more than 5% ({share(found.other)} likely)"
        )
    if best:
        return (
            f"unknown: the plan is the best fixed shape, {found.fixed[0].shape.written(plan.units)}, but a switch that "
            f"saves more than 5% is not excluded ({share(found.other)} likely)"
        )
    return f"unknown: the plan may save {saves}"


def conditions(plan: Plan, found: Answer) -> Iterator[tuple[str, str]]:
    """What the answer depends on, as (name, text)."""
    if found.mix is not None:
        yield from mixed_conditions(plan, found, found.mix)
        return
    if found.doubts:
        for doubt in found.doubts[1:]:
            yield "also", DOUBTS[doubt]
        yield "settle", SETTLED[found.doubts[0]]
        if found.spent is not None:
            yield "cost", f"the runs of the laws took {flops(found.spent)}"
        return
    if (text := _next(plan, found)) is not None:
        yield "next", text
    for text in found.beware:
        yield "beware", text
    if found.stated:
        yield "laws", _stated(plan)
    else:
        yield "data", _data(plan, found)
    if plan.in_seconds and (text := _seconds(plan)):
        yield "seconds", text
    if (missing := ", ".join(_untested(plan))) and not found.stated:
        yield "tests", f"not tested: {missing}"
    if found.settle is not None or found.say == "unknown":
        yield "settle", _settle(plan, found)
    if found.idle and found.say == "unknown":
        waiting = ", ".join(one.written(plan.units) for one in found.idle)
        yield "idle", f"more runs of {waiting} are unlikely to matter"
    if found.last is not None and not found.stated and plan.stages[-1].shape != found.fixed[0].shape:
        yield "last", f"against {plan.stages[-1].shape.written(plan.units)} fixed: {interval(found.last)}"
    if len(found.fixed) > 1:
        likely = ", ".join(f"{one.shape.written(plan.units)} {share(one.share)}" for one in found.fixed[:3])
        yield "fixed", f"best fixed shape: {likely}"
    if (text := _price_of_both(plan)) is not None:
        yield "takes", text
    if found.switches and not found.stated:
        yield "credit", _credit(found)
    if any(stage.blends for stage in plan.stages):
        yield "not in it", "what blended steps learn: laws do not describe them"
    if found.error is not None:
        yield "error", final_error(plan, found.error)
    if found.spent is not None:
        yield "cost", cost(found)
    if found.differ is not None:
        basis = f"{found.differ_runs} additional runs and the prior" if found.differ_runs else "assumed"
        yield "runs", f"two runs of a shape differ by {share(found.differ)} of compute at equal error ({basis})"


def _price_of_both(plan: Plan) -> str | None:
    """What the plan takes and the best fixed shape to the same error, in what the plan minimises; None for compute, and
    if the plan is that shape."""
    best = plan.comparison.best_fixed
    alone = len(plan.stages) == 1 and plan.stages[0].shape == best.shape
    if alone or not plan.in_seconds or plan.totals.seconds is None or best.seconds is None or best.shape is None:
        return None
    own, other = (charged(plan, one) or duration(one, 3) for one in (plan.totals.seconds, best.seconds))
    return f"{own}; {best.shape.written(plan.units)} fixed would take {other} to the same error"


def _seconds(plan: Plan) -> str:
    """Where the seconds of steps come from, if not all were measured."""
    every = [one.seconds_are for one in plan.candidates]
    several = every.count("interpolated")
    parts = ["stated in a table, not measured"] if "stated" in every else []
    parts += [f"interpolated for {several} of {len(every)} candidates"] if several else []
    return f"{', and '.join(parts)}; the answer is only as good as they are" if parts else ""


def _untested(plan: Plan) -> Iterator[str]:
    """What was not tested, or is not known, of the laws that were fitted to runs."""
    laws = {one.shape: one.law.provenance for one in plan.candidates if one.law is not None}
    fitted = {shape: about for shape, about in laws.items() if about.source == "fit"}
    joint = any(about.settings.get("form") == "chinchilla" for about in fitted.values())
    why = "`shapeflow fit` tests a joint law on larger sizes" if joint else "too few points to leave a part out"
    tests = (
        (f"the hold-out of {{}} ({why})", "holdout"),
        ("the learning rate of {} (no log shows it)", "learning_rate"),
    )
    for what, fact in tests:
        shapes = [shape.written(plan.units) for shape, about in fitted.items() if getattr(about, fact) is None]
        if shapes:
            yield what.format("all laws" if len(shapes) == len(fitted) else ", ".join(shapes))


def _stated(plan: Plan) -> str:
    """What laws without measurements are worth."""
    sources = {one.law.provenance.source for one in plan.candidates if one.law is not None}
    if "theory" in sources and plan.model is not None:
        return "from theory: the expected loss of this model"
    if "theory" in sources:
        return "from theory: exact for the model that it describes, and not measured on yours"
    return "stated in the file; the answer is only as good as they are"


def _next(plan: Plan, found: Answer) -> str | None:
    """What to do now; None for stated laws, which are not evidence."""
    if found.stated or not found.fixed:
        return None
    fixed = found.fixed[0].shape.written(plan.units)
    if found.say == "yes":
        return "`shapeflow probe`, which measures what a switch keeps" if found.assumed else "run the plan"
    if found.say == "no":
        return f"train {fixed} fixed" + (", as the plan does" if len(plan.stages) == 1 else "")
    if found.settle is None:
        return f"train {fixed} fixed, or measure the difference with `shapeflow compare`"
    return f"settle it as below; until then, {fixed} fixed is the safe choice"


def _saves(plan: Plan, found: Answer) -> str:
    if found.best is None:
        return "an unknown share"
    what = noun(found.unit)
    against = found.fixed[0].shape if found.fixed else plan.comparison.best_fixed.shape
    shape = "" if against is None else f", {against.written(plan.units)}"
    if plan.stages[-1].shape == against and len(plan.stages) > 1:
        shape += ", which is also its last"
    low, middle, high = map(percent, (found.best.low, found.best.middle, found.best.high))
    if found.stated:
        saved = f"{middle} of the {what}"
    elif found.say == "yes":
        saved = f"{middle} of the {what} (90%: {low} to {high})"
    else:
        saved = f"between {low} and {high} of the {what} (90%; median {middle})"
    return f"{saved} against the best fixed shape{shape}"


def _provided(found: Answer) -> str:
    """The condition of a yes whose credits are assumed."""
    if not found.assumed:
        return ""
    credits = sorted({one.credit for one in found.switches if not one.measured})
    assumed = " to ".join(share(credit) for credit in dict.fromkeys((credits[0], credits[-1])))
    if found.stated:
        return f", if each switch keeps {assumed} of the progress (assumed)"
    if found.credit_needed is None:
        return ""
    return f", if each switch keeps at least {share(found.credit_needed)} of the progress (assumed: {assumed})"


def _data(plan: Plan, found: Answer) -> str:
    if all(one.law is None or one.law.provenance.curve is None for one in plan.candidates):
        return _stated(plan) + _uncertain(plan, found)
    stated = [one.shape for one in plan.candidates if one.law is not None and one.law.provenance.curve is None]
    also = f"; stated, and taken as exact: {', '.join(one.written(plan.units) for one in stated)}" if stated else ""
    if not found.asked:
        return f"inside what was measured{also}"
    each = ", ".join(f"{one.shape.written(plan.units)} {one.times:.3g} times" for one in found.asked)
    return f"extrapolated: beyond the measured compute of {each}{also}"


def _uncertain(plan: Plan, found: Answer) -> str:
    """What the interval of laws without measurements comes from."""
    settings = (one.law.provenance.settings for one in plan.candidates if one.law is not None)
    matrices = max((number for one in settings if isinstance(number := one.get("matrices"), int)), default=0)
    parts = [f"{matrices} draws of the random features"] if matrices else []
    parts += ["the measured credits"] if any(one.measured for one in found.switches) else []
    return f"; the interval is that of {' and '.join(parts)}, without the noise of SGD" if parts else ""


def _settle(plan: Plan, found: Answer) -> str:
    one = found.settle
    if found.other > 0.5 and len(plan.stages) == 1:
        return "`traversal steepest` plans the switch"
    if one is None:
        return "not at a sensible cost: more than 8 times the runs, or runs 8 times as long"
    shapes = [shape.written(plan.units) for shape in one.shapes]
    order = shapes[0] if len(shapes) == 1 else f"{', '.join(shapes)}, in this order"
    if one.by == "seeds":
        text = f"{one.times:.3g} times the runs of {order}: {_price(plan, one.compute)}"
        return text if one.expected is None else f"{text}; expected then: {interval(one.expected)}"
    return f"run {order} to {one.times:.3g} times the measured compute: {_price(plan, one.compute)}"


def _price(plan: Plan, compute: float) -> str:
    """The FLOPs that would settle the answer, and how many runs of the plan they are."""
    runs = compute / plan.totals.compute if plan.totals.compute else 0.0
    return f"{flops(compute)} more" + (f", {runs:.2g} times a run of the plan" if runs else "")


def _credit(found: Answer) -> str:
    # A switch may keep more than all of it.
    kept = [f"{100 * one.credit:.0f}%" + ("" if one.measured else " (assumed)") for one in found.switches]
    needs = "" if found.credit_needed is None else f"; pays from {share(found.credit_needed)} at each switch"
    probe = "; `shapeflow probe` measures it" if found.assumed else ""
    return f"progress that survives a switch: {', '.join(dict.fromkeys(kept))}{needs}{probe}"


def cost(found: Answer) -> str:
    assert found.spent is not None
    text = f"the runs of the laws took {flops(found.spent)}"
    if found.saved is None or found.say == "no":
        return text
    if found.uses is None:
        return f"{text}; the plan is not expected to save any"
    low, high = (flops(value) if value > 0 else "none" for value in (found.saved.low, found.saved.high))
    runs = count(round(found.uses))
    pays = "already paid for by one run" if found.uses <= 1 else f"paid for after {runs} runs of this plan"
    return f"{text}; one run of the plan saves {flops(found.saved.middle)} ({low} to {high}): {pays}"
