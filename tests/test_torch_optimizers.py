"""Optimizers on the torch machine: updates against a reference, and state across switches and resumes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import attrs
import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from torch import Tensor, nn
from torch_tools import OTHER, disturb, followed, gradients, losses, machine, members, parameters, relative, switch

from shapeflow.base.diagnostics import Refused
from shapeflow.ir.components import Optimizer as Declared
from shapeflow.ir.edits import Grow
from shapeflow.ir.parameters import Parameter
from shapeflow.ir.plan import Plan, Spec
from shapeflow.ir.rates import Factors
from shapeflow.optimizers import COMPONENTS
from shapeflow.optimizers.adamw import Adamw
from shapeflow.optimizers.muon import Muon
from shapeflow.optimizers.sgd import Sgd
from shapeflow.registry import components, loaded
from shapeflow_torch.check import check
from shapeflow_torch.optimizers import Member, Optimizer, optimizer_of
from shapeflow_torch.optimizers.muon import Muon as TorchMuon
from shapeflow_torch.optimizers.muon import MuonAdamW, layout_of, newton_schulz
from shapeflow_torch.optimizers.sgd import Sgd as TorchSgd

OPTIMIZERS: dict[str, Declared] = {
    "adamw": Adamw(lr=2e-3, warmup=4, average=20, beta2=0.999, weight_decay=0.01),
    "muon": Muon(lr=2e-3, warmup=4, average=20, beta2=0.999, weight_decay=0.01),
    "sgd": Sgd(lr=0.1, warmup=4, average=20, weight_decay=0.01),
    "sgd, nesterov": Sgd(lr=0.1, warmup=4, average=20, nesterov=True),
    "sgd, no momentum": Sgd(lr=0.1, warmup=4, average=20, momentum=0.0),
}
WIDER = ({"width": 32}, 4), ({"width": 48}, 4)
DEEPER = ({"depth": 2, "width": 32}, 4), ({"depth": 4, "width": 48}, 4)
MATRIX = Parameter("blocks.{depth}.w", ("hidden", "residual"), "matrix", "hidden")


def rated(rate: float, matrix: float = 1.0) -> Factors:
    return Factors(base=rate, shape=1.0, matrix=matrix, warmup=1.0, rewarm=1.0, schedule=1.0, cooldown=1.0)


def moved(
    made: Optimizer[Declared], declared: Parameter, like: Tensor, steps: int, rate: float, matrix: float = 1.0
) -> nn.Parameter:
    """A tensor after some updates with gradients that depend on its values."""
    weight = nn.Parameter(like.clone())
    optimizer = made.build_with_state(members({"w": weight}, declared), {})
    for _ in range(steps):
        made.set_rates(optimizer, rated(rate, matrix), 1.0, float)
        weight.grad = torch.sin(3 * weight.detach()) + 0.1
        optimizer.step()
    return weight


def reference(kind: Callable[..., torch.optim.Optimizer], like: Tensor, steps: int, **settings: object) -> nn.Parameter:
    weight = nn.Parameter(like.clone())
    optimizer = kind([weight], **settings)
    for _ in range(steps):
        weight.grad = torch.sin(3 * weight.detach()) + 0.1
        optimizer.step()
    return weight


def random(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_every_component_has_a_file_of_its_name() -> None:
    for component in COMPONENTS:
        made = optimizer_of(Spec(component.__module__.rpartition(".")[2]))
        assert made.declaration is component
        assert made.settings == component()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_torchs(momentum: float, nesterov: bool) -> None:
    if nesterov and not momentum:
        return
    made = TorchSgd(Sgd(momentum=momentum, nesterov=nesterov, weight_decay=0.5))
    like = random(6, 4)
    want = reference(torch.optim.SGD, like, 10, lr=0.05, momentum=momentum, nesterov=nesterov)
    assert torch.equal(moved(made, OTHER, like, 10, 0.05), want)


def test_sgd_decays_matrices_as_torch_does_without_momentum() -> None:
    """Without momentum, decoupled weight decay equals torch's decay in the gradient. With momentum they differ: the
    decay does not enter the momentum."""
    made, like = TorchSgd(Sgd(momentum=0.0, weight_decay=0.5)), random(6, 4)
    want = reference(torch.optim.SGD, like, 10, lr=0.05, weight_decay=0.5)
    assert torch.allclose(moved(made, MATRIX, like, 10, 0.05), want, rtol=1e-12)
    weight = nn.Parameter(torch.ones(3, 3))
    made = TorchSgd(Sgd(momentum=0.9, weight_decay=0.5))
    optimizer = made.build_with_state(members({"w": weight}, MATRIX), {})
    weight.grad = torch.zeros(3, 3)
    made.set_rates(optimizer, rated(0.1), 1.0, float)
    optimizer.step()
    assert torch.allclose(weight, torch.tensor(0.95))
    assert not made.state_of(optimizer, weight)["momentum_buffer"].any()


@pytest.mark.parametrize("sizes", [(5, 5), (4, 9), (9, 4)])
def test_newton_schulz_changes_singular_values_alone(sizes: tuple[int, int]) -> None:
    """Newton-Schulz applies the polynomial to the singular values five times, which brings all of them close to 1."""
    matrix = random(*sizes)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    want = values / (values.norm() + 1e-7)
    for _ in range(5):
        want = 3.4445 * want - 4.7750 * want**3 + 2.0315 * want**5
    made = newton_schulz(matrix)
    assert torch.allclose(made, left @ torch.diag(want) @ right, atol=1e-10)
    assert float(want.min()) > 0.65
    assert float(want.max()) < 1.25
    assert torch.allclose(newton_schulz(torch.stack([matrix, 7 * matrix]))[1], made, atol=1e-5)
    assert not newton_schulz(torch.zeros(sizes)).any()


def test_muon_moves_a_matrix_by_its_orthogonal_part() -> None:
    """In the first step, momentum and Nesterov momentum are parallel to the gradient. Weight decay is decoupled, and
    `matrix` multiplies the learning rate."""
    like, settings = random(8, 32), Muon(weight_decay=0.5)
    gradient = torch.sin(3 * like) + 0.1
    want = like * (1 - 0.005 * 0.5) - 0.005 * 0.2 * 32**0.5 * newton_schulz(gradient)
    assert torch.allclose(moved(TorchMuon(settings), MATRIX, like, 1, 0.01, 0.5), want, atol=1e-7)


@pytest.mark.parametrize("nesterov", [False, True])
def test_muons_momentum_is_a_mean_of_gradients(nesterov: bool) -> None:
    weight = nn.Parameter(torch.zeros(4, 6, dtype=torch.float64))
    made = TorchMuon(Muon(momentum=0.8, nesterov=nesterov))
    optimizer = made.build_with_state(members({"w": weight}, MATRIX), {})
    momentum = torch.zeros(4, 6, dtype=torch.float64)
    for step in range(4):
        weight.grad, before = random(4, 6, seed=step), weight.detach().clone()
        made.set_rates(optimizer, rated(0.1), 1.0, float)
        optimizer.step()
        momentum = 0.8 * momentum + 0.2 * weight.grad
        ahead = 0.2 * weight.grad + 0.8 * momentum if nesterov else momentum
        assert torch.allclose(made.state_of(optimizer, weight)["momentum"], momentum)
        assert torch.allclose(before - weight.detach(), 0.1 * 0.2 * 6**0.5 * newton_schulz(ahead), atol=1e-9)


def test_muons_other_parameters_are_adamws() -> None:
    """Parameters that muon does not treat get the updates of AdamW bit for bit, at the learning rate `adamw_lr`."""
    settings = Muon(lr=1e-2, adamw_lr=5e-3, beta2=0.99, weight_decay=0.1)
    embedding = Parameter("embed", ("vocabulary", "residual"), "matrix", "residual")
    like = random(5, 8)
    for declared, decay in ((embedding, 0.1), (OTHER, 0.0)):
        want = reference(torch.optim.AdamW, like, 10, lr=5e-3, betas=(0.9, 0.99), weight_decay=decay, fused=True)
        assert torch.equal(moved(TorchMuon(settings), declared, like, 10, 1e-2), want)


def test_fused_matrices_are_updated_one_by_one() -> None:
    """A fused tensor is updated as its three matrices are, whichever axis is fused."""
    three = random(3, 4, 6)
    for dims, sizes in ((("part hidden", "residual"), (3, 4, 6)), (("hidden", "part residual"), (4, 3, 6))):
        fused = three if dims[0].startswith("part") else three.transpose(0, 1)
        shape = (12, 6) if dims[0].startswith("part") else (4, 18)
        declared = Parameter("blocks.{depth}.qkv", dims, "matrix", "hidden")
        member = Member(nn.Parameter(fused.reshape(shape).clone()), declared, sizes)
        layout = layout_of(member, frozenset({"part"}))
        assert torch.equal(layout.split(member.weight.detach()), three)
        assert torch.equal(layout.joined(three, member.weight), member.weight)
        made = TorchMuon(Muon(), apart={"part"})
        optimizer = made.build_with_state({"qkv": member}, {})
        before, member.weight.grad = member.weight.detach().clone(), member.weight.detach().sin()
        optimizer.step()
        found = layout.split(before - member.weight.detach())
        alone = [1e-3 * 0.2 * 6**0.5 * newton_schulz((0.05 + 0.95 * 0.05) * each.sin()) for each in three]
        assert torch.allclose(found, torch.stack(alone), atol=1e-9)


@pytest.mark.parametrize("plan", [toy_text_plan, toy_image_plan])
def test_muon_takes_the_matrices_of_the_blocks(plan: Callable[..., Plan]) -> None:
    made = machine(plan(optimizer=Muon()))
    groups = made.body.optimizer.param_groups
    own = {id(p) for group in groups if group["layout"] is not None for p in group["params"]}
    found = {name.split(".", 2)[-1] for name, p in parameters(made).items() if id(p) in own}
    attention = {"attn.q.weight", "attn.k.weight", "attn.v.weight", "attn.o.weight"}
    text = {"mlp.gate.weight", "mlp.up.weight", "mlp.down.weight"}
    assert found == attention | (text if plan is toy_text_plan else {"mlp.fc1.weight", "mlp.fc2.weight"})
    assert all(group["wide"] for group in groups if group["layout"] is not None)


@pytest.mark.parametrize("init", ["preserve", "net2net"])
@pytest.mark.parametrize("optimizer", ["muon", "sgd"])
def test_momentum_grows_as_the_gradient_does(optimizer: str, init: Literal["preserve", "net2net"]) -> None:
    """Set the momentum to the gradient, grow the width, and compare with the new gradient: both are equal where the
    momentum was carried, and the momentum is 0 in new entries."""
    legs, untied = (({"width": 32}, 4), ({"width": 64}, 4)), {"tied": False}
    made = machine(toy_text_plan(legs, init=init, optimizer=OPTIMIZERS[optimizer], model=untied), torch.float64)
    part = "momentum" if optimizer == "muon" else "momentum_buffer"
    disturb(made)
    gradients(made)
    kept = set[str]()
    for name, parameter in parameters(made).items():
        assert parameter.grad is not None
        declared = made.ledger.table[re.sub(r"blocks\.\d+", "blocks.{depth}", name)]
        if part in made.body.rules.settings.state(declared):
            made.body.optimizer.state[parameter] = {part: parameter.grad.clone()}
            kept.add(name)
    switch(made)
    gradients(made)
    for name in kept:
        parameter = parameters(made)[name]
        momentum = made.body.optimizer.state[parameter][part]
        carried = momentum != 0
        assert parameter.grad is not None
        assert 0 < int(carried.sum()) < carried.numel()
        assert relative(parameter.grad[carried], momentum[carried]) < 1e-10, name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["text", "images"])
def test_growth_in_width_and_depth_checks_clean(optimizer: str, kind: str) -> None:
    plan = toy_text_plan if kind == "text" else toy_image_plan
    found = check(plan(DEEPER, optimizer=OPTIMIZERS[optimizer]))
    assert found.diagnostics == ()
    assert isinstance(plan(DEEPER).stages[1].transition.edits[0], Grow)  # type: ignore[union-attr]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_gives_the_same_bits(optimizer: str, tmp_path: Path) -> None:
    """Resumes before and after a growth in depth and width, which gives new entries their own age in AdamW."""
    plan = toy_text_plan(DEEPER, optimizer=OPTIMIZERS[optimizer], checkpoint=3)
    whole, events = followed(plan, tmp_path)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["step-000000006", "step-000000008"]
    again, rest = followed(plan, None, tmp_path / "step-000000006")
    assert losses(rest) == losses(events)[6:]
    ours, theirs = whole.body.kept(), again.body.kept()
    assert all(torch.equal(ours.values[name], theirs.values[name]) for name in ours.values)
    assert all(torch.equal(ours.averages[name], theirs.averages[name]) for name in ours.values)
    assert ours.states.keys() == theirs.states.keys()
    for name, state in ours.states.items():
        assert state.keys() == theirs.states[name].keys()
        assert all(torch.equal(state[part], theirs.states[name][part]) for part in state)


@pytest.mark.parametrize("optimizer", ["muon", "sgd"])
def test_a_run_learns(optimizer: str) -> None:
    plan = toy_text_plan((({"width": 32}, 30), ({"width": 48}, 10)), optimizer=OPTIMIZERS[optimizer])
    _, events = followed(plan)
    found = losses(events)
    assert sum(found[-5:]) / 5 < found[0] - 0.7


def test_muons_adamw_part_has_ages_after_a_switch() -> None:
    made, _ = followed(toy_image_plan(WIDER, optimizer=OPTIMIZERS["muon"]))
    assert isinstance(made.body.optimizer, MuonAdamW)
    states = made.body.kept().states
    assert states["head.weight"]["step"].unique().tolist() == [4, 8]
    assert states["blocks.0.mlp.fc1.weight"].keys() == {"momentum"}


def test_settings_of_another_optimizer_are_refused() -> None:
    plan = toy_image_plan()
    for settings, why in (({"beta1": 0.9}, "unexpected keyword argument 'beta1'"), ({"momentum": 2.0}, "`momentum`")):
        with pytest.raises(Refused) as found:
            machine(attrs.evolve(plan, optimizer=Spec("sgd", settings)))
        assert found.value.diagnostics[0].code == "broken-plan"
        assert why in found.value.diagnostics[0].notes[0]


DECLARED = """
from collections.abc import Mapping
import attrs
from shapeflow.base.settings import setting
from shapeflow.ir.parameters import Growth, Parameter

@attrs.frozen
class Slow:
    \"\"\"Steps along the sign of the gradient, and slow weights that follow.\"\"\"

    lr: float = setting(default=1e-3, above=0.0)
    weight_decay: float = setting(default=0.0, low=0.0)
    warmup: int = setting("steps", default=0, low=0)
    clip: float = setting(default=1.0, above=0.0)
    average: int = setting("steps", default=20, low=1)

    def state(self, parameter: Parameter) -> Mapping[str, Growth]:
        return {"slow": "value"}

    def decays(self, memory: float) -> Mapping[str, float]:
        return {}
"""
STEPPED = """
import torch
from growth.slow import Slow as Declared
from shapeflow_torch.optimizers.parts import Optimizer

class Signs(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p].setdefault("slow", p.detach().clone())
                p.sub_(group["lr"] * p.grad.sign())
                self.state[p]["slow"].lerp_(p, 0.5)

class Slow(Optimizer):
    declaration = Declared

    def build(self, groups, aged):
        return Signs(groups, {"lr": self.settings.lr})
"""


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a distribution that defines an optimizer."""
    (tmp_path / "growth").mkdir()
    about = tmp_path / "growth-1.0.dist-info"
    about.mkdir()
    files = {
        "growth/__init__.py": "",
        "growth/slow.py": DECLARED,
        "growth/stepped.py": STEPPED,
        "growth-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: growth\nVersion: 1.0\n",
        "growth-1.0.dist-info/entry_points.txt": "[shapeflow.optimizers]\nslow = growth.slow:Slow\n"
        "[shapeflow.torch.optimizers]\nslow = growth.stepped:Slow\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    loaded.cache_clear()
    yield
    loaded.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "growth"]:
        del sys.modules[name]


@pytest.mark.parametrize("init", ["normal", "net2net"])
def test_an_optimizer_of_another_distribution_grows_by_its_rules(
    init: Literal["normal", "net2net"], stranger: None
) -> None:
    """Its slow weights grow as the weights do, with the same random numbers."""
    made_by = components("optimizer")["slow"]()
    plan = toy_image_plan(DEEPER, init=init, optimizer=made_by)
    assert check(plan).diagnostics == ()
    made = machine(plan)
    made.step(plan.stages[0], 0, 0.0)
    for parameter in parameters(made).values():
        made.body.optimizer.state[parameter]["slow"].copy_(parameter.detach())
    switch(made)
    kept = made.body.kept()
    assert all(torch.equal(kept.states[name]["slow"], value) for name, value in kept.values.items())
    assert {value.data_ptr() for value in kept.values.values()}.isdisjoint(
        state["slow"].data_ptr() for state in kept.states.values()
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Slow: ...\n", "wrong-member: the torch backend's `slow` is not a subclass"),
        (STEPPED.replace("def build", "def bild"), "wrong-member: the torch backend's `slow` lacks `build`"),
        (
            STEPPED + "\n    def option(self, member):\n        return {}\n",
            "wrong-member: the torch backend's `slow` has `option`, which `Optimizer` does not have",
        ),
        ("import nowhere\n", "broken-component: `slow` of another distribution cannot be imported"),
    ],
)
def test_a_broken_torch_half_is_refused_before_the_run(text: str, said: str, stranger: None, tmp_path: Path) -> None:
    (tmp_path / "growth/stepped.py").write_text(text)
    with pytest.raises(Refused, match=said):
        machine(toy_image_plan(DEEPER, optimizer=components("optimizer")["slow"]()))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            STEPPED.replace('"slow"', '"slower"'),
            "undeclared-state: the torch optimizer `Slow` keeps the parts `slower` for a tensor; its component",
        ),
        (
            STEPPED.replace('.setdefault("slow", p.detach().clone())', '.setdefault("slow", p.new_zeros(()))').replace(
                ".lerp_(p, 0.5)", ".add_(1)"
            ),
            "undeclared-state: the torch optimizer `Slow` keeps `slow` as ",
        ),
    ],
)
def test_state_other_than_declared_is_refused_after_the_first_update(
    text: str, said: str, stranger: None, tmp_path: Path
) -> None:
    (tmp_path / "growth/stepped.py").write_text(text)
    plan = toy_image_plan(DEEPER, optimizer=components("optimizer")["slow"]())
    with pytest.raises(Refused) as refused:
        machine(plan).step(plan.stages[0], 0, 0.0)
    assert str(refused.value).startswith(said)
