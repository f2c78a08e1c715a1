"""Steps that save memory compute what other steps compute: micro-batches, recomputed blocks, losses in parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from safetensors.torch import load_file
from sources import compiled
from test_torch_run import go
from test_torch_teachers import TEXT as TEXT_OF_TEACHER
from test_torch_teachers import text_teacher
from torch import Tensor, nn
from torch_tools import CPU, machine, parameters, relative, shake, switch

from shapeflow.objectives.denoising import Denoising
from shapeflow.optimizers.sgd import Sgd
from shapeflow_torch import losses
from shapeflow_torch.data import open_data
from shapeflow_torch.losses import Saving, cut
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.objectives import Asked

CUTS = (1, 2, 3, 7)
TEXT = {
    "batch": toy_text_plan((({"batch": 256}, 2), ({"batch": 512}, 2))),
    "context": toy_text_plan((({"context": 8}, 2), ({"context": 16}, 2))),
    "depth": toy_text_plan((({"depth": 1, "context": 16}, 2), ({"depth": 2, "context": 16}, 2))),
    "loss": toy_text_plan(
        (({"loss": "next_token", "context": 16}, 2), ({"loss": "denoising", "context": 16}, 6)),
    ),
    "width": toy_text_plan((({"width": 16, "context": 16}, 2), ({"width": 32, "context": 16}, 2))),
}
IMAGES = {
    "patch": toy_image_plan((({"patch": 4}, 2), ({"patch": 2}, 2))),
    "resolution": toy_image_plan((({"resolution": 4}, 2), ({"resolution": 8}, 2))),
    "smooth": toy_image_plan((({"loss": "cross_entropy"}, 2), ({"loss": "smooth"}, 2))),
}
SWITCHES = TEXT | IMAGES


def gradient(made: TorchMachine, number: int, step: int, saving: Saving) -> Tensor:
    """The gradient of a step, with its loss as the last entry."""
    made._saving = saving
    made.body.net.recompute = saving.recompute
    made.body.optimizer.zero_grad()
    loss = made.gradients(made.plan.stages[number], step)
    return torch.cat([*(p.grad.flatten() for p in parameters(made).values() if p.grad is not None), loss[None]])


def pieces(made: TorchMachine, count: int) -> Saving:
    """Micro-batches that cut the samples of a step into this number of pieces."""
    context = made.context
    stage = made.plan.stages[-1]
    samples = int(made.ledger.slots["batch"]) // (context or 1)  # type: ignore[call-overload]
    assert samples >= count, stage
    return Saving(-(-samples // count))


@pytest.mark.parametrize("axis", SWITCHES)
def test_gradients_do_not_depend_on_micro_batches(axis: str) -> None:
    """In both stages of a switch, and where blocks are computed again in the backward pass."""
    made = shake(machine(SWITCHES[axis]), 1)
    for number, stage in enumerate(made.plan.stages):
        if number:
            switch(made)
        for step in range(stage.first_step, stage.last_step):
            whole = gradient(made, number, step, Saving())
            for count in CUTS:
                saving = pieces(made, count)
                assert relative(gradient(made, number, step, saving), whole) < 1e-6, (stage, step, count)
                saving = attrs.evolve(saving, recompute=True)
                assert relative(gradient(made, number, step, saving), whole) < 1e-6, (stage, step, count)


def test_without_a_micro_batch_a_step_is_the_whole_share_at_once() -> None:
    asked = Asked(torch.zeros(5, 3), torch.zeros(5, 3))
    ((only, share),) = cut(asked, None)
    assert only is asked
    assert share == 1
    assert [(len(one.inputs), share) for one, share in cut(asked, 2)] == [(1, 0.2), (2, 0.4), (2, 0.4)]
    assert [one for one, _ in cut(asked, 5)] == [asked]


def test_shares_count_the_targets() -> None:
    """Samples of different numbers of targets: a mean over the targets of all, not over samples."""
    targets = torch.tensor([[1, -100, -100], [1, 2, 3], [-100, 4, 5]])
    asked = Asked(torch.zeros(3, 3), targets, masked=True)
    assert [share for _, share in cut(asked, 1)] == [1 / 6, 3 / 6, 2 / 6]


# losses in parts

OBJECTIVES = {
    "next_token": "next_token",
    "denoising": "denoising(regular: 0.5, extreme: 0.5, sequential: 0.0, sentinels: 12)",
    "prefix": "denoising(regular: 0.0, extreme: 0.0, sequential: 1.0, sentinels: 12, prefix: full)",
    "distill": 'distill(teacher: "t.safetensors")',
    "mixture": 'mixture(of: [next_token, distill(teacher: "t.safetensors")], weights: [0.3, 0.7])',
}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text and a teacher."""
    folder = tmp_path_factory.mktemp("taught")
    text_teacher(folder, "objective next_token\n")
    return folder


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("tied", [True, False])
def test_a_loss_in_parts_is_the_loss(objective: str, tied: bool, taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT_OF_TEACHER.replace("heads: 2", f"heads: 2, tied: {str(tied).lower()}")
    plan = compiled(taught, f"{text}stage (context: 16 tokens) until end\nobjective {OBJECTIVES[objective]}\n")
    made = TorchMachine(plan, open_data(plan, taught, CPU), root=taught, dtype=torch.float64)
    made.take(plan.stages[0])
    made.look(plan.stages[0].reading)
    for step in range(2):
        whole = gradient(made, 0, step, Saving())
        measured = made.measure(plan.stages[0]).values
        monkeypatch.setattr(losses, "LARGE", 1)
        monkeypatch.setattr(losses, "rows_of_part", lambda vocabulary, device: 10)
        for saving in (Saving(), Saving(3, recompute=True)):
            assert relative(gradient(made, 0, step, saving), whole) < 1e-12
        assert made.measure(plan.stages[0]).values == pytest.approx(measured, rel=1e-6)
        monkeypatch.undo()


def test_small_losses_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit what they were: the parts are not used below 4,194,304 logits."""
    made = machine(toy_text_plan())
    monkeypatch.setattr(losses, "parts", None)
    gradient(made, 0, 0, Saving())
    assert not losses.is_large(torch.zeros(512, 1), nn.ModuleDict({"head": nn.Linear(1, 8191)}))  # type: ignore[arg-type]
    assert losses.is_large(torch.zeros(512, 1), nn.ModuleDict({"head": nn.Linear(1, 8192)}))  # type: ignore[arg-type]


def saved(of: Callable[[], Tensor], net: nn.Module) -> int:
    """The bytes that autograd keeps for the backward pass, without the parameters themselves."""
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        held = of()
    del held
    return sum(kept.values())


def test_a_loss_in_parts_keeps_nothing_for_a_token_and_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than 0.5 bytes, where a loss at once keeps more than 4."""

    def kept(marks: int) -> int:
        every = Denoising(regular=0.0, extreme=0.0, sequential=0.0, sentinels=marks)
        made = machine(toy_text_plan((({"context": 32}, 1),), objective=every))
        net, objective, asked = made.body.net, made._objectives[made.objective], made._asked(made.plan.stages[0], 0)
        return saved(lambda: losses.loss_of(net, asked, asked.inputs, objective, made._autocast), net)

    entries = 256 * 200
    at_once = (kept(212) - kept(12)) / entries
    monkeypatch.setattr(losses, "LARGE", 1)
    in_parts = (kept(212) - kept(12)) / entries
    assert in_parts < 0.5
    assert at_once >= 4


def test_recomputed_blocks_keep_their_input_alone() -> None:
    """At most 10 bytes for a token, a layer and a channel, under bfloat16 autocast."""

    def kept(depth: int, recompute: bool) -> int:
        made = machine(toy_text_plan((({"depth": depth, "context": 32}, 1),)))
        made.body.net.recompute = recompute
        tokens = torch.zeros(8, 32, dtype=torch.long)

        def run() -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                logits: Tensor = made.body.net(tokens)
            return logits

        return saved(run, made.body.net)

    width, tokens = 32, 256
    assert (kept(3, True) - kept(1, True)) / 2 / tokens / width <= 10
    assert (kept(3, False) - kept(1, False)) / 2 / tokens / width > 40


# processes


def test_processes_cut_their_shares(tmp_path: Path) -> None:
    """Two processes with three micro-batches each train as one does at once; the switch is in the middle."""
    legs = (({"loss": "next_token", "width": 16}, 2), ({"loss": "denoising", "width": 32}, 4))
    plan = toy_text_plan(legs, optimizer=Sgd(lr=0.1, warmup=0), model={"context": 16}, checkpoint=6)
    one, two = tmp_path / "one", tmp_path / "two"
    go(plan, one)
    go(plan, two, processes=2, micro_batch=3, checkpoint_activations=True)
    trained = [load_file(run / "checkpoints/step-000000006/model.safetensors") for run in (one, two)]
    for name, tensor in trained[0].items():
        assert relative(trained[1][name], tensor) < 1e-6, name
