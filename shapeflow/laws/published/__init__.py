"""`laws from published(chinchilla)`: laws from papers, for users who do not have their own runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import setting, written
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import LawSourceHooks
from shapeflow.ir.law import Law, Provenance
from shapeflow.ir.route import LawRequest
from shapeflow.laws.published.records import SAFE, Optimum, Record, Steps, record

OFF = 1.1
"""If the compute of a token differs from the paper's 6 N by more than this factor, the warning says so."""


@attrs.frozen
class _Case:
    """The numbers of one candidate that a published law needs."""

    parameters: float
    token: float
    """Compute of one training token, in the compute convention of the file."""
    batch: float | None
    """Tokens per step."""


@attrs.frozen
class Published(LawSourceHooks):
    """Laws from papers. They were fitted to other data, tokenizers and learning rates than yours. Use them to see what
    a plan looks like, and fit laws to your own runs before you trust a plan.

    `chinchilla`: loss = E + A/N^alpha + B/D^beta for N parameters and D tokens (Hoffmann et al. 2022, arXiv 2203.15556,
    as re-fitted by Besiroglu et al. 2024, arXiv 2404.10102). For a given N this is a law of compute with
    c = E + A/N^alpha, b = beta, d = 0 and a = B k^beta, where k is the compute of one token.

    `kaplan`: loss = (N_c/N)^alpha_N + (S_c/S)^alpha_S (Kaplan et al. 2020, arXiv 2001.08361, eq. 1.6). N does not count
    embeddings, and S is the number of steps at a batch size well above the critical batch size. As a law of compute:
    c = (N_c/N)^alpha_N, b = alpha_S, d = 0 and a = (S_c k batch)^alpha_S.

    `sovit` (Alabdulmohsin et al. 2023, arXiv 2305.13035) states how the optimal width, depth and MLP size of a vision
    transformer grow with compute: by the powers 0.22, 0.45 and 0.6. It does not contain a law of one shape, so it gives
    an error.

    If the file has a model, N, the batch size and k come from the model, and k counts FLOPs as the file does. Without a
    model, `parameters` states N, and k is 6 N as in both papers.
    """

    name: Literal["chinchilla", "kaplan", "sovit"] = setting(first=True, help="the published law", example="chinchilla")
    parameters: tuple[float, ...] | None = setting(
        default=None,
        above=0.0,
        help="without a model: N of each candidate without a stated law, in the order of the file",
    )
    batch: int | None = setting(
        "tokens", default=None, low=1, help="without a model: tokens per step; required by `kaplan`"
    )

    def laws(self, request: LawRequest, report: Report) -> dict[Shape, Law]:
        """Return a law for each candidate. Empty after an error.

        A warning lists how a candidate differs from the models of the paper, and the verdict of its law records it.

        Errors: not-a-law, foreign-metric, missing-parameters, missing-setting, idle-setting. Warnings: published-law,
        beyond-published.
        """
        found = record(self.name)
        if isinstance(found, Optimum):
            report.error(
                "not-a-law",
                f"`{self.name}` predicts the best shape, not the error of a shape",
                request.spans.get("name", request.spans.get("")),
                "not a law of one shape",
                notes=[f"{found.title} ({found.citation})", *found.notes],
                help='fit laws to your own runs: `laws from fit("runs/*.csv")`',
            )
            return {}
        if request.metric.partition("@")[0] != "loss":
            report.error(
                "foreign-metric",
                f"`{self.name}` predicts the loss of a language model in {found.unit}, but the metric is "
                f"`{request.metric}`",
                request.spans.get("name", request.spans.get("")),
                "a law of a different metric",
                help='fit laws of this metric to your own runs: `laws from fit("runs/*.csv")`',
            )
            return {}
        cases = self._cases(found, request, report)
        if not cases:
            return {}
        laws = {shape: self._law(found, case, request) for shape, case in cases.items()}
        _tell(found, cases, laws, request, report)
        return laws

    def _cases(self, found: Record, request: LawRequest, report: Report) -> dict[Shape, _Case]:
        """Return N, the compute of a token and the batch size of each candidate. Empty after an error."""
        counts = request.parameters if found.counts == "all" else request.non_embedding
        costs, batches = request.step_compute, request.step_data
        if counts is not None and costs is not None and batches is not None:
            for name in ("parameters", "batch"):
                if getattr(self, name) is not None:
                    at, help = request.spans[name], f"leave `{name}` out"
                    message, why = f"`{name}` has no effect in a file with a model", "determined by the model"
                    report.error("idle-setting", message, at, why, help=help)
                    return {}
            return {s: _Case(counts[s], costs[s] / batches[s], batches[s]) for s in request.candidates}
        given, count = self.parameters or (), len(request.candidates)
        if len(given) != count:
            names = ", ".join(shape.written(request.units) for shape in request.candidates)
            report.error(
                "missing-parameters",
                f"`{self.name}` needs the parameters of {count} candidates, but {len(given) or 'none'} "
                f"{'is' if len(given) == 1 else 'are'} given",
                request.spans.get("parameters", request.spans.get("")),
                "without a model they are not known",
                notes=[f"order of the candidates: {names}"],
                help=f"write `parameters: [{', '.join(f'{70 * 2**i}e6' for i in range(min(count, 6)))}]` with your own "
                "numbers, or add a model",
            )
            return {}
        if isinstance(found.form, Steps) and self.batch is None:
            message = f"`{self.name}` is a law in steps, and the tokens per step are not known"
            help = "write `batch: 524288 tokens` with your own number, or add a model and data"
            report.error("missing-setting", message, request.spans.get(""), "needs `batch`", help=help)
            return {}
        pairs = zip(request.candidates, given, strict=True)
        return {shape: _Case(n, 6.0 * n, self.batch) for shape, n in pairs}

    def _law(self, found: Record, case: _Case, request: LawRequest) -> Law:
        form, progress = found.form, case.token
        if isinstance(form, Steps):
            assert case.batch is not None
            progress *= case.batch
        a, b, c = form.size(progress), form.exponent, form.floor(case.parameters)
        first, last = (progress * each for each in found.progress)
        provenance = Provenance(
            source="published",
            metric=request.metric,
            convention=request.convention,
            unit=found.unit,
            evaluation=found.evaluation,
            data=found.data,
            learning_rate="falling" if found.learning_rate == "falling" else "constant",
            citation=found.citation,
            compute=(first, last),
            error=(a * first**-b + c, a * last**-b + c),
            settings=written(self),
        )
        law = Law(a, b, c, 0.0, provenance)
        verdict = tuple(_beyond(found, case, law, request))
        return attrs.evolve(law, provenance=attrs.evolve(provenance, verdict=verdict))


def _beyond(found: Record, case: _Case, law: Law, request: LawRequest) -> list[str]:
    """Return the properties of a candidate that are outside the range of the published fit, each with its number."""
    said: list[str] = []
    low, high = found.parameters
    if not low <= case.parameters <= high:
        said.append(f"N is {_count(case.parameters)}, and the law was fitted for {_count(low)} to {_count(high)}")
    assert law.measured is not None
    if isinstance(found.form, Steps) and case.batch is not None:
        critical = found.form.critical(law.measured[1])
        if case.batch < SAFE * critical:
            said.append(
                f"the batch is {_count(case.batch)} tokens, and the critical batch size {_count(critical)} at loss "
                f"{law.measured[1]:.3g}: training takes {1 + critical / case.batch:.3g} times the predicted steps"
            )
    varied = {axis for axis in request.units if len({shape[axis] for shape in request.candidates}) > 1}
    if unseen := sorted(varied - set(found.axes)):
        said.append(f"candidates differ in {' and '.join(unseen)}, which the law does not model")
    return said


def _tell(
    found: Record, cases: Mapping[Shape, _Case], laws: Mapping[Shape, Law], request: LawRequest, report: Report
) -> None:
    """Warn that the laws come from a paper (`published-law`), and about candidates outside the range of the paper's
    fit (`beyond-published`)."""
    at = request.spans.get("name", request.spans.get(""))
    ratios = [case.token / (6.0 * case.parameters) for case in cases.values()]
    counted = []
    if max(ratios) > OFF or min(ratios) < 1 / OFF:
        span = f"{min(ratios):.3g} to {max(ratios):.3g}" if len(ratios) > 1 else f"{ratios[0]:.3g}"
        counted = [
            f"this file counts {span} times the paper's 6 N FLOPs per token; the laws are converted to this count"
        ]
    report.warning(
        "published-law",
        f"these laws are published ones, for {found.data}; they were not fitted to your runs",
        at,
        f"loss = {found.title}",
        notes=[found.citation, *found.notes, *counted],
        help='before you trust a saving, fit laws to your own runs: `laws from fit("runs/*.csv")`',
    )
    beyond: dict[str, list[str]] = {}
    for shape, law in laws.items():
        for reason in law.provenance.verdict:
            beyond.setdefault(reason, []).append(shape.written(request.units))
    notes = [f"{_shapes(shapes, len(laws))}: {reason}" for reason, shapes in beyond.items()]
    if notes:
        more = [f"and {len(notes) - 8} more"] if len(notes) > 8 else []
        count = sum(bool(law.provenance.verdict) for law in laws.values())
        those = "these" if count == len(laws) else f"{count} of these {len(laws)}"
        message = f"`{found.name}` was not fitted to models like {those}, so its predictions are not reliable here"
        report.warning("beyond-published", message, at, "outside the range of its fit", notes=notes[:8] + more)


def _shapes(shapes: list[str], count: int) -> str:
    return "all candidates" if len(shapes) == count > 1 else ", ".join(shapes)


def _count(value: Any) -> str:
    """Return a count as text: 105,000 or 16 billion."""
    for word, size in (("trillion", 1e12), ("billion", 1e9), ("million", 1e6)):
        if value >= size:
            return f"{value / size:.3g} {word}"
    return f"{value:,.0f}"
