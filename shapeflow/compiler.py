"""The compiler's pipeline. Start reading here:

    Source --parse--> Document --resolve--> Program --find_laws--> Laws --traverse--> Route --lower--> Plan

After `resolve`, `find_profile` reads the measured seconds of steps, and before `traverse`, `find_credits` reads the
measured credits of switches, if the file names them. After `lower`, `assess` adds the plan's uncertainty.

Each stage is a function (input, report) -> output. Compiling stops after the first stage that reports an error, so a
user sees all errors of one stage at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Label, Refused, Report, Source, Span
from shapeflow.base.files import read_text
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.answer import SavedAt
from shapeflow.ir.law import Law
from shapeflow.ir.mixture import Laws
from shapeflow.ir.plan import Plan
from shapeflow.ir.plan_check import faults
from shapeflow.ir.plan_json import sealed
from shapeflow.ir.program import Program
from shapeflow.ir.route import END, Leg, Route
from shapeflow.ir.tabulated import AnyLaw
from shapeflow.language.parse import parse
from shapeflow.language.syntax import Document
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.stages.assess import assess
from shapeflow.stages.find_credits import find_credits
from shapeflow.stages.find_laws import find_fit, find_laws
from shapeflow.stages.find_profile import find_profile
from shapeflow.stages.lower import lower
from shapeflow.stages.resolve import resolve
from shapeflow.stages.traverse import traverse

APART, SHOWN = 3, 8
"""At most `APART` unused values are reported individually; a report names at most `SHOWN` candidates."""


def compile_file(
    path: Path, sentences: Sequence[str] = (), report: Report | None = None, *, steady: bool = False
) -> Plan:
    """Compile a `.shape` file into a plan. Raises Refused with all errors. Warnings are added to `report` if one is
    given.

    `sentences` replace those of the file: `seed 3`, `budget 1 PFLOPs`, `let longest = 512 tokens`,
    `traversal random`. `steady`: as in `constant`.
    """
    report = Report() if report is None else report
    program = program_of(path, sentences, report)
    plan = None if program is None else compile_program(constant(program) if steady else program, report)
    if plan is None:
        raise Refused(*report.diagnostics)
    return plan


def program_of(path: Path, sentences: Sequence[str], report: Report) -> Program | None:
    """Parse and resolve a file, and read its profile. Returns None after reporting errors. Raises Refused if the file
    cannot be read."""
    program = unprofiled(path, sentences, report)
    return None if program is None else profiled(program, report)


def unprofiled(path: Path, sentences: Sequence[str], report: Report) -> Program | None:
    """The same without the profile, which may not exist yet."""
    return resolved(Source(str(path), read_text(path)), path.parent, sentences, report)


def resolved(
    source: Source,
    folder: Path,
    sentences: Sequence[str],
    report: Report,
    read: Callable[[Path], str] = read_text,
) -> Program | None:
    """Parse and resolve a text. Returns None after reporting errors. Raises Refused if a file that it uses cannot be
    read.

    `folder`: where the files that it names are; `read`: reads those of `use`, which an editor may hold unsaved.
    """
    document = parse(source, report)
    overrides = tuple(parse(Source("--set", text), report) for text in sentences)
    if report.failed:
        return None

    def open_document(name: str, folder: str) -> Document | None:
        used = Path(folder) / name
        return parse(Source(str(used), read(used)), report) if used.is_file() else None

    return resolve(document, overrides, str(folder), open_document, report)


def profiled(program: Program, report: Report) -> Program | None:
    """A program with the profile that it names. None after reporting errors."""
    program = find_profile(program, report)
    return None if report.failed else program


def compile_program(program: Program, report: Report) -> Plan | None:
    """Find laws, route and plan of a program. Returns the plan; None after reporting errors."""
    laws, program = find_laws(program, report), find_credits(program, report)
    return None if report.failed else compile_by(laws, program, report)


def compile_by(laws: Laws, program: Program, report: Report) -> Plan | None:
    """The plan of a program whose laws and credits have been found. None after reporting errors."""
    laws = _entered(laws, program, report)
    route = None if report.failed else traverse(program, laws, report)
    if route is None or report.failed:
        return None
    _unreached(program, laws, route, report)
    return _lowered(program, laws, route, report)


ROOM = 1.01
"""How much more than a plan uses its counterpart may use: both end at whole steps."""


def compile_other_unit(path: Path, sentences: Sequence[str], plan: Plan) -> Plan | None:
    """The plan to the same error that is the best one by FLOPs if a plan is by seconds, and by seconds if it is by
    FLOPs, by the laws of the plan. None without a profile, for stages set by hand, for laws of mixtures, for plans by
    steps or data, and after any error."""
    report = Report()
    program = program_of(path, sentences, report)
    total, error = (plan.totals.compute if plan.in_seconds else plan.totals.seconds), plan.totals.error
    if program is None or program.timing is None or program.traversal is None or not program.traversal.picks:
        return None
    if program.unit not in ("compute", "seconds") or total is None or error is None:
        return None
    budget = Amount(ROOM * total, "compute" if plan.in_seconds else "seconds")
    program = find_credits(attrs.evolve(program, budget=budget, stop=error, cost=None), report)
    laws = Laws({one.shape: one.law for one in plan.candidates if one.law is not None})
    return None if report.failed else compile_by(laws, program, report)


def savings_over_budgets(path: Path, sentences: Sequence[str], plan: Plan) -> tuple[SavedAt, ...]:
    """The savings of a plan at smaller budgets, with their intervals, by the laws of the plan; see `over_budgets`.
    Empty after any error."""
    from shapeflow.stages.assess.budgets import over_budgets

    report = Report()
    program = program_of(path, sentences, report)
    if program is None or report.failed:
        return ()
    program = find_credits(program, report)
    laws = {one.shape: one.law for one in plan.candidates if one.law is not None}
    return () if report.failed or not laws else over_budgets(program, laws, plan)


def _entered(laws: Laws, program: Program, report: Report) -> Laws:
    """The laws from the error on at which the weights that a program starts from enter them. Unchanged for a program
    that starts from new weights, and after reporting `missing-start`, `no-way` or `laws-from-scratch`."""
    if program.first is None or not (laws or laws.mixture):
        return laws
    at = program.spans["start from"]
    if laws.mixture is not None or not all(isinstance(law, Law) for law in laws.values()):
        message, help_ = "these laws are of training from scratch only", "use power laws, or start from new weights"
        report.error("laws-from-scratch", message, at, "enters them at a later error", help=help_)
    elif program.start is None:
        message, why = "the error of the first weights is not known", "laws are entered at this error"
        report.error("missing-start", message, at, why, help="measure it, and add it: `start at error 1.2`")
    elif below := [shape for shape, law in laws.items() if law.floor >= program.start]:
        message = f"the law of {below[0].written(program.units)} never reaches error {program.start:.4g}"
        help_ = "raise the error, or leave this candidate out"
        report.error("no-way", message, program.spans["start"], "where the weights enter the laws", help=help_)
    else:
        return laws.entered(program.start)
    return laws


def compile_still(laws: Laws, program: Program, shape: Shape, report: Report) -> Plan | None:
    """The plan that stays in one shape for the budget of a program whose laws have been found. None after reporting
    errors."""
    return _lowered(program, laws, Route((Leg(shape, END),)), report)


def with_laws(path: Path, sentences: Sequence[str], report: Report) -> tuple[Program, Laws]:
    """The program of a `.shape` file with its measured credits, and its laws with their intervals. Raises Refused with
    all errors. Warnings are added to `report`."""
    program = program_of(path, sentences, report)
    if program is not None:
        laws, program = find_laws(program, report, intervals=True), find_credits(program, report)
        if not report.failed:
            return program, laws
    raise Refused(*report.diagnostics)


def compile_fixed(program: Program, shape: Shape, budget: Amount, report: Report) -> Plan | None:
    """A plan for a sweep: one shape for a budget, without laws and with a constant learning rate. None after reporting
    errors."""
    return compile_route(program, Route((Leg(shape, END),)), budget, report)


def compile_route(program: Program, route: Route, budget: Amount, report: Report) -> Plan | None:
    """A plan for a probe: a route for a budget, without laws and with a constant learning rate. None after reporting
    errors."""
    program = attrs.evolve(program, budget=budget, cost=None, stop=None, start=None, by_hand=None, traversal=None)
    program = constant(program)
    if budget.dimension != "seconds":
        # Such a run makes the same steps after a new profile, so that its plan must not change either.
        program = attrs.evolve(program, profile_path=None)
    return _lowered(program, Laws(), route, report)


def constant(program: Program) -> Program:
    """The program without what no law describes: what changes training near the end of a run (the schedule, the
    cooldown, and later weights of the corpora), and the weights that it starts from."""
    return attrs.evolve(program, schedule=None, cooldown=None, weights=(), first=None, start_path=None)


def laws_of(program: Program, report: Report) -> Mapping[Shape, AnyLaw]:
    """The laws of a program; empty if it has none, or after reporting errors."""
    return find_laws(program, report)


def fit_file(path: Path, sentences: Sequence[str], report: Report) -> tuple[Program, FittedLaws]:
    """Fit the laws of a `.shape` file. Returns its program and the laws with their points. Raises Refused with all
    errors. Warnings are added to `report`."""
    program = unprofiled(path, sentences, report)
    found = None if program is None else find_fit(program, report)
    if program is None or found is None:
        raise Refused(*report.diagnostics)
    return program, found


def _lowered(program: Program, laws: Laws, route: Route, report: Report) -> Plan | None:
    plan = lower(program, laws, route, report)
    if plan is None or report.failed:
        return None
    plan = assess(program, laws, plan, report)
    wrong = list(itertools.islice(faults(plan), SHOWN))
    try:
        # A number that is not finite cannot be written to a plan file.
        made = None if wrong else sealed(plan)
    except ValueError as error:
        made, wrong = None, [str(error)]
    if wrong:
        about = "optimizer" if "optimizer" in wrong[0] else "model"
        at = program.spans.get(about, program.axes[-1].span)
        help_ = "use smaller sizes, or numbers that a training run can have"
        message = f"the plan is not possible: {wrong[0]}"
        report.error("impossible-plan", message, at, "leads to these numbers", notes=wrong[1:], help=help_)
    return made


def _unreached(program: Program, laws: Laws, route: Route, report: Report) -> None:
    """Warn about candidates that a plan does not use, if the traversal could use all of them. Laws that are refused, or
    that hold at the ends of runs alone, do not show which candidates are of use."""
    if program.by_hand is not None or program.traversal is None or not program.traversal.picks:
        return
    about = [law.provenance for law in laws.values()]
    if any(one.source == "fit" and (one.verdict or one.learning_rate == "annealed") for one in about):
        return
    used = {leg.shape for leg in route.legs} | {share.shape for leg in route.legs for share in leg.shares}
    every = left = [shape for shape in program.candidates if shape not in used]
    found: list[tuple[list[Shape], Span]] = []
    for axis in program.axes:
        for value in axis.values:
            of_value = [shape for shape in left if shape[axis.name] == value]
            if of_value and all(shape[axis.name] != value for shape in used):
                left = [shape for shape in left if shape[axis.name] != value]
                found.append((of_value, program.span(axis.name, value)))
    at_traversal = program.spans.get("traversal", program.axes[-1].span)
    found += [(left, at_traversal)] if left else []
    for shapes, at in found if len(found) <= APART else [(every, at_traversal)]:
        _never(program, shapes, at, report)


def _never(program: Program, shapes: Sequence[Shape], at: Span, report: Report) -> None:
    """Warn about candidates that a plan does not use, at one place in the file."""
    written = [shape.written(program.units) for shape in shapes]
    more = f", and {len(written) - SHOWN} more" if len(written) > SHOWN else ""
    bound = "budget" if "budget" in program.spans else "stop"
    report.warning(
        "unreached-candidate",
        f"the plan never uses {written[0]}" if len(written) == 1 else f"the plan never uses {len(written)} candidates",
        at,
        "never the cheapest shape " + ("within this budget" if bound == "budget" else "above this error"),
        also=[Label(program.spans[bound], "the plan ends here")] if bound in program.spans else [],
        notes=[f"not used: {', '.join(written[:SHOWN])}{more}"] if len(written) > 1 else [],
        help=f"{'raise the budget' if bound == 'budget' else 'lower the error'}, "
        f"or remove the candidate{'s' * (len(written) > 1)}",
    )
