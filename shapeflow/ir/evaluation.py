"""The compute of an evaluation on held-out data."""

from __future__ import annotations

from shapeflow.base.shapes import Shape
from shapeflow.ir.parameters import HELD_OUT_TARGETS
from shapeflow.ir.program import Program, Trained

FORWARD = 1 / 3
"""Share of the compute of a training sample that its forward pass takes, in both conventions."""

AFFORDABLE = 0.05
"""By default, evaluations take at most this share of the compute of all steps, and plans say so if they take more."""

FEWSHOT = "fewshot_error@"


def evaluation_compute(program: Program, shape: Shape) -> float | None:
    """FLOPs of one evaluation in a shape, in forward passes, as backends make it; None if the number of held-out
    images, or the context, is not known.

    Text: `Program.held_out` tokens in windows of the own context, and again of the longest if that is another one.
    Images: all held-out images, or as many as stated; for a few-shot error also their features and those of the
    shots."""
    trained = program.trained
    assert trained is not None
    if trained.facts.kind == "images":
        return _of_images(program, trained, shape)
    longest = longest_context(program, trained)
    whole = trained.whole(shape)
    if not longest or "context" not in whole:
        return None
    targets, contexts = predicted(program, trained), {whole.number("context"), longest}
    return sum(_samples(trained, targets / at, whole.with_({"context": at})) for at in sorted(contexts))


def predicted(program: Program, trained: Trained) -> int:
    """Tokens that an evaluation of text predicts, in whole windows of the longest context, at least one of every
    corpus; 0 if the longest context is not known."""
    longest, asked = longest_context(program, trained), program.held_out
    total = 0
    for corpus in trained.facts.corpora if longest else ():
        tokens = round((HELD_OUT_TARGETS if asked is None else asked) * corpus.share)
        there = tokens if corpus.held_out is None else min(tokens, corpus.held_out - 1)
        total += max(1, there // longest) * longest
    return total


def longest_context(program: Program, trained: Trained) -> int:
    """The longest context of all candidates, in tokens; 0 if they have none."""
    # One candidate of each context is enough: completing thousands of shapes would take longer than the search.
    different = {candidate.get("context"): candidate for candidate in program.candidates}
    wholes = map(trained.whole, different.values())
    return max((whole.number("context") for whole in wholes if "context" in whole), default=0)


def _of_images(program: Program, trained: Trained, shape: Shape) -> float | None:
    facts, metric = trained.facts, program.metric.key
    images = facts.held_out if program.held_out is None else program.held_out
    if images is None:
        return None
    if metric.startswith(FEWSHOT):
        images += images + int(metric.removeprefix(FEWSHOT)) * (facts.classes or 0)
    return _samples(trained, images, trained.whole(shape))


def _samples(trained: Trained, count: float, at: Shape) -> float:
    return FORWARD * count * trained.model.compute(at, trained.model_component.convention).sample
