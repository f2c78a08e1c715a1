"""A GPT of one's own, known by a table, grows by a plan."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torch_tools import relative

import shapeflow
from shapeflow.base.diagnostics import Refused
from shapeflow.ir.plan import Plan
from shapeflow.torch import Adapter, PlanSampler, Windows, become, grow, rehearse, table_adapter

EXAMPLES = Path(__file__).parent.parent / "examples" / "trainers"
sys.path.insert(0, str(EXAMPLES))

import own_gpt  # noqa: E402

HEADS = {"transformer.h.{depth}.attn": {"heads": lambda sizes: sizes["heads"] // sizes["head"]}}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return shapeflow.compile(own_gpt.PLAN)


def adapter_of(plan: Plan) -> Adapter:
    return table_adapter(plan, attributes=HEADS, eps="eps")


def made() -> tuple[own_gpt.GPT, torch.optim.AdamW]:
    torch.manual_seed(0)
    model = own_gpt.GPT()
    return model, torch.optim.AdamW(model.parameters(), 2e-3)


def trained(plan: Plan, model: Any, optimizer: Any, first: int, last: int) -> list[float]:
    """Losses of the steps from `first` up to `last`, switches carried out."""
    windows = Windows(own_gpt.TOKENS)
    losses = []
    for at, batch in zip(
        range(first, last), DataLoader(windows, batch_sampler=PlanSampler(plan, len(windows), done=first)), strict=False
    ):
        step = shapeflow.at(plan, at)
        if step.switch is not None:
            grow(model, optimizer, plan, step.switch, adapter_of(plan))
        loss = functional.cross_entropy(model(batch["input_ids"]).flatten(0, 1), batch["labels"].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_both_growths_keep_the_function_and_the_tie(plan: Plan) -> None:
    model, optimizer = made()
    trained(plan, model, optimizer, 0, 30)
    model.double()
    tokens = torch.arange(80).reshape(2, 40)
    for switch, sizes in ((0, (64, 2)), (1, (64, 3))):
        before = model(tokens).detach()
        grow(model, optimizer, plan, switch, adapter_of(plan))
        assert relative(model(tokens).detach(), before) < 1e-12
        assert model.lm_head.weight is model.transformer["wte"].weight
        blocks = model.transformer["h"]
        assert (blocks[0].attn.c_attn.in_features, len(blocks)) == sizes
        assert [block.attn.heads for block in blocks] == [4] * len(blocks)


def logits_of(net: nn.Module) -> Tensor:
    found: Tensor = net(torch.arange(80).reshape(2, 40))
    return found


def test_a_rehearsal_of_all_switches_leaves_the_module_alone(plan: Plan) -> None:
    model, _ = made()
    before = copy.deepcopy(model.state_dict())
    found = rehearse(model, plan, adapter_of(plan), logits_of)
    assert [(one.switch, one.exact) for one in found] == [(0, True), (1, True)]
    assert max(one.changed for one in found) < 1e-12
    assert [one.names for one in found] == [("width_expand", "context_grow"), ("depth_expand",)]
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('["vocabulary", "residual"], writes = "residual"', '["vocabulary", "residual"]'),
        ('["positions", "residual"], writes = "residual"', '["positions", "residual"]'),
        ('c_proj.weight" = { dims = ["residual", "heads"] }', 'c_proj.weight" = { dims = ["residual", "residual"] }'),
        ('c_proj.weight" = { dims = ["residual", "heads"] }', 'c_proj.weight" = { dims = ["heads", "residual"] }'),
        ('norm = "layer"', 'norm = "rms"'),
        (
            'ln_f.weight" = { dims = ["residual"], role = "scale" }',
            'ln_f.weight" = { dims = ["residual"], role = "bias" }',
        ),
    ],
)
def test_a_rehearsal_finds_mistakes_of_a_table(old: str, new: str, tmp_path: Path) -> None:
    """All of them fit the sizes, and would change what the module computes in the middle of a run."""
    for suffix in (".shape", ".toml"):
        text = own_gpt.PLAN.with_suffix(suffix).read_text()
        assert suffix == ".shape" or old in text
        (tmp_path / f"own_gpt{suffix}").write_text(text.replace(old, new))
    plan = shapeflow.compile(tmp_path / "own_gpt.shape")
    with pytest.raises(Refused, match=r"not-preserving: switch 0 .* changes what the module computes"):
        rehearse(made()[0], plan, adapter_of(plan), logits_of)


def test_a_rehearsal_finds_an_attribute_that_is_not_told(plan: Plan) -> None:
    with pytest.raises(Refused, match="not-preserving"):
        rehearse(made()[0], plan, table_adapter(plan, eps="eps"), logits_of)


def test_a_rehearsal_tells_of_a_module_that_fails_after_a_switch(plan: Plan) -> None:
    model, _ = made()
    model.register_buffer("scale", torch.ones(32))
    with pytest.raises(Refused) as caught:
        rehearse(model, plan, adapter_of(plan), lambda net: net.transformer["wte"](torch.arange(8)) * net.scale)  # type: ignore
    found = caught.value.diagnostics[0]
    assert (found.code, "RuntimeError: The size of tensor" in found.message) == ("not-preserving", True)
    assert "buffers" in str(found.help)
    with pytest.raises(TypeError, match="`outputs` returned a `tuple`"):
        rehearse(model, plan, adapter_of(plan), lambda net: (logits_of(net),))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("attributes", "eps", "said"),
    [
        ({"transformer.h.{depth}.attn": {"heads": lambda sizes: sizes["heads"] // 8}}, "eps", "is 2, and the plan"),
        ({"transformer.h.{depth}.attn": {"n_head": lambda sizes: 2}}, "eps", "has no attribute `n_head`"),
        ({"transformer.h.{depth}.att": {"heads": lambda sizes: 2}}, "eps", "names the module `transformer.h.0.att`"),
        ({"transformer.h.{depth}.attn": {"heads": lambda sizes: sizes["head_width"]}}, "eps", "KeyError: 'head_width'"),
        ({"transformer.h.{depth}.attn": {"heads": 2}}, "eps", "TypeError: 'int' object is not callable"),
        (HEADS, "epsilon", "no norm of the module has the attribute `epsilon`"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(attributes: Any, eps: str, said: str, plan: Plan) -> None:
    model, optimizer = made()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(Refused, match="unfit-model") as caught:
        grow(model, optimizer, plan, 0, table_adapter(plan, attributes=attributes, eps=eps))
    assert said in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_switch_is_carried_out_once_and_in_order(plan: Plan) -> None:
    model, optimizer = made()
    with pytest.raises(Refused, match="switch 1 begins in stage 2, and the module has the sizes of stage 1"):
        grow(model, optimizer, plan, 1, adapter_of(plan))
    grow(model, optimizer, plan, 0, adapter_of(plan))
    with pytest.raises(Refused, match="switch 0 begins in stage 1, and the module has the sizes of stage 2"):
        grow(model, optimizer, plan, 0, adapter_of(plan))


def test_an_optimizer_of_another_module_is_refused(plan: Plan) -> None:
    model, other = made()[0], made()[1]
    with pytest.raises(Refused, match=r"no optimizer has `transformer\.wte\.weight` of the module"):
        grow(model, other, plan, 0, adapter_of(plan))
    model.transformer["ln_f"].weight.requires_grad_(False)
    some = [weight for weight in model.parameters() if weight.requires_grad]
    assert grow(model, torch.optim.AdamW(some), plan, 0, adapter_of(plan)).renewed


def test_blocks_that_keep_their_number(plan: Plan) -> None:
    model, optimizer = made()
    for at, block in enumerate(model.transformer["h"]):
        block.attn.number = at
    numbered = table_adapter(plan, attributes=HEADS, eps="eps", index={"attn": "number"})
    grow(model, optimizer, plan, 0, numbered)
    grow(model, optimizer, plan, 1, numbered)
    assert [block.attn.number for block in model.transformer["h"]] == [0, 1, 2]


def test_parameters_of_new_blocks_are_named(plan: Plan) -> None:
    model, optimizer = made()
    grow(model, optimizer, plan, 0, adapter_of(plan))
    old = {id(weight) for weight in model.parameters()}
    renewed = grow(model, optimizer, plan, 1, adapter_of(plan)).renewed
    assert set(renewed) == {name for name, weight in model.named_parameters() if id(weight) not in old}
    assert renewed


def test_fused_queries_keys_and_values_grow_apart(plan: Plan) -> None:
    """The old entries of each of the three stand in the first half of its third of the grown tensor."""
    model, optimizer = made()
    old = model.transformer["h"][0].attn.c_attn.weight.detach().clone()
    grow(model, optimizer, plan, 0, adapter_of(plan))
    grown: Tensor = model.transformer["h"][0].attn.c_attn.weight.detach()
    assert grown.shape == (192, 64)
    assert torch.equal(grown.unflatten(0, (3, 64))[:, :32, :32], old.unflatten(0, (3, 32)))


def test_it_goes_on_from_a_checkpoint_behind_both_growths(plan: Plan) -> None:
    model, optimizer = made()
    trained(plan, model, optimizer, 0, 100)
    state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    rest = trained(plan, model, optimizer, 100, 110)
    again, other = made()
    become(again, plan, 100, adapter_of(plan), other)
    again.load_state_dict(state[0])
    other.load_state_dict(state[1])
    assert trained(plan, again, other, 100, 110) == rest


def test_norms_whose_eps_is_fixed_are_warned_of(plan: Plan) -> None:
    model, optimizer = made()
    with pytest.warns(UserWarning, match="keep their eps of 1e-05"):
        grow(model, optimizer, plan, 0, table_adapter(plan, attributes=HEADS))


def test_a_module_without_a_tensor_of_the_table_is_refused(plan: Plan) -> None:
    model, optimizer = made()
    model.transformer["ln_f"] = nn.LayerNorm(32)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(Refused) as caught:
        grow(model, optimizer, plan, 0, adapter_of(plan))
    assert caught.value.diagnostics[0].code == "unfit-model"
    assert "`transformer.ln_f.bias`: the plan's model does not have it" in caught.value.diagnostics[0].notes
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_blocks_in_two_lists_need_an_adapter(plan: Plan) -> None:
    moved = tuple(attrs.evolve(one, name=one.name.replace("h.{depth}.mlp", "g.{depth}.mlp")) for one in plan.parameters)
    with pytest.raises(Refused) as caught:
        table_adapter(attrs.evolve(plan, parameters=moved))
    assert "`transformer.g` and `transformer.h`" in caught.value.diagnostics[0].message


def test_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_gpt.main(tmp_path / "run")
    said = capsys.readouterr().out
    assert said.count("rehearsed") == 2
    assert "step 48: 119,104 parameters" in said
    assert "step 84: 168,384 parameters" in said
    assert (tmp_path / "run" / "events.jsonl").exists()
