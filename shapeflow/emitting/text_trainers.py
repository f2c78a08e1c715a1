"""Settings of trainers of language models. Each function follows the sources that its `VERSION` names."""

from __future__ import annotations

import itertools
import json

from shapeflow.emitting.parts import (
    Emitted,
    Facts,
    LeftOut,
    Stretch,
    head,
    not_carried,
    require_text,
    samples_before,
    stretches,
)
from shapeflow.ir.plan import Plan
from shapeflow.ir.steps import Steps

MEGATRON = "Megatron-LM core 0.20 (NVIDIA/Megatron-LM d98e8a64)"
OLMO = "OLMo-core 2.5.0 (allenai/OLMo-core fa6c5014)"
DEEPSPEED = "DeepSpeed 0.19.6 (deepspeedai/DeepSpeed edaa7221)"
MODDED = "modded-nanogpt (KellerJordan/modded-nanogpt f411b3d3)"
TITAN = "torchtitan (pytorch/torchtitan b5bcd76c)"

SHELL = "#!/usr/bin/env bash\n"
EXACT = 2**53
"""Megatron reads thresholds as floats, which are exact up to here."""

MEGATRON_NOTES = [
    "Use: CHECKPOINTS=folder bash launch.sh torchrun ... pretrain_gpt.py --micro-batch-size ... --save-interval "
    "... --data-path ...",
    "Do not give --global-batch-size next to --step-batch-size-schedule, nor --train-iters, --lr-decay-iters and "
    "--lr-warmup-iters next to --train-samples: Megatron refuses both.",
    "Positions: use --position-embedding-type rope; learned ones of a later length are not trained before it.",
    "Learning rate: what you give, the same in all launches; no factor for a batch. Megatron counts its warm-up "
    "(--lr-warmup-samples) and its decay in samples, and a plan in steps.",
]


def megatron(plan: Plan, facts: Facts) -> Emitted:
    """One launch for each stretch of one context in which the batch does not fall, with a schedule of the batch.

    Megatron divides the thresholds by `--seq-length` and compares them with the sequences that all launches together
    have consumed. So they are the sequences before a switch, times the length of this launch. A launch ends after
    `--train-samples` of all launches, which it converts to steps by its own schedule from 0 on: so that of a launch
    holds the batches of all earlier ones. `--train-iters` would not do: next to a schedule, Megatron then sizes its
    data and the decay of its rate by one micro-batch of each process."""
    require_text(plan, "Megatron-LM")
    left = not_carried(plan, {"batch", "context"})
    parts, lines = stretches(plan, "batch", "context"), list[str]()
    before, launches = samples_before(plan, parts), _rising(parts)
    longest, total = max(part.step.context or 1 for part in parts), before[-1] + _samples(parts[-1])
    for number, launch in enumerate(launches):
        length, last = launch[0].step.context or 1, parts.index(launch[-1])
        pairs: list[tuple[int, int]] = []
        for at, part in zip(before, parts[: last + 1], strict=False):
            if not pairs or pairs[-1][1] != part.step.samples:
                pairs.append((at * length, part.step.samples))
        if pairs[-1][0] > EXACT:
            left.append(
                LeftOut("batch", "its thresholds are read as floats, and this one is not exact", launch[0].first)
            )
        schedule = " ".join(f"{threshold}:{samples}" for threshold, samples in pairs)
        batch = f"--step-batch-size-schedule '{schedule}'" if len(pairs) > 1 else f"--global-batch-size {pairs[0][1]}"
        # Without the second, Megatron compares `--train-samples` with that of the launch before, and stops.
        load = '--load "$CHECKPOINTS" --override-opt-param-scheduler ' if number else ""
        lines.append(
            f'"$@" {batch} --seq-length {length} --max-position-embeddings {longest} '
            f"--train-samples {before[last] + _samples(launch[-1])} --lr-decay-samples {total} "
            f'{load}--save "$CHECKPOINTS"\n'
        )
    if len(launches) > 1:
        why = "each launch builds its index of samples again, so data may repeat or be skipped"
        left.append(LeftOut("data order", why, launches[1][0].first))
    text = (
        SHELL
        + head(plan, MEGATRON, left, MEGATRON_NOTES)
        + 'set -euo pipefail\n: "${CHECKPOINTS:?a folder}"\n'
        + "".join(lines)
    )
    return Emitted("megatron", MEGATRON, {"launch.sh": text}, tuple(left))


def _samples(part: Stretch) -> int:
    return (part.last - part.first) * part.step.samples


def _rising(parts: list[Stretch]) -> list[list[Stretch]]:
    """Launches of Megatron: it keeps one length, and stops where the number of micro-batches falls."""
    launches: list[list[Stretch]] = []
    for part in parts:
        last = launches[-1][-1].step if launches else None
        if last is None or part.step.context != last.context or part.step.samples < last.samples:
            launches.append([])
        launches[-1].append(part)
    return launches


def olmo_core(plan: Plan, facts: Facts) -> Emitted:
    """Arguments of its `BatchSizeSchedulerCallback`. It postpones an increase until the batches that are done divide by
    the ratio, and takes only whole ratios."""
    require_text(plan, "OLMo-core")
    left, parts = not_carried(plan, {"batch"}, {"shape"}), stretches(plan, "batch")
    tokens, done, steps = 0, 0, Steps(plan)
    for one, two in itertools.pairwise(parts):
        tokens += (one.last - one.first) * one.step.batch
        small, large = sorted((one.step.batch, two.step.batch))
        if large % small:
            why = f"from {one.step.batch} to {two.step.batch} tokens is not a whole factor, which it refuses"
            left.append(LeftOut("batch", f"{why}: it stays at {one.step.batch}", two.first))
            parts = parts[: parts.index(two)]
            break
        # Its loader counts batches of the current size, so a change of size converts the count.
        done = tokens // one.step.batch
        late = -done % (large // small) if two.step.batch > one.step.batch else 0
        if late:
            why = (
                f"the increase comes {late} steps late, since it waits until {done} batches divide by {large // small}"
            )
            left.append(LeftOut("batch", why, two.first))
    left += _not_square_root(plan, parts)
    sizes = ", ".join(str(each.step.batch) for each in parts)
    when = ", ".join(f"Duration.tokens({steps.at(each.first).before})" for each in parts)
    notes = [
        "Learning rate: the callback multiplies it by sqrt(new batch / old batch), whatever the plan says.",
        "A scheduler that decays must count tokens (units) or have a t_max of its own.",
        f"Sequence length: {parts[0].step.context}; its sequence length callback has one ramp, and no stages.",
    ]
    text = head(plan, OLMO, left, notes)
    text += "from olmo_core.train import Duration\nfrom olmo_core.train.callbacks import BatchSizeSchedulerCallback\n\n"
    text += f"callback = BatchSizeSchedulerCallback(\n    batch_sizes=[{sizes}],\n    schedule=[{when}],\n)\n"
    return Emitted("olmo-core", OLMO, {"callback.py": text}, tuple(left))


def _not_square_root(plan: Plan, parts: list[Stretch]) -> list[LeftOut]:
    """Where the rate of the plan is not that of the square root of the batch, relative to the first stage."""
    first = parts[0].step
    for stage in plan.stages:
        batch = stage.batch or first.batch
        given = stage.learning_rate / plan.stages[0].learning_rate
        if abs(given - (batch / first.batch) ** 0.5) > 1e-9:
            why = f"its factor is the square root of the batch, {(batch / first.batch) ** 0.5:.4g}, not {given:.4g}"
            return [LeftOut("lr", why, stage.first_step)]
    return []


def deepspeed(plan: Plan, facts: Facts) -> Emitted:
    """A curriculum of lengths, and a function that sets the batch before each step."""
    require_text(plan, "DeepSpeed")
    left, parts = not_carried(plan, {"batch", "context"}), stretches(plan, "context")
    lengths = [each.step.context or 0 for each in parts]
    rising = all(one < two for one, two in itertools.pairwise(lengths))
    for one, two in itertools.pairwise(parts):
        if (two.step.context or 0) < (one.step.context or 0):
            why = "its curriculum never goes down, and stops at the longest"
            left.append(LeftOut("context", why, two.first))
            break
    files: dict[str, str] = {}
    notes = [
        "Learning rate: that of your optimizer and scheduler; DeepSpeed has no factor for a batch.",
        "forward() gets `curriculum_seqlen`, and must fold or cut its batch to it; cut tokens are not trained on.",
    ]
    if len(parts) > 1 and rising:
        schedule = {"difficulty": lengths, "max_step": [each.last for each in parts[:-1]]}
        curriculum = {
            "enabled": True,
            "curriculum_type": "seqlen",
            "min_difficulty": lengths[0],
            "max_difficulty": lengths[-1],
            "schedule_type": "fixed_discrete",
            "schedule_config": schedule,
        }
        files["ds_config.json"] = json.dumps({"curriculum_learning": curriculum}, indent=2) + "\n"
        notes.append("Merge ds_config.json into your configuration.")
    rows = [(each.first, each.step.samples) for each in stretches(plan, "samples")]
    files["batches.py"] = (
        head(plan, DEEPSPEED, left, notes)
        + f"BATCHES = {rows!r}\n"
        + '"""(first step, sequences of a step in all processes together)"""\n\n\n'
        + "def before_step(engine):\n"
        + '    """Call this before each step."""\n'
        + "    engine.set_train_batch_size([size for first, size in BATCHES if first <= engine.global_steps][-1])\n"
    )
    return Emitted("deepspeed", DEEPSPEED, files, tuple(left))


def modded_nanogpt(plan: Plan, facts: Facts) -> Emitted:
    """Its table of stages. Durations are shares of the scheduled steps; the last row is of the extension, which is not
    used."""
    require_text(plan, "modded-nanogpt")
    left = not_carried(plan, {"batch", "context"}, {"shape"})
    parts, rows = _rated(plan), list[str]()
    first = plan.stages[0].learning_rate
    for number, (part, factor) in enumerate(parts):
        rows.append(
            f"    TrainingStage(duration={part.last - part.first} / {plan.steps}, "
            f"train_max_seq_len={part.step.context}, batch_size={part.step.batch}, window_sizes=WINDOWS[{number}], "
            f"lr_mul={factor / first!r}, mtp_weights_start=[1.0], mtp_weights_end=[1.0]),\n"
        )
    last = parts[-1][0].step
    rows.append(
        f"    TrainingStage(train_max_seq_len={last.context}, batch_size={last.batch}, window_sizes=WINDOWS[-1], "
        f"lr_mul={parts[-1][1] / first!r}, mtp_weights_start=[1.0], mtp_weights_end=[1.0]),  # the extension\n"
    )
    notes = [
        f"Set num_scheduled_iterations = {plan.steps} and num_extension_iterations = 0.",
        f"Define WINDOWS, the attention windows of the {len(parts)} stages: the plan does not have any.",
        "Learning rate: lr_mul is the plan's factor for the shape; its own cooldown multiplies it.",
    ]
    text = head(plan, MODDED, left, notes) + "TRAINING_STAGES = [\n" + "".join(rows) + "]\n"
    return Emitted("modded-nanogpt", MODDED, {"stages.py": text}, tuple(left))


def _rated(plan: Plan) -> list[tuple[Stretch, float]]:
    """The stretches of one batch and context, each with its factor of the learning rate."""
    parts = stretches(plan, "batch", "context")
    return [(part, plan.stages[plan.stage_at(part.first + 1)].learning_rate) for part in parts]


def torchtitan(plan: Plan, facts: Facts) -> Emitted:
    """One launch for each stretch of one batch and context: both are fixed when it starts."""
    require_text(plan, "torchtitan")
    settings = {} if plan.optimizer is None else plan.optimizer.settings
    left = not_carried(plan, {"batch", "context"}, {"shape"})
    lines = [
        f'"$@" --training.steps {part.last} --training.max_context_length {part.step.context} '
        f"--training.num_tokens_per_train_step {part.step.batch} --lr_scheduler.total_steps {plan.steps} "
        f"--optimizer.lr {float(settings.get('lr', 1.0)) * factor!r} --checkpoint.enable\n"
        for part, factor in _rated(plan)
    ]
    notes = [
        "Use: bash launch.sh ./run_train.sh --training.num_tokens_per_microbatch_per_dp_rank ...",
        "Each launch goes on from the checkpoint of the one before, in the same --dump_folder.",
        "Learning rate: the plan's base times its factor for the shape, for each launch. A loaded optimizer state may "
        "keep the rate of the launch before: check the first logged rate.",
        "The names were compared with its configuration classes; no launch was run.",
    ]
    text = SHELL + head(plan, TITAN, left, notes) + "set -euo pipefail\n" + "".join(lines)
    return Emitted("torchtitan", TITAN, {"launch.sh": text}, tuple(left))
