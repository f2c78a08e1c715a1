"""A mixture of denoisers: tokens of a text are taken out, and asked for behind it."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import ObjectiveHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import Convention, DataFacts

MODES = ("regular", "extreme", "sequential")
"""The denoisers, each with a reserved id of its own that stands before the text."""


@attrs.frozen
class Layout:
    """How a window of n + 1 tokens is filled by a denoiser that takes out spans: the mode, `text` tokens of which
    `hidden` are taken out, a sentinel for each of `spans` spans; behind them each span after its sentinel, and one
    sentinel more, which ends the last: 1 + (text - hidden + spans) + (hidden + spans + 1) = n + 1."""

    text: int
    hidden: int
    spans: int

    @property
    def asked(self) -> int:
        """Tokens that a window asks for: those of the spans, and the sentinel that ends each."""
        return self.hidden + self.spans

    @classmethod
    def of(cls, context: int, rate: float, span: int) -> Layout:
        """The layout of a context whose hidden tokens come nearest to `rate` of its text, in spans of `span` tokens on
        average. Raises EditError `context-too-short`."""
        room = context - 1
        spans = min(max(1, round(room * rate / (span + 2 * rate))), room // 4)
        if not spans:
            message = f"a context of {context} tokens has no room for spans to ask for"
            raise EditError("context-too-short", message, help="use contexts of 5 tokens and more")
        text = room - 2 * spans
        return cls(text, min(max(spans, round(text * rate)), text - spans), spans)


@attrs.frozen
class Denoising(ObjectiveHooks):
    """A mixture of denoisers (UL2, arXiv 2205.05131; for a model that was trained on the next token: UL2R, arXiv
    2210.11399). A step asks by one of them. `regular` and `extreme` take spans out of the text, leave a sentinel for
    each, and ask for them behind the text; `sequential` asks for all behind a point of the text, which is drawn for the
    step. The mode's mark stands before the text. Shares are kept exactly over every 100 steps of the run, counted from
    its first; a loss that has some of these alone, by a blend or a switch among them, gets a random draw. The steps
    that are left over ask for every next token, as `next_token` does. The defaults are those of UL2R, section 2.3.

    The loss is the mean over what is asked, in nats. A window has the plan's context, marks counted, and costs what it
    costs under `next_token`. Marks are token ids behind those of the data. Held-out loss is that of the next token.

    `prefix: full` lets the tokens before the asked ones see each other, as UL2R does. A denoised window is read as one
    text, also under `attend: document`."""

    data: ClassVar[str] = "text"

    regular: float = setting("ratio", default=0.25, low=0.0, high=1.0, help="share of steps with short spans")
    extreme: float = setting(
        "ratio", default=0.25, low=0.0, high=1.0, help="share of steps with long spans, many tokens"
    )
    sequential: float = setting("ratio", default=0.5, low=0.0, high=1.0, help="share of steps that ask for the end")
    regular_rate: float = setting("ratio", default=0.15, above=0.0, below=1.0, help="tokens taken out by `regular`")
    regular_span: int = setting("tokens", default=3, low=1, help="mean length of its spans")
    extreme_rate: float = setting("ratio", default=0.5, above=0.0, below=1.0, help="tokens taken out by `extreme`")
    extreme_span: int = setting("tokens", default=32, low=1, help="mean length of its spans")
    sequential_rate: float = setting(
        "ratio", default=0.25, above=0.0, below=1.0, help="tokens that `sequential` asks for, on average"
    )
    sentinels: int = setting(default=100, low=2, help="reserved ids, one for each span and one for the end")
    prefix: Literal["causal", "full"] = setting(default="causal", help="what the tokens before the asked ones see")

    def __attrs_post_init__(self) -> None:
        """Raises EditError `out-of-range`."""
        total = self.regular + self.extreme + self.sequential
        if total > 1 + 1e-9:
            message = f"the shares of `denoising` make {total:.0%} of the steps"
            raise EditError(
                "out-of-range", message, why="100% at most", help="lower `regular`, `extreme` or `sequential`"
            )
        for name, rate, span in (
            ("regular", self.regular_rate, self.regular_span),
            ("extreme", self.extreme_rate, self.extreme_span),
        ):
            if span < rate / (1 - rate):
                message = f"spans of {span} tokens cannot take out {rate:.0%} of a text: they would touch"
                raise EditError("out-of-range", message, help=f"raise `{name}_span` or lower `{name}_rate`")

    @property
    def reserved(self) -> int:
        return len(MODES) + self.sentinels

    def compute(self, facts: DataFacts, shape: Shape, convention: Convention) -> float:
        """Nothing beside the model's own. Raises EditError `context-too-short`, `too-few-sentinels`."""
        layouts = self.layouts(shape.number("context")) if "context" in shape else {}
        spans = max((layout.spans for layout in layouts.values()), default=0)
        if spans >= self.sentinels:
            message = f"a context of {shape['context']} tokens asks for {spans} spans"
            why = f"{self.sentinels} sentinels mark {self.sentinels - 1}"
            help = f"set `sentinels: {spans + 1}` in `denoising`"
            raise EditError("too-few-sentinels", message, why=why, help=help)
        return 0.0

    def layouts(self, context: int) -> dict[str, Layout]:
        """How the denoisers that take out spans fill a context. Raises EditError `context-too-short`."""
        known = {
            "regular": (self.regular, self.regular_rate, self.regular_span),
            "extreme": (self.extreme, self.extreme_rate, self.extreme_span),
        }
        return {mode: Layout.of(context, rate, span) for mode, (share, rate, span) in known.items() if share}
