"""`shapeflow import`: which models of other libraries are refused, by the tensor or the key that does not fit."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from foreign_models import LLAMA, TENSORS, VIT, VIT_TENSORS, save
from sources import compiled, refused

from shapeflow.base.diagnostics import Refused
from shapeflow.cli import answer
from shapeflow.foreign.imported import import_weights
from shapeflow.ir.weights import read_weights


def refusal(place: Path, output: Path) -> Any:
    with pytest.raises(Refused) as caught:
        import_weights(place, output)
    (wrong,) = caught.value.diagnostics
    assert not output.exists()
    assert wrong.code == "cannot-import"
    return wrong


def tensors_of(file: Path) -> dict[str, bytes]:
    raw = file.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    header.pop("__metadata__", None)
    return {name: raw[start + one["data_offsets"][0] : start + one["data_offsets"][1]] for name, one in header.items()}


@pytest.mark.parametrize("where", ["folder", "file", "shards"])
def test_every_byte_is_kept_and_no_tensor_library_is_used(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("torch", "safetensors"):
        monkeypatch.setitem(sys.modules, name, None)
    folder = save(tmp_path / "llama", LLAMA, {**TENSORS, "model.layers.0.self_attn.rotary_emb.inv_freq": [2]})
    theirs = tensors_of(folder / "model.safetensors")
    if where == "shards":
        for name, part in (("a", slice(5)), ("b", slice(5, None))):
            save(folder, LLAMA, dict(list(TENSORS.items())[part]))
            (folder / "model.safetensors").rename(folder / f"{name}.safetensors")
        places = {name: "a.safetensors" if at < 5 else "b.safetensors" for at, name in enumerate(TENSORS)}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
        theirs = tensors_of(folder / "a.safetensors") | tensors_of(folder / "b.safetensors")
    place, file = folder / "model.safetensors" if where == "file" else folder, tmp_path / "first.safetensors"
    assert answer(["import", str(place), "-o", str(file)]) == 0
    weights, ours = read_weights(file), tensors_of(file)
    assert weights.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert ours["embed.weight"] == theirs["model.embed_tokens.weight"]
    assert ours["blocks.1.attn.k.weight"] == theirs["model.layers.1.self_attn.k_proj.weight"]
    assert sorted(ours.values()) == sorted(theirs[name] for name in TENSORS)
    assert (weights.slots["rope.base"], weights.slots["norm.eps"], weights.sizes["kv_heads"]) == (500000.0, 1e-5, 8)
    # The sentence that it prints has this model.
    sentence = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("model "))
    text = f"""{sentence}
    data python_source(batch: 256 tokens)
    objective next_token
    axis batch in [256] tokens via batch_resize
    traversal fixed((batch: 256 tokens))
    start from "first.safetensors"
    budget 4 steps
    """
    assert compiled(tmp_path, text).start is not None


def test_a_folder_stands_for_the_file_that_an_import_writes(tmp_path: Path) -> None:
    save(tmp_path / "llama", LLAMA, TENSORS)
    import_weights(tmp_path / "llama", tmp_path / "first.safetensors")
    text = """
    model transformer(depth: 2, width: 16, heads: 4, kv_ratio: 2, mlp_ratio: 2.5, rope_base: 5e5, norm_eps: 1e-5)
    data python_source(batch: 256 tokens)
    objective distill(teacher: "{0}")
    axis context in [16] tokens via context_grow
    traversal fixed((context: 16 tokens))
    start from "{0}"
    budget 4 steps
    """
    folder, file = (compiled(tmp_path, text.format(name)) for name in ("llama", "first.safetensors"))
    assert folder.start is not None
    assert file.start is not None
    assert folder.start.sha256 == file.start.sha256 == read_weights(tmp_path / "first.safetensors").sha256
    (one,), (other,) = folder.objectives.values(), file.objectives.values()
    assert {**one.settings, "teacher": ""} == {**other.settings, "teacher": ""}
    save(tmp_path / "llama", {**LLAMA, "attention_bias": True}, TENSORS)
    wrong = refused(tmp_path, text.format("llama"))
    assert [each.code for each in wrong] == ["cannot-import"]
    assert wrong[0].at is not None
    assert wrong[0].at.span.text == '"llama"'


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "qwen2"),
        ("model_type", None),
        ("model_type", {}),
        ("architectures", ["LlamaForSequenceClassification"]),
        ("attention_bias", True),
        ("mlp_bias", True),
        ("qk_norm", True),
        ("hidden_act", "gelu"),
        ("sliding_window", 4096),
        ("logit_scale", 0.5),
        ("pretraining_tp", 2),
        ("quantization_config", {"bits": 4}),
        ("partial_rotary_factor", 0.5),
        ("rope_parameters.rope_type", {"rope_type": "llama3", "factor": 8.0}),
        ("rope_scaling.rope_type", {"type": "linear", "factor": 2.0}),
        ("rope_parameters.factor", {"rope_type": "default", "factor": 8.0}),
        ("rope_theta", 10.0),
        ("head_dim", 8),
        ("num_key_value_heads", 3),
        ("rms_norm_eps", 0),
        ("rms_norm_eps", 10**400),
        ("rms_norm_eps", None),
        ("intermediate_size", 10**400),
        ("hidden_size", "16"),
        ("num_hidden_layers", True),
        ("max_position_embeddings", None),
        ("tie_word_embeddings", 1),
    ],
)
def test_keys_that_do_not_fit(key: str, value: Any, tmp_path: Path) -> None:
    folder = save(tmp_path / "llama", {**LLAMA, key.partition(".")[0]: value}, TENSORS)
    wrong = refusal(folder, tmp_path / "out.safetensors")
    assert f"`{key}`" in wrong.message
    assert wrong.place.startswith(key)


def test_a_mistral_without_a_window(tmp_path: Path) -> None:
    config = {**LLAMA, "model_type": "mistral", "architectures": ["MistralForCausalLM"]}
    wrong = refusal(save(tmp_path / "m", config, TENSORS), tmp_path / "out.safetensors")
    assert "`sliding_window` is 4096" in wrong.message
    save(tmp_path / "m", {**config, "sliding_window": None}, TENSORS)
    assert import_weights(tmp_path / "m", tmp_path / "out.safetensors").tensors == len(TENSORS)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model.layers.0.self_attn.q_proj.bias": [16]}, "`model.layers.0.self_attn.q_proj.bias`: no model"),
        ({"model.layers.0.self_attn.qkv_proj.weight": [32, 16]}, "`model.layers.0.self_attn.qkv_proj.weight`: no"),
        ({"lm_head.weight": [256, 16]}, "`lm_head.weight`: no model"),
        ({"model.norm.weight": None}, "`model.norm.weight` is missing"),
        ({"model.norm.weight": [17]}, "`model.norm.weight` has sizes (17,)"),
        ({"model.norm.weight": [1, 2, 8]}, "`model.norm.weight` has sizes (1, 2, 8)"),
    ],
)
def test_tensors_that_do_not_fit(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    tensors = {name: sizes for name, sizes in {**TENSORS, **changed}.items() if sizes is not None}
    wrong = refusal(save(tmp_path / "llama", LLAMA, tensors), tmp_path / "out.safetensors")
    assert said in wrong.message
    assert wrong.place.startswith(next(iter(changed)))


@pytest.mark.parametrize("change", [{"num_hidden_layers": 10**12}, {"hidden_size": 10**9}, {"vocab_size": 10**12}])
def test_sizes_that_no_file_has(change: dict[str, int], tmp_path: Path) -> None:
    refusal(save(tmp_path / "llama", {**LLAMA, **change}, TENSORS), tmp_path / "out.safetensors")


def test_files_that_are_not_read(tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    assert "there is no folder or file" in refusal(tmp_path / "none", out).message
    folder = save(tmp_path / "llama", LLAMA, TENSORS)
    raw = (folder / "model.safetensors").read_bytes()
    for broken in (raw[:-4], raw + b"\0", raw[:100], b""):
        (folder / "model.safetensors").write_bytes(broken)
        assert "is not a readable file" in refusal(folder, out).message
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    wrong = refusal(folder, out)
    assert "a pickle can run any code" in wrong.message
    assert "save_pretrained" in wrong.help
    assert "a pickle" in refusal(folder / "pytorch_model.bin", out).message
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../x.safetensors"}}')
    assert "not a safetensors file in its folder" in refusal(folder, out).notes[0]
    bare = save(tmp_path / "bare", None, TENSORS)
    assert "has no `config.json`" in refusal(bare, out).message
    (bare / "config.json").write_text("[1]")
    assert "is not a readable file" in refusal(bare, out).message
    save(bare, LLAMA, TENSORS)
    import_weights(bare, bare / "own.safetensors")
    assert "already" in refusal(bare / "own.safetensors", out).message
    with pytest.raises(Refused, match="is a file of the model itself"):
        import_weights(bare, bare / "model.safetensors")


def test_a_position_of_the_class_token_is_added_to_it(tmp_path: Path) -> None:
    folder = save(tmp_path / "vit", VIT, VIT_TENSORS, "F32")
    import_weights(folder, tmp_path / "out.safetensors")
    ours, theirs = tensors_of(tmp_path / "out.safetensors"), tensors_of(folder / "model.safetensors")
    assert ours["pos"] == theirs["pos_embed"][32:]
    assert ours["blocks.0.attn.k.weight"] == theirs["blocks.0.attn.qkv.weight"][8 * 8 * 4 : 2 * 8 * 8 * 4]
    assert ours["cls"] != theirs["cls_token"]


@pytest.mark.parametrize(
    ("key", "config"),
    [
        ("architecture", {"architecture": "vit_base_patch16_clip_quickgelu_224"}),
        ("global_pool", {"model_args": {**VIT["model_args"], "global_pool": "avg"}}),
        ("qk_norm", {"model_args": {**VIT["model_args"], "qk_norm": True}}),
        ("init_values", {"model_args": {**VIT["model_args"], "init_values": 1e-5}}),
        ("act_layer", {"model_args": {**VIT["model_args"], "act_layer": "relu"}}),
        ("img_size", {"model_args": {**VIT["model_args"], "img_size": [8, 4]}}),
        ("num_heads", {"model_args": {**VIT["model_args"], "num_heads": 3}}),
        ("reg_tokens", {"model_args": {**VIT["model_args"], "reg_tokens": -1}}),
        ("norm_eps", {"norm_eps": "small"}),
    ],
)
def test_arguments_of_timm_that_do_not_fit(key: str, config: dict[str, Any], tmp_path: Path) -> None:
    folder = save(tmp_path / "vit", {**VIT, **config}, VIT_TENSORS, "F32")
    wrong = refusal(folder, tmp_path / "out.safetensors")
    assert f"`{key}`" in wrong.message
    assert wrong.place.startswith(key)


@pytest.mark.parametrize(
    "extra", ["fc_norm.weight", "blocks.0.ls1.gamma", "blocks.0.attn.q_norm.weight", "norm_pre.bias"]
)
def test_tensors_of_timm_that_do_not_fit(extra: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "vit", VIT, {**VIT_TENSORS, extra: [8]}, "F32")
    assert f"`{extra}`" in refusal(folder, tmp_path / "out.safetensors").message
