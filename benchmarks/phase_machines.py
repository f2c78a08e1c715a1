"""A plan for random features three times: as its laws predict, computed exactly, and trained by SGD.

    python benchmarks/phase_machines.py [--seeds 20]

The plan of `examples/phases.shape` grows a width by `project`, or by `append` with its credit assumed, and with both
credits measured. Each seed has random features and samples of its own; none was used for laws or credits. `exact` is
the expected loss over the samples at the end of the plan, `SGD` that of the trained parameters, both averaged over the
seeds. A saving is 1 - compute of the plan / compute at which the best fixed width reaches that average, by the exact
losses of the same random features.

The exit code is 1 if the exact saving of a plan whose credits were measured is not in the predicted interval for
`project`, if `append` is not refused, or if SGD and the exact loss differ by more than 3 standard errors.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq

import shapeflow
from shapeflow.ir.plan import Plan
from shapeflow.laws.random_features.loss import LossCurve
from shapeflow.laws.random_features.theory import Theory
from shapeflow.running.execute import execute
from shapeflow_exact.machine import METRIC, ExactMachine
from shapeflow_torch.data import open_data
from shapeflow_torch.machine import TorchMachine

EXAMPLE = Path(__file__).parent.parent / "examples/phases.shape"
FIRST = 1000
"""The first seed."""
WAYS = (("project", False), ("project", True), ("append", False), ("append", True))
"""A transition, and whether its credits were measured."""


@attrs.frozen
class Row:
    transition: str
    measured: bool
    plan: Plan
    exact: tuple[float, ...]
    """The expected loss at the end, of each seed."""
    trained: tuple[float, ...]
    saving: float
    """By the mean of `exact`."""
    sgd_saving: float

    @property
    def z(self) -> float:
        """The difference between SGD and the exact loss, in standard errors."""
        gap = np.array(self.trained) - np.array(self.exact)
        return float(gap.mean() / (gap.std(ddof=1) / np.sqrt(len(gap))))

    @property
    def holds(self) -> bool:
        found = self.plan.answer
        assert found is not None
        if not self.measured:
            return True
        if self.transition == "append":
            return found.say == "no"
        return found.best is not None and found.best.low <= self.saving <= found.best.high


def planned(transition: str, measured: bool, folder: Path) -> Plan:
    """The plan of the example with another transition, and with or without measured credits."""
    text = EXAMPLE.read_text().replace("via project", f"via {transition}")
    lines = [line for line in text.splitlines() if not line.startswith("credits")]
    if measured:
        lines.append(f'credits from "phases_{transition}.json"')
        (folder / f"phases_{transition}.json").write_bytes(
            (EXAMPLE.parent / f"credits/phases_{transition}.json").read_bytes()
        )
    file = folder / "phases.shape"
    file.write_text("\n".join(lines) + "\n")
    return shapeflow.compile(file)


def row(transition: str, measured: bool, seeds: Sequence[int], folder: Path) -> Row:
    plan = attrs.evolve(planned(transition, measured, folder), evaluate=None)
    exact, trained = [], []
    for seed in seeds:
        own = attrs.evolve(plan, seed=seed)
        machine = ExactMachine(own)
        list(execute(own, machine))
        exact.append(machine.loss)
        sgd = TorchMachine(own, open_data(own, folder, torch.device("cpu")))
        list(execute(own, sgd))
        trained.append(sgd.measure(own.stages[-1]).values[METRIC])
    curves = [[curve(plan, one.shape.number("width"), seed) for seed in seeds] for one in plan.candidates]
    savings = [saving(plan, curves, float(np.mean(losses))) for losses in (exact, trained)]
    return Row(transition, measured, plan, tuple(exact), tuple(trained), *savings)


def curve(plan: Plan, width: int, seed: int) -> LossCurve:
    assert plan.data is not None
    assert plan.optimizer is not None
    about = {name: plan.data.settings[name] for name in ("alpha", "beta", "features")}
    return Theory(**about, step=2 * plan.optimizer.settings["lr"], seed=seed).curve(width)


def saving(plan: Plan, curves: Sequence[Sequence[LossCurve]], loss: float) -> float:
    """Against the width whose average over the seeds reaches a loss with the least compute."""

    def need(of: Sequence[LossCurve]) -> float:
        def gap(log: float) -> float:
            return float(np.mean([one.error(np.exp(log)) for one in of])) - loss

        return float(np.exp(brentq(gap, 0.0, 30.0))) if gap(30.0) < 0 else np.inf

    assert plan.totals.compute is not None
    return 1 - plan.totals.compute / min(need(of) for of in curves)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    seeds = range(FIRST, FIRST + asked.seeds)
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(transition, measured, seeds, Path(folder)) for transition, measured in WAYS]
    table = Table(box=None, padding=(0, 2))
    for heading in ("", "credits", "answer", "saving, predicted", "exact", "SGD", "loss, predicted", "exact", "SGD, z"):
        table.add_column(heading)
    for one in rows:
        found = one.plan.answer
        assert found is not None
        assert found.best is not None
        wide = f"{found.best.middle:.1%} ({found.best.low:.1%} to {found.best.high:.1%})"
        losses = f"{np.mean(one.exact):.3g}", f"{np.mean(one.trained):.3g}, {one.z:+.1f}"
        credits = "measured" if one.measured else "assumed"
        predicted = f"{one.plan.totals.error:.3g}"
        table.add_row(
            one.transition, credits, found.say, wide, f"{one.saving:.1%}", f"{one.sgd_saving:.1%}", predicted, *losses
        )
    Console(width=140).print(table)
    return 0 if all(one.holds and abs(one.z) < 3 for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
