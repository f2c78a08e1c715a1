"""The parser: the structure and source positions of a text, and the errors of invalid texts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Lark
from lark.lark import PostLex
from lark.parsers.lalr_interactive_parser import InteractiveParser

import shapeflow_grammar
from shapeflow.base.diagnostics import Diagnostic, Report, Source
from shapeflow.language import syntax
from shapeflow.language.parse import DEEPEST, parse, reserved_words
from shapeflow.language.parse_errors import EXAMPLES
from shapeflow.preview.diagnostic import render


def read(text: str) -> syntax.Document:
    report = Report()
    document = parse(Source("a.shape", text), report)
    assert report.diagnostics == []
    return document


def mistakes(text: str) -> tuple[Diagnostic, ...]:
    report = Report()
    parse(Source("a.shape", text), report)
    return report.errors


def only(text: str) -> syntax.Sentence:
    (sentence,) = read(text).sentences
    return sentence


def test_the_grammar_has_no_conflict_and_no_colliding_terminals() -> None:
    class WholeWords(PostLex):
        always_accept = ("NAME",)

        def process(self, stream):  # type: ignore[no-untyped-def]
            return stream

    Lark(shapeflow_grammar.text(), parser="lalr", lexer="contextual", postlex=WholeWords(), strict=True)


def test_importing_the_parser_does_not_import_lark() -> None:
    modules = "shapeflow.language.parse, shapeflow.language.fmt, shapeflow.preview.diagnostic"
    program = f"import {modules}, sys; sys.exit('lark' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], check=False, env=environment).returncode == 0


def test_every_sentence_has_an_example_that_parses_to_it() -> None:
    assert set(EXAMPLES) == reserved_words().openers
    kinds = {word: type(only(example)) for word, example in EXAMPLES.items()}
    assert len(set(kinds.values())) == len(EXAMPLES) == 26
    assert kinds["start"] is syntax.StartAt
    assert kinds["laws"] is syntax.LawsFrom
    assert kinds["credits"] is syntax.CreditsFrom
    assert kinds["profile"] is syntax.ProfileFrom


def test_spans_are_of_the_text_that_was_written() -> None:
    text = "seed 1\naxis patch in [16, 8] px\n  via flexi_resize(base: 12 px) # why"
    document = read(text)
    axis = document.sentences[1]
    assert isinstance(axis, syntax.Axis)
    assert (axis.span.start, axis.span.end) == (7, len(text) - len(" # why"))
    assert axis.name_span.text == "patch"
    assert axis.values.span.text == "[16, 8] px"
    assert isinstance(axis.values, syntax.Listing)
    assert axis.values.unit_span is not None
    assert axis.values.unit_span.text == "px"
    assert [item.span.text for item in axis.values.items] == ["16", "8"]
    setting = axis.transition.settings[0]
    assert (setting.span.text, setting.name_span.text, setting.value.span.text) == ("base: 12 px", "base", "12 px")
    assert isinstance(setting.value, syntax.Quantity)
    assert setting.value.unit_span.start == text.index("px)")
    assert [comment.span.text for comment in document.comments] == ["# why"]


def test_equality_is_structural() -> None:
    assert read("seed 17\nlet a = (x: 8 px)") == read("seed   17 let a=( x :8px )")
    assert only("candidates a * b") == only("candidates  a*b")
    assert hash(only("candidates a * b")) == hash(only("candidates  a*b"))
    assert only("candidates a * b") != only("candidates b * a")
    assert only("budget 1 EFLOPs") != only("budget 1 PFLOPs")


@pytest.mark.parametrize(
    ("text", "value", "whole"),
    [
        ("17", 17.0, 17),
        ("500_000", 500_000.0, 500_000),
        ("1e18", 1e18, 10**18),
        ("-2.5", -2.5, None),
        ("1e-3", 1e-3, None),
        ("9007199254740993", 9007199254740992.0, 9007199254740993),
    ],
)
def test_numbers(text: str, value: float, whole: int | None) -> None:
    seed = only(f"seed {text}")
    assert isinstance(seed, syntax.Seed)
    assert (seed.number.value, seed.number.text, seed.number.whole) == (value, text, whole)


def test_stages_blend_and_end() -> None:
    stage = only("stage (context: 64 tokens) with 10% (context: 256 tokens), 0.05 (context: 128 tokens) until end")
    assert isinstance(stage, syntax.Stage)
    assert stage.until is None
    first, second = stage.blends
    assert (first.share.span.text, first.shape.span.text) == ("10%", "(context: 256 tokens)")
    assert isinstance(second.share, syntax.Number)
    plain = only("stage (patch: 8 px) until 2 EFLOPs")
    assert isinstance(plain, syntax.Stage)
    assert isinstance(plain.until, syntax.Quantity)
    assert (plain.blends, plain.until.unit) == ((), "EFLOPs")


def test_components_take_names_settings_and_arguments() -> None:
    laws = only('laws from fit("runs/*.csv", form: power, of: common.laws,)')
    assert isinstance(laws, syntax.LawsFrom)
    fit = laws.component
    assert [type(argument) for argument in fit.arguments] == [syntax.Text]
    assert [setting.name for setting in fit.settings] == ["form", "of"]
    power, reference = (setting.value for setting in fit.settings)
    assert isinstance(power, syntax.Component)
    assert (power.name, power.called, fit.called) == ("power", False, True)
    assert isinstance(reference, syntax.Reference)
    assert reference.parts == ("common", "laws")


def test_conditions_bind_not_then_and_then_or() -> None:
    candidates = only("candidates a * b where not a is x and b > 3 or (a is y or b <= 2)")
    assert isinstance(candidates, syntax.Candidates)
    either = candidates.condition
    assert isinstance(either, syntax.Any_)
    both, nested = either.tests
    assert isinstance(both, syntax.All)
    assert isinstance(nested, syntax.Any_)
    assert [type(test) for test in both.tests] == [syntax.Not, syntax.Comparison]
    assert [test.operator for test in nested.tests if isinstance(test, syntax.Comparison)] == ["is", "<="]


def test_reserved_words_are_free_as_names_of_settings_and_values() -> None:
    metric = only("metric fewshot_error(seed: 3, data: model)")
    assert isinstance(metric, syntax.Metric)
    assert [setting.name for setting in metric.component.settings] == ["seed", "data"]


def test_a_number_without_unit_does_not_swallow_the_next_sentence() -> None:
    assert [type(sentence) for sentence in read("let a = 17\nmodel vit").sentences] == [syntax.Let, syntax.Model]


@pytest.mark.parametrize(
    "text", ["\ufeffseed 1\n", "seed 1\r\nmetric a\r\n", "seed\t1", "seed 1\rmetric a", "seed 1 # ♞ 日本"]
)
def test_byte_order_marks_line_ends_and_tabs_are_accepted(text: str) -> None:
    assert isinstance(read(text).sentences[0], syntax.Seed)


def test_a_carriage_return_is_not_part_of_a_comment() -> None:
    assert [comment.text for comment in read("# a \r\nseed 1 #b\r\n").comments] == ["# a", "#b"]


ERRORS = [
    # text, message, text at the primary label, text in the help or the label
    ("modle vit(width: 3)", "no sentence begins with `modle`", "modle", "did you mean `model`?"),
    ("modelling(x: 1)", "no sentence begins with `modelling`", "modelling", "did you mean `model`?"),
    ("seed 1\nvit(x: 1)", "no sentence begins with `vit`", "vit", "seed 17"),
    ("axis a in [1, 2] px\nseed 1", "`via` is missing after `px`", "", "via flexi_resize"),
    ("axis a in [1, 2] px vai b", "`via` is missing before `vai`", "vai", "did you mean `via`?"),
    ("axis a in [1, 2]\nvai b", "`via` is missing before `b`", "b", "via flexi_resize"),
    ("stage (a: 1)\nseed 1", "`until` is missing after `)`", "", "until 40%"),
    ("stage (a: 1) 40%", "`until` is missing before `40`", "40", "until 40%"),
    ("stage () until end", "expected a name, found `)`", ")", "stage (patch: 16 px)"),
    ("let x =\nseed 1", "a value is missing after `=`", "", "let longest = 2048 tokens"),
    ("let x = .5", "expected a value, found `.`", ".", "0.5"),
    ("let x = [1, 2 3]", "expected `,` or `]`, found `3`", "3", "let longest"),
    ("plan", "a text in double quotes is missing after `plan`", "", 'plan "my plan"'),
    ("seed x", "expected a number, found `x`", "x", "seed 17"),
    ("laws form x", "`from` is missing before `form`", "form", "did you mean `from`?"),
    ("model vit,\nseed 1", "a comma between sentences", ",", "remove it"),
    ("model vit)", "`)` has no opening bracket", ")", "remove it"),
    ("model vit(a: 1\nseed 1", "`(` is not closed", "", "close it with `)`"),
    ("stage (a: 1 until 40%", "`(` is not closed", "", "close it with `)`"),
    ("stage (a: b until 40%", "`(` is not closed", "", "close it with `)`"),
    ("axis a in [1, 2) px via b", "`[` is closed by `)`", ")", "write `]`"),
    ('plan "abc\nseed 1', "a text is not closed", '"abc', 'close it with `"`'),
    ("plan 'abc'", "the character `'` is not allowed", "'", 'write `"` instead'),
    ("plan “abc”", "the character `“` is not allowed", "“", 'write `"` instead'),
    ("seed 1; metric a", "the character `;` is not allowed", ";", "a new line"),
    ("stop when error ≤ 3", "the character `≤` is not allowed", "≤", "write `<=` instead"),
    ("model vit\udcff", "the character `U+DCFF` is not allowed", "\udcff", "remove it"),
    ("model vit\x00", "the character `U+0000` is not allowed", "\x00", "remove it"),
    ("model vît(a: 3)", "`vît` is not a valid name", "vît", "not a name"),
    ("let x = 1e999", "the number is too large", "1e999", "outside double precision"),
    ("let x = 1e-999", "the number is too small", "1e-999", "outside double precision"),
]


@pytest.mark.parametrize(("text", "message", "place", "advice"), ERRORS, ids=[repr(case[0]) for case in ERRORS])
def test_each_error_is_reported_at_its_place(text: str, message: str, place: str, advice: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake.at is not None
    assert (mistake.code, mistake.message, mistake.at.span.text) == ("syntax", message, place)
    assert advice in f"{mistake.help} {mistake.at.text}"


def test_an_open_bracket_is_shown_where_it_was_opened() -> None:
    (mistake,) = mistakes("model vit(width: 640\ndata x(batch: 3)")
    assert mistake.at is not None
    assert mistake.at.span.start == len("model vit(width: 640")
    assert [(label.span.start, label.text) for label in mistake.also] == [(len("model vit"), "opened here")]


def test_every_wrong_sentence_is_reported_once_and_the_others_are_read() -> None:
    text = "plan oops\nmodel vit(a: 1\nseed 17\nsede 18\naxis a in [1] px\nbudget 3 EFLOPs\nstop wehn error < 3\n"
    report = Report()
    document = parse(Source("a.shape", text), report)
    assert [mistake.message for mistake in report.errors] == [
        "expected a text in double quotes, found `oops`",
        "`(` is not closed",
        "no sentence begins with `sede`",
        "`via` is missing after `px`",
        "`when` is missing before `wehn`",
    ]
    assert [type(sentence) for sentence in document.sentences] == [syntax.Seed, syntax.Budget]
    assert document.sentences[0].span.text == "seed 17"


def test_settings_named_like_sentences_do_not_cut_a_sentence_in_two() -> None:
    (mistake,) = mistakes("metric a(\n  seed: 3,\n  data: 4,\n)\nmodle x")
    assert mistake.message == "no sentence begins with `modle`"


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "# only a comment\n"])
def test_an_empty_file_is_an_error(text: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake.code == "empty-file"


@pytest.mark.parametrize("opening", ["(a: ", "[", "f("])
def test_deep_nesting_is_refused(opening: str) -> None:
    (mistake,) = mistakes("let x = " + opening * 100_000)
    assert mistake.message == f"brackets are nested more than {DEEPEST} deep"
    close = {"(a: ": ")", "[": "]", "f(": ")"}[opening]
    read("let x = " + opening * DEEPEST + "1" + close * DEEPEST)
    assert mistakes("let x = " + opening * (DEEPEST + 1) + "1" + close * (DEEPEST + 1))


def test_long_conditions_need_no_deep_recursion() -> None:
    candidates = only("candidates a where " + " or ".join(["a > 1"] * 5000))
    assert isinstance(candidates, syntax.Candidates)
    assert isinstance(candidates.condition, syntax.Any_)
    assert len(candidates.condition.tests) == 5000


SCRAPS = [
    *" \n\r\t()[],.:=*%<>#\"'+-_é日\x00",
    "seed 1",
    "via",
    "until end",
    "8 px",
    "model",
    "vit(",
    "end",
    "where",
    "is",
    "1e5",
]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(st.sampled_from([*SCRAPS, *EXAMPLES.values()]), max_size=12))
def test_any_text_is_read_or_refused_with_places_inside_it(scraps: list[str]) -> None:
    text = "".join(scraps)
    report = Report()
    document = parse(Source("a.shape", text), report)
    assert document.sentences or report.failed
    for mistake in report.diagnostics:
        assert mistake.at is not None
        assert 0 <= mistake.at.span.start <= mistake.at.span.end <= len(text)
        assert mistake.message in render(mistake)


def test_sentences_on_the_language_page_parse() -> None:
    page = (Path(__file__).parent.parent / "grammar" / "README.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `([^`]+)` \|", page.split("## Values")[0], re.MULTILINE)
    assert {sentence.split()[0] for sentence in table} == reserved_words().openers
    blocks, blended = (
        re.findall(r"```(?:shape)?\n(.*?)```", page, re.DOTALL),
        re.findall(r"^`(stage[^`]+)`", page, re.MULTILINE),
    )
    samples = [*table, *blocks, *blended]
    assert len(samples) == 31
    for sample in samples:
        read(sample)


def test_a_mistake_that_repeats_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []

    def accepts(self: InteractiveParser) -> set[str]:
        searched.append(self)
        return known(self)

    known = InteractiveParser.accepts
    monkeypatch.setattr(InteractiveParser, "accepts", accepts)
    report = Report()
    assert parse(Source("f.shape", "modl x\n" * 300), report) is not None
    assert len(report.errors) == 300
    assert len(searched) <= 2
