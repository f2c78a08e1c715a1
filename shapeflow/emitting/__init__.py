"""Plans as settings of other trainers. Nothing of a plan is left out without a diagnostic."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from shapeflow.base.diagnostics import Diagnostic, Refused, Report, did_you_mean
from shapeflow.emitting.parts import Emitted, Facts
from shapeflow.emitting.text_trainers import deepspeed, megatron, modded_nanogpt, olmo_core, torchtitan
from shapeflow.emitting.timm import timm
from shapeflow.ir.plan import Plan

TARGETS: Mapping[str, Callable[[Plan, Facts], Emitted]] = {
    "megatron": megatron,
    "olmo-core": olmo_core,
    "deepspeed": deepspeed,
    "modded-nanogpt": modded_nanogpt,
    "timm": timm,
    "torchtitan": torchtitan,
}


def emit(
    plan: Plan,
    target: str,
    *,
    partly: bool = False,
    model: str | None = None,
    images: int | None = None,
    image_side: int | None = None,
    report: Report | None = None,
) -> Emitted:
    """Return a plan as files of another trainer.

    `model`, `images`, `image_side`: facts that the plan does not know, for `timm`. `partly`: leave out what the target
    cannot do; each is then a warning in `report`, and a line in the files. Raises Refused `not-carried` with all of
    these otherwise, and `unknown-target`, `no-model`, `cannot-emit`, `missing-fact`."""
    if target not in TARGETS:
        close = did_you_mean(target, TARGETS)
        help_ = f"did you mean `{close}`?" if close else f"use one of {', '.join(TARGETS)}"
        raise Refused(Diagnostic("unknown-target", f"no target is called `{target}`", place="--to", help=help_))
    facts = Facts(model, images, image_side)
    if target != "timm" and (given := [name for name, value in attrs.asdict(facts).items() if value is not None]):
        message = f"`{given[0]}` is a fact for timm, and does nothing for {target}"
        raise Refused(Diagnostic("cannot-emit", message, place=given[0], help="leave it out"))
    if model is not None and not re.fullmatch(r"[A-Za-z0-9_.:/-]+", model):
        message = f"`{model}` is not the name of a model"
        raise Refused(
            Diagnostic("cannot-emit", message, place="model", help="write a name such as `vit_tiny_patch16_224`")
        )
    found = TARGETS[target](plan, facts)
    severity: Literal["error", "warning"] = "warning" if partly else "error"
    said = [
        Diagnostic(
            "not-carried",
            f"{target} cannot carry `{each.what}`, from step {each.step} of {plan.steps}",
            place=plan.name,
            notes=(each.why,),
            help=None if partly else "`--partly` leaves it out; `shapeflow.follow` carries the whole plan",
            severity=severity,
        )
        for each in found.left_out
    ]
    if said and not partly:
        raise Refused(*said)
    if report is not None:
        for each in said:
            report.add(each)
    return found
