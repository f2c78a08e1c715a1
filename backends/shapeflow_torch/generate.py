"""Continues a text with the model of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import torch
from torch import Tensor

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.ir.plan import Plan
from shapeflow.running.run_folder import resume_command
from shapeflow.running.run_log import CHECKPOINTS
from shapeflow_torch import checkpoint
from shapeflow_torch.export import gathered
from shapeflow_torch.frozen import frozen
from shapeflow_torch.models import Net


@attrs.frozen
class Generated:
    """A continuation. `step`: the steps that its weights have made; `ids`: the new tokens, without the prompt; `ended`:
    whether the model ended the document."""

    step: int
    ids: tuple[int, ...]
    ended: bool


def generate(
    plan: Plan,
    folder: Path,
    prompt: Sequence[int],
    count: int,
    *,
    temperature: float = 1.0,
    seed: int = 0,
    raw: bool = False,
    end: int | None = None,
) -> Generated:
    """Continue some tokens with the newest checkpoint of a run, on the CPU in float32, by its averaged weights (`raw`:
    by the unaveraged ones).

    `count`: the largest number of new tokens; `temperature`: 0 takes the likeliest token, above 0 the logits are
    divided by it; `end`: the token that ends a document, after which it stops. The model reads the last tokens up to
    the context of the last step. The same seed gives the same tokens.

    Raises Refused `no-checkpoint`, `no-weights`, `foreign-checkpoint`, `broken-checkpoint`."""
    if checkpoint.newest(folder / CHECKPOINTS) is None:
        message = f"the run in `{folder}` has no checkpoint, so there are no weights to generate with"
        help_ = f"let it go on until its first checkpoint: `{resume_command(folder)}`"
        raise Refused(Diagnostic("no-checkpoint", message, place=str(folder), help=help_))
    weights, tensors = gathered(plan, folder, raw=raw, unfinished=True)
    net = frozen(weights, tensors, torch.device("cpu"), torch.float32)
    context = weights.shape.get("context", weights.slots.get("context"))
    window = context if isinstance(context, int) else len(prompt)
    known = weights.sizes["vocabulary"] - weights.reserved
    generator = torch.Generator().manual_seed(seed)
    ids = list(prompt)
    while len(ids) < len(prompt) + count:
        token = _next(net, ids[-window:], known, temperature, generator)
        if token == end:
            return Generated(weights.step, tuple(ids[len(prompt) :]), True)
        ids.append(token)
    return Generated(weights.step, tuple(ids[len(prompt) :]), False)


@torch.no_grad()
def _next(net: Net, ids: Sequence[int], known: int, temperature: float, generator: torch.Generator) -> int:
    """Return the next token, of the first `known` ids: the others are marks that the data does not contain."""
    logits: Tensor = net(torch.tensor([list(ids)]))[0, -1, :known].double()
    if temperature == 0:
        return int(logits.argmax())
    # Without the largest logit, a small temperature does not overflow.
    shares = torch.softmax((logits - logits.max()) / temperature, 0)
    return int(torch.multinomial(shares, 1, generator=generator))
