"""`shapeflow fmt`: the canonical layout, and that formatting changes only layout."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shapeflow.base.diagnostics import Report, Source
from shapeflow.language import fmt, syntax
from shapeflow.language.parse import parse

PATCH = """\
# Coarse patches while the loss falls fast, fine patches while it falls slowly.
# ViT V640-12 on ImageNet-21k; the laws decide when to move.

plan "vit-v640-12, adaptive patch size"

model      vit(width: 640, depth: 12, heads: 10)
data       imagenet21k(image: 120 px, batch: 256)
objective  cross_entropy
optimizer  adamw(lr: 1e-3, weight_decay: 0.03)
metric     fewshot_error(on: "imagenet1k", shots: 10)

axis patch in [60, 40, 30, 24, 20, 15, 12, 10, 8] px
  via flexi_resize(base: 12 px)

laws       from fit("runs/v640-12/patch-*.csv", form: power)
traversal  steepest(stage_at_least: 500 steps)
budget     10 EFLOPs

evaluate   every 1000 steps
checkpoint every 5%
"""

CONTEXT = """\
# A language model reads short passages first and long ones once they pay.

plan "lm-124m, growing context"

let longest = 2048 tokens

model      transformer(width: 768, depth: 12, heads: 12, positions: rotary(longest: longest))
data       wikipedia_books(batch: 500_000 tokens)
objective  next_token
optimizer  adamw(lr: 6e-4, weight_decay: 0.1)
metric     perplexity(on: "validation", context: longest)

axis context in [128, 256, 512, 1024, 2048] tokens
  via context_grow

laws       from table("laws/lm-124m.json")
traversal  steepest
budget     5e18 FLOPs

evaluate   every 1%
"""

JOINT = """\
# Patch, width and loss move together. Each law says what one shape reaches for
# a given compute; the traversal takes the shape that falls fastest right now.

plan "vit-384-12, joint width, patch and loss"

use "common/imagenet.shape" as imagenet

let teacher = distill(teacher: "teachers/vit-b8.safetensors", temperature: 2.0)

model      vit(depth: 12, head_width: 64)
data       imagenet21k(image: imagenet.side, batch: 1024)
optimizer  adamw(lr: 1e-3, weight_decay: 0.03)
metric     fewshot_error(on: "imagenet1k", shots: 10)

axis patch in [40, 30, 20, 10] px       via flexi_resize(base: 12 px)
axis width in [192, 256, 384]           via width_expand(init: normal, gamma: 1.0)
axis loss  in [cross_entropy, teacher]  via loss_switch(blend: 500 steps)

candidates patch * width * loss
  where loss is cross_entropy or width >= 384

laws       from fit("runs/joint/*.csv", form: power)
law        for (patch: 10 px, width: 384, loss: teacher)
           is power(a: 4.1, b: 0.31, c: 0.19, d: 2.0 PFLOPs)

traversal  shortest(stage_at_least: 2%)
budget     300 epochs
stop       when error <= 24%

evaluate   every 1000 steps
checkpoint every 5%
seed       17
"""

BY_HAND = """\
# No laws: the author sets the stages.
plan "by hand"

stage (patch: 60 px) until 5%  # coarse
stage (patch: 8 px)  until 2 EFLOPs
stage (patch: 24 px) with 10% (patch: 8 px), 5% (patch: 60 px) until end

# where it begins and ends
start      at error 120%
stop       when perplexity < 20
# the last word
"""


def read(text: str) -> syntax.Document:
    report = Report()
    document = parse(Source("a.shape", text), report)
    assert report.diagnostics == []
    return document


def formatted(text: str) -> str:
    return fmt.formatted(read(text))


@pytest.mark.parametrize("text", [PATCH, CONTEXT, JOINT, BY_HAND], ids=["patch", "context", "joint", "by hand"])
def test_a_text_in_canonical_layout_is_not_changed(text: str) -> None:
    assert formatted(text) == text


@pytest.mark.parametrize("text", [PATCH, CONTEXT, JOINT], ids=["patch", "context", "joint"])
def test_spaces_and_line_ends_make_no_difference(text: str) -> None:
    ragged = text.replace("  ", " ").replace("(", "( ").replace(" px", "px").replace("\n\n", " \t\r\n\r\n\n \r\n")
    assert formatted("\ufeff" + ragged) == text


def test_sentences_on_one_line_are_separated() -> None:
    assert formatted("seed 1 metric a") == "seed       1\nmetric     a\n"


def test_comments_keep_their_sentence() -> None:
    model = "model vit(width: 1, # narrow\n  depth: 2)# small\n\n\n"
    axis = "  # the axis\naxis a in [1] # one\n # no more\n via b # end"
    assert formatted(model + axis) == (
        "# narrow\nmodel      vit(width: 1, depth: 2)  # small\n\n"
        "# the axis\naxis a in [1]  # one\n  # no more\n  via b  # end\n"
    )


def test_a_comment_after_the_first_of_two_parts_is_kept() -> None:
    once = "candidates a  # why\n  where a <= 8\n"
    assert formatted("candidates a where a <= # why\n8") == formatted(once) == once


def test_long_sentences_are_broken_between_parts() -> None:
    values = ", ".join(str(1000 + i) for i in range(12))
    axis = f"axis context in [{values}] tokens"
    assert formatted(f"{axis} via grow") == f"{axis}\n  via grow\n"
    assert formatted(f"axis a in [1] via b\n{axis} via grow") == f"axis a in [1]\n  via b\n{axis}\n  via grow\n"
    law = "law        for (patch: 10 px, width: 384, loss: teacher)"
    power = "is power(a: 4.1234, b: 0.3123, c: 0.1912, d: 2.0 PFLOPs)"
    assert formatted(f"{law} {power}") == f"{law}\n           {power}\n"


def test_long_conditions_are_broken_before_or() -> None:
    tests = [f"width is {1000 + i} and depth is 12" for i in range(4)]
    once = formatted(f"candidates width * depth where {' or '.join(tests)}")
    lines = ["candidates width * depth", "  where " + " or ".join(tests[:2]), "    or " + " or ".join(tests[2:])]
    assert once.splitlines() == lines
    assert formatted(once) == once


def test_long_values_are_spread() -> None:
    long = "x" * 60
    assert formatted(f'model vit(a: "{long}", b: f(c: "{long}", d: [1, 2] px), 3)') == (
        f'model      vit(\n  3,\n  a: "{long}",\n  b: f(c: "{long}", d: [1, 2] px),\n)\n'
    )


def test_long_lists_are_filled() -> None:
    once = formatted(f"axis a in [{', '.join(str(1000 + i) for i in range(40))}] px via b")
    lines = once.splitlines()
    assert lines[0] == "axis a in ["
    assert lines[1].startswith("  1000, 1001, ")
    assert lines[-2:] == ["] px", "  via b"]
    assert len(lines) == 6
    assert max(map(len, lines)) == 97
    assert formatted(once) == once


def test_conditions_keep_the_brackets_they_need_and_no_others() -> None:
    head = "candidates a * b where "
    for condition in ["not (a is x or b > 3) and (a is y or b < 2)", "a is x or (b is y or b is z)", "not a > 1"]:
        assert formatted(head + condition) == f"{head}{condition}\n"
    assert formatted(f"{head}((a is x) and b > 3) or (b is y)") == f"{head}a is x and b > 3 or b is y\n"


NAMES = st.sampled_from(["patch", "width", "seed", "x1", "vit", "model", "end"])
PLAIN = st.sampled_from(["vit", "x1", "steepest", "flexi_resize"])
NUMBERS = st.sampled_from(["8", "1e-3", "500_000", "-2.5", "+1"])
UNITS = st.sampled_from(["px", "%", "EFLOPs"])


def words(*parts: st.SearchStrategy[list[str]] | str) -> st.SearchStrategy[list[str]]:
    """The words of all parts, in order."""
    given = [st.just([part]) if isinstance(part, str) else part for part in parts]
    return st.tuples(*given).map(lambda lists: [word for one in lists for word in one])


def one(names: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return names.map(lambda name: [name])


def listed(items: st.SearchStrategy[list[str]], mark: str, least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(items, min_size=least, max_size=4).map(
        lambda lists: [word for i, item in enumerate(lists) for word in ([mark] if i else []) + item]
    )


def bracketed(value: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    setting = words(one(NAMES), ":", value)
    return st.one_of(
        words("[", listed(value, ","), "]"),
        words("[", listed(value, ",", 1), "]", one(UNITS)),
        words("(", listed(setting, ",", 1), ")"),
        words(one(PLAIN), "(", listed(st.one_of(value, setting), ","), ")"),
    )


QUANTITY = words(one(NUMBERS), one(UNITS))
SIMPLE = st.one_of(
    one(NUMBERS),
    QUANTITY,
    one(PLAIN),
    words(one(PLAIN), ".", one(PLAIN)),
    one(st.sampled_from(['"a # b"', '""', '"é"'])),
)
VALUE = st.recursive(SIMPLE, bracketed, max_leaves=12)
COMPONENT = st.one_of(one(PLAIN), words(one(PLAIN), "(", listed(words(one(NAMES), ":", VALUE), ","), ")"))
SHAPE = words("(", listed(words(one(NAMES), ":", VALUE), ",", 1), ")")
COMPARISON = words(one(PLAIN), one(st.sampled_from(["<=", ">", "is"])), SIMPLE)
CONDITION = st.recursive(
    COMPARISON,
    lambda inner: st.one_of(
        words("(", inner, "and", inner, ")"),
        words("(", inner, "or", inner, ")"),
        words("not", "(", inner, ")"),
        words("not", COMPARISON, "and", COMPARISON),
    ),
    max_leaves=6,
)
SENTENCE = st.one_of(
    words("let", one(PLAIN), "=", VALUE),
    words("model", COMPONENT),
    words("laws", "from", COMPONENT),
    words("axis", one(PLAIN), "in", VALUE, "via", COMPONENT),
    words("axis", one(PLAIN), "in", one(PLAIN), "via", one(PLAIN)),
    words("candidates", listed(one(PLAIN), "*", 1), "where", CONDITION),
    words("law", "for", SHAPE, "is", COMPONENT),
    words("stage", SHAPE, "until", st.one_of(VALUE, st.just(["end"]))),
    words("stage", SHAPE, "with", listed(words(QUANTITY, SHAPE), ",", 1), "until", "end"),
    words("stop", "when", COMPARISON),
    words("start", "at", "error", VALUE),
    words('start from "d"'),
    words("evaluate", "every", VALUE),
    words("cooldown", VALUE),
    words("weights", VALUE, "from", VALUE),
    words("schedule", COMPONENT),
    words('plan "a"'),
    words('use "b" as c'),
    words("seed", "17"),
)
GAPS = st.sampled_from([" ", " ", " ", " ", " ", "\n", "\n\n", "\r\n", "\t", " # a comment\n", "\n# one\n\n  # two\n"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Sentences of every kind with spaces, line breaks and comments of every kind between any two words."""
    sentences = draw(st.lists(SENTENCE, min_size=1, max_size=4))
    return "".join(word + draw(GAPS) for sentence in sentences for word in sentence)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(texts())
def test_formatting_changes_layout_only_and_is_idempotent(text: str) -> None:
    document = read(text)
    once = fmt.formatted(document)
    assert read(once) == document
    assert formatted(once) == once
