"""`laws from published(chinchilla)`: laws that others have fitted, for want of runs of one's own."""

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
"""A count of compute that differs by more from the paper's 6 N a token is told."""


@attrs.frozen
class _Case:
    """One candidate as a published law sees it."""

    parameters: float
    token: float
    """Compute of one token of training, as the file counts it."""
    batch: float | None
    """Tokens of a step."""


@attrs.frozen
class Published(LawSourceHooks):
    """Laws out of papers. They are of other data, other tokens and other learning rates than yours: take them to see
    what a plan looks like, and fit your own before you trust one.

    `chinchilla`: E + A/N^alpha + B/D^beta (Hoffmann et al. 2022, arXiv 2203.15556, refitted by Besiroglu et al.
    2024, arXiv 2404.10102). For N parameters it is a law of compute: c = E + A/N^alpha, b = beta, d = 0, and
    a = B k^beta, where k is the compute of one token.

    `kaplan`: (N_c/N)^alpha_N + (S_c/S)^alpha_S (Kaplan et al. 2020, arXiv 2001.08361, eq. 1.6), with N without
    embeddings, and steps S of a batch well above the critical one: b = alpha_S, a = (S_c k batch)^alpha_S.

    `sovit` (Alabdulmohsin et al. 2023, arXiv 2305.13035) says how the best width, depth and hidden units of a vision
    transformer grow with compute, as its powers 0.22, 0.45 and 0.6. It holds no law of one shape, and is refused.

    N, the batch and k are the model's; k is then what the file's own FLOPs are. Without a model, `parameters` says N
    and k is 6 N, as in both papers.
    """

    name: Literal["chinchilla", "kaplan", "sovit"] = setting(first=True, help="which one", example="chinchilla")
    parameters: tuple[float, ...] | None = setting(
        default=None,
        above=0.0,
        help="without a model: N of each candidate that no sentence states a law for, in the file's order",
    )
    batch: int | None = setting(
        "tokens", default=None, low=1, help="without a model: tokens of a step; `kaplan` asks for them"
    )

    def laws(self, request: LawRequest, report: Report) -> dict[Shape, Law]:
        """A law for each candidate; what it was not fitted to is told, and stands in its verdict.

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
                help='fit laws to runs, `laws from fit("runs/*.csv")`',
            )
            return {}
        if request.metric.partition("@")[0] != "loss":
            report.error(
                "foreign-metric",
                f"`{self.name}` predicts the loss of a language model in {found.unit}, and the metric is "
                f"`{request.metric}`",
                request.spans.get("name", request.spans.get("")),
                "a law of another metric",
                help='fit laws of this metric to runs, `laws from fit("runs/*.csv")`',
            )
            return {}
        cases = self._cases(found, request, report)
        if not cases:
            return {}
        laws = {shape: self._law(found, case, request) for shape, case in cases.items()}
        _tell(found, cases, laws, request, report)
        return laws

    def _cases(self, found: Record, request: LawRequest, report: Report) -> dict[Shape, _Case]:
        """N, the compute of a token and the batch of each candidate; empty after an error."""
        counts = request.parameters if found.counts == "all" else request.non_embedding
        costs, batches = request.step_compute, request.step_data
        if counts is not None and costs is not None and batches is not None:
            for name in ("parameters", "batch"):
                if getattr(self, name) is not None:
                    why = "the model determines the parameters"
                    report.error("idle-setting", f"`{name}` is for a file without a model", request.spans[name], why)
                    return {}
            return {s: _Case(counts[s], costs[s] / batches[s], batches[s]) for s in request.candidates}
        given, count = self.parameters or (), len(request.candidates)
        if len(given) != count:
            names = ", ".join(shape.written(request.units) for shape in request.candidates)
            report.error(
                "missing-parameters",
                f"`{self.name}` needs the parameters of {count} candidates, and {len(given) or 'none'} are given",
                request.spans.get("parameters", request.spans.get("")),
                "a file without a model does not know them",
                notes=[f"candidates, in this order: {names}"],
                help=f"write `parameters: [{', '.join(f'{70 * 2**i}e6' for i in range(min(count, 6)))}]` with your own "
                "numbers, or add a model",
            )
            return {}
        if isinstance(found.form, Steps) and self.batch is None:
            message = f"`{self.name}` counts steps, and nothing says how many tokens one takes"
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
    """What of a candidate the published law was not fitted to, each with its number."""
    said: list[str] = []
    low, high = found.parameters
    if not low <= case.parameters <= high:
        said.append(f"N is {_count(case.parameters)}, and it was fitted to {_count(low)} to {_count(high)}")
    assert law.measured is not None
    if isinstance(found.form, Steps) and case.batch is not None:
        critical = found.form.critical(law.measured[1])
        if case.batch < SAFE * critical:
            said.append(
                f"the batch is {_count(case.batch)} tokens, and the critical one {_count(critical)} at loss "
                f"{law.measured[1]:.3g}: it takes {1 + critical / case.batch:.3g} times the steps that the law says"
            )
    varied = {axis for axis in request.units if len({shape[axis] for shape in request.candidates}) > 1}
    if unseen := sorted(varied - set(found.axes)):
        said.append(f"candidates differ in {' and '.join(unseen)}, which it does not know")
    return said


def _tell(
    found: Record, cases: Mapping[Shape, _Case], laws: Mapping[Shape, Law], request: LawRequest, report: Report
) -> None:
    """Warn of what the laws are laws of (`published-law`), and of what they were not fitted to (`beyond-published`)."""
    at = request.spans.get("name", request.spans.get(""))
    ratios = [case.token / (6.0 * case.parameters) for case in cases.values()]
    counted = []
    if max(ratios) > OFF or min(ratios) < 1 / OFF:
        span = f"{min(ratios):.3g} to {max(ratios):.3g}" if len(ratios) > 1 else f"{ratios[0]:.3g}"
        counted = [f"this file counts {span} times the paper's 6 N a token; the laws are turned into its count"]
    report.warning(
        "published-law",
        f"the laws are published ones, of {found.data}, and not of your runs",
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
        message = f"`{found.name}` was not fitted to models like {those}: no saving by their laws is worth a number"
        report.warning("beyond-published", message, at, "outside what it was fitted to", notes=notes[:8] + more)


def _shapes(shapes: list[str], count: int) -> str:
    return "all candidates" if len(shapes) == count > 1 else ", ".join(shapes)


def _count(value: Any) -> str:
    """A count for a sentence: 105,000 or 16 billion."""
    for word, size in (("trillion", 1e12), ("billion", 1e9), ("million", 1e6)):
        if value >= size:
            return f"{value / size:.3g} {word}"
    return f"{value:,.0f}"
