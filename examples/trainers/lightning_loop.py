"""A plan in the `Trainer` of Lightning: a small Llama on the source of shapeflow.

    pip install 'shapeflow[lightning]' 'transformers>=5'
    python examples/trainers/lightning_loop.py FOLDER

It trains twice: once without a break, and once from a checkpoint after a switch. Both have the same losses.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForCausalLM

import shapeflow
from shapeflow.lightning import HF_LLAMA, PlanCallback
from shapeflow.torch import PlanSampler, Windows

PLAN = Path(__file__).with_name("llama.shape")
TEXT = b"".join(path.read_bytes() for path in sorted(Path(shapeflow.__file__).parent.glob("ir/*.py")))
TOKENS = np.frombuffer(TEXT, np.uint8)


class Module(lightning.LightningModule):
    """A Llama in the sizes of the plan's first stage."""

    def __init__(self, plan: shapeflow.Plan) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.plan = plan
        self.losses: dict[int, float] = {}
        config = LlamaConfig(
            vocab_size=256,
            hidden_size=32,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=8,
            max_position_embeddings=64,
            tie_word_embeddings=False,
        )
        self.net = LlamaForCausalLM(config)

    def training_step(self, batch: Any, index: int) -> Any:
        loss = self.net(**batch).loss
        self.losses[self.global_step] = loss.item()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.net.parameters(), weight_decay=0.1)

    def train_dataloader(self) -> Any:
        windows = Windows(TOKENS, labels="same")
        sampler = PlanSampler(self.plan, len(windows), done=lambda: self.trainer.global_step)
        return DataLoader(windows, batch_sampler=sampler)


def train(plan: shapeflow.Plan, folder: Path, resume: Path | None = None) -> dict[int, float]:
    """Return the loss of each step. `resume`: a checkpoint of the trainer to go on from."""
    module = Module(plan)
    trainer = lightning.Trainer(
        max_steps=plan.steps,
        use_distributed_sampler=False,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        gradient_clip_val=1.0,
        default_root_dir=folder,
        callbacks=[
            PlanCallback(plan, HF_LLAMA, module="net", folder=None if resume else folder / "run"),
            ModelCheckpoint(folder / "saved", "{step}", every_n_train_steps=20, save_top_k=-1),
        ],
    )
    trainer.fit(module, ckpt_path=resume, weights_only=True)
    return module.losses


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    plan = shapeflow.compile(PLAN)
    whole = train(plan, folder)
    rest = train(plan, folder / "resumed", resume=folder / "saved" / "step=60.ckpt")
    print(f"losses {whole[0]:.3f} to {whole[plan.steps - 1]:.3f} in {len(whole)} steps")
    print(f"resumed after step {plan.steps - len(rest)}: the same losses: {rest.items() <= whole.items()}")
    print(f"look at it: shapeflow show {folder / 'run'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
