"""Estimated memory against measured peaks, on the CPU.

    python benchmarks/memory.py

Six shapes, each with all samples at once, in micro-batches, and with blocks computed again in the backward pass
(`--checkpoint-activations`). Measured is the largest number of bytes that torch's CPU allocator had given out at once
during two steps of the torch machine, model included, and during one evaluation: the sum of all allocations and
frees that `torch.profiler` records. The estimate is `Need.memory` of `shapeflow/ir/memory.py`, as `shapeflow simulate`
prints it.

The last column is what the loss of text keeps for the backward pass, in bytes for each token of a micro-batch and entry
of the vocabulary: all that stays allocated after the forward pass, without what the blocks keep and without the
gradient of the head, which any backward pass makes. A loss at once keeps 4 or more; one in parts at most 0.5.
"""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "5")

import attrs
import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

import shapeflow
from shapeflow.ir.memory import Choices
from shapeflow.ir.plan import Plan
from shapeflow.running.memory import memories
from shapeflow_torch.data import Data
from shapeflow_torch.data.photographs import photographs
from shapeflow_torch.data.windows import Windows
from shapeflow_torch.losses import Saving, cut, is_large, loss_of
from shapeflow_torch.machine import TorchMachine

CPU = torch.device("cpu")
END = """
optimizer adamw(lr: 1e-4)
stage (width: {width}) until end
budget 1000 steps
evaluate every 1000 steps
checkpoint every 1000 steps
"""
TEXT = """
model transformer(depth: {depth}, head_width: 32, kv_ratio: {kv}, context: {context} tokens{more})
data tokens("none.bin", vocabulary: {vocabulary}, batch: {batch} tokens)
objective next_token
metric loss(context: own)
axis width in [{width}] via width_expand
"""
IMAGES = """
model vit(depth: {depth}, head_width: 32, patch: {patch} px{more})
data image_folder("none", classes: 100, image: {image} px, batch: {batch})
objective cross_entropy
metric cross_entropy
axis width in [{width}] via width_expand
"""


@attrs.frozen
class Case:
    name: str
    text: str
    micro_batch: int

    def plan(self) -> Plan:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "m.shape")
            path.write_text(self.text)
            return shapeflow.compile(path)


def language(width: int, depth: int, context: int, windows: int, vocabulary: int, kv: int = 1, more: str = "") -> Case:
    values = {"width": width, "depth": depth, "context": context, "vocabulary": vocabulary, "kv": kv, "more": more}
    text = (TEXT + END).format(**values, batch=windows * context)
    return Case(
        f"{width} x {depth}, {windows} x {context} tokens, vocabulary {vocabulary:,}", text, max(1, windows // 4)
    )


def vision(width: int, depth: int, image: int, patch: int, batch: int, more: str = "") -> Case:
    values = {"width": width, "depth": depth, "image": image, "patch": patch, "batch": batch, "more": more}
    return Case(
        f"{width} x {depth}, {batch} images, {(image // patch) ** 2} patches",
        (IMAGES + END).format(**values),
        batch // 4,
    )


CASES = (
    language(128, 4, 128, 16, 256),
    language(256, 6, 256, 8, 8_192, kv=2),
    language(192, 2, 512, 8, 32_000, more=", tied: false"),
    language(512, 2, 64, 4, 512),
    vision(192, 6, 64, 8, 32),
    vision(384, 4, 64, 16, 16, more=", pool: cls, registers: 4"),
)


def data_of(plan: Plan) -> Data:
    """Random data of the right form, in memory."""
    numbers = np.random.default_rng(0)
    settings = plan.data.settings if plan.data is not None else {}
    if "vocabulary" in settings:
        context = int(plan.slots["context"])
        tokens = numbers.integers(0, settings["vocabulary"], 30_000).astype(np.uint16)
        return Windows(tokens[:-9_000], tokens[-9_000:], settings["vocabulary"], {}, [context], CPU)
    side = settings["image"]
    images = torch.from_numpy(numbers.integers(0, 256, (512, 3, side, side)).astype(np.uint8))
    classes = torch.from_numpy(numbers.integers(0, settings["classes"], 512))
    return photographs((images, classes), (images, classes), {}, {"crop": 1.0, "mirror": False}, CPU)


def peak(run: Callable[[], object]) -> int:
    """The most bytes that torch's allocator had given out at once while a function ran, in addition to those before."""
    return int(allocated(run).max())


def kept(run: Callable[[], object]) -> int:
    """The bytes that are still given out when a function has returned, while its result is held."""
    return int(allocated(run)[-1])


def allocated(run: Callable[[], object]) -> np.ndarray:
    """The bytes that torch's allocator had given out after each allocation and free of a function, in addition to
    those before it."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as made:
        result = run()
    del result
    events = [one for one in made.profiler.kineto_results.events() if one.name() == "[memory]"]
    return np.cumsum([one.nbytes() for one in sorted(events, key=lambda one: one.start_ns())])


def of_loss(machine: TorchMachine, saving: Saving) -> float | None:
    """The bytes that the loss of text keeps for the backward pass, for each token and entry of the vocabulary."""
    stage, net = machine.plan.stages[0], machine.body.net
    if machine.context is None:
        return None
    asked, _ = next(cut(machine._asked(stage, 0), saving.largest(stage.shape)))
    objective, head = machine._objectives[machine.objective], net.head.weight
    machine.body.optimizer.zero_grad()
    features = kept(lambda: net.features(asked.inputs))
    whole = kept(lambda: loss_of(net, asked, asked.inputs, objective, machine._autocast))
    entries = asked.targets.numel() * len(head)
    in_parts = is_large(asked.targets, net)
    return (whole - features - (head.nbytes if in_parts else 0)) / entries


def measured(plan: Plan, data: Data, saving: Saving) -> tuple[int, int, float | None]:
    """The peaks of steps and of an evaluation, and what a loss keeps."""
    machines: list[TorchMachine] = []

    def steps() -> None:
        machine, stage = TorchMachine(plan, data, saving=saving), plan.stages[0]
        machine.take(stage)
        machine.look(stage.reading)
        for step in range(2):
            machine.step(stage, step, 0.0)
        machines.append(machine)

    largest = peak(steps)
    (machine,) = machines
    state = [one.values() for one in machine.body.optimizer.state.values()]
    tensors = [
        *machine.body.net.parameters(),
        *machine.body.averages.values(),
        *(t for values in state for t in values),
    ]
    evaluation = sum(one.nbytes for one in tensors) + peak(lambda: machine.measure(plan.stages[0]))
    return largest, evaluation, of_loss(machine, saving)


def main() -> None:
    torch.set_num_threads(1)
    three = f"{'estimated':>11} {'measured':>10} {'error':>8}"
    print(f"{'shape':44} {'':20} {'a step, MB':>22} {'':8} {'evaluation, MB':>22} {'':8} {'loss, bytes':>11}")
    print(f"{'':65} {three} {three} {'an entry':>11}")
    worst = 0.0
    for case in CASES:
        plan = case.plan()
        data = data_of(plan)
        for words, micro, recompute in (
            ("whole", None, False),
            (f"{case.micro_batch} at once", case.micro_batch, False),
            ("blocks again", None, True),
            ("both", case.micro_batch, True),
        ):
            (found,) = memories(plan, Choices("cpu", 1, micro, recompute))
            step, evaluation, loss = measured(plan, data, Saving(micro, recompute))
            row = ""
            for estimated, real in ((found.step, step), (found.evaluation, evaluation)):
                row += f" {estimated / 1e6:11.1f} {real / 1e6:10.1f} {estimated / real - 1:+8.1%}"
                worst = max(worst, abs(estimated / real - 1))
            print(f"{case.name:44} {words:20}{row} {'-' if loss is None else f'{loss:.2f}':>11}", flush=True)
    print(f"\nlargest error: {worst:.1%}")


if __name__ == "__main__":
    main()
