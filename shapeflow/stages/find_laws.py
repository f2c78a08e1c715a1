"""Find a law for each candidate: a stated law, or the law from the program's law source."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from shapeflow.base.diagnostics import Report, Span
from shapeflow.base.settings import name_of, written
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import LawSource
from shapeflow.ir.law import Law
from shapeflow.ir.mixture import Laws, MixtureLaw
from shapeflow.ir.program import Program, Trained
from shapeflow.ir.route import LawRequest, Training
from shapeflow.ir.tabulated import AnyLaw
from shapeflow.laws.fitting.fitted_laws import FittedLaws
from shapeflow.laws.fitting.refit_sentence import recorded

KINDS = {
    "metric": "metric",
    "convention": "compute by",
    "unit": "errors in",
    "evaluation": "errors that are",
    "data": "data",
    "learning_rate": "a learning rate that is",
}
"""Field of `Provenance` that must be equal in all laws of a program, if it is known -> its words in a message."""


def find_laws(program: Program, report: Report, *, intervals: bool = False) -> Laws:
    """Candidate -> law, in the candidates' order; empty if the file does not need laws. Errors are reported.
    `intervals`: whether those of the laws' parameters are wanted; a plan does not use them."""
    if not program.laws_wanted:
        return Laws()
    open_ = tuple(shape for shape in program.candidates if shape not in program.stated)
    found: dict[Shape, AnyLaw] = {
        shape: power.law(program.metric.key, program.convention) for shape, power in program.stated.items()
    }
    mixture, samples, fitted = None, dict[Shape, tuple[AnyLaw, ...]](), None
    if program.law_source is not None and open_:
        request = attrs.evolve(_request(program, open_), intervals=intervals)
        mixture = program.law_source.mixture(request, report)
        if report.failed:
            return Laws()
        if mixture is not None:
            found.update(_of_target(program, mixture))
        else:
            fitted = _fitted(program.law_source, request, report)
            found.update(program.law_source.laws(request, report) if fitted is None else fitted.laws)
            samples.update(program.law_source.samples(request, report) if fitted is None and not report.failed else {})
    elif open_:
        shape = open_[0]
        name = next(iter(shape))
        report.error(
            "law-without-runs",
            f"no law for {shape.written(program.units)}",
            program.span(name, shape[name]),
            "this candidate has none",
            help=f"state one: `law for {shape.written(program.units)} is power(a: 1, b: 0.3, c: 0, d: 0)`",
        )
    ordered = {shape: found[shape] for shape in program.candidates if shape in found}
    joint, sizes = (None, None) if fitted is None else (fitted.joint, fitted.sizes)
    laws = Laws(ordered, mixture, samples, joint, sizes)
    _plausible(laws, program, report)
    of_one_kind(laws, program, report)
    return laws


def _plausible(laws: Mapping[Shape, AnyLaw], program: Program, report: Report) -> None:
    """Report the first law whose numbers have a size that no training run has (`implausible-number`)."""
    wrong = next((shape for shape, law in laws.items() if not law.plausible), None)
    if wrong is None:
        return
    law, name = laws[wrong], wrong.written(program.units)
    numbers = ", ".join(f"{part}: {getattr(law, part):.4g}" for part in "abcd") if isinstance(law, Law) else ""
    report.error(
        "implausible-number",
        f"the law of {name} has numbers that no training run has",
        program.spans.get("laws", program.span(*next(iter(wrong.items())))),
        f"power({numbers})" if numbers else "a table of points",
        help="check the errors and the compute that the law was made from",
    )


def _of_target(program: Program, mixture: MixtureLaw) -> dict[Shape, AnyLaw]:
    """The law of the target of a mixture, trained alone. Other candidates have none: alone, they do not reach the
    target's skill."""
    shape, trained = mixture.target, program.trained
    assert trained is not None
    return {shape: mixture.law({shape: trained.batch(shape) / trained.cost(shape)})}


def of_one_kind(laws: Mapping[Shape, AnyLaw], program: Program, report: Report) -> None:
    """Report laws that cannot be compared (`mixed-laws`): for each kind, the first two known values that differ. The
    file's own metric and convention count as known."""
    own = {"metric": program.metric.key, "convention": program.convention, "unit": program.metric.unit}
    wrong: set[str] = set()
    for kind, words in KINDS.items():
        first = ("this file", own[kind]) if own.get(kind) else None
        for shape, law in laws.items():
            value = getattr(law.provenance, kind)
            name = f"the law of {shape.written(program.units)}"
            first = first or (value and (name, value))
            # A different metric also has a different unit. Report this as one mistake, not two.
            if not value or first is None or value == first[1] or (kind == "unit" and "metric" in wrong):
                continue
            wrong.add(kind)
            report.error(
                "mixed-laws",
                f"{name} is for {words} `{value}`, but {first[0]} is for {words} `{first[1]}`",
                program.spans.get("laws", program.span(*next(iter(shape.items())))),
                "their errors or compute cannot be compared",
                help="fit all laws to runs that were trained and measured in the same way",
            )
            break


def find_fit(program: Program, report: Report) -> FittedLaws | None:
    """The laws that the program's law source fits, with their points; None after errors were reported. Candidates with
    a stated law are left out."""
    source = program.law_source
    if source is None:
        report.error(
            "nothing-to-fit",
            "the file does not ask for fitted laws",
            program.axes[-1].span,
            "the laws of its candidates are stated" if program.stated else "its candidates have no laws",
            help='ask for a fit: `laws from fit("runs/*.csv")`',
        )
        return None
    request = attrs.evolve(
        _request(program, tuple(shape for shape in program.candidates if shape not in program.stated)), intervals=True
    )
    mixture = source.mixture(request, report)
    if mixture is not None or report.failed:
        return None if report.failed else FittedLaws(mixture=mixture)
    found = _fitted(source, request, report)
    if found is None:
        again = source.refit(request)
        report.error(
            "nothing-to-fit",
            f"`{name_of(source)}` does not fit laws",
            program.spans.get("laws"),
            "these laws are not fitted" if again is None else "these laws are read from a file",
            help="fit laws to runs instead: `--set 'laws from fit(\"runs/*.csv\")'`"
            if again is None
            else f"fit them again: `--set '{again}'`",
        )
        return None
    of_one_kind(found.laws, program, report)
    return None if report.failed else found


def _fitted(source: LawSource, request: LawRequest, report: Report) -> FittedLaws | None:
    """The laws that a source fits, with its settings added to their provenance; None if it does not fit laws."""
    found: FittedLaws | None = source.fitted(request, report)
    if found is None:
        return None

    def completed(law: Law) -> Law:
        return attrs.evolve(law, provenance=attrs.evolve(law.provenance, source="fit", settings=settings))

    settings = recorded(source)
    return attrs.evolve(found, laws={shape: completed(law) for shape, law in found.laws.items()})


def _request(program: Program, candidates: tuple[Shape, ...]) -> LawRequest:
    spans: dict[Shape, Span] = {}
    trained = program.trained
    for shape in candidates:
        name = list(shape)[-1]
        spans[shape] = program.span(name, shape[name])
    return LawRequest(
        candidates=candidates,
        units=program.units,
        metric=program.metric.key,
        convention=program.convention,
        folder=program.folder,
        spans=program.within("laws"),
        candidate_spans=spans,
        unit=program.metric.unit,
        step_compute={shape: trained.cost(shape) for shape in program.candidates} if trained else None,
        step_data={shape: trained.batch(shape) for shape in program.candidates} if trained else None,
        parameters={shape: trained.count(shape) for shape in program.candidates} if trained else None,
        non_embedding={s: trained.count(s, without="vocabulary") for s in program.candidates} if trained else None,
        training=_training(program, trained) if trained else None,
        trains_unlike=program.trains_unlike if trained else None,
        setting_names={} if program.law_source is None else program.law_source.setting_names,
        sources=program.law_sources,
    )


def _training(program: Program, trained: Trained) -> Training:
    shapes = program.candidates
    wholes = {shape: trained.whole(shape) for shape in shapes}
    return Training(
        model=name_of(trained.model_component),
        data=name_of(trained.data),
        optimizer=name_of(trained.optimizer),
        data_settings=written(trained.data),
        optimizer_settings=written(trained.optimizer),
        sizes={shape: trained.model.sizes(trained.whole(shape)) for shape in shapes},
        batch={shape: trained.batch(shape) for shape in shapes},
        learning_rate={shape: trained.optimizer.lr * program.learning_rate(shape) for shape in shapes},
        context={shape: int(whole.number("context")) for shape, whole in wholes.items() if "context" in whole},
    )
