"""A plan in the `Trainer` of Hugging Face: a small Llama on the source of shapeflow.

    pip install 'shapeflow[hf]'
    python examples/trainers/hugging_face.py FOLDER

It trains twice: once without a break, and once from a checkpoint after a switch. Both have the same losses.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

import shapeflow
import shapeflow.hf

PLAN = Path(__file__).with_name("llama.shape")
TEXT = b"".join(path.read_bytes() for path in sorted(Path(shapeflow.__file__).parent.glob("ir/*.py")))
TOKENS = np.frombuffer(TEXT, np.uint8).astype(np.int64)


def first_llama() -> LlamaForCausalLM:
    """The model in the sizes of the plan's first stage."""
    torch.manual_seed(0)
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
    return LlamaForCausalLM(config)


def train(plan: shapeflow.Plan, folder: Path, resume: Path | None = None) -> dict[int, float]:
    """Return the loss of each step. `resume`: a checkpoint of the trainer to go on from."""
    args = TrainingArguments(
        str(folder / "checkpoints_of_trainer"),
        logging_steps=1,
        weight_decay=0.1,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    held_out = [{"input_ids": row, "labels": row} for row in TOKENS[-5_120:].reshape(-1, 64).tolist()]
    trainer = Trainer(first_llama(), args, train_dataset=TOKENS[:-5_120], eval_dataset=held_out)
    shapeflow.hf.follow(trainer, plan, shapeflow.hf.HF_LLAMA, folder=None if resume else folder / "run")
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    return {row["step"]: row["loss"] for row in trainer.state.log_history if "loss" in row}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    plan = shapeflow.compile(PLAN)
    whole = train(plan, folder)
    rest = train(plan, folder / "resumed", resume=folder / "checkpoints_of_trainer" / "checkpoint-60")
    print(f"losses {whole[1]:.3f} to {whole[plan.steps]:.3f} in {len(whole)} steps")
    same = all(rest[step] == whole[step] for step in range(61, plan.steps + 1))
    print(f"resumed after step 60: the same losses: {same}")
    print(f"look at it: shapeflow show {folder / 'run'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
