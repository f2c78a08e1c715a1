"""Resolving a text: names, units, candidates, overrides."""

from __future__ import annotations

from pathlib import Path

import pytest
from sources import BY_HAND, IMAGES, LAWS_ONLY, PATCHES, TEXTS, TWO_LAWS, compiled, refused, resolved

from shapeflow.base.shapes import Shape
from shapeflow.base.units import Amount
from shapeflow.ir.edits import Swap
from shapeflow.ir.route import END, Share

AXES = IMAGES.replace("width: 32, heads: 2", "head_width: 16") + (
    "axis patch in [4, 2] px via flexi_resize(base: 4 px)\naxis width in [32, 48, 64] via width_expand\n"
    "traversal evenly\nbudget 600 steps\n"
)


def codes(folder: Path, text: str, *sentences: str) -> list[str]:
    return [one.code for one in refused(folder, text, *sentences)]


# let and use


def test_a_let_can_replace_any_value(tmp_path: Path) -> None:
    plain = resolved(tmp_path, BY_HAND)
    named = resolved(
        tmp_path,
        "let base = side\nlet side = 4 px\nlet sizes = [4, 2] px\nlet much = 600 steps\nlet part = 40%\n"
        + BY_HAND.replace("base: 4 px", "base: base")
        .replace("[4, 2] px", "sizes")
        .replace("600 steps", "much")
        .replace("until 40%", "until part")
        .replace("stage (patch: 4 px)", "stage (patch: side)"),
    )
    assert named.by_hand == plain.by_hand
    assert named.budget == plain.budget
    assert named.axes[0].values == plain.axes[0].values
    assert named.axes[0].transition == plain.axes[0].transition


def test_a_let_may_name_a_component(tmp_path: Path) -> None:
    named = resolved(
        tmp_path, "let mover = flexi_resize(base: 4 px)\n" + BY_HAND.replace("flexi_resize(base: 4 px)", "mover")
    )
    assert named.axes[0].transition == resolved(tmp_path, BY_HAND).axes[0].transition


@pytest.mark.parametrize("lets", ["let a = a", "let a = b\nlet b = a", "let a = b\nlet b = c\nlet c = b"])
def test_a_let_that_leads_back_to_itself(tmp_path: Path, lets: str) -> None:
    assert codes(tmp_path, lets + "\n" + BY_HAND.replace("base: 4 px", "base: a")) == ["circular-let"]


def test_a_used_file_brings_its_lets_under_a_name(tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common/sizes.shape").write_text(
        "let side = 4 px\nlet same = side\nlet mover = flexi_resize(base: same)\n"
    )
    text = 'use "common/sizes.shape" as sizes\n' + BY_HAND.replace("base: 4 px", "base: sizes.same")
    assert resolved(tmp_path, text).axes[0].transition.base == 4


def test_names_of_a_used_file_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "sizes.shape").write_text("let side = 4 px\nlet same = side\n")
    text = 'let side = 2 px\nuse "sizes.shape" as sizes\n' + BY_HAND.replace("base: 4 px", "base: sizes.same")
    assert resolved(tmp_path, text).axes[0].transition.base == 4
    assert codes(tmp_path, 'use "sizes.shape" as sizes\n' + BY_HAND.replace("base: 4 px", "base: same")) == [
        "unknown-name"
    ]


@pytest.mark.parametrize("path", ["../sizes.shape", "/tmp/sizes.shape", "a/../../sizes.shape"])
def test_a_used_file_may_not_be_outside_the_folder(tmp_path: Path, path: str) -> None:
    assert codes(tmp_path, f'use "{path}" as sizes\n' + BY_HAND) == ["path-outside"]


def test_a_used_file_may_use_none_itself(tmp_path: Path) -> None:
    (tmp_path / "sizes.shape").write_text('use "a.shape" as back\nlet side = 4 px\n')
    assert codes(tmp_path, 'use "sizes.shape" as sizes\n' + BY_HAND) == ["not-a-let"]


# sentences of the command line


def test_sentences_of_the_command_line_replace_those_of_the_file(tmp_path: Path) -> None:
    program = resolved(tmp_path, "seed 1\n" + BY_HAND, "seed 2", "budget 10 steps", "evaluate every 3 steps")
    assert (program.seed, program.budget, program.evaluate) == (2, Amount(10, "steps"), Amount(3, "steps"))
    assert resolved(tmp_path, BY_HAND, "seed 3", "seed 4").seed == 4


def test_a_let_of_the_command_line_replaces_one_of_the_file_and_no_other(tmp_path: Path) -> None:
    text = "let much = 600 steps\n" + BY_HAND.replace("budget 600 steps", "budget much")
    assert resolved(tmp_path, text, "let much = 30 steps").budget == Amount(30, "steps")
    (one,) = refused(tmp_path, text, "let muck = 30 steps")
    assert (one.code, one.help) == ("unknown-name", "did you mean `much`?")


def test_an_axis_or_a_law_of_the_command_line_replaces_its_namesake(tmp_path: Path) -> None:
    axis = "axis patch in [8, 4, 2] px via flexi_resize(base: 2 px)"
    assert resolved(tmp_path, BY_HAND, axis).axes[0].values == (8, 4, 2)
    law = "law for (width: 2) is power(a: 3, b: 1)"
    assert resolved(tmp_path, TWO_LAWS, law).stated[Shape.of(width=2)].a == 3


def test_a_way_of_the_command_line_replaces_the_files(tmp_path: Path) -> None:
    picked = resolved(tmp_path, BY_HAND, "traversal random")
    assert picked.by_hand is None
    by_hand = resolved(tmp_path, AXES, "stage (patch: 4 px, width: 32) until end")
    assert by_hand.traversal is None
    told = resolved(tmp_path, BY_HAND, "stage (patch: 2 px) until end").by_hand
    assert told is not None
    assert [leg.shape for leg in told.legs] == [Shape.of(patch=2)]


def test_an_error_in_a_sentence_of_the_command_line_is_shown_there(tmp_path: Path) -> None:
    (one,) = refused(tmp_path, BY_HAND, "budget 5 pix")
    assert one.at is not None
    assert (one.code, one.at.span.source.name, one.at.span.text) == ("unknown-unit", "--set", "pix")


# units and values


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("600 steps", Amount(600, "steps")),
        ("2 epochs", Amount(2, "epochs")),
        ("64 images", Amount(64, "samples")),
        ("1.5e3 samples", Amount(1500, "samples")),
        ("2 GFLOPs", Amount(2e9, "compute")),
        ("0.5 EFLOPs", Amount(5e17, "compute")),
    ],
)
def test_amounts_are_in_base_units(tmp_path: Path, written: str, amount: Amount) -> None:
    assert resolved(tmp_path, BY_HAND, f"budget {written}").budget == amount


@pytest.mark.parametrize(
    ("sentence", "code"),
    [
        ("budget 5", "missing-unit"),
        ("budget 5 tokens", "wrong-unit"),
        ("budget 50%", "wrong-unit"),
        ("budget 0 steps", "out-of-range"),
        ("budget many", "unknown-name"),
        ('budget "many"', "wrong-kind"),
        ("evaluate every 0%", "out-of-range"),
        ("seed -1", "out-of-range"),
        ("seed 2147483648", "out-of-range"),
        ("start at error -1", "out-of-range"),
        ("stop when error <= 0", "out-of-range"),
        ("stop when patch <= 4 px", "wrong-kind"),
        ("model vit(depth: 0, width: 32, heads: 2)", "out-of-range"),
        ("model vit(depth: 2.5, width: 32, heads: 2)", "not-whole"),
        ("optimizer adamw(lr: 0)", "out-of-range"),
        ("optimizer adamw(warmup: 5 px)", "wrong-unit"),
        ("axis patch in [4.5] px via flexi_resize(base: 4 px)", "out-of-range"),
        ("axis patch in [] px via flexi_resize(base: 4 px)", "wrong-kind"),
        ("axis patch in [4, 2] via flexi_resize(base: 4 px)", "missing-unit"),
    ],
)
def test_values_that_do_not_fit(tmp_path: Path, sentence: str, code: str) -> None:
    assert codes(tmp_path, BY_HAND, sentence) == [code] * (2 if "[4, 2] via" in sentence else 1)


def test_a_limit_is_reported_in_the_units_of_the_language(tmp_path: Path) -> None:
    (one,) = refused(tmp_path, BY_HAND, "objective cross_entropy(label_smoothing: 100%)")
    assert one.at is not None
    assert one.at.text == "must be at most 99%"


def test_all_errors_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    text = BY_HAND.replace("depth: 2", "depth: deep").replace("batch: 64", "batches: 64").replace("600 steps", "600")
    assert codes(tmp_path, text) == ["unknown-name", "unknown-setting"]
    assert codes(tmp_path, BY_HAND, "budget 5", "evaluate every 5 px") == ["missing-unit", "wrong-unit"]


# candidates


def test_candidates_are_the_product_of_the_axes_in_the_order_of_the_file(tmp_path: Path) -> None:
    shapes = [(shape["patch"], shape["width"]) for shape in resolved(tmp_path, AXES).candidates]
    assert shapes == [(4, 32), (4, 48), (4, 64), (2, 32), (2, 48), (2, 64)]


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        ("patch is 2 px", [(2, 32), (2, 48), (2, 64)]),
        ("width >= 48 and patch < 4 px", [(2, 48), (2, 64)]),
        ("not width > 32", [(4, 32), (2, 32)]),
        ("patch is 4 px and width is 32 or width is 64", [(4, 32), (4, 64), (2, 64)]),
        ("patch is 4 px and (width is 32 or width is 64)", [(4, 32), (4, 64)]),
        ("not (patch is 4 px or width <= 48)", [(2, 64)]),
    ],
)
def test_conditions_thin_the_candidates(tmp_path: Path, condition: str, left: list[tuple[int, int]]) -> None:
    program = resolved(tmp_path, AXES, f"candidates patch * width where {condition}")
    assert [(shape["patch"], shape["width"]) for shape in program.candidates] == left


def test_every_axis_must_be_among_the_candidates_axes(tmp_path: Path) -> None:
    assert codes(tmp_path, AXES, "candidates patch") == ["incomplete-shape"]
    assert codes(tmp_path, AXES, "candidates patch * width * depth") == ["unknown-axis"]


# stages


def test_stages_with_shares(tmp_path: Path) -> None:
    text = PATCHES.replace("[4, 2]", "[4, 2, 1]") + (
        "stage (patch: 4 px) with 20% (patch: 2 px), 0.1 (patch: 1 px) until 100 steps\n"
        "stage (patch: 2 px) until end\nbudget 300 steps"
    )
    route = resolved(tmp_path, text).by_hand
    assert route is not None
    assert route.legs[0].shares == (Share(Shape.of(patch=2), 0.2), Share(Shape.of(patch=1), 0.1))
    assert route.legs[0].until.amount == Amount(100, "steps")
    assert route.legs[1].until == END


def test_a_share_names_only_what_differs(tmp_path: Path) -> None:
    stage = "stage (patch: 4 px, width: 32) with 20% (patch: 2 px) until end"
    route = resolved(tmp_path, AXES, stage).by_hand
    assert route is not None
    assert route.legs[0].shares[0].shape == Shape.of(patch=2, width=32)


# what is trained


def test_defaults(tmp_path: Path) -> None:
    program = resolved(tmp_path, BY_HAND)
    assert program.trained is not None
    assert program.metric.key == "classification_error"
    assert program.trained.optimizer.lr == 1e-3
    assert resolved(tmp_path, TEXTS + "traversal evenly\nbudget 9 steps").metric.key == "loss@own"
    assert resolved(tmp_path, TWO_LAWS).metric.key == "loss@own"


def test_an_error_of_the_model_is_reported_once_at_the_model(tmp_path: Path) -> None:
    (one,) = refused(tmp_path, BY_HAND, "model vit(depth: 2, width: 32, heads: 2, mlp_ratio: 2.7)")
    assert one.at is not None
    assert (one.code, one.at.span.text) == ("fractional-mlp", "vit")


SIDES = IMAGES + (
    "axis patch in [4, 2] px via flexi_resize(base: 4 px, grid: 2)\n"
    "axis resolution in [4, 6, 8] px via resolution_resize(grid: 2)\n"
    "candidates patch * resolution where not (patch is 4 px and resolution is 6 px)\n"
    "stage (patch: 4 px, resolution: 8 px) until 40%\nstage (patch: 2 px, resolution: 6 px) until end\n"
    "budget 600 steps\n"
)


def test_a_patch_is_checked_against_the_resolution_of_its_shape(tmp_path: Path) -> None:
    """A switch of both axes is allowed even if switching either axis alone is impossible."""
    plan = compiled(tmp_path, SIDES)
    assert len(plan.candidates) == 5
    transition = plan.stages[1].transition
    assert transition is not None
    assert transition.names == ("flexi_resize", "resolution_resize")
    assert Swap("resolution", 6) in transition.edits
    assert codes(tmp_path, SIDES.replace("candidates", "#")) == ["indivisible-patch"]
    for side, wrong in (("4 px", []), ("6 px", ["indivisible-patch"]), ("16 px", ["resolution-above-data"])):
        fixed = BY_HAND.replace("heads: 2", f"heads: 2, resolution: {side}")
        if wrong:
            assert codes(tmp_path, fixed) == wrong
        else:
            assert compiled(tmp_path, fixed).slots["resolution"] == 4
    larger = compiled(tmp_path, BY_HAND.replace("heads: 2", "heads: 2, resolution: 16 px, upsample: true"))
    assert larger.slots["resolution"] == 16


def test_metrics_of_images_warn_of_resolutions(tmp_path: Path) -> None:
    laws = "law for (patch: {}, resolution: {}) is power(a: 4, b: 1, c: 0, d: 0)\n"
    sizes = [(4, 4), (4, 8), (2, 4), (2, 6), (2, 8)]
    said = "".join(laws.format(f"{patch} px", f"{side} px") for patch, side in sizes)
    assert any("not directly comparable" in note for note in compiled(tmp_path, SIDES + said).notes)
    one = SIDES.replace("[4, 6, 8]", "[8]").replace("resolution: 6", "resolution: 8")
    said = "".join(laws.format(f"{patch} px", "8 px") for patch in (4, 2))
    assert not any("not directly comparable" in note for note in compiled(tmp_path, one + said).notes)


def test_an_error_of_one_value_is_reported_at_the_value(tmp_path: Path) -> None:
    text = AXES.replace("head_width: 16", "head_width: 16, mlp_ratio: 2.03125")
    found = refused(tmp_path, text)
    assert [(one.code, one.at.span.text) for one in found if one.at] == [("fractional-mlp", "48")]


@pytest.mark.parametrize(
    ("sentence", "said", "why"),
    [
        ("checkpoint every 100", "`100` has no unit", "write `100 FLOPs` or `100 steps`"),
        ("evaluate every 400%", "`400%` is out of range", "must be at most 100%"),
        ("traversal steepest(stage_at_least: 500)", "`500` has no unit", "`500 FLOPs`"),
        ("traversal steepest(stage_at_least: 50000%)", "`50000%` is out of range", "must be at most 100%"),
        ('laws from fit("runs/*", drop_warmup: 200%)', "`200%` is out of range", "must be at most 100%"),
        ("budget 100", "`100` has no unit", "`100 steps`"),
    ],
)
def test_a_length_has_its_unit_and_is_at_most_the_whole(tmp_path: Path, sentence: str, said: str, why: str) -> None:
    text = PATCHES + "budget 100 steps\n" + ("" if sentence.startswith("traversal") else "traversal evenly")
    (one,) = refused(tmp_path, text, sentence)
    assert one.message == said
    assert one.at is not None
    assert why in f"{one.at.text} {one.help}"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("preview: 100%", "must be below 100%"),
        ("retain: 100%", "must be below 100%"),
        ("preview: 60%, retain: 60%", "both together must be below 100%"),
        ("retain: 90%", "both together must be below 100%"),
    ],
)
def test_a_stage_keeps_steps_of_its_own(tmp_path: Path, settings: str, why: str) -> None:
    text = TEXTS.replace("context_grow", f"context_grow({settings})") + "traversal evenly\nbudget 100 steps"
    (one,) = refused(tmp_path, text)
    assert one.at is not None
    assert (one.code, one.at.text) == ("out-of-range", why)


@pytest.mark.parametrize(
    ("traversal", "code"),
    [
        ("fixed((context: 64 px))", "wrong-unit"),
        ("shares(target: (context: 64))", "missing-unit"),
        ("fixed((contxt: 64 tokens))", "unknown-axis"),
    ],
)
def test_a_shape_in_a_setting_is_one_on_the_files_axes(tmp_path: Path, traversal: str, code: str) -> None:
    (one,) = refused(tmp_path, TEXTS + f"traversal {traversal}\nbudget 100 steps")
    assert one.code == code
    if code == "unknown-axis":
        assert one.help == "did you mean `context`?"


def test_a_shape_in_a_setting_is_kept_as_a_shape(tmp_path: Path) -> None:
    plan = compiled(tmp_path, TEXTS + "traversal fixed((context: 64 tokens))\nbudget 100 steps")
    assert plan.traversal is not None
    assert plan.traversal.settings == {"shape": {"context": 64}}


@pytest.mark.parametrize("until", ["0 steps", "-5 steps", "0%"])
def test_a_stage_ends_after_the_start_of_the_run(tmp_path: Path, until: str) -> None:
    (one,) = refused(tmp_path, BY_HAND.replace("40%", until))
    assert one.at is not None
    assert (one.code, one.at.text) == ("out-of-range", "must be above 0: it counts from the start of the run")


def test_laws_only(tmp_path: Path) -> None:
    program = resolved(tmp_path, TWO_LAWS)
    assert program.trained is None
    assert (program.start, program.stop) == (1.2, 0.25)
    assert codes(tmp_path, LAWS_ONLY + "traversal steepest\nbudget 5 steps\n") == ["wrong-unit"]


def test_a_file_gives_the_same_plan_in_every_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert compiled(tmp_path, BY_HAND).digest == compiled(tmp_path / "a", BY_HAND).digest
