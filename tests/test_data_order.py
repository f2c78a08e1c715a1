"""The order of text: windows without replacement, as a function of the plan's steps."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from plans import toy_text_plan
from torch_tools import CPU

from shapeflow.base.settings import written
from shapeflow.data.python_source import PythonSource
from shapeflow.ir.contexts import block_of, corpora_of
from shapeflow.ir.history import parting
from shapeflow.ir.plan import Candidate, Plan, Spec
from shapeflow.ir.plan_json import dumps, loads, sealed
from shapeflow.ir.program import _unlike
from shapeflow.running.training import training
from shapeflow_torch.data import open_data, order
from shapeflow_torch.data.epochs import Epochs
from shapeflow_torch.data.order import Layout, Position
from shapeflow_torch.data.permutation import ROUNDS, permuted
from shapeflow_torch.data.positions import Positions
from shapeflow_torch.data.random import BLOCKS, WINDOWS, generator
from shapeflow_torch.data.windows import Windows

Reads = tuple[int, int]
"""Context and windows of a step."""
BLENDED = toy_text_plan((({"context": 16}, 150), ({"context": 64}, 60), ({"context": 32}, 30)), preview=0.3)


def targets(layout: Layout, seed: int, steps: Sequence[Reads]) -> dict[int, Counter[int]]:
    """Epoch -> how often each token of a text is a target."""
    position, found = Position.start(layout), dict[int, Counter[int]]()
    dealt = Epochs(layout)
    for context, windows in steps:
        pieces = position.take(context, windows)
        starts = list(dealt.starts(seed, context, pieces))
        assert len(starts) == windows
        for piece in pieces:
            here = found.setdefault(piece.group.epoch, Counter())
            for _ in range(piece.first, piece.last):
                begin = int(starts.pop(0))
                here.update(range(begin + 1, begin + context + 1))
        assert not starts
    return found


def text(plan: Plan, tokens: int = 40_000) -> Windows:
    """A text in which every token is its own place, read as a plan says."""
    about = {"data": "made", "sha256": ""}
    windows = Windows(np.arange(tokens), np.arange(tokens)[:500], tokens, about, [16, 64], CPU)
    windows.follow(with_data(plan, order="epochs"))
    return windows


def drawn(plan: Plan) -> Plan:
    assert plan.data is not None
    old = {name: value for name, value in plan.data.settings.items() if name not in ("order", "block")}
    return sealed(attrs.evolve(plan, data=Spec(plan.data.name, old)))


def with_data(plan: Plan, **settings: object) -> Plan:
    assert plan.data is not None
    return attrs.evolve(plan, data=Spec(plan.data.name, {**plan.data.settings, **settings}))


def blocks(plan: Plan) -> int:
    return block_of(plan, corpora_of(plan)[0])


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 1_000, 65_537])
def test_a_permutation_has_every_number_once(count: int) -> None:
    keys = [generator(seed, BLOCKS, 0).integers(0, 2**64, ROUNDS, dtype=np.uint64) for seed in (0, 1)]
    images = [permuted(np.arange(count), count, key) for key in keys]
    assert all((np.sort(image) == np.arange(count)).all() for image in images)
    assert count < 5 or (images[0] != images[1]).any()


def test_a_permutation_looks_random() -> None:
    """Over many keys, each number comes to each place about equally often, and pairs follow each other by chance."""
    count, keys = 7, 700
    places, next_ = np.zeros((count, count)), 0
    for seed in range(keys):
        image = permuted(np.arange(count), count, generator(seed, BLOCKS, 0).integers(0, 2**64, 8, dtype=np.uint64))
        places[np.arange(count), image] += 1
        next_ += int((np.diff(image) == 1).sum())
    expected = keys / count
    assert ((places - expected) ** 2 / expected).sum() < 80  # chi-squared of 36 degrees of freedom; 80 is p = 4e-5
    assert abs(next_ - keys * 6 / 7) < 5 * keys**0.5


@pytest.mark.parametrize(
    ("tokens", "block", "context"), [(4_000, 16, 16), (9_000, 64, 16), (20_000, 64, 8), (70, 32, 4)]
)
def test_every_token_is_a_target_once_an_epoch(tokens: int, block: int, context: int) -> None:
    layout = Layout(tokens, block)
    whole = layout.blocks(block) * block
    steps = [(context, 5)] * (3 * whole // context // 5 + 1)
    found = targets(layout, 3, steps)
    lost = tokens - whole
    assert lost <= 2 * block
    for epoch in range(3):
        assert set(found[epoch].values()) == {1}
        assert len(found[epoch]) == whole == max(found[epoch]) - min(found[epoch]) + 1
    assert len({min(found[epoch]) for epoch in range(3)}) > 1


@pytest.mark.parametrize("seed", range(8))
def test_no_target_repeats_within_an_epoch_whatever_the_steps(seed: int) -> None:
    """Contexts alternate at random, and one is used no more. Of an epoch that all of them have left, at most one group
    for each context is not read to its end."""
    rng = random.Random(seed)
    layout = Layout(rng.choice([400, 3_000, 9_000]), rng.choice([16, 32, 48]))
    contexts = [4, 8, 16] if layout.block > 32 else [3, 8, 16]
    steps = [(rng.choice(contexts), rng.choice([1, 3, 16])) for _ in range(300)]
    steps += [(rng.choice(contexts[1:]), rng.choice([1, 3, 16])) for _ in range(300)]
    found = targets(layout, seed, steps)
    assert all(set(epoch.values()) == {1} for epoch in found.values())
    position = Position.start(layout)
    for context, windows in steps:
        position.take(context, windows)
    left = Counter(group.epoch for group, _ in position.open.values())
    dividing = contexts[1:] if layout.block % contexts[0] else contexts
    whole = layout.blocks(layout.block)
    for epoch in range(position.next.epoch):
        largest = -(-whole // layout.groups(layout.block)) * layout.block
        unread = whole * layout.block - len(found[epoch])
        lost = 0 if len(dividing) == 3 else whole * (layout.block % contexts[0])
        assert unread <= left[epoch] * largest + lost


def test_groups_are_small_shares_of_an_epoch() -> None:
    for tokens in (10, 100, 10_000, 10**6, 10**8, 10**10):
        layout = Layout(tokens, 8)
        count, groups = layout.blocks(8), layout.groups(8)
        parts = [layout.bounds(order.Group(0, number, 8)) for number in range(groups)]
        assert [first for first, _ in parts] == [0, *(last for _, last in parts[:-1])]
        assert parts[-1][1] == count
        sizes = [last - first for first, last in parts]
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= max(2 * order.LEAST, min(count // order.GROUPS + 1, order.MOST))


def test_a_context_longer_than_the_blocks_begins_an_epoch_of_larger_ones() -> None:
    """As after a run went on with a stage that its first plan did not have."""
    steps = [(16, 3)] * 20 + [(48, 2), (16, 3)] * 40 + [(100, 1)] * 5
    found = targets(Layout(5_000, 32), 0, steps)
    assert all(set(epoch.values()) == {1} for epoch in found.values())
    tiny = targets(Layout(110, 40), 0, [(40, 1), (100, 3), (20, 8)])
    assert all(set(epoch.values()) == {1} for epoch in tiny.values())
    assert max(map(max, tiny.values())) < 110


@pytest.mark.parametrize("tokens", [65, 66, 100, 128, 129, 200])
def test_a_text_of_hardly_one_block(tokens: int) -> None:
    data = text(toy_text_plan(), tokens)
    for step in range(12):
        inputs, aims = data.batch(0, step, 0, 4, 64, slice(None))
        assert torch.equal(aims, inputs + 1)
        assert int(aims.max()) < tokens


def test_the_order_is_a_function_of_the_step() -> None:
    """Steps in order, in any order, of a longer plan, and of any number of processes have the same windows."""
    start = Position.start(Layout(40_000, 64))
    found = Positions(BLENDED, start)
    positions = [found.before(step) for step in range(BLENDED.steps)]
    assert len({tuple(sorted(position.open)) for position in positions}) > 2
    rng = random.Random(0)
    for step in rng.sample(range(BLENDED.steps), 40):
        assert found.before(step) == Positions(BLENDED, start).before(step) == positions[step]
    *first, last = BLENDED.stages
    longer = attrs.evolve(last, steps=70, leave=attrs.evolve(last.leave, step=last.last_step + 40))
    assert Positions(attrs.evolve(BLENDED, stages=(*first, longer)), start).before(240) == found.before(240)
    whole = text(BLENDED).batch(0, 100, 0, 12, 16, slice(None))[0]
    for world in (1, 2, 3):
        parts = [text(BLENDED).batch(0, 100, 0, 12, 16, slice(rank, 12, world))[0] for rank in range(world)]
        assert all(torch.equal(part, whole[rank::world]) for rank, part in enumerate(parts))


def test_the_steps_of_a_blended_plan_repeat_no_target() -> None:
    """The plan's own shapes, from the machine's point of view: 210 steps of 256 tokens of 60,000."""
    data, seen = text(BLENDED, 60_000), list[int]()
    for index, stage in enumerate(BLENDED.stages[:2]):
        for step in range(stage.first_step, stage.last_step):
            shape = (stage.blend_at(0, index, step - stage.first_step) or stage).shape
            context = shape.number("context")
            seen += data.batch(0, step, 0, 256 // context, context, slice(None))[1].flatten().tolist()
    assert len(seen) == len(set(seen)) == 210 * 256


def test_seeds_have_orders_of_their_own() -> None:
    data = text(toy_text_plan())
    one, other = (data.batch(seed, 0, 0, 16, 16, slice(None))[0] for seed in (0, 1))
    assert not torch.equal(one, other)


@pytest.mark.parametrize(("windows", "most"), [(16, 0.0), (240, 0.0), (1_024, 5.0)])
def test_the_windows_of_a_step_are_of_different_blocks(windows: int, most: float) -> None:
    """Pairs of windows of the same block, over those of as many drawn windows: none, as long as a step has no more
    windows than half of the blocks of a group (here 244); otherwise up to `GROUPS` times as many."""
    layout = Layout(1_000_000, 256)
    offset = int(generator(0, BLOCKS, 0, 1).integers(0, layout.offsets(256)))
    position, pairs = Position.start(layout), 0
    epochs = Epochs(layout)
    for _ in range(25):
        starts = epochs.starts(0, 32, position.take(32, windows))
        counts = np.unique((starts - offset) // 256, return_counts=True)[1]
        pairs += int((counts * (counts - 1) // 2).sum())
    assert position.next.epoch == 0
    assert pairs <= most * 25 * windows * (windows - 1) / 2 * 256 / 1_000_000


def test_a_huge_text_needs_little_memory() -> None:
    """A step reads its windows alone, and the order of 10,000,000 blocks is not written out."""
    zeros = np.broadcast_to(np.uint8(0), (10**10,))
    windows = Windows(zeros, zeros[:5_000], 256, {"sha256": ""}, [1_024], CPU)
    legs: list[tuple[Mapping[str, int | str], int]] = [({"context": 1_024}, 10**6)]
    windows.follow(toy_text_plan(legs, data=PythonSource(batch=65_536)))
    tracemalloc.start()
    try:
        for step in (0, 1, 500_000, 999_999):
            assert windows.batch(0, step, 0, 64, 1_024, slice(None))[0].shape == (64, 1_024)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_a_plan_that_states_no_order_draws_its_windows() -> None:
    """As before there was a choice: its digest is the same, and so are its windows."""
    default = toy_text_plan()
    assert default.data is not None
    assert default.data.settings["order"] == "epochs"
    old = drawn(default)
    assert loads(dumps(old), "plan.json").digest == old.digest
    data, new = (open_data(plan, Path(), CPU) for plan in (old, with_data(toy_text_plan(), order="epochs")))
    assert isinstance(data, Windows)
    assert isinstance(new, Windows)
    stated = open_data(with_data(toy_text_plan(), order="drawn"), Path(), CPU)
    inputs = data.batch(5, 7, 0, 8, 16, slice(None))[0]
    first = generator(5, WINDOWS, 7).integers(0, data.describe()["training_bytes"] - 16, 8)
    assert torch.equal(inputs, torch.from_numpy(data._training[first[:, None] + np.arange(16)].astype(np.int64)))
    assert torch.equal(inputs, stated.batch(5, 7, 0, 8, 16, slice(None))[0])
    assert not torch.equal(inputs, new.batch(5, 7, 0, 8, 16, slice(None))[0])


def test_the_block_follows_from_the_contexts() -> None:
    batch = PythonSource(batch=64 * 63)
    plan = toy_text_plan((({"context": 48}, 3), ({"context": 64}, 3)), data=batch)
    assert blocks(plan) == 192
    assert blocks(toy_text_plan((({"context": 63}, 3), ({"context": 64}, 3)), data=batch)) == 64
    assert blocks(with_data(plan, block=4_096)) == 4_096
    longer = attrs.evolve(
        plan, candidates=(*plan.candidates, Candidate(plan.stages[0].shape.with_({"context": 256}), None))
    )
    assert blocks(longer) == 768


def test_another_order_is_another_history() -> None:
    """Two plans agree if they read the same windows, whichever way they say so."""
    plan = with_data(toy_text_plan(), order="epochs")
    old, stated = drawn(plan), with_data(plan, order="drawn")
    assert parting(old, stated) is None
    assert training(old) == training(stated) != training(plan)
    found = parting(old, plan)
    assert found is not None
    assert found.step == 0
    assert found.said("that plan", "this one") == (
        "the data's setting `order` is drawn in that plan, epochs in this one"
    )
    assert found.remedy == "write `order: drawn` among the settings of the data"
    assert parting(with_data(plan, block=64), plan) is None
    longer = attrs.evolve(
        plan, candidates=(*plan.candidates, Candidate(plan.stages[0].shape.with_({"context": 128}), None))
    )
    assert training(longer) != training(plan)
    found = parting(plan, longer)
    assert found is not None
    assert found.said("that plan", "this one") == ("the data's setting `block` is 64 in that plan, 128 in this one")
    assert parting(plan, with_data(longer, block=64)) is None


@pytest.mark.parametrize("data", [PythonSource(), PythonSource(order="drawn"), PythonSource(block=512)])
def test_measurements_in_another_order_are_used(data: PythonSource) -> None:
    """Also those of plans that state none. Another batch is still another training."""
    for settings in ({"batch": 512}, {"batch": 512, "order": "drawn", "block": None}, written(data)):
        assert _unlike("data", data, {"is": "python_source", "settings": settings}) is None
    other = {"is": "python_source", "settings": {"batch": 256, "order": data.order}}
    assert _unlike("data", data, other) == "`batch` of `python_source`"
