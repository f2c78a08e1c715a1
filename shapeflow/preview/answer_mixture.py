"""The answer of a plan by the law of a mixture, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shapeflow.ir.answer import Answer, Mix
from shapeflow.ir.plan import Plan
from shapeflow.preview.final_error import final_error
from shapeflow.preview.numbers import count, error, flops, noun
from shapeflow.preview.shares import interval, percent, share


def mixed_headline(plan: Plan, found: Answer, mix: Mix) -> str:
    """The answer in one sentence."""
    alone = f"{mix.target.written(plan.units)} alone"
    if found.doubts:
        return f"unknown: {found.reasons[0].text}"
    if mix.worse is not None:
        gap = error(mix.worse, plan.metric)
        return f"no: no mixture pays; in the pilots every one ended at least {gap} above {alone}"
    if mix.cheap is None:
        return f"no: no mixture pays; {alone} is the best"
    what = noun(found.unit)
    if found.best is None:
        assert mix.share is not None
        text = f"a mixture with {share(mix.share.middle)} of it and {_cheap(plan, mix)} would probably save {what}"
        return f"unknown: the plan trains {alone}; {text}"
    low, middle, high = map(percent, (found.best.low, found.best.middle, found.best.high))
    if found.say == "yes":
        return f"yes: saves {middle} of the {what} (90%: {low} to {high}) against {alone}"
    if found.say == "no":
        return f"no: this mixture saves between {low} and {high} of the {what} (90%) against {alone}"
    return f"unknown: the mixture may save between {low} and {high} of the {what} (90%; median {middle})"


def mixed_conditions(plan: Plan, found: Answer, mix: Mix) -> Iterator[tuple[str, str]]:
    """What the answer depends on, as (name, text)."""
    target = mix.target.written(plan.units)
    if found.doubts:
        for reason in found.reasons[1:]:
            yield "also", reason.text
        yield "settle", "; ".join(_distinct([reason.help for reason in found.reasons]))
    elif found.say == "yes":
        yield "next", "run the plan; `shapeflow compare` trains it with its rivals"
    elif found.say == "no":
        yield "next", f"train {target} alone"
    elif found.best is None:
        yield "next", f"use the best share: `traversal mixture(target: {target})`"
    else:
        yield "next", f"`shapeflow compare`, or more seeds of the pilots; until then, {target} alone is the safe choice"
    for text in found.beware:
        yield "beware", text
    if mix.share is not None and mix.flat is not None and mix.share.middle < 1:
        low, high = (share(end) for end in mix.flat)
        below = mix.share.middle < 0.8 * mix.smallest
        limit = f"; below the smallest of the pilots, {share(mix.smallest)}, nothing is known" if below else ""
        best = f"best share of {target}: {share(mix.share.middle)} ({_ends(mix)}), the rest {_cheap(plan, mix)}"
        yield "share", f"{best}{limit}"
        yield "flat", f"{low} to {high} of {target} need at most 3% more than the best share" + (" of these" * below)
    if mix.measured is not None:
        one = mix.measured
        best = f"{share(one.share)} of {target} reached the final error of {target} alone"
        yield "measured", f"in the pilots, {best} with {interval(one.saving)} less compute (mean, range of the seeds)"
    beyond = f"; the plan is {found.asked[0].times:.3g} times as long as the longest" if found.asked else ""
    yield "data", f"{count(mix.pilots)} pilots, {count(mix.seeds)} of them {target} alone{beyond}"
    if found.error is not None:
        yield "error", final_error(plan, found.error)
    elif not found.doubts and found.reasons:
        yield "error", f"no interval: {found.reasons[-1].text}"
    if mix.cheap is not None:
        yield "not in it", "other shapes, and shares that change during training: `shapeflow compare` measures them"
    if found.spent is not None:
        yield "cost", _cost(plan, found)


def _ends(mix: Mix) -> str:
    assert mix.share is not None
    return f"90%: {share(mix.share.low)} to {share(mix.share.high)}"


def _cheap(plan: Plan, mix: Mix) -> str:
    assert mix.cheap is not None
    return mix.cheap.written(plan.units)


def _cost(plan: Plan, found: Answer) -> str:
    """What the pilots took, and from how many runs or from which budget on they pay."""
    assert found.spent is not None
    text = f"the pilots took {flops(found.spent)}"
    if found.saved is None or found.best is None or found.say != "yes" or not 0 < found.best.middle < 1:
        return text
    saves = f"{text}; one run saves {flops(found.saved.middle)} ({flops(found.saved.low)} to {flops(found.saved.high)})"
    if found.spent <= found.saved.middle:
        return f"{saves}: already paid for by one run"
    runs = count(max(2, -int(-found.spent // found.saved.middle)))
    budget = found.spent * (1 - found.best.middle) / found.best.middle
    return f"{saves}: paid for by {runs} runs, or by one run of {flops(budget)}"


def _distinct(advice: Sequence[str]) -> list[str]:
    """Each advice once, and not again in fewer words."""
    return [
        one
        for place, one in enumerate(advice)
        if one not in advice[:place] and not any(other.startswith(f"{one}:") for other in advice)
    ]
