"""Commands, paths, snippets, plans and screens in the documentation are correct."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
import click
import pytest
from conftest import Golden
from rich.console import Group, RenderableType

from shapeflow.api import compile
from shapeflow.base.codes import CODES
from shapeflow.base.diagnostics import Report, Source
from shapeflow.cli import answer
from shapeflow.cli.group import COMMANDS
from shapeflow.ir.events import Measured, RunEnded, event_from_json, event_to_json
from shapeflow.ir.plan_json import plan_to_json
from shapeflow.language.fmt import formatted
from shapeflow.language.parse import parse
from shapeflow.preview.comparison import comparison_view
from shapeflow.preview.predictions import predictions_view
from shapeflow.preview.run import run_view
from shapeflow.preview.screen import show
from shapeflow.running.rivals import FIXED, Compared, Prediction, Result
from shapeflow.running.runs import Run

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]
)
FOLDERS = (".ci/", "backends/", "benchmarks/", "docs/", "editors/", "examples/", "grammar/", "shapeflow/", "tests/")
"""A text in backticks that starts with one of these is a path in the repository."""
PLACEHOLDER = re.compile(r"NAME|my-|\*|CODE|/mine\.")
"""Paths that match this are patterns, or files that the reader creates."""

documents = pytest.mark.parametrize("name", DOCUMENTS)


@attrs.frozen
class Block:
    """A fenced block: its language, the comment on the line above it, its text."""

    language: str
    comment: str
    text: str


@cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str) -> Iterator[Block]:
    fence = re.compile(r"(?:<!-- ([^\n]*) -->\n)?^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    for comment, language, text in fence.findall(text_of(name)):
        yield Block(language, comment, text)


def prose(name: str) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text_of(name), flags=re.MULTILINE | re.DOTALL)


def ticked(name: str) -> list[str]:
    """The texts in backticks, with line breaks replaced by spaces."""
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose(name))]


def commands(name: str) -> list[str]:
    """The shapeflow commands in shell blocks and in backticks."""
    lines = [
        line
        for block in blocks(name)
        if block.language == "sh"
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    found = [line.split(" # ")[0].strip() for line in lines] + ticked(name)
    return [line.removeprefix(".venv/bin/") for line in found if re.match(r"(\.venv/bin/)?shapeflow( |$)", line)]


@documents
def test_commands_and_their_options_exist(name: str) -> None:
    for line in commands(name):
        words = shlex.split(line)[1:]
        if not words or words[0].startswith("-"):
            assert all(word in ("--help", "--version") for word in words), line
            continue
        assert words[0] in COMMANDS, line
        command: click.Command = import_module(f"shapeflow.cli.{words[0]}_").command
        known = {option for parameter in command.params for option in parameter.opts} | {"-h", "--help"}
        assert {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= known, line


@documents
def test_words_that_commands_explain_exist(name: str) -> None:
    from shapeflow.explain import explain

    for line in commands(name):
        words = shlex.split(line)
        if words[1:2] == ["explain"] and len(words) == 3 and not words[2].isupper():
            assert explain(words[2]), line


@documents
def test_examples_in_commands_exist(name: str) -> None:
    for line in commands(name):
        for word in shlex.split(line):
            if re.fullmatch(r"examples/\w+\.shape", word):
                assert (ROOT / word).is_file(), line


@documents
def test_make_targets_exist(name: str) -> None:
    targets = re.findall(r"^([a-z-]+):", text_of_makefile(), re.MULTILINE)
    lines = [line for block in blocks(name) for line in block.text.splitlines()] + ticked(name)
    for line in lines:
        if match := re.match(r"make ([a-z-]+)", line):
            assert match[1] in targets, line


def text_of_makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


@documents
def test_links_have_targets(name: str) -> None:
    folder = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(name)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (folder / path).resolve() if path else ROOT / name
        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, target


@documents
def test_paths_in_backticks_exist(name: str) -> None:
    for found in ticked(name):
        if found.startswith(FOLDERS) and " " not in found and not PLACEHOLDER.search(found):
            assert (ROOT / found).exists(), found


@documents
def test_shape_snippets_parse(name: str) -> None:
    for block in blocks(name):
        if block.language == "shape" or (block.language == "" and block.text.lstrip().startswith(("#", "plan "))):
            report = Report()
            document = parse(Source(name, block.text), report)
            assert not report.failed, [error.message for error in report.errors]
            assert formatted(document) == block.text


def test_the_tour_shows_the_example_as_it_is() -> None:
    (shown,) = (block.text for block in blocks("docs/tour.md") if block.language == "shape")
    whole = text_of("examples/bytes.shape")
    assert whole.endswith(shown)


@documents
def test_json_is_what_the_compiler_prints(name: str) -> None:
    """`<!-- json: FILE KEY KEY ... -->` above a block names the plan, and the part of it, that the block shows."""
    for block in blocks(name):
        if block.language == "json":
            word, file, *keys = block.comment.split()
            assert word == "json:", "say above the block what it is: <!-- json: FILE KEY ... -->"
            part: Any = plan_to_json(compile(ROOT / file))
            for key in keys:
                part = part[int(key)] if isinstance(part, list) else part[key]
            assert same(json.loads(block.text), part), file


def same(shown: Any, real: Any) -> bool:
    """Whether two JSON values are equal up to rounding of numbers, and up to digests, which depend on the rounding."""
    if isinstance(shown, dict) and isinstance(real, dict):
        return shown.keys() == real.keys() and all(key == "digest" or same(shown[key], real[key]) for key in shown)
    if isinstance(shown, list) and isinstance(real, list):
        return len(shown) == len(real) and all(map(same, shown, real))
    if isinstance(shown, float) and isinstance(real, float):
        return shown == pytest.approx(real, rel=1e-12)
    return type(shown) is type(real) and bool(shown == real)


@documents
def test_screens_are_what_commands_print(
    name: str, golden: Golden, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A comment above a block names the command that prints it; `--update-golden` rewrites the block.

    `<!-- screen: COMMAND -->`: the whole output. `<!-- tail: COMMAND -->`: the output from the block's first line on.
    `<!-- mistake: CODE -->`: the golden file of a mistake.
    """
    monkeypatch.chdir(ROOT)
    text = text_of(name)
    for block in blocks(name):
        word, _, what = block.comment.partition(" ")
        if word == "mistake:":
            real = text_of(f"tests/mistakes/{what}.txt").strip() + "\n"
        elif word in ("screen:", "tail:"):
            answer(shlex.split(what)[1:])
            real = capsys.readouterr().out
        else:
            continue
        if word == "tail:":
            first = block.text.partition("\n")[0]
            assert first in real.splitlines(), f"`{what}` no longer prints this line: {first}"
            real = real[f"\n{real}".index(f"\n{first}\n") :]
        shown = f"<!-- {block.comment} -->\n```\n"
        text = text.replace(f"{shown}{block.text}```", f"{shown}{real}```")
    golden(ROOT / name, text)


@documents
def test_screens_of_training_have_current_words(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`<!-- measured: COMMAND -->` above a block: its words are what COMMAND prints; its numbers are not compared."""
    for block in blocks(name):
        word, _, command = block.comment.partition(" ")
        if word == "measured:":
            show(drawn(command))
            assert words(block.text) == words(capsys.readouterr().out), f"`{command}` has other words: change the block"


def drawn(command: str) -> RenderableType:
    """The screen of a command that trains, rendered with made-up measurements."""
    if command == "shapeflow show runs/bytes":
        plan = compile(ROOT / "examples" / "bytes.shape")
        end, last = plan.stages[-1].leave, plan.stages[-1]
        assert end.step is not None
        assert end.compute is not None
        values = {"loss@own": 1.546, "loss@longest": 1.527}
        errors = {"loss@own": 0.034, "loss@longest": 0.034}
        at = (end.step, len(plan.stages) - 1, last.shape, end.compute, end.error)
        measured = Measured(*at, values, 31.7, errors, 11.0)
        return run_view(Run(Path("runs/bytes"), plan, (measured, RunEnded(end.step, end.compute, True))))
    seeds = {"make demo": (0,), "make demo-seeds": (0, 1, 2)}[command]
    ways = {
        "plan": ("the plan", (1.0, 1.1, 1.2)),
        "last": (f"{FIXED['last']}, (context: 256 tokens)", (2.1, 2.2, 2.3)),
        "random": ("uniform random", (1.3, 1.4, 1.5)),
    }
    found = [
        Result(
            way,
            what,
            tuple(1e12 * compute[seed] for seed in seeds),
            tuple(30.0 + seed for seed in seeds),
            (1.5,) * len(seeds),
        )
        for way, (what, compute) in ways.items()
    ]
    plan = compile(ROOT / "examples" / "bytes.shape")
    expected = (
        Prediction("error", 1.5, 1.4, 1.6, 1.5, "inside", None),
        Prediction("last", 0.4, 0.3, 0.5, 0.4, "inside", None),
        Prediction("rival", None, None, None, 0.1, "not predicted", "unpiloted", rival="uniform random"),
    )
    compared = Compared("loss@longest", 1.527, seeds, tuple(found), None, (), expected, {})
    return Group(comparison_view(compared, plan), predictions_view(expected, plan))


def words(screen: str) -> list[str]:
    return sorted(re.findall(r"[^\s\d.,:±%+()<-]+", screen))


@documents
def test_event_lines_are_events(name: str) -> None:
    for block in blocks(name):
        if block.language == "jsonl":
            for line in block.text.splitlines():
                assert event_to_json(event_from_json(json.loads(line))) == json.loads(line)


@documents
def test_output_of_mistakes_is_that_of_the_golden_files(name: str) -> None:
    for block in blocks(name):
        for code in re.findall(r"^(?:error|warning)\[([a-z-]+)\]", block.text, re.MULTILINE):
            golden = ROOT / "tests" / "mistakes" / f"{code}.txt"
            assert block.text.strip() in golden.read_text(encoding="utf-8"), code


@documents
def test_codes_are_in_the_catalogue(name: str) -> None:
    """A hyphenated word in backticks in parentheses is a diagnostic code."""
    for code in re.findall(r"\(`([a-z]+(?:-[a-z]+)+)`\)", prose(name)):
        assert code in CODES, code
