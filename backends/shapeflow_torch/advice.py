"""Commands that go on after a run was refused. What refuses does not know the run's folder; here it is known."""

from __future__ import annotations

import contextlib
import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path

import attrs

from shapeflow.base.call import call
from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.base.files import real
from shapeflow.ir.plan import Spec
from shapeflow.running.run_folder import begun, note_divergence, resume_command
from shapeflow.running.run_log import CHECKPOINTS
from shapeflow_torch.checkpoint import newest, step_in
from shapeflow_torch.choices import Choices
from shapeflow_torch.optimizers import optimizer_of


@contextlib.contextmanager
def advised(choices: Choices, optimizer: Spec | None, leads: bool) -> Iterator[None]:
    """Add to what is refused in this block the command that goes on. `optimizer`: that of the plan; `leads`: whether
    this process writes to the folder, so that it notes a divergence there."""
    try:
        yield
    except Refused as refused:
        diverged = [each.message for each in refused.diagnostics if each.code == "loss-not-finite"]
        if leads and diverged:
            # The note says why the run has ended. Without it the run has ended all the same.
            with contextlib.suppress(Refused):
                note_divergence(choices.folder, diverged[0])
        raise Refused(*(_advised(each, choices, optimizer) for each in refused.diagnostics)) from refused


def _advised(found: Diagnostic, choices: Choices, optimizer: Spec | None) -> Diagnostic:
    if found.code == "loss-not-finite":
        return attrs.evolve(found, place=str(choices.folder), help=_after_divergence(choices, optimizer))
    if found.code == "disk-full" and not begun(choices.folder):
        again = f"free some space, then give the same command again: there is no run in `{choices.folder}` yet"
        return attrs.evolve(found, place=str(choices.folder), help=again)
    if found.code == "disk-full":
        help_ = f"free some space, then continue with `{resume_command(choices.folder)}`; older checkpoints are intact"
        return attrs.evolve(found, help=help_)
    if found.code == "cannot-write" and begun(choices.folder):
        then = f"continue with `{resume_command(choices.folder)}` when it can be written; older checkpoints are intact"
        return attrs.evolve(found, help=then if found.help is None else f"{found.help}; {then}")
    if found.code == "data-missing" and str(choices.options.root) in found.message:
        begin = f"relative paths begin at `{choices.options.root}`; `--root FOLDER` names another folder"
        return attrs.evolve(found, help=begin if found.help is None else f"{found.help}; {begin}")
    return found


def _after_divergence(choices: Choices, optimizer: Spec | None) -> str:
    """How to train without the divergence. `--resume` would make the same steps again, and diverge again."""
    change = "lower the learning rate, lengthen the warm-up or lower `weight_decay`"
    last = newest(choices.folder / CHECKPOINTS)
    source = [] if last is None else ["--from", f"{choices.folder}@{step_in(last)}", "--other-rates"]
    tenth = None if optimizer is None else slower(optimizer)
    of_file = not choices.options.file.endswith(".json") and not Path(choices.options.file).is_dir()
    if of_file and tenth is not None:
        again = f"{in_new_folder(choices, 'optimizer')} {shlex.join(['--set', f'optimizer {tenth}', *source])}"
        return f"{change}: `{again}` divides the learning rate by 10"
    rest = shlex.join([*source, "-o", str(_fresh(choices.folder))])
    if of_file:
        return f"{change} in `{choices.options.file}`, and run it with `{rest}`"
    return f"{change}: compile the plan again, and run it with `{rest}`"


def slower(optimizer: Spec) -> str | None:
    """Return an optimizer with a tenth of its learning rates, as it is written in a file; None if it has no `lr`, or
    if its settings cannot be written."""
    rates = {name: optimizer.settings.get(name) for name in ("lr", "adamw_lr")}
    # Without the digits of rounding: a tenth of 0.0006 is 0.00006.
    lower = {name: float(f"{rate / 10:.6g}") for name, rate in rates.items() if isinstance(rate, int | float)}
    settings = {**optimizer.settings, **lower}
    return call(type(optimizer_of(optimizer).settings), settings) if "lr" in lower else None


def in_new_folder(choices: Choices, without: str | None = None) -> str:
    """Return the command that runs the plan in a new folder. `without`: word that begins the sentences to leave out."""
    options, words = choices.options, ["shapeflow", "run", choices.options.file]
    for each in options.sentences:
        words += [] if each.split()[0] == without else ["--set", each]
    if not Path(options.file).is_dir() and real(options.root) != real(Path(options.file).parent):
        words += ["--root", str(options.root)]
    return shlex.join([*words, "-o", str(_fresh(choices.folder))])


def _fresh(folder: Path) -> Path:
    """Return a folder that does not exist, named like this one."""
    if not folder.exists():
        return folder
    names = (folder.parent / f"{folder.name or 'run'}-{number}" for number in itertools.count(2))
    return next(each for each in names if not each.exists())
