"""What every machine does with a run's folder before it begins: what is there, whether the run may go on, and what the
folder remembers of its start."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import read_text, real, write_text
from shapeflow.base.json_text import parse_json
from shapeflow.ir import plan_json
from shapeflow.ir.events import RunEnded
from shapeflow.ir.plan import Plan
from shapeflow.running.follow import Outcome, reaches
from shapeflow.running.launchers import Launch
from shapeflow.running.options import Goal
from shapeflow.running.run_log import ABOUT, CHECKPOINTS, DATA, EVENTS, HOLDER, LOCK, OWN_LOOP, PLAN, require_machine
from shapeflow.running.runs import read_run

_OURS = frozenset({ABOUT, CHECKPOINTS, DATA, EVENTS, HOLDER, LOCK, PLAN})


def begun(folder: Path) -> bool:
    """Whether a run has begun in a folder. One that holds only a plan belongs to a run before its first event."""
    return (folder / EVENTS).exists() or (folder / CHECKPOINTS).exists()


def run_of(path: Path) -> Path | None:
    """The folder of the run that a file belongs to; None if it is not one of its own files."""
    for above, folder in zip((path, *path.parents), path.parents, strict=False):
        if above.name in _OURS and begun(folder) and (above == path or above.name == CHECKPOINTS):
            return folder
    return None


def require_startable(folder: Path, resume: bool, machine: str) -> None:
    """Raise Refused `run-exists`, `no-run` or `other-machine` unless a run may start or go on here.

    `resume`: go on with the run in the folder, or start it where there is none."""
    if begun(folder) and not resume:
        help_ = f"continue it with `{resume_command(folder, machine)}`, or choose another folder with `-o`"
        raise Refused(Diagnostic("run-exists", f"`{folder}` already contains a run", place=str(folder), help=help_))
    if resume and not begun(folder) and not (folder / PLAN).exists() and (others := _others(folder)):
        message = f"`{folder}` contains other files, and no run to resume"
        help_ = "choose another folder with `-o`, or start the run here without `--resume`"
        notes = (f"it contains `{others[0]}`",)
        raise Refused(Diagnostic("no-run", message, place=str(folder), notes=notes, help=help_))
    require_machine(folder, machine)


def require_plan(folder: Path, plan: Plan, machine: str) -> None:
    """Raise Refused `other-plan` if the run in a folder follows another plan."""
    if (folder / PLAN).exists() and (other := plan_json.load(folder / PLAN).digest) != plan.digest:
        message = f"the run in `{folder}` follows another plan"
        digests = (f"its plan: {other}", f"this plan: {plan.digest}")
        own = f"continue its own plan with `{resume_command(folder, machine)}`, or choose another folder with `-o`"
        help_ = "follow the plan in the folder, or choose another folder" if machine == OWN_LOOP else own
        raise Refused(Diagnostic("other-plan", message, place=str(folder), notes=digests, help=help_))


def _others(folder: Path) -> list[str]:
    """Names in a folder that are not those of a run. Hidden files, such as those of file systems, do not count."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.name not in _OURS and not path.name.startswith("."))


def earlier_end(folder: Path, until: Goal | None) -> Outcome | None:
    """The outcome of the run in a folder if its log says that it is finished, else None."""
    if not (folder / PLAN).is_file() or not (folder / EVENTS).is_file():
        return None
    run = read_run(folder)
    last = run.events[-1] if run.events else None
    if not isinstance(last, RunEnded) or not last.finished:
        return None
    values: Mapping[str, float] = run.measured[-1].values if run.measured else {}
    return Outcome(True, reaches(values, until), last.step, last.compute, values, 0.0, before=True)


def resume_command(folder: Path, machine: str = "torch") -> str:
    """The command that continues the run in a folder, from the working directory of this process."""
    chosen = [] if machine == "torch" else ["--machine", machine]
    return shlex.join(["shapeflow", "run", str(folder), "--resume", *chosen])


def remember(folder: Path, root: Path, launch: Launch | None = None) -> None:
    """Write `run.json`: where data paths begin, and what launched the run. Raises Refused `disk-full`, `cannot-write`.

    `launch`: what may restart this run; None: nothing does."""
    from_here = os.path.relpath(real(root), real(folder))
    about: dict[str, Any] = {"root": str(real(root)), "root_from_here": from_here}
    if launch is not None:
        about["launch"] = {"agent": launch.agent, "run": launch.run}
    text = json.dumps(about, indent=1, sort_keys=True) + "\n"
    if not (folder / ABOUT).is_file() or read_text(folder / ABOUT) != text:
        write_text(folder / ABOUT, text)


def note_divergence(folder: Path, message: str) -> None:
    """Add to `run.json` that the run has diverged. The next start writes the file again, without it. Raises Refused
    `disk-full`, `cannot-write`."""
    text = json.dumps({**_about(folder), "diverged": message}, indent=1, sort_keys=True) + "\n"
    write_text(folder / ABOUT, text)


def divergence_of(folder: Path) -> str | None:
    """What was not finite when the run in a folder diverged; None if its last start did not diverge."""
    found = _about(folder).get("diverged")
    return found if isinstance(found, str) else None


def remembered_root(folder: Path) -> Path | None:
    """The folder that data paths of the run in a folder are relative to; None if the folder does not say.

    It is where it was, or else where it was as seen from the run's folder: both may have been moved together."""
    about = _about(folder)
    root, from_here = about.get("root"), about.get("root_from_here")
    if not isinstance(root, str):
        return None
    if not Path(root).is_dir() and isinstance(from_here, str) and (moved := folder / from_here).is_dir():
        return moved
    return Path(root)


def launched_by(folder: Path, launch: Launch) -> bool:
    """Whether this launch began the run in a folder, and now restarts it."""
    found = _about(folder).get("launch")
    return isinstance(found, dict) and launch.began(found)


def _about(folder: Path) -> Mapping[str, Any]:
    try:
        found = parse_json(read_text(folder / ABOUT))
    except (Refused, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
