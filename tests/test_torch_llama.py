"""The language model is Llama: Hugging Face's module gives the same logits for the same weights."""

from __future__ import annotations

from typing import Any

import peers
import pytest
import torch
from plans import toy_text_plan
from torch import Tensor
from torch_tools import machine, shake, switch

from shapeflow_torch.machine import TorchMachine

transformers = peers.transformers()

NAMES = {
    "norm1": "input_layernorm",
    "norm2": "post_attention_layernorm",
    "attn.q": "self_attn.q_proj",
    "attn.k": "self_attn.k_proj",
    "attn.v": "self_attn.v_proj",
    "attn.o": "self_attn.o_proj",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}


def theirs(name: str) -> str:
    """Hugging Face's name of one of our tensors."""
    if name.startswith("blocks."):
        _, block, rest = name.split(".", 2)
        return f"model.layers.{block}.{NAMES[rest.removesuffix('.weight')]}.weight"
    return {"embed.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}.get(name, f"lm_{name}")


def llama(made: TorchMachine) -> Any:
    """Hugging Face's Llama of the machine's sizes and weights."""
    ours = dict(made.body.net.named_parameters())
    heads, residual = ours["blocks.0.attn.q.weight"].shape
    slots = made.ledger.slots
    config = transformers.LlamaConfig(
        vocab_size=len(ours["embed.weight"]),
        hidden_size=residual,
        intermediate_size=len(ours["blocks.0.mlp.gate.weight"]),
        num_hidden_layers=len(made.body.net.blocks),
        num_attention_heads=heads // int(slots["head_width"] or 0),
        num_key_value_heads=len(ours["blocks.0.attn.k.weight"]) // int(slots["head_width"] or 0),
        head_dim=slots["head_width"],
        rms_norm_eps=slots["norm.eps"],
        max_position_embeddings=4096,
        tie_word_embeddings="head.weight" not in ours,
        rope_parameters={"rope_type": "default", "rope_theta": slots["rope.base"]},
        attn_implementation="eager",
    )
    net = transformers.LlamaForCausalLM(config)
    missing, surplus = net.load_state_dict({theirs(name): tensor for name, tensor in ours.items()}, strict=False)
    assert not surplus
    assert set(missing) <= ({"lm_head.weight"} if config.tie_word_embeddings else set())
    net.tie_weights()
    return net.eval()


def logits(net: Any, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = net(tokens).logits
    return found


@pytest.mark.parametrize("kv_ratio", [1, 2, 4])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_logits_are_those_of_hugging_faces_llama(tied: bool, kv_ratio: int) -> None:
    """Logits agree before and after a switch that grows context, width and depth, and thereby changes eps."""
    legs = (({"context": 16, "width": 32, "depth": 2}, 6), ({"context": 64, "width": 64, "depth": 3}, 6))
    made = shake(machine(toy_text_plan(legs, model={"tied": tied, "kv_ratio": kv_ratio, "rope_base": 5e5})))
    tokens = torch.randint(0, 256, (4, 64), generator=torch.Generator().manual_seed(0))
    for grown in (False, True):
        if grown:
            switch(made)
        with torch.no_grad():
            ours = made.body.net(tokens)
        assert float((ours - logits(llama(made), tokens)).abs().max()) < 1e-5


def test_gradients_are_those_of_hugging_faces_llama() -> None:
    made = shake(machine(toy_text_plan(model={"kv_ratio": 2}), torch.float64))
    tokens = torch.randint(0, 256, (2, 17), generator=torch.Generator().manual_seed(0))
    other = llama(made).double()
    for answer in (made.body.net(tokens[:, :-1]), other(tokens[:, :-1]).logits):
        torch.nn.functional.cross_entropy(answer.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    found = dict(other.named_parameters())
    for name, tensor in made.body.net.named_parameters():
        expected = found[theirs(name)].grad
        assert tensor.grad is not None
        assert expected is not None
        # The library computes the angles of rotary embeddings in float32, even in a model of float64.
        assert torch.allclose(tensor.grad, expected, rtol=1e-5, atol=3e-7), name
