"""Weight files: their header, and files that are refused before planning."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from sources import compiled, refused, resolved
from teachers import BYTES, DIGITS, text_weights, vit_weights, write_file, write_zeros

from shapeflow.base.diagnostics import Refused
from shapeflow.base.shapes import Shape
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import DataFacts, Teacher
from shapeflow.ir.tensor_table import LONGEST
from shapeflow.ir.weights import Weights, metadata, read_weights
from shapeflow.models.vit import Vit
from shapeflow.objectives.cross_entropy import CrossEntropy
from shapeflow.objectives.distill import Distill
from shapeflow.objectives.mixture import Mixture
from shapeflow.objectives.next_token import NextToken

STUDENT = """
model vit(depth: 2, head_width: 16, patch: 4 px)
data digits(batch: 32)
axis width in [32, 48] via width_expand
stage (width: 32) until 50%
stage (width: 48) until end
budget 10 steps
"""
DISTILLED = STUDENT + 'objective distill(teacher: "t.safetensors", temperature: 2.0)\n'
SWITCHED = (
    STUDENT.replace("(width: 32)", "(width: 32, loss: cross_entropy)").replace(
        "(width: 48)", "(width: 48, loss: teacher)"
    )
    + 'let teacher = distill(teacher: "t.safetensors")\naxis loss in [cross_entropy, teacher] via loss_switch\n'
)
TEXT = """
model transformer(depth: 1, width: 32, heads: 2)
data python_source(batch: 256 tokens)
objective distill(teacher: "t.safetensors")
axis context in [16, 64] tokens via context_grow(preview: 0%)
stage (context: 16 tokens) until 50%
stage (context: 64 tokens) until end
budget 10 steps
"""


@pytest.mark.parametrize("weights", [vit_weights(), vit_weights(patch=2, base=4), text_weights()])
def test_a_file_says_what_its_model_is(weights: Weights, tmp_path: Path) -> None:
    file = write_zeros(tmp_path / "t.safetensors", weights)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert read_weights(file) == attrs.evolve(weights, sha256=digest)
    facts = weights.facts()
    assert (facts.image, facts.channels, facts.classes, facts.vocabulary) == (
        (8, 1, 10, None) if weights.model == "vit" else (None, None, None, 256)
    )


def test_reading_takes_no_tensor_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "safetensors"):
        monkeypatch.setitem(sys.modules, name, None)
    assert read_weights(write_zeros(tmp_path / "t.safetensors", vit_weights())).model == "vit"


def cut(raw: bytes) -> bytes:
    return raw[:-4]


def longer(raw: bytes) -> bytes:
    return raw + b"\0"


def half(raw: bytes) -> bytes:
    return raw[:100]


def boundless(raw: bytes) -> bytes:
    return (LONGEST + 1).to_bytes(8, "little") + bytes(LONGEST + 9)


def absurd(raw: bytes) -> bytes:
    return b"\xff" * 8 + raw[8:]


def nested(raw: bytes) -> bytes:
    text = b"[" * 100_000
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize("spoil", [cut, longer, half, boundless, absurd, nested, lambda _: b"", lambda _: b"{}"])
def test_torn_and_foreign_files(spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    file = write_zeros(tmp_path / "t.safetensors", vit_weights())
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(Refused, match="teacher-broken"):
        read_weights(file)


def about(**changed: Any) -> dict[str, str]:
    stated = metadata(vit_weights())
    return {**stated, "about": json.dumps({**json.loads(stated["about"]), **changed})}


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"format": "pt"},
        {**about(), "version": "2"},
        {**about(), "about": "[]"},
        {**about(), "about": '{"step": NaN}'},
        about(sizes={}),
        about(sizes={**vit_weights().sizes, "residual": 8}),
        about(sizes={**vit_weights().sizes, "depth": 10**12}),
        about(sizes={**vit_weights().sizes, "residual": "8"}),
        about(reserved=1),
        about(reserved=-1),
        about(reserved="0"),
        about(parameters=[]),
        about(parameters=[{"name": "a"}]),
        about(parameters=[{"name": "a", "dims": ["b"], "role": "cat", "writes": "b"}]),
        about(reading=[{"is": "view", "parameter": "nothing", "dim": "patch"}]),
        about(model="vit"),
        about(slots=[]),
        about(shape={"patch": 1.5}),
        about(step="last"),
        about(step=-1),
    ],
)
def test_headers_that_say_something_else(stated: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(Refused, match="teacher-broken"):
        read_weights(write_zeros(tmp_path / "t.safetensors", vit_weights(), stated))


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [1]},
        {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]},
        [],
    ],
)
def test_tensors_that_cannot_be(entry: Any, tmp_path: Path) -> None:
    header = {"__metadata__": metadata(vit_weights()), "a": entry}
    with pytest.raises(Refused, match="teacher-broken"):
        read_weights(write_file(tmp_path / "t.safetensors", header, 8))


# in a `.shape` file


def test_a_plan_keeps_the_digest_and_the_price(tmp_path: Path) -> None:
    file = write_zeros(tmp_path / "t.safetensors", vit_weights(patch=2, base=4, width=64))
    (spec,) = compiled(tmp_path, DISTILLED).objectives.values()
    forward = Vit(depth=1, width=64, heads=1, patch=2).declare(DIGITS, {}).compute(Shape.of(), "flops").sample / 3
    assert spec.settings == {
        "teacher": "t.safetensors",
        "temperature": 2.0,
        "scale": True,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "forward": {"image": forward},
    }


def test_a_step_costs_the_student_and_the_teachers_forward_pass(tmp_path: Path) -> None:
    write_zeros(tmp_path / "t.safetensors", vit_weights(width=64))
    for convention in ("flops", "paper"):
        counted = SWITCHED.replace("patch: 4 px)", f"patch: 4 px, convention: {convention})")
        trained = resolved(tmp_path, counted).trained
        assert trained is not None
        alone, taught = (trained.cost(Shape.of(width=48, loss=loss)) for loss in ("cross_entropy", "teacher"))
        teacher = Vit(depth=1, width=64, heads=1, patch=4).declare(DIGITS, {})
        forward = teacher.compute(Shape.of(), convention).sample / 3  # type: ignore[arg-type]
        assert taught == pytest.approx(alone + 32 * forward, rel=1e-12)
        assert compiled(tmp_path, counted).stages[1].step_compute == taught


def test_text_is_charged_by_its_context(tmp_path: Path) -> None:
    write_zeros(tmp_path / "t.safetensors", text_weights())
    plan = compiled(tmp_path, TEXT)
    forward = plan.objectives["distill"].settings["forward"]
    # One block of width 8: n (4 d^2 + 3 d m) + 2 n^2 d multiply-accumulates, and a head of n d V.
    assert forward == {f"{n} tokens": 2.0 * (n * (4 * 64 + 3 * 8 * 24) + 2 * n * n * 8 + n * 8 * 256) for n in (16, 64)}


def test_a_mixture_is_charged_for_what_has_a_weight(tmp_path: Path) -> None:
    write_zeros(tmp_path / "t.safetensors", vit_weights())
    parts = 'of: [cross_entropy, distill(teacher: "t.safetensors")]'
    costs = [
        compiled(tmp_path, STUDENT + f"objective mixture({parts}, weights: {weights})\n").stages[0].cost
        for weights in ("[1, 0]", "[0.5, 0.5]", "[0, 3]")
    ]
    plain = compiled(tmp_path, STUDENT + "objective cross_entropy\n").stages[0].cost
    assert costs[0] == plain < costs[1] == costs[2] == compiled(tmp_path, DISTILLED).stages[0].cost


def test_a_teacher_of_several_parts_is_charged_once(tmp_path: Path) -> None:
    """Teachers are identified by the content of their file, not its name; a different teacher is charged as well."""
    for name, weights in (("a", vit_weights()), ("b", vit_weights()), ("c", vit_weights(width=8))):
        write_zeros(tmp_path / f"{name}.safetensors", weights)
    taught = {name: f'distill(teacher: "{name}.safetensors", temperature: {{}})' for name in "abc"}
    plain = compiled(tmp_path, STUDENT + "objective cross_entropy\n").stages[0].cost

    def beside(*parts: str) -> float:
        weights = [1.0] * len(parts)
        objective = f"objective mixture(of: [{', '.join(parts)}], weights: {weights})\n"
        return compiled(tmp_path, STUDENT + objective).stages[0].cost - plain

    one, other = (beside(taught[name].format(2)) for name in "ac")
    assert 0 < one < other
    assert beside(taught["a"].format(2), taught["a"].format(4)) == one
    assert beside(taught["a"].format(2), taught["b"].format(2)) == one
    inner = f"mixture(of: [cross_entropy, {taught['a'].format(4)}], weights: [1, 1])"
    assert beside(taught["a"].format(2), inner) == one
    assert beside(inner, taught["c"].format(2), taught["a"].format(1)) == pytest.approx(one + other, rel=1e-12)
    unweighted = f"mixture(of: [cross_entropy, {taught['c'].format(2)}], weights: [1, 0])"
    assert beside(taught["a"].format(2), unweighted) == one


def test_marks_of_either_side_do_not_count_in_the_vocabulary(tmp_path: Path) -> None:
    student = TEXT.replace("objective ", "let ul = denoising(sentinels: 12)\nlet kd = ").replace(
        "tokens)", "tokens, loss: kd)"
    )
    student = student.replace("256 tokens, loss: kd)", "256 tokens)") + "axis loss in [kd, ul] via loss_switch\n"
    for vocabulary, reserved, fits in ((256, 0, True), (300, 44, True), (271, 15, True), (271, 0, False)):
        weights = attrs.evolve(text_weights(attrs.evolve(BYTES, vocabulary=vocabulary)), reserved=reserved)
        write_zeros(tmp_path / "t.safetensors", weights)
        for text in (student, TEXT):
            if fits:
                assert compiled(tmp_path, text).stages
            else:
                (wrong,) = refused(tmp_path, text)
                assert wrong.message.endswith("has 271 tokens, and the data 256 tokens")


@pytest.mark.parametrize(
    ("weights", "stated"),
    [
        (vit_weights(attrs.evolve(DIGITS, classes=100)), "has 100 classes, and the data 10 classes"),
        (vit_weights(attrs.evolve(DIGITS, channels=3)), "has 3 channels, and the data 1 channels"),
        (vit_weights(attrs.evolve(DIGITS, image=16)), "has images of 16 px, and the data images of 8 px"),
        (text_weights(), "reads text, and the data is images"),
    ],
)
def test_a_teacher_of_other_data(weights: Weights, stated: str, tmp_path: Path) -> None:
    write_zeros(tmp_path / "t.safetensors", weights)
    for text in (DISTILLED, SWITCHED):
        (wrong,) = refused(tmp_path, text)
        assert wrong.code == "teacher-mismatch"
        assert wrong.message.endswith(stated)
        assert wrong.at is not None
        assert wrong.at.span.text == '"t.safetensors"'


def test_a_teacher_of_a_resolution_that_the_student_is_trained_at(tmp_path: Path) -> None:
    write_zeros(tmp_path / "t.safetensors", vit_weights(attrs.evolve(DIGITS, image=4), patch=2))
    at_four = DISTILLED.replace("patch: 4 px", "patch: 4 px, resolution: 4 px")
    assert compiled(tmp_path, at_four).objectives["distill"].settings["forward"]["image"] > 0
    assert [one.code for one in refused(tmp_path, DISTILLED)] == ["teacher-mismatch"]


def test_a_teacher_of_another_vocabulary(tmp_path: Path) -> None:
    write_zeros(tmp_path / "t.safetensors", text_weights(attrs.evolve(BYTES, vocabulary=300)))
    assert [one.code for one in refused(tmp_path, TEXT)] == ["teacher-mismatch"]


def test_a_teacher_that_contradicts_its_architecture(tmp_path: Path) -> None:
    for weights in (
        attrs.evolve(vit_weights(), settings={"depth": 2}),
        attrs.evolve(vit_weights(), settings={"deep": 2}),
        attrs.evolve(vit_weights(), model="resnet"),
        attrs.evolve(vit_weights(), settings={**vit_weights().settings, "width": 8}),
    ):
        write_zeros(tmp_path / "t.safetensors", weights)
        assert [one.code for one in refused(tmp_path, DISTILLED)] == ["teacher-broken"]


@pytest.mark.parametrize(
    "changed",
    [
        {"heads": 0},
        {"heads": -1},
        {"heads": None, "head_width": 0},
        {"mlp_ratio": 1e308},
        {"mlp_ratio": "4"},
        {"depth": True},
        {"pool": "max"},
        {"registers": 2000},
        {"norm_eps": 0.0},
    ],
    ids=str,
)
def test_a_teachers_settings_have_the_limits_of_a_file(changed: dict[str, Any], tmp_path: Path) -> None:
    weights = vit_weights()
    stated = about(model={"is": "vit", "settings": {**weights.settings, **changed}})
    write_zeros(tmp_path / "t.safetensors", weights, stated)
    assert [one.code for one in refused(tmp_path, DISTILLED)] == ["teacher-broken"]


@pytest.mark.parametrize(
    "changed", [{"norm.eps": None}, {"norm.eps": -1.0}, {"head_width": 2}, {"head_width": "4"}, {"patch": []}], ids=str
)
def test_a_teachers_slots_are_those_of_its_model(changed: dict[str, Any], tmp_path: Path) -> None:
    weights = vit_weights()
    for slots in ({}, {**weights.slots, **changed}):
        write_zeros(tmp_path / "t.safetensors", weights, about(slots=slots))
        assert [one.code for one in refused(tmp_path, DISTILLED)] == ["teacher-broken"]


@pytest.mark.parametrize(
    ("objective", "code"),
    [
        ('distill(teacher: "nothing.safetensors")', "teacher-missing"),
        ('distill(teacher: ".")', "cannot-import"),
        ('distill(teacher: "t.safetensors", temperature: 0)', "out-of-range"),
        ('distill(teacher: "t.safetensors", sha256: "0")', "unknown-setting"),
        ('distill(teacher: "t.safetensors", forward: (image: 1))', "unknown-setting"),
        ("distill", "missing-setting"),
        ("mixture(of: [cross_entropy, next_token], weights: [1, 1])", "wrong-data"),
        ("mixture(of: [cross_entropy, cross_entropy], weights: [0, 0])", "mixture-weights"),
        ("mixture(of: [cross_entropy, cross_entropy], weights: [1])", "mixture-weights"),
        ("mixture(of: [cross_entropy, 4], weights: [1, 1])", "wrong-kind"),
        ("mixture(of: [cross_entropy, adamw], weights: [1, 1])", "unknown-component"),
        ("mixture(of: [cross_entropy, cross_entropy], weights: [-1, 1])", "out-of-range"),
        ("next_token", "wrong-data"),
    ],
)
def test_objectives_that_are_refused(objective: str, code: str, tmp_path: Path) -> None:
    write_zeros(tmp_path / "t.safetensors", vit_weights())
    assert [one.code for one in refused(tmp_path, STUDENT + f"objective {objective}\n")] == [code]


def test_a_mixture_of_itself(tmp_path: Path) -> None:
    text = STUDENT + "let mixed = mixture(of: [cross_entropy, mixed], weights: [1, 1])\nobjective mixed\n"
    assert [one.code for one in refused(tmp_path, text)] == ["circular-let"]


def test_the_place_of_a_teacher_in_a_mixture(tmp_path: Path) -> None:
    inner = 'mixture(of: [cross_entropy, distill(teacher: "b.safetensors")], weights: [1, 1])'
    text = STUDENT + f'objective mixture(of: [distill(teacher: "a.safetensors"), {inner}], weights: [1, 1])\n'
    wrong = refused(tmp_path, text)
    assert [one.at.span.text for one in wrong if one.at] == ['"a.safetensors"', '"b.safetensors"']


def test_a_mixture_knows_its_parts() -> None:
    plain, taught = CrossEntropy(), Distill(teacher="t")
    mixed = Mixture(of=(plain, taught), weights=(1.0, 0.5))
    assert (mixed.data, mixed.reserved, mixed.teachers) == ("images", 0, {"of.1.teacher": "t"})
    found = mixed.taught({"t": Teacher("digest", {"image": 6.0, "16 tokens": 7.0})})
    assert found.of == (plain, attrs.evolve(taught, sha256="digest", forward={"image": 6.0, "16 tokens": 7.0}))
    assert found.compute(DIGITS, Shape.of(patch=4), "flops") == 6.0
    assert Mixture(of=(NextToken(), taught), weights=(1.0, 0.5)).data == "text"
    assert Mixture(of=(taught,), weights=(1.0,)).data == "any"


def test_an_objective_with_marks_of_its_own_is_not_mixed() -> None:
    @attrs.frozen
    class Marked(NextToken):
        reserved = 2

        def compute(self, facts: DataFacts, shape: Shape, convention: str) -> float:
            return 0.0

    with pytest.raises(EditError, match="not-mixable"):
        Mixture(of=(NextToken(), Marked()), weights=(1.0, 1.0))


def test_targets_are_softened_once() -> None:
    smooth, taught = CrossEntropy(label_smoothing=0.2), Distill(teacher="t")
    inner = Mixture(of=(taught, CrossEntropy()), weights=(1.0, 1.0))
    for of in ((smooth, taught), (smooth, inner)):
        with pytest.raises(EditError, match="not-mixable"):
            Mixture(of=of, weights=(1.0, 1.0))
        for weights in ((1.0, 0.0), (0.0, 1.0)):
            assert Mixture(of=of, weights=weights).of == of
