"""The ways to train that a `.shape` file allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.compiler import compile_file, compile_fixed, program_of
from shapeflow.running.rivals.ways import PLAN, ROOM, Entry, entry, fixed_entry, measured_often

CONSTANT = frozenset({"fixed", "random"})
"""Traversals that do not depend on the budget; `mixture` does not either if it has a law."""


@attrs.frozen
class OfFile:
    """Compiles the plan and its rivals from a file. `sentences` replace those of the file."""

    path: Path
    sentences: tuple[str, ...]
    seeds: tuple[int, ...]
    folder: Path
    plan: Entry
    timed: bool = False
    """Whether the plan is by seconds: rivals then get the plan's seconds, otherwise its compute."""
    images: bool = False
    """Whether the model learns from images."""

    @classmethod
    def of(cls, path: Path, sentences: Sequence[str], seeds: Sequence[int], folder: Path, report: Report) -> OfFile:
        """Compile the plan. Raises Refused."""
        plan, program = plan_entry(path, sentences, seeds, folder, report), program_of(path, sentences, Report())
        timed = program is not None and program.unit == "seconds"
        images = program is not None and program.trained is not None and program.trained.facts.kind == "images"
        return cls(path, tuple(sentences), tuple(seeds), folder, plan, timed, images)

    def fixed(self, name: str, what: str, shape: Shape) -> Entry:
        """The plans have no laws: how long they train does not depend on a prediction. Raises Refused."""
        plans = []
        for seed in self.seeds:
            report = Report()
            program = program_of(self.path, self._sentences(ROOM, seed), report)
            assert program is None or program.budget is not None
            plan = None if program is None else compile_fixed(program, shape, program.budget, report)  # type: ignore[arg-type]
            if plan is None:
                raise Refused(*report.diagnostics)
            plans.append(plan)
        return fixed_entry(name, what, shape, plans, self.folder)

    def traversal(self, name: str, what: str) -> Entry:
        """A traversal that does not depend on its budget may use up to `ROOM` times the plan's compute, or seconds, to
        reach the target; the others get the plan's budget. Raises Refused."""
        kind, answer = name.partition("(")[0].strip(), self.plan.plan.answer
        mixed = kind == "mixture" and answer is not None and answer.mix is not None
        room = ROOM if kind in CONSTANT or mixed else 1.0
        own = f"traversal {name}"
        plans = [compile_file(self.path, [*self._sentences(room, seed), own], steady=True) for seed in self.seeds]
        return entry(name, what, plans, self.folder)

    def _sentences(self, room: float, seed: int) -> list[str]:
        plan = self.plan.plan
        whole, unit = (plan.totals.seconds, "s") if self.timed else (plan.totals.compute, "FLOPs")
        every = f"evaluate every {(whole or 0.0) / plan.steps * (plan.evaluate or 1):.6e} {unit}"
        if plan.held_out is not None:
            # Values on other held-out data cannot be compared with those of the plan.
            every += f" on {plan.held_out} {'images' if self.images else 'tokens'}"
        budget = f"budget {room * (whole or 0.0):.6e} {unit}"
        return [*self.sentences, budget, every, f"seed {seed}"]


def plan_entry(path: Path, sentences: Sequence[str], seeds: Sequence[int], folder: Path, report: Report) -> Entry:
    """The plan as an entry with one job per seed, without its schedule and cooldown. Raises Refused."""
    program = program_of(path, sentences, Report())
    if program is not None and program.trained is None:
        message = "there is nothing to train, so nothing to compare"
        raise Refused(Diagnostic("no-model", message, place=str(path), help="add `model`, `data` and `objective`"))
    # The warnings of all seeds are the same.
    reports = [report, *(Report() for _ in seeds[1:])]
    plans = [
        compile_file(path, [*sentences, f"seed {seed}"], heard, steady=True)
        for seed, heard in zip(seeds, reports, strict=True)
    ]
    if program is not None and program.cooldown is not None:
        message, why = "runs of a comparison do not cool down", "lowers the error only at the end of a run"
        report.warning("cooldown-left-out", message, program.spans["cooldown"], why)
    if program is not None and program.weights:
        message, why = "runs of a comparison keep the first weights", "changes training only at the end of a run"
        report.warning("weights-left-out", message, program.weights[0].span, why)
    if program is not None and program.decay is not None:
        message = "`compare` trains without the schedule"
        why = "a run that ends at the target would need a schedule that ends there"
        report.warning("schedule-left-out", message, program.spans["schedule"], why)
    if program is not None and program.first is not None:
        message, why = "runs of a comparison start from new weights", "fits the first stage, and not every rival"
        report.warning("start-left-out", message, program.spans["start from"], why)
    return entry(PLAN, "the plan", [measured_often(plan) for plan in plans], folder)
