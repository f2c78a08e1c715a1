"""Shows the result of `shapeflow probe`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shapeflow.ir.credits import Pair, Trial
from shapeflow.preview.numbers import error, flops, share
from shapeflow.running.probe import Probing


def price_of(probing: Probing) -> str:
    """The cost of a probe, printed before it starts."""
    budget = probing.program.budget
    times = ""
    if budget is not None and budget.dimension == "compute":
        times = f", {probing.compute / budget.value:.3g} times the file's budget"
    return f"  {len(probing.jobs)} runs, {flops(probing.compute)} in total{times}"


def probe_view(probing: Probing, pairs: Sequence[Pair]) -> RenderableType:
    """What each switch keeps, and a table of the measurements of each seed."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    metric = probing.program.metric.key
    table.add_column("switch", no_wrap=True)
    for heading in ("eta", "before", "after", "recovered", "switched", "stayed", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for pair in pairs:
        for one in pair.trials:
            table.add_row(f"  {_switch(pair)}, seed {one.seed}", *_row(one, metric))
    kept = [Text(f"{_switch(pair)} {_kept(pair)}", style="bold") for pair in pairs]
    return Group(*kept, Text(), Text(f"  {metric}, each seed:"), table, Text(), *map(Text, _words(probing, pairs)))


def _switch(pair: Pair) -> str:
    return f"{pair.axis} {pair.before} -> {pair.after}"


def _kept(pair: Pair) -> str:
    if pair.eta is None:
        return "keeps an unknown share of the progress"
    interval = "" if pair.low is None or pair.high is None else f" (95%: {share(pair.low)} to {share(pair.high)})"
    return f"keeps {share(pair.eta)} of the progress{interval}"


def _row(one: Trial, metric: str) -> Iterator[str]:
    yield "-" if one.eta is None else f"{one.eta:.3g}"
    yield error(one.before, metric)
    yield error(one.after, metric)
    yield "never" if one.recovery is None else f"+{share(one.recovery / one.at)}"
    yield error(one.end, metric)
    yield error(one.stayed, metric)
    yield "-" if one.seconds is None else f"{one.seconds:.2g}"


def _words(probing: Probing, pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield the meaning of the numbers, and their caveats."""
    several = any(len(pair.trials) > 1 for pair in pairs)
    yield "  eta: the share that survived, mean over the later half of the training after the switch"
    yield "  recovered: compute until the error before the switch was reached again, over that before the switch"
    yield "  switched, stayed: the error at the end with and without the switch; seconds: of the switch itself"
    if not several:
        yield "  no interval from one seed: add seeds with `--seeds`"
    for pair in pairs:
        switch = _switch(pair)
        for one in pair.trials:
            if one.eta is None:
                yield f"  {switch}, seed {one.seed}: no eta: the {pair.reference} after it does not cover these errors"
            elif one.recovery is None:
                yield f"  {switch}, seed {one.seed}: not recovered, so eta is a lower bound; train longer: `--for`"
        yield from _beyond(probing, pair, switch)


def _beyond(probing: Probing, pair: Pair, switch: str) -> Iterator[str]:
    """Yield a caveat if the errors are outside the range that the law of the new shape was fitted to."""
    after = next(p.switch.after for p in probing.probes if p.switch.name == switch)
    law = probing.laws.get(after)
    if pair.reference == "run" or law is None or law.measured is None:
        return
    errors = [value for one in pair.trials for value in (one.before, one.end)]
    if min(errors) < law.measured[1] or max(errors) > law.measured[0]:
        first, last = (error(value, law.provenance.metric) for value in law.measured)
        yield f"  {switch}: the law after was fitted to errors from {first} to {last}; outside, eta is extrapolated"
