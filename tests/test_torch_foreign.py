"""Weights of runs in the formats of `transformers` and `timm`: the same logits, and the same tensors back."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import peers
import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from safetensors.torch import load_file, save_file
from torch_tools import CPU

from shapeflow.api import run
from shapeflow.cli import answer
from shapeflow.ir.weights import read_weights
from shapeflow.transitions.context_grow import ContextGrow
from shapeflow_torch.objectives import Site
from shapeflow_torch.objectives.teacher import Teacher


def ours(folder: Path) -> Teacher:
    """The run in a folder, by a file of our own."""
    file = folder.parent / "own.safetensors"
    assert answer(["export", str(folder), "-o", str(file)]) == 0
    return Teacher(file.name, read_weights(file).sha256, Site(file.parent, CPU, torch.float32))


def exported(folder: Path, target: str) -> Path:
    assert answer(["export", str(folder), "-o", str(folder.parent / target), "--as", target]) == 0
    return folder.parent / target


def assert_imported(folder: Path, own: Path) -> None:
    """A folder imports to the tensors, sizes and slots of a file of our own."""
    assert answer(["import", str(folder), "-o", str(own.parent / "back.safetensors")]) == 0
    wanted, found = load_file(own), load_file(own.parent / "back.safetensors")
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    before, after = read_weights(own), read_weights(own.parent / "back.safetensors")
    assert before.parameters == after.parameters
    if not before.reading:
        assert before.sizes == after.sizes
    assert before.slots["norm.eps"] == pytest.approx(after.slots["norm.eps"], rel=1e-15)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a language model that grew, with shared heads and a tied head."""
    folder = tmp_path_factory.mktemp("text") / "run"
    legs = (({"width": 16, "depth": 1}, 2), ({"width": 32, "depth": 2}, 2))
    run(toy_text_plan(legs, model={"kv_ratio": 2}), folder, device="cpu")
    return folder


@pytest.mark.parametrize("tied", [True, False])
def test_transformers_computes_the_same_logits(text: Path, tmp_path: Path, tied: bool) -> None:
    transformers = peers.transformers()
    folder = text
    if not tied:
        folder = tmp_path / "run"
        run(toy_text_plan((({}, 2),), model={"tied": False}), folder, device="cpu")
    own = ours(folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(exported(folder, "hf"), dtype=torch.float32)
    assert type(theirs).__name__ == "LlamaForCausalLM"
    assert theirs.config.tie_word_embeddings == tied
    tokens = torch.randint(0, 256, (2, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = own.answer(tokens), theirs(tokens).logits
    assert float((wanted - found).abs().max()) < 1e-5 < float(wanted.abs().max())
    # Back, as the library saves it: each tensor is unchanged.
    theirs.save_pretrained(folder.parent / "saved")
    assert_imported(folder.parent / "saved", folder.parent / "own.safetensors")


@pytest.mark.parametrize("model", [{}, {"pool": "cls", "registers": 2}, {"registers": 1}])
def test_timm_computes_the_same_logits(tmp_path: Path, model: dict[str, Any]) -> None:
    """The run grows, so its eps is its own, and ends at a patch size that a view reads."""
    timm = peers.timm_module("timm.models.vision_transformer")
    legs = (({"patch": 4, "width": 32}, 2), ({"patch": 2, "width": 48}, 2))
    run(toy_image_plan(legs, model=model), tmp_path / "run", device="cpu")
    own, folder = ours(tmp_path / "run"), exported(tmp_path / "run", "timm")
    about = json.loads((folder / "model_args.json").read_text())
    norm = partial(torch.nn.LayerNorm, eps=about["norm_eps"])
    theirs = timm.VisionTransformer(**about["model_args"], norm_layer=norm).eval()
    theirs.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = own.answer(images), theirs(images)
    assert float((wanted - found).abs().max()) < 1e-6
    assert about["model_args"]["patch_size"] == 2
    assert "strict=True" in (folder / "README.md").read_text()
    # Back, with the views applied: the same function.
    assert answer(["import", str(folder), "-o", str(tmp_path / "back.safetensors")]) == 0
    digest = read_weights(tmp_path / "back.safetensors").sha256
    back = Teacher("back.safetensors", digest, Site(tmp_path, CPU, torch.float32))
    assert torch.equal(back.answer(images), wanted)


@pytest.mark.parametrize("choices", [{}, {"reg_tokens": 2}, {"class_token": False, "global_pool": "avg"}])
def test_a_model_of_timm_is_imported(tmp_path: Path, choices: dict[str, Any]) -> None:
    """With timm's own positions of class token and registers, which are added to these."""
    timm = peers.timm_module("timm.models.vision_transformer")
    torch.manual_seed(0)
    arguments = {"img_size": 16, "patch_size": 4, "num_classes": 5, "num_heads": 2, **choices}
    theirs = timm.VisionTransformer(embed_dim=32, depth=2, fc_norm=False, **arguments).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    (tmp_path / "timm").mkdir()
    save_file(theirs.state_dict(), tmp_path / "timm/model.safetensors")
    config = {"architecture": "VisionTransformer", "model_args": arguments}
    (tmp_path / "timm/config.json").write_text(json.dumps(config))
    assert answer(["import", str(tmp_path / "timm"), "-o", str(tmp_path / "own.safetensors")]) == 0
    digest = read_weights(tmp_path / "own.safetensors").sha256
    own = Teacher("own.safetensors", digest, Site(tmp_path, CPU, torch.float32))
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, found = theirs(images), own.net(images)
    assert float((wanted - found).abs().max()) < 1e-5 < float(wanted.abs().max())


def test_a_model_of_transformers_is_imported(tmp_path: Path) -> None:
    """One that shapeflow did not make, with shared heads, a head of its own, and another base and eps."""
    transformers = peers.transformers()
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=72,
        vocab_size=100,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        tie_word_embeddings=False,
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path / "hf")
    assert answer(["import", str(tmp_path / "hf"), "-o", str(tmp_path / "own.safetensors")]) == 0
    digest = read_weights(tmp_path / "own.safetensors").sha256
    own = Teacher("own.safetensors", digest, Site(tmp_path, CPU, torch.float32))
    tokens = torch.randint(0, 100, (2, 24), generator=torch.Generator().manual_seed(0))
    assert torch.equal(own.answer(tokens), Teacher("hf", digest, Site(tmp_path, CPU, torch.float32)).answer(tokens))
    with torch.no_grad():
        wanted, found = theirs(tokens).logits, own.net(tokens)
    assert float((wanted - found).abs().max()) < 1e-5 < float(wanted.abs().max())


def test_what_another_library_cannot_hold(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["export", str(text), "-o", str(tmp_path / "out"), "--as", "timm"]) == 1
    assert "cannot-export" in (said := capsys.readouterr().err)
    assert "`--as hf`" in said
    grow = ContextGrow(rope="linear", trained=16, allow_lossy=True)
    run(toy_text_plan((({"context": 16}, 2), ({"context": 32}, 2)), context=grow), tmp_path / "run", device="cpu")
    assert answer(["export", str(tmp_path / "run"), "-o", str(tmp_path / "out"), "--as", "hf"]) == 1
    assert "stretched by the rule `linear`" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_is_in_use(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    assert answer(["export", str(text), "-o", str(tmp_path), "--as", "hf"]) == 1
    assert "folder-in-use" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["kept.txt"]
