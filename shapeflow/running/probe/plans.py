"""The runs of a probe, as plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused, Report
from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.compiler import compile_route, laws_of, program_of
from shapeflow.ir.plan import Plan
from shapeflow.ir.program import Program
from shapeflow.ir.route import END, Leg, Route, Until
from shapeflow.ir.tabulated import AnyLaw
from shapeflow.running.pool import Job
from shapeflow.running.price import price
from shapeflow.running.probe.points import Asked, compute_behind, steps_before, trained_of
from shapeflow.running.probe.switches import Switch, axis_of, switches
from shapeflow.stages.previews import previewed

POINTS = 20
"""The number of measurements after a switch."""
ROOM = 2.5
"""A reference run may use at most this many times the compute of the run that it is compared with."""


@attrs.frozen
class Probe:
    """The runs that measure one switch with one seed."""

    switch: Switch
    seed: int
    metric: str
    cost: float
    """FLOPs of a step in the new shape."""
    trunk: Job
    stays: Job
    moves: Job
    scratch: Job | None
    """The reference run; None if a law is the reference."""


@attrs.frozen
class Probing:
    """All probes of an axis, and the laws that they may use as a reference."""

    program: Program
    probes: tuple[Probe, ...]
    laws: Mapping[Shape, AnyLaw]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All runs without duplicates, in training order."""
        trunks = [probe.trunk for probe in self.probes]
        sides = [job for probe in self.probes for job in (probe.stays, probe.moves)]
        scratch = [probe.scratch for probe in self.probes if probe.scratch is not None]
        return tuple({job.folder: job for job in (*trunks, *sides, *scratch)}.values())

    @property
    def phases(self) -> tuple[tuple[Job, ...], ...]:
        """The jobs in the order of training: trunks, branches, reference runs."""
        trunks = {probe.trunk.folder for probe in self.probes}
        scratch = {probe.scratch.folder for probe in self.probes if probe.scratch is not None}
        groups = (trunks, {job.folder for job in self.jobs} - trunks - scratch, scratch)
        return tuple(tuple(job for job in self.jobs if job.folder in group) for group in groups)

    @property
    def starts(self) -> dict[Path, int]:
        """Folder of a branch -> steps of its trunk, from whose end it continues."""
        return {job.folder: p.trunk.plan.steps for p in self.probes for job in (p.stays, p.moves)}

    @property
    def compute(self) -> float:
        """FLOPs of all runs; reference runs count with their maximum length."""
        starts = self.starts
        return sum(price(job.plan, start=starts.get(job.folder, 0)).compute for job in self.jobs)


def probing(
    path: Path,
    sentences: Sequence[str],
    name: str,
    pairs: Sequence[tuple[str, str]],
    seeds: Sequence[int],
    asked: Asked,
    folder: Path,
    report: Report,
) -> Probing:
    """The probes of an axis for some pairs of values; default: neighbouring values. `name` is the name of the axis or
    of its transition. Raises Refused."""
    first = _program(path, sentences, seeds[0], report)
    axis = axis_of(first, name)
    laws = laws_of(first, report) if asked.reference != "run" else {}
    if report.failed:
        raise Refused(*report.diagnostics)
    compared = laws if asked.reference == "law" else {shape: law for shape, law in laws.items() if not _average(law)}
    found: list[Probe] = []
    trunks: dict[str, Path] = {}
    for switch in switches(first, axis, pairs):
        if asked.reference == "law" and switch.after not in laws:
            message = f"there is no law for {switch.after.written(first.units)} to compare with"
            help_ = "compare with a run: `--reference run`"
            raise Refused(Diagnostic("no-laws", message, place="--reference", help=help_))
        start = steps_before(first, laws, switch, asked)
        length = compute_behind(first, switch, asked, start)
        for seed in seeds:
            laid = _Laid(attrs.evolve(first, seed=seed), compared, folder, trunks, report)
            found.append(_probe(laid, switch, start, length))
    return Probing(first, tuple(found), compared)


def _average(law: AnyLaw) -> bool:
    """Whether a law is that of the average over random features: a run of one seed differs from it by more than most
    switches change."""
    return law.provenance.source == "theory" and "seed" not in law.provenance.settings


def _program(path: Path, sentences: Sequence[str], seed: int, report: Report) -> Program:
    program = program_of(path, [*sentences, f"seed {seed}"], report)
    if program is None:
        raise Refused(*report.diagnostics)
    if program.trained is None:
        message = "a probe needs a model to train"
        raise Refused(Diagnostic("no-model", message, place=str(path), help="add `model`, `data` and `objective`"))
    # Earlier measurements must not influence new ones.
    return attrs.evolve(program, credits_path=None)


def _probe(asked: _Laid, switch: Switch, start: int, length: float) -> Probe:
    """The plans that probe one switch with one seed."""
    program, trained = asked.program, trained_of(asked.program)
    before, after = switch.before, switch.after
    behind = {shape: max(1, round(length / trained.cost(shape))) for shape in (before, after)}
    every = max(1, behind[after] // POINTS)
    # Also measure the first step after the switch.
    start = max(1, every * max(1, round((start + 1) / every)) - 1)
    until = Until(amount=Amount(start, "steps"))
    shares = previewed(program, Route((Leg(before, until), Leg(after, END))))[0].shares
    place = asked.folder / f"{switch.axis}-{before[switch.axis]}-{after[switch.axis]}-seed{program.seed}"

    def job(route: Route, steps: int, every: int, name: str, label: str) -> Job:
        plan = asked.plan(route, steps, every)
        return Job(f"{switch.name}, seed {program.seed}, {label}", plan, place / name)

    trunk = job(Route((Leg(before, END, shares),)), start, every, "trunk", "up to the switch")
    stay = Route((Leg(before, until, shares), Leg(before, END)))
    move = Route((Leg(before, until), Leg(after, END)))
    room = round(ROOM * (start * trained.cost(before) + length) / trained.cost(after))
    alone = Route((Leg(after, END),))
    return Probe(
        switch=switch,
        seed=program.seed,
        metric=program.metric.key,
        cost=trained.cost(after),
        # Switches with the same start share a trunk.
        trunk=attrs.evolve(trunk, folder=asked.trunks.setdefault(trunk.plan.digest, trunk.folder)),
        stays=job(stay, start + behind[before], every, "stays", "without the switch"),
        moves=job(move, start + behind[after], every, "moves", "after the switch"),
        scratch=None
        if switch.after in asked.laws
        else job(alone, room, max(1, room // (5 * POINTS)), "scratch", "the new shape from scratch"),
    )


@attrs.frozen
class _Laid:
    """The common data of the plans of one seed."""

    program: Program
    laws: Mapping[Shape, AnyLaw]
    folder: Path
    trunks: dict[str, Path]
    """Digest of a trunk's plan -> its folder."""
    report: Report

    def plan(self, route: Route, steps: int, every: int) -> Plan:
        program = attrs.evolve(self.program, evaluate=Amount(every, "steps"), checkpoint=Amount(0.25, "ratio"))
        plan = compile_route(program, route, Amount(steps, "steps"), self.report)
        if plan is None:
            raise Refused(*self.report.diagnostics)
        return plan


def compute_of(plan: Plan) -> float:
    return plan.totals.compute or 0.0
