"""Measures one case of the piece `step`: `python -m evidence.variants CASE --device DEVICE --out FILE`.

All variants make the same step: forward, loss, backward, clipping, fused AdamW, averaged weights, and the loss is read.
Ours is the loop of a run, with its events and its data; the batches of the others are ready on the device. On a GPU all
compute under bfloat16 autocast over float32 weights.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import shapeflow
from evidence.peers import Missing, llama, timm_vit
from shapeflow.base.files import write_text
from shapeflow.ir.events import StepDone
from shapeflow.ir.plan import Plan
from shapeflow.running.execute import execute
from shapeflow_torch.data import Data
from shapeflow_torch.data.photographs import photographs
from shapeflow_torch.data.windows import Windows
from shapeflow_torch.devices import autocast
from shapeflow_torch.machine import TorchMachine
from shapeflow_torch.team import Team

OPTIMIZER = "adamw(lr: 1e-4, weight_decay: 0.01, warmup: 100 steps)"
WARM, ROUNDS, SECONDS = 3, 9, 0.5
"""Steps of each variant before the first round; default rounds, and seconds of one variant in a round."""
BATCHES = 4
"""Batches that are ready for the peers."""

Step = Callable[[], None]
"""Makes one training step."""


@attrs.frozen
class Vit:
    """A vision transformer on random images with mean pooling: `side` and `patch` in px."""

    width: int
    depth: int
    heads: int
    side: int
    patch: int
    batch: int
    classes: int

    def program(self) -> str:
        return f"""\
model vit(depth: {self.depth}, head_width: {self.width // self.heads}, patch: {self.patch} px)
data image_folder("none", classes: {self.classes}, image: {self.side} px, batch: {self.batch})
objective cross_entropy
metric cross_entropy
"""

    def data(self, device: torch.device) -> Data:
        count = BATCHES * self.batch
        chance = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (count, 3, self.side, self.side), dtype=torch.uint8, generator=chance)
        classes = torch.randint(0, self.classes, (count,), generator=chance)
        return photographs((images, classes), (images, classes), {}, {"crop": 1.0, "mirror": False}, device)

    def peer(self) -> nn.Module:
        return timm_vit(self.width, self.depth, self.heads, self.side, self.patch, self.classes)


@attrs.frozen
class Llama:
    """A decoder-only transformer on random tokens with a tied head; `batch` in windows."""

    width: int
    depth: int
    heads: int
    hidden: int
    context: int
    batch: int
    vocabulary: int

    def program(self) -> str:
        sizes = f"depth: {self.depth}, head_width: {self.width // self.heads}, mlp_ratio: {self.hidden / self.width:g}"
        return f"""\
model transformer({sizes}, context: {self.context} tokens)
data tokens("none.bin", vocabulary: {self.vocabulary}, batch: {self.batch * self.context} tokens)
objective next_token
metric loss(context: own)
"""

    def data(self, device: torch.device) -> Data:
        tokens = np.random.default_rng(0).integers(0, self.vocabulary, 1_000_000).astype(np.uint16)
        return Windows(tokens[:-100_000], tokens[-100_000:], self.vocabulary, {"sha256": ""}, [self.context], device)

    def peer(self) -> nn.Module:
        return llama(self.width, self.depth, self.heads, self.hidden, self.context, self.vocabulary)


CASES: Mapping[str, Vit | Llama] = {
    "vit-192-12-question": Vit(192, 12, 3, 60, 20, 512, 10),
    "vit-384-12-imagenet": Vit(384, 12, 6, 224, 16, 128, 1000),
    "llama-512-8": Llama(512, 8, 8, 1536, 1024, 16, 32_000),
    "llama-768-12": Llama(768, 12, 12, 3072, 1024, 16, 32_000),
    "vit-toy": Vit(16, 1, 2, 28, 14, 8, 10),
    "llama-toy": Llama(16, 1, 2, 48, 16, 4, 256),
}


def plan_of(case: Vit | Llama) -> Plan:
    """A plan that trains the case in one shape for longer than any measurement."""
    text = f"""{case.program()}
optimizer {OPTIMIZER}
axis width in [{case.width}, {2 * case.width}] via width_expand
stage (width: {case.width}) until end
budget 1000000 steps
evaluate every 1000000 steps
checkpoint every 1000000 steps
seed 0
"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "case.shape")
        path.write_text(text, encoding="utf-8")
        return shapeflow.compile(path)


def ours(plan: Plan, data: Data, device: torch.device, compiled: bool) -> tuple[Step, nn.Module]:
    """A step of a run, and the module that it trains."""
    machine = TorchMachine(plan, data, Team(device=device), compiled=compiled)
    events = execute(plan, machine)
    next(events)

    def make() -> None:
        while not isinstance(next(events), StepDone):
            pass

    return make, machine.body.net


def theirs(net: nn.Module, batches: list[tuple[Tensor, Tensor]], device: torch.device, compiled: bool) -> Step:
    """A step of another library's module in a plain loop that does the same work as ours."""
    net = net.to(device).train()
    parameters: list[Tensor] = list(net.parameters())
    matrices, vectors = ([p for p in parameters if (p.dim() > 1) == wanted] for wanted in (True, False))
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), fused=True)
    averages = [parameter.detach().clone() for parameter in parameters]
    called: Any = torch.compile(net) if compiled else net
    done = 0

    def make() -> None:
        nonlocal done
        inputs, targets = batches[done % len(batches)]
        done += 1
        with autocast(device, torch.float32):
            output = called(inputs)
        logits = output if isinstance(output, Tensor) else output.logits
        loss = functional.cross_entropy(logits.float().flatten(0, -2), targets.flatten())
        loss.backward()  # type: ignore[no-untyped-call]
        read = float(loss.detach())
        assert np.isfinite(read)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(averages, parameters, 0.01)

    return make


def variants(case: Vit | Llama, device: torch.device) -> tuple[dict[str, Step], dict[str, Any]]:
    """All variants that can be made here, and what is known of the case: its parameters, FLOPs, what is missing."""
    plan, data = plan_of(case), case.data(device)
    steps: dict[str, Step] = {}
    for name, compiled in (("ours", False), ("ours, compiled", True)):
        steps[name], net = ours(plan, data, device, compiled)
    about: dict[str, Any] = {"flops": plan.stages[0].cost, "parameters": {"ours": _parameters(net)}, "missing": {}}
    context = case.context if isinstance(case, Llama) else None
    batches = [data.batch(0, n, n * case.batch, case.batch, context, slice(0, case.batch)) for n in range(BATCHES)]
    for name, compiled in (("peer", False), ("peer, compiled", True)):
        try:
            peer = case.peer()
            about["parameters"]["peer"] = _parameters(peer)
            make = theirs(peer, batches, device, compiled)
            make()
        except Missing as missing:
            about["missing"][name] = str(missing)
        except Exception as error:
            # Another library's module, or the compiler on it, may fail in any way. Ours is measured all the same.
            about["missing"][name] = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            steps[name] = make
    return steps, about


def _parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def alternate(steps: Mapping[str, Step], device: torch.device, rounds: int, length: float) -> dict[str, list[float]]:
    """Seconds per step of each variant, one value a round. Each round begins with another variant, and takes about
    `length` seconds in each."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    count = {}
    for name, make in steps.items():
        for _ in range(WARM):
            make()
        count[name] = max(1, min(100, int(length / _seconds(make, 1, clock, device))))
    found: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            found[name].append(_seconds(steps[name], count[name], clock, device))
    return found


def _seconds(make: Step, count: int, clock: Callable[[], float], device: torch.device) -> float:
    """Seconds per step, with all work of the device done."""
    _settle(device)
    begun = clock()
    for _ in range(count):
        make()
    _settle(device)
    return max(1e-9, clock() - begun) / count


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def measured(name: str, device: torch.device, rounds: int, length: float) -> dict[str, Any]:
    """What a case measured: seconds per step, and the ratio of ours to the peer's in the same round, with and without
    compiling."""
    steps, about = variants(CASES[name], device)
    seconds = alternate(steps, device, rounds, length)
    ratios = {}
    for end in ("", ", compiled"):
        if f"peer{end}" in seconds:
            pairs = zip(seconds[f"ours{end}"], seconds[f"peer{end}"], strict=True)
            ratios[f"ours / peer{end}"] = spread([a / b for a, b in pairs])
    pairs = zip(seconds["ours, compiled"], seconds["ours"], strict=True)
    ratios["ours, compiled / ours"] = spread([a / b for a, b in pairs])
    return {
        "case": attrs.asdict(CASES[name]),
        **about,
        "clock": "wall" if device.type == "cuda" else "processor",
        "rounds": rounds,
        "seconds": {variant: spread(values) for variant, values in seconds.items()},
        "ratios": ratios,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--device", choices=["cpu", "cuda"], required=True)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each variant in a round")
    choices = parser.parse_args()
    if choices.device == "cpu":
        torch.set_num_threads(1)
    found = measured(choices.case, torch.device(choices.device), choices.rounds, choices.seconds)
    write_text(choices.out, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
