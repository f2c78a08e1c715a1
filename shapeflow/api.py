"""The Python API: the commands as functions, without screen output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.compiler import compile_file
from shapeflow.ir.events import Event
from shapeflow.ir.plan import Plan
from shapeflow.running.backend import backend
from shapeflow.running.execute import Machine, execute, rehearse
from shapeflow.running.memory import needs
from shapeflow.running.options import Options
from shapeflow.running.runs import read_run
from shapeflow.running.verdicts import Checked

if TYPE_CHECKING:
    from shapeflow.foreign.imported import Imported


def compile(path: str | Path, sentences: Sequence[str] = (), report: Report | None = None) -> Plan:
    """Compile a `.shape` file into a plan. `sentences` replace those of the file (`"seed 3"`, `"budget 1 PFLOPs"`).

    Raises `shapeflow.Refused` with all errors. Warnings are added to `report` if one is given.
    """
    return compile_file(Path(path), sentences, report)


def simulate(plan: Plan) -> Iterator[Event]:
    """Simulate a run of a plan. Yields its events, with the losses that the laws predict.

    Raises `shapeflow.Refused` (`no-model`) for a plan without a model, which has no steps."""
    return execute(plan, _simulator(plan))


def rehearse_edits(plan: Plan) -> None:
    """Make every switch of a plan on sizes alone, and a step in every shape. Raises Refused `no-model`."""
    rehearse(plan, _simulator(plan))


def _simulator(plan: Plan) -> Machine:
    if not plan.runnable:
        message = "the plan has no model, so it has no steps to simulate"
        raise Refused(Diagnostic("no-model", message, help="add a `model` sentence to the `.shape` file"))
    simulator: Machine = backend("simulator")(plan)
    return simulator


def check(plan: Plan, root: str | Path | None = None) -> Checked:
    """Make every switch of a plan on a small model, and check that the switch does what its transition declares.

    `root`: the folder that data paths are relative to, to check with the data of the plan; default: random data. Errors
    are in the `diagnostics` of the result. Raises `shapeflow.Refused` (`no-model`) for a plan without a model, and if a
    switch cannot be made at all."""
    if not plan.runnable:
        message = "the plan has no model, so there is nothing to check"
        raise Refused(Diagnostic("no-model", message, help="add a `model` sentence to the `.shape` file"))
    found: Checked = backend("torch")().check(plan, None if root is None else Path(root))
    return found


def run(
    plan: Plan,
    folder: str | Path,
    machine: str = "torch",
    *,
    listen: Callable[[Event], None] | None = None,
    warn: Callable[[Diagnostic], None] | None = None,
    **options: Any,
) -> Any:
    """Carry out a plan in a folder; `options` are the fields of `shapeflow.running.options.Options`.

    `machine`: `torch` trains the model; `exact` computes what a plan for `random_features` reaches on average.
    `listen`: called with each event. `warn`: called with each warning; by default they are printed. Returns the
    outcome. Raises `shapeflow.Refused`."""
    if machine != "torch" and options.get("profile") is not None:
        message = f"the machine `{machine}` makes no traces: they show the operations of torch"
        help_ = "leave out `--profile`, or write `--machine torch`"
        raise Refused(Diagnostic("cannot-profile", message, place="--profile", help=help_))
    if machine == "torch" and "needs" not in options:
        options["needs"] = {"cpu": needs(plan, "cpu"), "cuda": needs(plan, "cuda")}
    listeners = {name: each for name, each in (("listen", listen), ("warn", warn)) if each is not None}
    return backend(machine)().run(plan, Path(folder), Options(**options), **listeners)


def export(folder: str | Path, path: str | Path, target: str = "shapeflow", **choices: Any) -> Any:
    """Write the weights of a run's folder. `target`: `shapeflow`, one file (`shapeflow_torch.export.export`), or `hf`
    or `timm`, a folder (`shapeflow_torch.foreign.export_as`); `choices` are keyword arguments of these functions.

    Returns what was written. Raises `shapeflow.Refused`."""
    plan = read_run(Path(folder)).plan
    return backend("torch")().export(plan, Path(folder), Path(path), target, **choices)


def import_weights(model: str | Path, path: str | Path) -> Imported:
    """Write the weights of a folder of `transformers` or `timm`, or of a `.safetensors` file next to its config, to a
    file that a plan can start from. Returns what was written. Raises `shapeflow.Refused`."""
    from shapeflow.foreign.imported import import_weights as imported

    return imported(Path(model), Path(path))
