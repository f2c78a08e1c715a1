"""Launches of timm's `train.py`."""

from __future__ import annotations

from shapeflow.base.diagnostics import Diagnostic, Refused
from shapeflow.emitting.parts import Emitted, Facts, LeftOut, head, not_carried, stretches
from shapeflow.ir.plan import Plan
from shapeflow.ir.rates import warmup
from shapeflow.ir.steps import Steps

VERSION = "timm 1.0.31 train.py (huggingface/pytorch-image-models aa4b5850)"


def timm(plan: Plan, facts: Facts) -> Emitted:
    """One launch for each stretch of one batch, resolution and patch. Raises Refused `cannot-emit`, `missing-fact`."""
    first = Steps(plan).at(0)
    if first.patch is None:
        message, help_ = "the plan does not train a vision transformer", "text: `--to megatron`, or another trainer"
        raise Refused(Diagnostic("cannot-emit", message, place=plan.name, help=help_))
    images, model = _given(facts, first.resolution)
    base = float(({} if plan.optimizer is None else plan.optimizer.settings).get("lr", 1.0))
    left, lines = not_carried(plan, {"batch", "resolution", "patch"}, {"shape"}), list[str]()
    parts = stretches(plan, "batch", "resolution", "patch")
    for number, part in enumerate(parts):
        step, count = part.step, part.last - part.first
        # Its loader drops the last, smaller batch of an epoch.
        epochs, over = divmod(count, images // step.batch) if images >= step.batch else (0, count)
        if over or not epochs:
            why = (
                f"{count} steps are not whole epochs of {images // step.batch} steps; the launch makes {epochs} epochs"
            )
            left.append(LeftOut("steps", why, part.first + (images // step.batch) * epochs))
        side = step.resolution or facts.image_side
        rate = base * plan.stages[plan.stage_at(part.first + 1)].learning_rate
        start = f' --pretrained --pretrained-path "$OUTPUT/stage{number}/last.pth.tar"' if number else ""
        lines.append(
            f'"$@" --model {model} -b {step.batch} --img-size {side} --model-kwargs img_size={side} '
            f"patch_size={step.patch} --epochs {epochs} --lr {rate!r} --warmup-epochs 0 --cooldown-epochs 0 "
            f'--sched step --decay-epochs 1000000 --output "$OUTPUT" --experiment stage{number + 1}{start}\n'
        )
    if len(parts) > 1:
        why = "each launch starts with empty moments, since `--resume` needs the same sizes"
        left.append(LeftOut("optimizer state", why, parts[1].first))
    moving = [("warm-up", warmup(plan) > 1), ("schedule", plan.schedule is not None), ("cooldown", bool(plan.cooldown))]
    left += [LeftOut(what, "it counts epochs, and each launch begins again", 0) for what, there in moving if there]
    notes = [
        "Use: OUTPUT=folder bash launch.sh python train.py --data-dir ... --opt adamw ... (one process: -b counts one)",
        "--model-kwargs gives the model its sizes: --img-size reaches the data only.",
        "--pretrained-path resamples kernel and positions to the new sizes; --initial-checkpoint would refuse them.",
        "Learning rate: constant in each launch, the plan's base times its factor for the shape.",
        "`--sched none` crashes, so a step that never comes stands in for it.",
    ]
    text = "#!/usr/bin/env bash\n" + head(plan, VERSION, left, notes)
    text += 'set -euo pipefail\n: "${OUTPUT:?a folder}"\n' + "".join(lines)
    return Emitted("timm", VERSION, {"launch.sh": text}, tuple(left))


def _given(facts: Facts, resolution: int | None) -> tuple[int, str]:
    """The number of images and the name of the model. Raises Refused `missing-fact` with all that is missing."""
    needed = {"model": facts.model, "images": facts.images}
    if resolution is None:
        needed["image_side"] = facts.image_side
    said = {
        "model": "timm's name of the model: `--model vit_small_patch16_224`",
        "images": "the number of training images: `--images 50000`",
        "image_side": "the side of the images in pixels: `--image-side 224`",
    }
    missing = [
        Diagnostic("missing-fact", f"timm needs `{name}`, which the plan does not know", place="emit", help=said[name])
        for name, value in needed.items()
        if value is None
    ]
    if facts.images is None or facts.model is None or missing:
        raise Refused(*missing)
    return facts.images, facts.model
