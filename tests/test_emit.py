"""Plans as settings of other trainers: what each trainer would do with them, step by step.

The small readers here follow the sources of the trainers, and share nothing with what writes the files.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from plans import toy_image_plan, toy_text_plan

import shapeflow
from shapeflow.base.diagnostics import Refused, Report
from shapeflow.cli import answer
from shapeflow.compiler import compile_file
from shapeflow.emitting.parts import Emitted
from shapeflow.ir.plan import Plan
from shapeflow.ir.steps import Steps
from shapeflow.transitions.batch_resize import BatchResize

ROOT = Path(__file__).parent.parent
FACTS: dict[str, Any] = {"model": "vit_tiny_patch16_224", "images": 320, "image_side": 8}
FACTORS = BatchResize(lr="sqrt")

Simulated = list[dict[str, float]]


@functools.cache
def plans(kind: str) -> dict[str, Plan]:
    """Plans of text, or of images: toy plans and all examples of that kind."""
    if kind == "text":
        legs = (
            ({"batch": 128, "context": 16}, 9),
            ({"batch": 256, "context": 32}, 8),
            ({"batch": 512, "context": 64}, 5),
        )
        down = (
            ({"batch": 512, "context": 64}, 6),
            ({"batch": 128, "context": 16}, 7),
            ({"batch": 128, "context": 32}, 6),
        )
        made = {
            "up": toy_text_plan(legs, batch=FACTORS),
            "down": toy_text_plan(down, batch=FACTORS),
            "ragged": toy_text_plan((({"batch": 128}, 3), ({"batch": 192}, 4), ({"batch": 384}, 4)), batch=FACTORS),
            "late": toy_text_plan((({"batch": 128}, 3), ({"batch": 512}, 4)), batch=FACTORS),
            "fall": toy_text_plan((({"batch": 512}, 4), ({"batch": 128}, 3), ({"batch": 256}, 5)), batch=FACTORS),
            "wider": toy_text_plan((({"batch": 128, "width": 32}, 4), ({"batch": 256, "width": 48}, 4)), batch=FACTORS),
        }
    else:
        made = {"patch": toy_image_plan((({"patch": 4, "depth": 2}, 10), ({"patch": 2, "depth": 3}, 5)))}
    for path in sorted([*ROOT.glob("examples/*.shape"), *ROOT.glob("examples/trainers/*.shape")]):
        plan = compile_file(path)
        if plan.runnable and plan.model is not None and plan.model.name == ("transformer" if kind == "text" else "vit"):
            made[path.stem] = plan
    return made


def options(line: str) -> dict[str, str]:
    words = shlex.split(line)
    return {word: after for word, after in itertools.pairwise(words) if word.startswith("-")}


def launches(found: Emitted) -> list[dict[str, str]]:
    return [options(line) for line in found.files["launch.sh"].splitlines() if line.startswith('"$@"')]


def megatron_schedule(launch: dict[str, str]) -> list[tuple[int, int]]:
    """NVIDIA/Megatron-LM d98e8a64, megatron/core/num_microbatches_calculator.py: (samples, batch), or one batch."""
    length, schedule = int(launch["--seq-length"]), launch.get("--step-batch-size-schedule")
    # `validate_args` refuses both.
    assert (schedule is None) == ("--global-batch-size" in launch)
    if schedule is None:
        return [(0, int(launch["--global-batch-size"]))]
    pairs = [tuple(int(float(part)) for part in entry.split(":")) for entry in schedule.split()]
    made = sorted((tokens // length, size) for tokens, size in pairs)
    assert made[0][0] == 0
    assert all(one[0] < two[0] for one, two in itertools.pairwise(made))
    return made


def megatron_steps(launch: dict[str, str]) -> int:
    """megatron/training/training.py, `update_train_iters`: steps from the first one of the first launch."""
    samples, schedule = int(launch["--train-samples"]), megatron_schedule(launch)
    if "--step-batch-size-schedule" not in launch:
        return samples // schedule[0][1]
    steps = consumed = 0
    while consumed < samples:
        consumed += [size for threshold, size in schedule if consumed >= threshold][-1]
        steps += 1
    return steps


def megatron(found: Emitted, plan: Plan) -> Simulated:
    """megatron/training/training.py, `train`: a launch goes on from the steps and the samples of the checkpoint, up to
    its steps, and stops with an error where micro-batches become fewer."""
    done, consumed, made, decay = 0, 0, Simulated(), None
    for launch in launches(found):
        schedule, size = megatron_schedule(launch), 0
        # `OptimizerParamScheduler.load_state_dict` compares what depends on `--train-samples`, unless it is overridden.
        assert not done or "--override-opt-param-scheduler" in launch
        assert decay in (None, launch["--lr-decay-samples"])
        decay = launch["--lr-decay-samples"]
        while done < megatron_steps(launch):
            last, size = size, [size for threshold, size in schedule if consumed >= threshold][-1]
            assert size >= last
            made.append({"samples": size, "context": int(launch["--seq-length"])})
            done, consumed = done + 1, consumed + size
        # The data set has as many samples as the launch states, and its sampler begins at those that are consumed.
        assert consumed == int(launch["--train-samples"])
    return made


def olmo_core(found: Emitted, plan: Plan) -> Simulated:
    """allenai/OLMo-core fa6c5014, src/olmo_core/train/callbacks/batch_size_scheduler.py: before each batch, the last
    event that is due is applied, and an increase only where the batches that are done divide by the ratio."""
    text = found.files["callback.py"]
    sizes = json.loads(re.findall(r"batch_sizes=(\[.*\])", text)[0])
    events = list(zip(sizes, map(int, re.findall(r"tokens\((\d+)\)", text)), strict=True))
    current, batches, tokens, rate, made = sizes[0], 0, 0, 1.0, Simulated()
    for one, two in itertools.pairwise(sizes):
        assert max(one, two) % min(one, two) == 0
    for _ in range(plan.steps):
        target = [size for size, start in events if tokens >= start][-1]
        if target < current or (target > current and batches % (target // current) == 0):
            batches, rate, current = batches * current // target, rate * (target / current) ** 0.5, target
        made.append({"batch": current, "factor": rate})
        batches, tokens = batches + 1, tokens + current
    return made


def deepspeed(found: Emitted, plan: Plan) -> Simulated:
    """deepspeedai/DeepSpeed 5674e63b, deepspeed/runtime/data_pipeline/curriculum_scheduler.py: `update_difficulty` is
    called with the number of the step, from 1, and stops at the longest."""
    space: dict[str, Any] = {}
    exec(found.files["batches.py"], space)  # noqa: S102 - It was written a line above.
    sizes: list[int] = []
    engine = type("Engine", (), {"global_steps": 0, "set_train_batch_size": staticmethod(sizes.append)})()
    config = json.loads(found.files.get("ds_config.json", "{}")).get("curriculum_learning")
    current, made = config["min_difficulty"] if config else 0, Simulated()
    for step in range(plan.steps):
        engine.global_steps = step
        space["before_step"](engine)
        if config and current < config["max_difficulty"]:
            ends = [*config["schedule_config"]["max_step"], plan.steps]
            current = next(
                size for size, end in zip(config["schedule_config"]["difficulty"], ends, strict=True) if step + 1 <= end
            )
        made.append({"samples": sizes[-1], **({"context": current} if config else {})})
    return made


def modded_nanogpt(found: Emitted, plan: Plan) -> Simulated:
    """KellerJordan/modded-nanogpt f411b3d3, train_gpt.py: a stage ends at the rounded sum of durations, times the
    scheduled steps."""
    rows = re.findall(
        r"duration=(\d+) / (\d+), .*seq_len=(\d+), batch_size=(\d+).*lr_mul=([\d.e-]+)",
        next(iter(found.files.values())),
    )
    made, total = Simulated(), 0.0
    for part, whole, context, batch, factor in rows:
        total += int(part) / int(whole)
        end = round(total * plan.steps)
        row = {"context": int(context), "batch": int(batch), "factor": float(factor)}
        made += [row] * (end - len(made))
    return made


def torchtitan(found: Emitted, plan: Plan) -> Simulated:
    """pytorch/torchtitan b5bcd76c, torchtitan/trainer.py: a launch goes on from the step of its checkpoint up to
    `training.steps`."""
    made = Simulated()
    for launch in launches(found):
        row = {
            "batch": float(launch["--training.num_tokens_per_train_step"]),
            "context": float(launch["--training.max_context_length"]),
            "rate": float(launch["--optimizer.lr"]),
        }
        made += [row] * (int(launch["--training.steps"]) - len(made))
    return made


def timm(found: Emitted, plan: Plan) -> Simulated:
    """huggingface/pytorch-image-models aa4b5850, train.py: each launch makes `--epochs` passes, without the last
    incomplete batch."""
    made = Simulated()
    for launch in launches(found):
        batch = int(launch["-b"])
        made += [{"batch": batch, "rate": float(launch["--lr"])}] * (
            int(launch["--epochs"]) * (FACTS["images"] // batch)
        )
    return made


TARGETS: dict[str, tuple[str, Callable[[Emitted, Plan], Simulated]]] = {
    "megatron": ("text", megatron),
    "olmo-core": ("text", olmo_core),
    "deepspeed": ("text", deepspeed),
    "modded-nanogpt": ("text", modded_nanogpt),
    "torchtitan": ("text", torchtitan),
    "timm": ("images", timm),
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_does_what_the_plan_says_up_to_what_is_left_out(target: str) -> None:
    kind, simulate = TARGETS[target]
    whole = 0
    for name, plan in plans(kind).items():
        facts = FACTS if kind == "images" else {}
        found = shapeflow.emit(plan, target, partly=True, **facts)
        assert all(plan.digest in text and found.written_for in text for text in found.files.values() if text[0] == "#")
        made, steps = simulate(found, plan), Steps(plan)
        compared = ORDERING | ({"lr"} if made and "factor" in made[0] else set())
        until = min([each.step for each in found.left_out if each.what in compared], default=plan.steps)
        whole += until == plan.steps
        assert len(made) >= until, name
        for n in range(min(until, plan.steps)):
            step = steps.at(n)
            factor = plan.stages[step.stage].learning_rate
            meant = {
                "batch": step.batch,
                "samples": step.samples,
                "context": step.context,
                "factor": factor / plan.stages[0].learning_rate,
                "rate": step.rates.base * factor,
            }
            # As `pytest.approx`, which takes most of the time of this test.
            wrong = {key for key, has in made[n].items() if not math.isclose(has, meant[key], rel_tol=1e-6)}
            assert not wrong, f"{name}, step {n}: {made[n]} instead of {meant}"
    assert whole


ORDERING = {"batch", "context", "blends", "steps"}
"""What changes a step that is compared."""


def test_launches_of_megatron_end_where_the_stages_of_the_plan_do() -> None:
    """Thresholds are the samples before a switch times the length of the launch; the last launch ends with the plan."""
    several = 0
    for name, plan in plans("text").items():
        found, steps = shapeflow.emit(plan, "megatron", partly=True), Steps(plan)
        if any(each.what in ORDERING for each in found.left_out):
            continue
        samples = [0, *itertools.accumulate(steps.at(n).samples for n in range(plan.steps))]
        switches = [stage.first_step for stage in plan.stages]
        made, ends = launches(found), [0]
        for launch in made:
            ends.append(megatron_steps(launch))
            assert int(launch["--train-samples"]) == samples[ends[-1]], name
            length = steps.at(ends[-2]).context or 0
            thresholds = [int(entry.split(":")[0]) for entry in launch.get("--step-batch-size-schedule", "").split()]
            assert set(thresholds) <= {samples[n] * length for n in switches}, name
        assert set(ends[:-1]) <= set(switches), name
        assert ends[-1] == len(megatron(found, plan)) == plan.steps, name
        assert {launch["--lr-decay-samples"] for launch in made} == {str(samples[-1])}
        assert len({launch["--max-position-embeddings"] for launch in made}) == 1
        several += len(made) > 1
    assert several >= 3


@pytest.mark.parametrize(
    ("target", "name", "left"),
    [
        ("megatron", "fall", [("lr", 4), ("data order", 4)]),
        ("megatron", "up", [("lr", 9), ("data order", 9)]),
        ("megatron", "wider", [("width", 4), ("lr", 4)]),
        ("olmo-core", "late", [("batch", 3)]),
        ("olmo-core", "ragged", [("batch", 3)]),
        ("olmo-core", "down", [("context", 6)]),
        ("deepspeed", "down", [("context", 6), ("lr", 6)]),
        ("modded-nanogpt", "up", []),
        ("torchtitan", "down", []),
    ],
)
def test_what_a_target_cannot_carry(target: str, name: str, left: list[tuple[str, int]]) -> None:
    plan, report = plans("text")[name], Report()
    found = shapeflow.emit(plan, target, partly=True, report=report)
    said = [(each.what, each.step) for each in found.left_out]
    assert set(left) <= set(said)
    assert (not left) == (not said)
    assert [each.severity for each in report.diagnostics] == ["warning"] * len(said)
    for each in found.left_out:
        assert any(f"LEFT OUT from step {each.step} " in text and each.why in text for text in found.files.values())
    if said:
        with pytest.raises(Refused) as caught:
            shapeflow.emit(plan, target)
        assert [each.code for each in caught.value.diagnostics] == ["not-carried"] * len(said)


def refusals(plan: Plan, target: str, **facts: Any) -> list[str]:
    with pytest.raises(Refused) as caught:
        shapeflow.emit(plan, target, partly=True, **facts)
    return [each.code for each in caught.value.diagnostics]


def test_refusals() -> None:
    text, images = plans("text")["up"], plans("images")["patch"]
    assert refusals(text, "megatrom") == ["unknown-target"]
    assert refusals(text, "timm", **FACTS) == ["cannot-emit"]
    assert all(refusals(images, target) == ["cannot-emit"] for target in TARGETS if target != "timm")
    assert refusals(text, "megatron", images=3) == ["cannot-emit"]
    assert refusals(images, "timm", **{**FACTS, "model": "x; rm"}) == ["cannot-emit"]
    assert set(refusals(images, "timm")) == {"missing-fact"}
    assert refusals(attrs.evolve(text, model=None), "megatron") == ["no-model"]


def test_a_name_does_not_end_a_comment() -> None:
    plan = attrs.evolve(plans("text")["up"], name="a\ntouch x")
    text = shapeflow.emit(plan, "torchtitan").files["launch.sh"]
    assert not any(line.startswith("touch") for line in text.splitlines())


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["emit", str(ROOT / "examples/lm_context.shape"), "--to", "megatron", "-o", str(tmp_path / "out")]
    assert answer(words) == 1
    assert "not-carried" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert answer([*words, "--partly"]) == 0
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["launch.sh"]
    assert answer([*words, "--partly"]) == 1
    assert "folder-in-use" in capsys.readouterr().err
