"""A training loop of its own that follows a plan: a small language model on the source of shapeflow.

    python examples/trainers/plain_loop.py FOLDER

It trains twice: once without a break, and once with an end in the middle and a resume. Both have the same losses.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

import shapeflow
from shapeflow.torch import PlanSampler, Windows

PLAN = Path(__file__).with_suffix(".shape")
TEXT = b"".join(path.read_bytes() for path in sorted(Path(shapeflow.__file__).parent.glob("ir/*.py")))
TOKENS = np.frombuffer(TEXT, np.uint8)


class Model(nn.Module):
    """A module of one's own: it reads bytes, at any context."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(256, 32)
        self.read = nn.GRU(32, 64, batch_first=True)
        self.head = nn.Linear(64, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.read(self.embed(tokens))[0])
        return logits


def loss_of(model: Model, batch: dict[str, Tensor]) -> Tensor:
    return functional.cross_entropy(model(batch["input_ids"]).flatten(0, 1), batch["labels"].flatten())


def train(plan: shapeflow.Plan, folder: Path, until: int | None = None) -> list[float]:
    """Go on from the folder's checkpoint, if it has one. `until`: the step after which the process ends."""
    torch.manual_seed(plan.seed)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    session = shapeflow.follow(plan, folder)
    if (folder / "state.json").exists():
        state = json.loads((folder / "state.json").read_text())
        tensors = load_file(folder / "state.safetensors")
        session.load_state_dict(state)
        model.load_state_dict({name[6:]: tensors[name] for name in tensors if name.startswith("model.")})
        kept = optimizer.state_dict()
        kept["state"] = {
            at: {part: tensors[f"optimizer.{at}.{part}"] for part in ("step", "exp_avg", "exp_avg_sq")}
            for at in range(len(list(model.parameters())))
        }
        optimizer.load_state_dict(kept)
    windows = Windows(TOKENS[:-5_000])
    held_out = Windows(TOKENS[-5_000:])
    losses = []
    batches = DataLoader(windows, batch_sampler=PlanSampler(plan, len(windows), done=session.done))
    for step, batch in zip(session, batches, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = step.lr
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        session.log(step, loss, gradient_norm=norm)
        if step.measure:
            with torch.no_grad():
                rows = [held_out[(first, 128)] for first in range(0, 4_500, 128)]
                whole = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
                session.measured(step, {plan.metric: loss_of(model, whole)})
        if step.save:
            tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
            for at, parts in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{at}.{part}": tensor for part, tensor in parts.items()}
            save_file(tensors, folder / "state.safetensors")
            (folder / "state.json").write_text(json.dumps(session.state_dict()))
        if step.index + 1 == until:
            session.close()
            break
    return losses


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    plan = shapeflow.compile(PLAN)
    whole = train(plan, folder / "whole")
    train(plan, folder / "resumed", until=50)
    rest = train(plan, folder / "resumed")
    print(f"losses {whole[0]:.3f} to {whole[-1]:.3f} in {len(whole)} steps")
    print(f"resumed after step {len(whole) - len(rest)}: the same losses: {rest == whole[-len(rest) :]}")
    print(f"look at it: shapeflow show {folder / 'whole'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
