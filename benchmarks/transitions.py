"""Measures how much a switch raises the loss and how fast it recovers, for all transitions and optimizer-state rules.

    python benchmarks/transitions.py [--seeds 0,1,2] [--data bytes] [--only width] [--json FILE]

For each data set and seed, one trunk is trained in the shape before the switch. Every row forks from the trunk, makes
its switch and continues on the same samples. The table shows the held-out loss of the raw weights, since an average
could hide a spike: just before the switch, just after it, the maximum over the next 50 steps, and after 10, 50 and 150
steps. The last columns show the loss of the averaged weights after 150 steps, and its difference from the first row of
the group, paired by seed. Context rows are always measured at the longer context.

`--json` stores results in a file; rows that are in the file are not trained again. Use a separate file for each
`--trunk` and `--lr`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from itertools import groupby, product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import attrs
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional

import shapeflow
from shapeflow.api import export
from shapeflow.base.files import write_text
from shapeflow.ir.events import RunStarted, StageEntered, StepDone
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_json import sealed
from shapeflow.running.execute import execute
from shapeflow_torch import checkpoint
from shapeflow_torch.data import Data, open_data
from shapeflow_torch.data.images import Images
from shapeflow_torch.data.windows import Windows
from shapeflow_torch.machine import TorchMachine
from ways import DIGITS, RATE, REWARM, SETTINGS, TEACHER, Row, Setting, rows

POINTS = (1, 2, 5, 10, 20, 50, 150)
"""The numbers of steps after the switch at which the loss is measured. The peak is the maximum up to step `EARLY`."""
BEFORE, EARLY = -1, 50


@attrs.frozen
class Result:
    data: str
    group: str
    rule: str
    seed: int
    before: float | None
    after: float
    points: Mapping[str, float]
    averaged: float

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.data, self.group, self.rule, self.seed

    @property
    def values(self) -> tuple[float | None, ...]:
        """The values of the row of the table."""
        peak = max(self.after, *(loss for step, loss in self.points.items() if int(step) <= EARLY))
        return self.before, self.after, peak, *(self.points[step] for step in ("10", "50", "150")), self.averaged


def plan_of(setting: Setting, row: Row, seed: int, trunk: int, folder: Path) -> Plan:
    """A plan of two stages, with the switch between them; one stage for a row without a trunk. It ends at the last of
    `POINTS`."""
    lines = [setting.trained.replace("FOLDER", str(folder))]
    for axis, moved in setting.axes.items():
        settings = ", ".join(part for part in (moved.settings, row.settings if axis == row.axis else "") if part)
        way = f"{moved.via}({settings})" if settings else moved.via
        lines.append(f"axis {axis} in [{moved.before}, {moved.after}] via {way}\n")
    for until in ("end",) if row.scratch else (f"{trunk} steps", "end"):
        moves = row.axis if until == "end" else None
        shape = ", ".join(f"{axis}: {m.after if axis == moves else m.before}" for axis, m in setting.axes.items())
        lines.append(f"stage ({shape}) until {until}\n")
    lines.append(f"budget {POINTS[-1] + (0 if row.scratch else trunk)} steps\nseed {seed}\n")
    plan = compiled("".join(lines), folder)
    *before, last = plan.stages
    if last.transition is not None and row.axis != "batch":
        policy: dict[str, Any] = {"moments": row.rule.removesuffix(REWARM), "rewarm": 50 * row.rule.endswith(REWARM)}
        last = attrs.evolve(last, transition=attrs.evolve(last.transition, **policy))
    return sealed(attrs.evolve(plan, stages=(*before, last), evaluate=None))


def compiled(text: str, folder: Path) -> Plan:
    path = folder / "switch.shape"
    path.write_text(text, encoding="utf-8")
    return shapeflow.compile(path)


@torch.no_grad()
def held_out(machine: TorchMachine, context: int | None = None) -> float:
    """Mean held-out loss of the current weights in nats, with the current views: over all images, or over an evenly
    spread quarter of the windows of text."""
    data, size, total, count = machine.data, context or machine.size, 0.0, 0
    assert isinstance(data, Images | Windows)
    batches = data.held_out(size, 0, 1) if isinstance(data, Images) else data.held_out(size or data.longest, 0, 4)
    for inputs, targets, *_ in batches:
        logits = machine.body.net(inputs).flatten(0, -2)
        total += float(functional.cross_entropy(logits, targets.flatten(), reduction="sum"))
        count += targets.numel()
    return total / count


class Forks:
    """Trains each trunk once, and forks runs from it."""

    def __init__(self, trunk: int, rate: float, folder: Path) -> None:
        self._steps, self._rate, self._folder = trunk, rate, folder
        self._trunks: dict[str, checkpoint.State] = {}
        self._data: dict[str, Data] = {}

    def result(self, setting: Setting, row: Row, seed: int) -> Result:
        """Make a switch, continue, and return the measurements. A missing trunk or teacher is trained first."""
        if "loss" in setting.axes and not (self._folder / "teacher.safetensors").exists():
            shapeflow.run(compiled(DIGITS + TEACHER, self._folder), self._folder / "teacher", device="cpu")
            export(self._folder / "teacher", self._folder / "teacher.safetensors")
        setting = attrs.evolve(setting, trained=setting.trained.replace(RATE, f"lr: {self._rate:g},"))
        plan = plan_of(setting, row, seed, self._steps, self._folder)
        machine = TorchMachine(plan, self._opened(plan))
        start, begun = (None, 0) if row.scratch else (self._folder / "forks" / "trunk", self._steps)
        if start is not None:
            checkpoint.save(start, attrs.evolve(self._trunk(plan), plan=plan.digest))
        context = max(c.shape.number("context") for c in plan.candidates) if row.axis == "context" else None
        found: dict[int, float] = {}
        for event in execute(plan, machine, resume=start):
            if isinstance(event, RunStarted) and not row.scratch:
                machine.look(plan.stages[0].reading)
                found[BEFORE] = held_out(machine, context)
            elif isinstance(event, StageEntered):
                machine.look(plan.stages[-1].reading)
                found[0] = held_out(machine, context)
            elif isinstance(event, StepDone) and event.step - begun in POINTS:
                found[event.step - begun] = held_out(machine, context)
            if POINTS[-1] in found:
                break
        with machine.body.averaged():
            averaged = held_out(machine, context)
        points = {str(step): found[step] for step in POINTS}
        return Result(setting.name, row.group, row.rule, seed, found.get(BEFORE), found[0], points, averaged)

    def _trunk(self, plan: Plan) -> checkpoint.State:
        """The state after the first stage. Plans with the same first stage, optimizer, data and seed share it."""
        key = str((plan.stages[0], plan.optimizer, plan.data, plan.seed))
        if key not in self._trunks:
            machine = TorchMachine(plan, self._opened(plan))
            for event in execute(plan, machine):
                if isinstance(event, StepDone) and event.step == self._steps:
                    break
            self._trunks[key] = checkpoint.State("", self._steps, machine.average_age, machine.body.whole())
        return self._trunks[key]

    def _opened(self, plan: Plan) -> Data:
        key = str(plan.data)
        if key not in self._data:
            self._data[key] = open_data(plan, Path(), torch.device("cpu"))
        return self._data[key]


def shown(values: Sequence[float | None], sign: str = "") -> str:
    """The mean and standard deviation over the seeds, as text."""
    known = [value for value in values if value is not None]
    spread = f" ±{stdev(known):.3f}".replace("±0.", "±.") if len(known) > 1 else ""
    return f"{mean(known):{sign}.3f}{spread}" if known else ""


def table(results: Sequence[Result]) -> Table:
    """A table of the results of one data set, in their order."""
    made = Table(box=None, padding=(0, 1, 0, 0))
    made.add_column("switch, and state", no_wrap=True)
    for heading in ("before", "after", "peak", "10", "50", "150", "averaged", "less the first"):
        made.add_column(heading, justify="right", no_wrap=True)
    for group, members in groupby(results, lambda result: result.group):
        rules = {rule: list(each) for rule, each in groupby(members, lambda result: result.rule)}
        first = {result.seed: result.averaged for result in next(iter(rules.values()))}
        for at, (rule, each) in enumerate(rules.items()):
            if rule and not at:
                made.add_row(group)
            columns = zip(*(result.values for result in each), strict=True)
            less = [r.averaged - first[r.seed] for r in each if at and r.seed in first and r.before is not None]
            made.add_row(f"  {rule}" if rule else group, *(shown(column) for column in columns), shown(less, "+"))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", default="0,1,2", help="separated by commas")
    parser.add_argument("--data", default="", help="settings whose name is this (digits; bytes; ...)")
    parser.add_argument("--only", default="", help="rows whose switch has this in it")
    parser.add_argument("--trunk", type=int, default=300, help="steps before the switch")
    parser.add_argument("--lr", type=float, default=2e-3, help="learning rate of all that forks")
    parser.add_argument("--json", type=Path, help="a file that keeps what was measured")
    choices = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    kept: list[Result] = []
    if choices.json is not None and choices.json.exists():
        kept = [Result(**each) for each in json.loads(choices.json.read_text(encoding="utf-8"))]
    done = {result.key: result for result in kept}
    console = Console(width=128, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        forks = Forks(choices.trunk, choices.lr, Path(folder))
        for setting in (setting for setting in SETTINGS if choices.data in ("", setting.name)):
            wanted = [row for row in rows(setting) if choices.only in row.group]
            found = []
            for row, seed in product(wanted, map(int, choices.seeds.split(","))):
                key = (setting.name, row.group, row.rule, seed)
                if key not in done:
                    done[key] = forks.result(setting, row, seed)
                    if choices.json is not None:
                        write_text(choices.json, json.dumps([attrs.asdict(each) for each in done.values()]))
                found.append(done[key])
            console.print(f"\n{setting.name}: held-out loss, nats; {choices.trunk} steps before the switch\n")
            console.print(table(found))


if __name__ == "__main__":
    main()
