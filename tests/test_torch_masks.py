"""Attention within documents: the mask of each token, and no cost for models that do not use it."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import torch
from plans import toy_text_plan
from torch import Tensor
from torch.nn import functional
from torch_tools import CPU, followed, losses, machine, relative, shake

from shapeflow.base.diagnostics import Refused
from shapeflow.data.text import Text
from shapeflow_torch.data import open_data
from shapeflow_torch.models.masks import added, within_documents

END = 0
DOCUMENTS = {"attend": "document"}


def drawn(*shape: int) -> Tensor:
    """Random tokens without an end-of-document token."""
    return torch.randint(1, 256, shape, generator=torch.Generator().manual_seed(0))


def test_a_token_attends_to_its_own_document_up_to_itself() -> None:
    seen = within_documents(torch.tensor([[5, END, 7, 8, END, END]]), END)[0, 0]
    assert seen.long().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize("kv_ratio", [1, 2])
def test_earlier_documents_do_not_matter(kv_ratio: int) -> None:
    made = shake(machine(toy_text_plan(model={**DOCUMENTS, "kv_ratio": kv_ratio})))
    tokens = drawn(2, 48)
    tokens[:, 20] = END
    other = tokens.clone()
    other[:, :20] = drawn(2, 40)[:, 20:]
    with torch.no_grad():
        one, two = made.body.net(tokens), made.body.net(other)
        # The second document alone starts at position 0. This makes no difference, as rotary positions are relative.
        alone = made.body.net(tokens[:, 21:])
    assert torch.equal(one[:, 21:], two[:, 21:])
    assert relative(one[:, :20], two[:, :20]) > 1e-2
    assert relative(one[:, 21:], alone) < 1e-5


@pytest.mark.parametrize("kv_ratio", [1, 2])
def test_a_window_of_one_document_is_not_changed(kv_ratio: int) -> None:
    plain = shake(machine(toy_text_plan(model={"kv_ratio": kv_ratio})))
    apart = machine(toy_text_plan(model={**DOCUMENTS, "kv_ratio": kv_ratio}))
    apart.body.net.load_state_dict(plain.body.net.state_dict())
    tokens = drawn(2, 48)
    split = tokens.clone()
    split[:, 20] = END
    with torch.no_grad():
        assert relative(apart.body.net(tokens), plain.body.net(tokens)) < 1e-5
        assert relative(apart.body.net(split), plain.body.net(split)) > 1e-3


def test_without_documents_no_mask_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[object] = []
    attend = functional.scaled_dot_product_attention

    def spy(*tensors: Tensor, attn_mask: Tensor | None = None, **rest: bool) -> Tensor:
        masks.append(attn_mask)
        return attend(*tensors, attn_mask=attn_mask, **rest)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", spy)
    for model in ({}, DOCUMENTS):
        machine(toy_text_plan(model=model)).body.net(drawn(1, 16))
    assert [mask is None for mask in masks] == [True, True, False, False]


def test_training_within_documents(tmp_path: Path) -> None:
    for name in range(20):
        (tmp_path / f"{name}.txt").write_text(f"document {name} counts {name} " * 4)
    data = Text(path=str(tmp_path), batch=256)
    legs = (({"context": 16}, 12), ({"context": 64}, 12))
    apart, plain = (toy_text_plan(legs, data=data, model=model) for model in (DOCUMENTS, {}))
    found = losses(followed(apart)[1])
    assert sum(found[-4:]) < sum(found[:4]) - 4
    assert found != losses(followed(plain)[1])
    assert apart.totals == plain.totals


def test_a_text_without_ends(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text("one document " * 400)
    plan = toy_text_plan(data=Text(path=str(path), batch=256), model=DOCUMENTS)
    with pytest.raises(Refused) as caught:
        open_data(plan, Path("."), CPU)
    assert caught.value.diagnostics[0].code == "no-document-ends"
    assert "attend.separator" not in toy_text_plan().slots
    open_data(attrs.evolve(plan, slots=toy_text_plan().slots), Path("."), CPU)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_blocks_keep_one_mask_for_the_backward_pass(dtype: torch.dtype) -> None:
    """The additive mask has the dtype of attention and equals the boolean mask."""
    made = shake(machine(toy_text_plan((({"depth": 3}, 4),), model=DOCUMENTS)))
    net, tokens = made.body.net.to(dtype), drawn(2, 48)
    tokens[:, 20] = END
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net(tokens)
    masks = [tensor for tensor in kept if tensor.shape == (2, 1, 48, 48)]
    assert len(masks) >= 3
    assert len({mask.untyped_storage().data_ptr() for mask in masks}) == 1
    assert masks[0].dtype == dtype
    assert torch.equal(masks[0] == 0, within_documents(tokens, END))


def test_a_mask_follows_autocast() -> None:
    seen = within_documents(drawn(1, 4), END)
    with torch.autocast("cpu", torch.bfloat16):
        assert added(seen, torch.float32).dtype == torch.bfloat16
    assert added(seen, torch.float32).dtype == torch.float32
