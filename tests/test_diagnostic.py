"""How a diagnostic is printed on the screen and as JSON."""

from __future__ import annotations

import re

from shapeflow.base.diagnostics import Diagnostic, Label, Source, Span
from shapeflow.preview.diagnostic import as_json, render

VIT = Source(
    "vit.shape",
    "\n" * 6
    + "data       imagenet21k(image: 120 px, batch: 256)\n"
    + "\n" * 4
    + "axis patch in [60, 40, 30, 24, 20, 16, 12, 10, 8] px\n  via flexi_rezise(base: 8 px)\n",
)


def label(source: Source, words: str, text: str = "") -> Label:
    start = source.text.index(words)
    return Label(Span(source, start, start + len(words)), text)


def test_one_place_with_note_and_help() -> None:
    diagnostic = Diagnostic(
        "unknown-transition",
        "no transition is called `flexi_rezise`",
        label(VIT, "flexi_rezise", "not a transition"),
        notes=("known transitions: context_grow, flexi_resize",),
        help="did you mean `flexi_resize`?",
    )
    assert render(diagnostic) == (
        "error[unknown-transition]: no transition is called `flexi_rezise`\n"
        "  --> vit.shape:13:7\n"
        "   |\n"
        "13 |   via flexi_rezise(base: 8 px)\n"
        "   |       ^^^^^^^^^^^^ not a transition\n"
        "   = note: known transitions: context_grow, flexi_resize\n"
        "   = help: did you mean `flexi_resize`?"
    )


def test_two_places_of_one_file() -> None:
    diagnostic = Diagnostic(
        "indivisible-patch",
        "patches of 16 px do not tile an image of 120 px",
        label(VIT, "16", "120 / 16 leaves 8 px over"),
        also=(label(VIT, "image: 120 px", "the image is set here"),),
        help="use 15 px or 20 px, the nearest sizes that divide 120",
    )
    assert render(diagnostic) == (
        "error[indivisible-patch]: patches of 16 px do not tile an image of 120 px\n"
        "  --> vit.shape:12:36\n"
        "   |\n"
        " 7 | data       imagenet21k(image: 120 px, batch: 256)\n"
        "   |                        ------------- the image is set here\n"
        "  ...\n"
        "12 | axis patch in [60, 40, 30, 24, 20, 16, 12, 10, 8] px\n"
        "   |                                    ^^ 120 / 16 leaves 8 px over\n"
        "   = help: use 15 px or 20 px, the nearest sizes that divide 120"
    )


def test_adjacent_lines_are_shown_together() -> None:
    source = Source(
        "by_hand.shape", "axis width in [192, 384] via grow\nstage (width: 384) until 40%\nstage (width: 192) until end"
    )
    diagnostic = Diagnostic(
        "one-way-transition",
        "`grow` cannot go from width 384 to width 192",
        label(source, "width: 192", "narrower than the stage before"),
        also=(label(source, "grow", "only ever widens"), label(source, "width: 384", "from here")),
    )
    assert render(diagnostic).splitlines()[1:] == [
        " --> by_hand.shape:3:8",
        "  |",
        "1 | axis width in [192, 384] via grow",
        "  |                              ---- only ever widens",
        "2 | stage (width: 384) until 40%",
        "  |        ---------- from here",
        "3 | stage (width: 192) until end",
        "  |        ^^^^^^^^^^ narrower than the stage before",
    ]


def test_two_labels_on_one_line_are_drawn_from_the_right() -> None:
    source = Source("a", "seed one two")
    lines = render(Diagnostic("c", "m", label(source, "one", "a"), also=(label(source, "two", "b"),))).splitlines()
    assert lines[3:] == ["1 | seed one two", "  |          --- b", "  |      ^^^ a"]


def test_another_file_has_its_own_block() -> None:
    common = Source("common/imagenet.shape", "\nlet side = 120 px\n")
    lines = render(
        Diagnostic("c", "m", label(VIT, "16", "here"), also=(label(common, "120 px", "set here"),))
    ).splitlines()
    assert lines[1:] == [
        "  --> vit.shape:12:36",
        "   |",
        "12 | axis patch in [60, 40, 30, 24, 20, 16, 12, 10, 8] px",
        "   |                                    ^^ here",
        "  ::: common/imagenet.shape:2:12",
        "   |",
        " 2 | let side = 120 px",
        "   |            ------ set here",
    ]


def test_an_error_without_a_text_names_its_place() -> None:
    diagnostic = Diagnostic("stale-plan", "the plan is stale", place="plan.json", notes=("a note",), severity="warning")
    assert render(diagnostic) == "warning[stale-plan]: the plan is stale\n  --> plan.json\n   = note: a note"
    assert render(Diagnostic("c", "m")) == "error[c]: m"


def test_details_are_shown_on_request() -> None:
    diagnostic = Diagnostic("c", "m", place="a", notes=("short",), details=("long",))
    assert render(diagnostic).splitlines()[2:] == ["   = note: short", "   = note: 1 more: `--verbose` shows them"]
    assert render(diagnostic, verbose=True).splitlines()[2:] == ["   = note: short", "   = note: long"]


def test_carets_stay_below_their_words() -> None:
    for before, columns in [("\t", 4), ("日本", 4), ("e\u0301", 1), ("🎈 ", 3), ("ab", 2)]:
        source = Source("a", f"{before}oops")
        shown, marked = render(Diagnostic("c", "m", label(source, "oops"))).splitlines()[3:]
        assert marked == "  | " + " " * columns + "^^^^", before
        assert shown.endswith("oops")
    assert render(Diagnostic("c", "m", label(Source("a", 'x "日本"'), "日本"))).endswith("  |    ^^^^")


def test_a_span_of_many_lines_marks_the_first() -> None:
    source = Source("a", "model vit(\r\n  a: 1\r\n)\r\n")
    lines = render(Diagnostic("c", "m", Label(Span(source, 6, len(source.text)), "all of it"))).splitlines()
    assert lines[3:] == ["1 | model vit(", "  |       ^^^^ all of it"]


def test_of_a_long_line_the_part_around_each_place_is_shown() -> None:
    text = "axis width in [" + ", ".join(map(str, range(1_000))) + "]\n"
    source = Source("a.shape", text)
    places = [text.index(", 200,") + 2, text.index(", 900,") + 2]
    first, second = (Label(Span(source, at, at + 3), "here") for at in places)
    lines = render(Diagnostic("syntax", "x" * 5_000, first, also=(second,))).splitlines()
    assert max(map(len, lines)) < 1_100
    for number in ("200", "900"):
        (shown,) = (index for index, line in enumerate(lines) if line.startswith("1 | ...") and f" {number}, " in line)
        assert lines[shown][lines[shown + 1].index("here") - 4 :].startswith(number)


def test_an_empty_span_has_one_caret() -> None:
    source = Source("a", "seed\n")
    assert render(Diagnostic("c", "m", Label(Span(source, 4, 4)))).splitlines()[3:] == ["1 | seed", "  |     ^"]
    assert render(Diagnostic("c", "m", Label(Span(source, 5, 5)))).splitlines()[3:] == ["2 |", "  | ^"]


def test_a_file_cannot_steer_the_terminal() -> None:
    source = Source("a\x1b[2J", "seed \x1b[31m\u202e1")
    diagnostic = Diagnostic("c", "`\x1b[31m`", label(source, "seed", "\x07"), notes=("\x9b",), help="\x1b")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", render(diagnostic))
    assert "seed ␛[31m" in render(diagnostic)


def test_color_only_adds_color() -> None:
    diagnostic = Diagnostic("c", "[red]m", label(VIT, "16", "here"), notes=("n",), help="h")
    colored = render(diagnostic, color=True)
    assert "\x1b[1;31merror" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render(diagnostic)


def test_as_json_counts_from_one() -> None:
    diagnostic = Diagnostic(
        "c",
        "m",
        label(VIT, "flexi_rezise", "why"),
        also=(label(VIT, "16"),),
        notes=("n",),
        details=("d",),
        help="h",
        severity="warning",
    )
    assert as_json(diagnostic) == {
        "code": "c", "severity": "warning", "message": "m", "file": "vit.shape",
        "line": 13, "column": 7, "end_line": 13, "end_column": 19, "label": "why", "place": None,
        "labels": [{"file": "vit.shape", "line": 12, "column": 36, "end_line": 12, "end_column": 38, "text": ""}],
        "notes": ["n"], "details": ["d"], "help": "h",
    }  # fmt: skip
    nowhere = as_json(Diagnostic("c", "m", place="--gpus"))
    assert (nowhere["place"], nowhere["file"], nowhere["line"], nowhere["labels"]) == ("--gpus", None, None, [])
