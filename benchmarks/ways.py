"""The experiments of `transitions.py`: models and data, axes, and all ways to switch that are measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs


@attrs.frozen
class Moved:
    """An axis: its values before and after the switch, and its transition with settings."""

    before: str
    after: str
    via: str
    settings: str = ""


@attrs.frozen
class Setting:
    """A model and data to train, and the axes along which it can switch."""

    name: str
    trained: str
    axes: Mapping[str, Moved]
    switched: Sequence[str]


@attrs.frozen
class Row:
    """One way to switch. `settings`: settings of the axis's transition. `rule`: the rule for the optimizer's state, or
    for the learning rate if the batch changes. `scratch`: train from scratch in the shape after the switch, without a
    trunk."""

    group: str
    rule: str
    axis: str | None = None
    settings: str = ""
    scratch: bool = False


RATE = "lr: 2e-3,"
DIGITS = (
    "data digits(batch: 64)\nmetric cross_entropy\n"
    f"optimizer adamw({RATE} beta2: 0.999, weight_decay: 0.01, warmup: 50 steps)\n"
)
BYTES = (
    "model transformer(head_width: 16)\ndata python_source(batch: 512 tokens)\nobjective next_token\n"
    f"optimizer adamw({RATE} beta2: BETA, warmup: 50 steps)\nmetric loss(context: own)\n"
)
DEPTH = Moved("2", "4", "depth_expand")
OF_BYTES = {
    "depth": DEPTH,
    "width": Moved("32", "64", "width_expand"),
    "batch": Moved("512 tokens", "2048 tokens", "batch_resize"),
    "context": Moved("32 tokens", "128 tokens", "context_grow"),
}
OF_DIGITS = {
    "depth": DEPTH,
    "width": Moved("16", "32", "width_expand"),
    "patch": Moved("4 px", "2 px", "flexi_resize", "base: 4 px, grid: 4"),
    "batch": Moved("64", "256", "batch_resize"),
}
TEACHER = (
    "model vit(depth: 2, patch: 4 px, head_width: 8)\nobjective cross_entropy\nbudget 600 steps\n"
    "axis width in [64] via width_expand\nstage (width: 64) until end\n"
)
SETTINGS = (
    Setting("digits", "model vit(head_width: 8)\nobjective cross_entropy\n" + DIGITS, OF_DIGITS, tuple(OF_DIGITS)),
    Setting("bytes", BYTES.replace("BETA", "0.95"), OF_BYTES, tuple(OF_BYTES)),
    Setting("bytes, beta2 0.999", BYTES.replace("BETA", "0.999"), OF_BYTES, ("width",)),
    Setting(
        "digits, resolution",
        DIGITS + "model vit(depth: 2, width: 16, patch: 2 px, head_width: 8)\nobjective cross_entropy\n",
        {"resolution": Moved("4 px", "8 px", "resolution_resize", "grid: 4")},
        ("resolution",),
    ),
    Setting(
        "digits, loss",
        DIGITS + "model vit(depth: 2, width: 16, patch: 4 px, head_width: 8)\n"
        'let taught = distill(teacher: "FOLDER/teacher.safetensors")\n',
        {"loss": Moved("cross_entropy", "taught", "loss_switch")},
        ("loss",),
    ),
)
REWARM = ", rewarm 50"
RESETS = ("reset", f"reset{REWARM}")
WAYS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "width": (
        ("init: normal, gamma: 0.25", "init: normal, gamma: 1", "init: preserve", "init: net2net"),
        ("fresh", "carry", "carry_raw", *RESETS),
    ),
    "depth": (("init: copyzero", "init: zero", "init: stack", "init: interleave"), ("fresh", *RESETS)),
    "patch": (("preview: 0%", "preview: 25%"), ("carry", "reset")),
    "resolution": (("preview: 0%", "preview: 25%"), ("carry", "reset")),
    "context": (("preview: 0%", "preview: 25%"), ("carry", "reset")),
    "loss": (("",), ("carry", *RESETS)),
}
"""Axis -> the settings of its transition and the optimizer-state rules to measure."""


def rows(setting: Setting) -> Iterator[Row]:
    """All ways to switch that are measured for a setting."""
    yield Row("no switch", "")
    for axis in (axis for axis in WAYS if axis in setting.switched):
        for way in WAYS[axis][0]:
            group = f"{axis}, {way}".removesuffix(", ").replace("init: ", "").replace(":", "")
            # At beta2 0.95, as in `bytes`, `fresh` and `carry_raw` are the same.
            yield from (Row(group, r, axis, way) for r in WAYS[axis][1] if r != "carry_raw" or setting.name != "bytes")
    if "batch" in setting.switched:
        yield from (Row("batch", rule, "batch", f"lr: {rule}") for rule in ("keep", "sqrt", "linear"))
    for axis in (axis for axis in setting.switched if len(setting.switched) > 1 and axis != "batch"):
        yield Row("from scratch", f"{axis} {setting.axes[axis].after}", axis, scratch=True)
