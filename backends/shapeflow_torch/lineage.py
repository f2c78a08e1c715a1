"""The plans that a run has followed, and its log up to a checkpoint.

A run goes on under another plan if both make the same steps up to its checkpoint. Its folder then keeps the earlier
plan as `plan-DIGEST.json`, so that older checkpoints still belong to a known plan.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection
from pathlib import Path

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import write_text
from shapeflow.ir import plan_json
from shapeflow.ir.contexts import contexts_of
from shapeflow.ir.events import CheckpointSaved, Event, RunBranched, event_to_json
from shapeflow.ir.history import Parting, parting
from shapeflow.ir.plan import Plan
from shapeflow.running.execute import checkpoint_name
from shapeflow.running.run_log import CHECKPOINTS, EVENTS, PLAN, logged
from shapeflow_torch.checkpoint import digest_of, forget_errors, give, owner_of, saved, stage_of, step_of

IN_NEW_FOLDER = "shapeflow run FILE -o NEW"
"""What runs a plan in a new folder, where the names of both are not known."""


def earlier_plan(folder: Path, plan: Plan, found: Path | None, command: str) -> Plan | None:
    """Return the plan of the steps that the run in a folder has made, or None if `plan` is all it has ever followed.
    `found`: the checkpoint from which it resumes; `command`: see `check_history`.

    Raises Refused `other-history` if the two plans differ before that checkpoint; `foreign-checkpoint`."""
    stated = plan_json.load(folder / PLAN) if (folder / PLAN).exists() else plan
    before = stated if found is None or owner_of(found) == stated.digest else plan_of(folder, found)
    if stated.digest == before.digest == plan.digest:
        return None
    check_history(folder, before, plan, 1 if found is None else shared(found), command=command)
    return before


def hand_over(folder: Path, before: Plan, plan: Plan, found: Path | None) -> None:
    """Let the run in a folder go on as `plan`. `before`: the plan of its steps until now.

    Each write is atomic, and after each of them the run can be resumed by either plan. Raises Refused `disk-full`,
    `cannot-write`."""
    if before.digest != plan.digest:
        plan_json.save(before, kept_as(folder, before.digest))
    plan_json.save(plan, folder / PLAN)
    if found is not None and owner_of(found) != plan.digest:
        if not comparable(before, plan):
            forget_errors(found.parent)
        step = step_of(found, None)
        branched = RunBranched(step, before.digest, "", digest_of(found), measured_otherwise(before, plan))
        write_text(folder / EVENTS, lines_until(folder / EVENTS, step, branched))
        give(found, plan.digest)


def comparable(before: Plan, plan: Plan) -> bool:
    """Return whether the errors of two plans, the values of their metrics, can be compared."""
    return before.metric == plan.metric and measured_otherwise(before, plan) is None


def measured_otherwise(before: Plan, plan: Plan) -> str | None:
    """Return how two plans differ in the held-out data that they evaluate on; None if they do not. The values of one
    cannot be compared with those of the other. The longest context decides where the held-out windows of text begin."""
    if before.held_out != plan.held_out:
        was, now = ("the default size" if one.held_out is None else f"{one.held_out:,}" for one in (before, plan))
        return f"evaluations are on held-out data of {was} in its plan, of {now} in this one"
    longest, here = (max(contexts_of(one), default=0) for one in (before, plan))
    if longest != here:
        return f"the longest context of its plan is {longest} tokens, that of this one {here}"
    return None


def kept_as(folder: Path, digest: str) -> Path:
    """Return where a folder keeps a plan that its run followed before."""
    return folder / f"plan-{digest[:16]}.json"


def plan_of(folder: Path, checkpoint: Path) -> Plan:
    """Return the plan that a checkpoint of a run belongs to. Raises Refused `foreign-checkpoint` if it is none that the
    run has followed."""
    owner = owner_of(checkpoint)
    for path in (folder / PLAN, kept_as(folder, owner)):
        if path.exists() and (plan := plan_json.load(path)).digest == owner:
            return plan
    message, why = f"the checkpoint `{checkpoint}` belongs to another plan", f"its plan: {owner}"
    raise Refused(Diagnostic("foreign-checkpoint", message, place=str(checkpoint), notes=(why,)))


def shared(checkpoint: Path) -> int:
    """Return the number of first steps that two plans must have in common to go on from a checkpoint. One that was
    saved after a switch needs the same switch, which is part of the next step."""
    return step_of(checkpoint, None) + (stage_of(checkpoint, None) is not None)


def check_history(
    folder: Path, before: Plan, plan: Plan, step: int, other_rates: bool = False, command: str = IN_NEW_FOLDER
) -> str | None:
    """Return how two plans differ within the first `step` steps; None if they make the same ones. `folder`: that of the
    run that made them by the plan `before`. `other_rates`: whether the settings of the optimizer, the schedule and the
    cooldown may differ. `command`: what runs `plan` in a new folder, for the advice.

    Raises Refused `other-history` if anything else differs."""
    found = parting(before, plan)
    if found is None or found.step >= step:
        return None
    apart = parting(before, plan, rates=False)
    only_rates = apart is None or apart.step >= step
    if other_rates and only_rates:
        return found.said("its plan", "this one")
    if other_rates and apart is not None:
        found = apart
    message = f"the plan differs from that of the run in `{folder}` after step {found.step:,}"
    notes = (found.said("that plan", "this one"), f"the run would go on from step {step:,}")
    there = saved(folder / CHECKPOINTS)
    help_ = _advice(folder, [each for each in there if each <= found.step], found, command)
    if only_rates and (usable := [each for each in there if each <= step]):
        rates = f"{_going_on(command, folder, max(usable))} --other-rates"
        help_ += f"; to change the optimizer, schedule or cooldown from step {max(usable):,} on: `{rates}`"
    raise Refused(Diagnostic("other-history", message, place=str(folder), notes=notes, help=help_))


def _advice(folder: Path, serve: Collection[int], found: Parting, command: str) -> str:
    """What to do instead. `serve`: steps of the checkpoints that both plans have in common."""
    if serve:
        return f"start from the last checkpoint that both plans have: `{_going_on(command, folder, max(serve))}`"
    return found.remedy or f"change {found.what} to that of the run, or start a new run in another folder"


def _going_on(command: str, folder: Path, step: int) -> str:
    """The command that goes on from a checkpoint of a run, in a new folder."""
    return f"{command} --from {shlex.quote(f'{folder}@{step}')}"


def lines_until(path: Path, done: int, branched: RunBranched | None = None) -> str:
    """Return the lines of a log up to and including the checkpoint at `done` steps. Reading stops at a truncated line.

    If the run was killed after it wrote the checkpoint, and before or while it logged it, that line is added. So is
    `branched`, unless the log has it."""
    if not done or not path.exists():
        return ""
    kept, saved_here = list[str](), CheckpointSaved(done, checkpoint_name(done))
    marks: list[Event] = []
    for line, event in logged(path, done):
        if marks and not isinstance(event, RunBranched):
            break
        if event == saved_here or marks:
            marks.append(event)
        else:
            kept.append(line)
    marks = marks or [saved_here]
    if branched is not None and branched not in marks:
        marks.append(branched)
    kept += [json.dumps(event_to_json(event)) for event in marks]
    return "".join(f"{line}\n" for line in kept)
