"""`shapeflow explain`: the words it knows, and that every answer is complete."""

from __future__ import annotations

import json
import re
import typing

import attrs
import pytest

from shapeflow import registry
from shapeflow.base.codes import CODES
from shapeflow.base.diagnostics import Refused, Report, Source
from shapeflow.base.settings import settings_of
from shapeflow.base.topics import ALIASES, TOPICS
from shapeflow.cli import answer
from shapeflow.explain import SENTENCES, CodeHelp, ComponentHelp, KindHelp, SentenceHelp, explain, overview
from shapeflow.language import syntax
from shapeflow.language.parse import parse, reserved_words
from shapeflow.stages.resolve.components import build
from shapeflow.stages.resolve.values import Names

COMPONENTS = [(kind, name) for kind in registry.KINDS for name in registry.components(kind)]


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_every_component_is_explained(kind: str, name: str) -> None:
    (page,) = (one for one in explain(name) if isinstance(one, ComponentHelp) and one.kind == kind)
    assert page.text
    assert [setting.name for setting in page.settings] == list(settings_of(registry.components(kind)[name]))
    assert all(setting.help and setting.value for setting in page.settings)
    report = Report()
    (sentence,) = parse(Source("example", page.example), report).sentences
    assert not report.failed, page.example
    for part in attrs.astuple(sentence, recurse=False):
        if isinstance(part, syntax.Component):
            kinds = registry.kinds_of(part.name)
            build(kind if kind in kinds else kinds[0], part, Names(), report)
    assert not report.failed, report.diagnostics
    assert name in page.example


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_every_choice_can_be_written(kind: str, name: str) -> None:
    component = registry.components(kind)[name]
    hints = typing.get_type_hints(component)
    for setting in settings_of(component):
        for option in (hints[setting], *typing.get_args(hints[setting])):
            if typing.get_origin(option) is typing.Literal:
                assert all(re.fullmatch("[A-Za-z][A-Za-z0-9_]*", choice) for choice in typing.get_args(option))


def test_settings_are_explained_in_the_syntax_of_the_language() -> None:
    (page,) = explain("flexi_resize")
    assert isinstance(page, ComponentHelp)
    told = {one.name: (one.value, one.default, one.limits) for one in page.settings}
    assert told["base"] == ("px", None, "at least 1 px")
    assert told["preview"] == ("%", "25%", "at least 0%, below 100%")
    assert told["antialias"] == ("true | false", "true", "")
    assert page.example == "axis patch in [16, 8] px via flexi_resize(base: 8 px)"
    (adamw,) = explain("adamw")
    assert isinstance(adamw, ComponentHelp)
    assert {one.name: one.default for one in adamw.settings}["warmup"] == "100 steps"


def test_all_kinds_of_one_name_are_explained() -> None:
    assert [page.kind for page in explain("cross_entropy") if isinstance(page, ComponentHelp)] == [
        "objective",
        "metric",
    ]


def test_every_sentence_is_explained() -> None:
    assert set(SENTENCES) == reserved_words().openers
    for word in SENTENCES:
        page = explain(word)[0]
        assert isinstance(page, SentenceHelp)
        assert page.example.startswith(word)
    (laws,) = explain("laws")
    assert isinstance(laws, SentenceHelp)
    assert {"fit", "published"} <= set(laws.components)


def test_kinds_and_codes_are_explained() -> None:
    (kind,) = explain("transition")
    assert isinstance(kind, KindHelp)
    assert "width_expand" in kind.components
    for code, text in CODES.items():
        assert explain(code) == (CodeHelp(code, text),)


def test_the_overview_names_everything() -> None:
    whole = overview()
    assert set(whole.components) == set(registry.KINDS)
    assert whole.codes == tuple(CODES)
    assert all(text for names in whole.components.values() for text in names.values())


@pytest.mark.parametrize(
    ("name", "meant"), [("flexi_rezise", "flexi_resize"), ("budgt", "budget"), ("unknown-nam", "unknown-name")]
)
def test_a_misspelt_name(name: str, meant: str) -> None:
    with pytest.raises(Refused, match="nothing-to-explain") as caught:
        explain(name)
    assert caught.value.diagnostics[0].help == f"did you mean `{meant}`?"


def test_on_the_screen_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ([], ["vit"], ["stage"], ["transition"], ["no-end"]):
        assert answer(["explain", *name]) == 0
        shown = capsys.readouterr().out
        assert all(word in shown for word in name or ["vit", "budget", "syntax"])
        assert answer(["explain", *name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)
    assert answer(["explain", "nothing at all"]) == 1


WORDS = """isoflop exponent floor offset intervals convention hold-out frontier chinchilla tokens init holdout isoFLOP
compute-optimal kaplan 6ND muP epochs ends scheduled wsd cosine annealed irreducible alpha beta bootstrap E A B E/A/B lr
learning-rate learning_rate Hold-Out hold_out isoflops extrapolation"""


@pytest.mark.parametrize("word", [*WORDS.split(), "learning rate", "hold out", "Learning Rate"])
def test_terms_of_scaling_laws_are_explained(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["explain", word]) == 0
    said = capsys.readouterr().out
    assert ", a term" in said
    assert len(said.split()) > 20


def test_sentences_in_the_explanations_of_terms_parse() -> None:
    sentences = [each for text in TOPICS.values() for each in re.findall(r"`(laws from [^`]+)`", text)]
    assert len(sentences) >= 2
    for sentence in sentences:
        report = Report()
        parse(Source(sentence, sentence), report)
        assert not report.failed, sentence
    assert set(ALIASES.values()) <= set(TOPICS)
    assert not set(ALIASES) & set(TOPICS)
