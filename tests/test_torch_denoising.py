"""Denoising: inputs and targets of windows, reconstruction of the text, and training."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plans import toy_text_plan
from sources import compiled
from torch_tools import followed, losses, machine, relative, shake

from shapeflow.base.diagnostics import Refused
from shapeflow.base.settings import written
from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import EditError
from shapeflow.ir.events import Measured
from shapeflow.ir.parameters import DataFacts
from shapeflow.ir.plan import Plan
from shapeflow.objectives.denoising import MODES, Layout
from shapeflow.objectives.denoising import Denoising as Declared
from shapeflow.running.execute import execute
from shapeflow_simulator import Simulator
from shapeflow_torch.models.masks import with_prefix
from shapeflow_torch.objectives import Asked
from shapeflow_torch.objectives.denoising import Denoising, parted
from shapeflow_torch.objectives.parts import IGNORED
from shapeflow_torch.team import Team

TEXT = 256
"""The number of ids of the text; reserved ids follow them."""
FACTS = DataFacts(kind="text", vocabulary=TEXT, batch=512)


def objective(**settings: Any) -> Denoising:
    declared = Declared(**settings)
    return Denoising(written(declared), TEXT + declared.reserved)


def alone(mode: str, **settings: Any) -> Denoising:
    """An objective that uses one denoising mode in all steps."""
    return objective(**{name: 1.0 if name == mode else 0.0 for name in MODES}, **settings)


def windows(context: int, samples: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    text = torch.randint(0, TEXT, (samples, context + 1), generator=torch.Generator().manual_seed(context))
    return text[:, :-1], text[:, 1:]


def asked(made: Denoising, context: int, step: int = 0, samples: int = 8) -> Asked:
    return made.asked(*windows(context, samples), 0, step, slice(0, samples))


def rebuilt(inputs: Sequence[int], targets: Sequence[int]) -> list[int]:
    """The text reconstructed from the inputs and targets of a window."""
    whole = [*inputs, targets[-1]]
    first = next(at for at, target in enumerate(targets) if target != IGNORED)
    assert whole[first + 1 :] == list(targets[first:])
    if max(whole[1:]) < TEXT:
        return whole[1:]
    shown, wanted = whole[1:first], whole[first:]
    spans: dict[int, list[int]] = {}
    for token in wanted:
        if token >= TEXT:
            assert token not in spans
            spans[token] = []
        else:
            spans[list(spans)[-1]].append(token)
    assert spans.popitem()[1] == [], "a sentinel ends the last span"
    assert [token for token in shown if token >= TEXT] == list(spans), "sentinels stand in the order of the spans"
    return [token for each in shown for token in (spans[each] if each >= TEXT else [each])]


@pytest.mark.parametrize("context", [5, 6, 16, 61, 256, 1024])
@pytest.mark.parametrize("mode", MODES)
def test_no_token_of_the_text_is_lost(mode: str, context: int) -> None:
    made = alone(mode)
    text = torch.cat((windows(context)[0], windows(context)[1][:, -1:]), 1)
    found = asked(made, context)
    assert found.inputs.shape == found.targets.shape == (8, context)
    assert found.inputs.dtype == found.targets.dtype == torch.int64
    assert found.inputs.max() < TEXT + 103
    marks = set(found.inputs[:, 0].tolist())
    assert len(marks) == 1
    assert min(marks) >= TEXT
    for before, inputs, targets in zip(text.tolist(), found.inputs.tolist(), found.targets.tolist(), strict=True):
        after = rebuilt(inputs, targets)
        assert after == before[: len(after)]
        assert len(after) >= context * 0.4
    counts = (found.targets != IGNORED).sum(1)
    assert len(set(counts.tolist())) == 1, "every sample of a step asks for equally many tokens"


def test_modes_and_sentinels_have_ids_of_their_own() -> None:
    marks = {mode: int(asked(alone(mode), 64).inputs[0, 0]) for mode in MODES}
    assert sorted(marks.values()) == [TEXT + 100, TEXT + 101, TEXT + 102]
    spans = asked(alone("regular"), 64).inputs.unique()
    assert {int(token) for token in spans if token >= TEXT} & set(marks.values()) == {marks["regular"]}
    # If another objective enlarges the vocabulary further, the ids keep their distance from its end.
    larger = Denoising(written(Declared()), TEXT + 500)
    assert larger.mark(0) + TEXT + 500 == objective().mark(0) + TEXT + 103


@pytest.mark.parametrize("context", [32, 64, 100, 256, 1000, 2048])
@pytest.mark.parametrize(("rate", "span"), [(0.15, 3), (0.15, 8), (0.5, 3), (0.5, 32), (0.15, 64), (0.5, 1), (0.9, 9)])
def test_rates_and_lengths_are_those_asked_for(context: int, rate: float, span: int) -> None:
    layout = Layout.of(context, rate, span)
    assert layout.text + 2 * layout.spans + 2 == context + 1
    assert layout.hidden == pytest.approx(rate * layout.text, abs=1)
    assert layout.hidden / layout.spans == pytest.approx(span, rel=0.5 / layout.spans + 0.1) or layout.spans == 1
    assert layout.text - layout.hidden >= layout.spans - 1


def test_spans_can_be_at_any_position() -> None:
    """Every position, except near the ends, is hidden about equally often, and no two spans touch."""
    made, context = alone("regular"), 64
    layout = Declared().layouts(context)["regular"]
    hidden = np.zeros(layout.text)
    for step in range(40):
        text = torch.arange(context + 1).repeat(16, 1)
        found = made.asked(text[:, :-1], text[:, 1:], 0, step, slice(0, 16))
        for row in found.targets.tolist():
            hidden[[token for token in row if 0 <= token < TEXT]] += 1
        for row in found.inputs[:, : 1 + layout.text - layout.hidden + layout.spans].tolist():
            assert all(one < TEXT or other < TEXT for one, other in itertools.pairwise(row[1:]))
    expected = 640 * layout.hidden / layout.text
    assert hidden[[0, -1]].min() > 0.2 * expected
    assert hidden[3:-3].min() > 0.7 * expected
    assert hidden.max() < 1.4 * expected


@pytest.mark.parametrize(("rate", "least", "most"), [(0.25, 1, 31), (0.75, 32, 64)])
def test_ends_begin_anywhere(rate: float, least: int, most: int) -> None:
    made = alone("sequential", sequential_rate=rate)
    counts = [int((asked(made, 64, step, samples=1).targets != IGNORED).sum()) for step in range(400)]
    assert (min(counts), max(counts)) == (least, most)
    assert np.mean(counts) == pytest.approx(64 * rate, rel=0.1)


def test_parts_of_a_number() -> None:
    random = np.random.default_rng(0)
    drawn = Counter(tuple(parted(5, 3, random).tolist()) for _ in range(600))
    assert set(drawn) == {(1, 1, 3), (1, 2, 2), (1, 3, 1), (2, 1, 2), (2, 2, 1), (3, 1, 1)}
    assert min(drawn.values()) > 60
    assert parted(4, 1, random).tolist() == [4]


def test_shares_are_kept_exactly() -> None:
    shares = {"regular": 0.125, "extreme": 0.1, "sequential": 0.25}
    made = objective(**shares)
    drawn = Counter(made.mode(3, step) for step in range(800))
    assert drawn == {"regular": 100, "extreme": 80, "sequential": 200, None: 420}
    assert Counter(made.mode(3, step) for step in range(100)) != Counter(made.mode(3, step) for step in range(100, 200))
    whole = objective(regular=0.3, extreme=0.1, sequential=0.25)
    for first in (0, 100, 700):
        counted = Counter(whole.mode(3, step) for step in range(first, first + 100))
        assert counted == {"regular": 30, "extreme": 10, "sequential": 25, None: 35}, "over 100 steps from the first"
    assert [made.mode(3, step) for step in range(50)] != [made.mode(4, step) for step in range(50)]
    assert [objective(**shares).mode(3, step) for step in (70, 7)] == [made.mode(3, 70), made.mode(3, 7)]
    plain = objective(regular=0.0, extreme=0.0, sequential=0.0)
    inputs, targets = windows(16)
    found = plain.asked(inputs, targets, 0, 5, slice(0, 8))
    assert found.inputs is inputs
    assert found.targets is targets


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("world", [2, 4])
def test_samples_do_not_depend_on_the_count_of_processes(mode: str, world: int) -> None:
    made, (inputs, targets) = alone(mode), windows(64)
    whole = made.asked(inputs, targets, 7, 3, slice(0, 8))
    for rank in range(world):
        part = slice(rank, 8, world)
        found = made.asked(inputs[part], targets[part], 7, 3, part)
        assert torch.equal(found.inputs, whole.inputs[part])
        assert torch.equal(found.targets, whole.targets[part])
    if mode != "sequential":
        assert not torch.equal(made.asked(inputs, targets, 7, 4, slice(0, 8)).inputs, whole.inputs)
        assert not torch.equal(made.asked(inputs, targets, 8, 3, slice(0, 8)).inputs, whole.inputs)


LEGS = (({"context": 16}, 20), ({"context": 64}, 20))


def denoised(**settings: Any) -> Plan:
    return toy_text_plan(LEGS, objective=Declared(sentinels=12, **settings), preview=0.2)


@pytest.mark.parametrize("prefix", ["causal", "full"])
def test_training_lowers_both_losses(prefix: str) -> None:
    plan = denoised(prefix=prefix)
    _, events = followed(plan)
    assert events == list(execute(plan, Simulator(plan)))
    found, measured = losses(events), [event.values["loss@own"] for event in events if isinstance(event, Measured)]
    assert sum(found[-10:]) < sum(found[:10]) - 5
    assert measured[-1] < measured[0] - 0.2


def test_compute_is_that_of_the_next_token() -> None:
    """Compute equals that of `next_token`, plus the rows of the head for the reserved ids."""
    plain = toy_text_plan(LEGS)
    assert denoised().stages[1].cost - plain.stages[1].cost == 6 * 15 * 32 * 256
    assert Declared().compute(FACTS, Shape.of(context=1024), "flops") == 0
    assert Declared().reserved == 103


def test_processes_agree_on_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shares of two processes sum to the loss of a single process."""
    plan = denoised(regular=1.0, extreme=0.0, sequential=0.0)
    told: list[float] = []

    def summed(team: Team, numbers: torch.Tensor) -> torch.Tensor:
        if numbers.dim() == 0:  # the number of targets: both processes have as many
            return numbers * 2
        told.append(float(numbers[0]))
        return numbers

    monkeypatch.setattr(Team, "sum", summed)
    for rank in range(2):
        made = machine(plan)
        made.team = Team(rank=rank, world=2)
        made.step(plan.stages[0], 0, 0.0)
    assert sum(told) == pytest.approx(machine(plan).step(plan.stages[0], 0, 0.0), rel=1e-6)


def test_a_prefix_attends_to_itself_only() -> None:
    assert with_prefix(4, 2, torch.device("cpu")).long().tolist() == [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 1],
    ]
    made = alone("sequential", prefix="full")
    found = asked(made, 16)
    wanted = int((found.targets[0] != IGNORED).sum())
    assert found.prefix == 17 - wanted, "the mode and the tokens that the first asked one follows"
    assert found.targets[0, found.prefix - 1] != IGNORED
    net = shake(machine(toy_text_plan())).body.net
    tokens = windows(16)[0]
    other = tokens.clone()
    other[:, 13:] = 7
    with torch.no_grad():
        causal, full = net(tokens), net(tokens, 13)
        assert torch.equal(net(tokens, 0), causal)
        assert relative(full, causal) > 1e-3
        assert relative(net(other, 13)[:, :13], full[:, :13]) < 1e-6


def test_a_denoised_window_is_one_text() -> None:
    net = shake(machine(toy_text_plan(model={"attend": "document"}))).body.net
    tokens = windows(16)[0]
    tokens[:, 8] = 0
    with torch.no_grad():
        apart, whole = net(tokens), net(tokens, 0)
    assert relative(apart[:, :9], whole[:, :9]) < 1e-5
    assert relative(apart[:, 9:], whole[:, 9:]) > 1e-3


def test_a_module_without_such_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    made = machine(denoised(regular=1.0, extreme=0.0, sequential=0.0))
    monkeypatch.setattr(type(made.body.net), "takes_prefix", False)
    with pytest.raises(Refused, match="no-prefix-mask"):
        made.step(made.plan.stages[0], 0, 0.0)


AT_LAST = """
let ul2 = denoising(sentinels: 12, prefix: full)
model transformer(depth: 2, width: 32, head_width: 8, context: 32 tokens)
data python_source(batch: 128 tokens)
axis loss in [next_token, ul2] via loss_switch
stage (loss: next_token) until 6 steps
stage (loss: ul2) until end
budget 12 steps
evaluate every 12 steps
"""


def test_a_run_that_denoises_in_its_last_stage(tmp_path: Path) -> None:
    """The embedding has rows for the marks from the first stage on, so both stages have the same model and compute."""
    plan = compiled(tmp_path, AT_LAST)
    assert [stage.sizes["vocabulary"] for stage in plan.stages] == [271, 271]
    assert plan.stages[0].cost == plan.stages[1].cost
    made, events = followed(plan)
    assert events == list(execute(plan, Simulator(plan)))
    assert made.objective == "ul2"
    first = losses(followed(compiled(tmp_path, AT_LAST.replace("ul2) until", "next_token) until")))[1])
    assert losses(events)[:6] == first[:6]
    assert losses(events)[6:] != first[6:]


@pytest.mark.parametrize(
    ("code", "settings", "context"),
    [
        ("context-too-short", {}, 4),
        ("too-few-sentinels", {}, 4096),
        ("too-few-sentinels", {"sentinels": 5}, 128),
        ("out-of-range", {"regular": 0.5}, 64),
        ("out-of-range", {"extreme_rate": 0.9, "extreme_span": 8}, 64),
    ],
)
def test_what_denoising_refuses(code: str, settings: dict[str, Any], context: int) -> None:
    with pytest.raises(EditError) as caught:
        Declared(**settings).compute(FACTS, Shape.of(context=context), "flops")
    assert caught.value.code == code


def test_denoisers_without_a_share_do_not_limit_the_context() -> None:
    ends = Declared(regular=0.0, extreme=0.0, sequential=1.0, sentinels=2)
    assert ends.compute(FACTS, Shape.of(context=4), "flops") == 0
    assert (asked(alone("sequential"), 1).targets != IGNORED).sum() == 8
