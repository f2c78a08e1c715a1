"""A mixture of denoisers: tokens are removed from a text, and predicted after it."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from shapeflow.base.settings import setting
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import ObjectiveHooks
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import Convention, DataFacts

MODES = ("regular", "extreme", "sequential")
"""The denoisers. Each has a reserved id, which is placed before the text."""


@attrs.frozen
class Layout:
    """The layout of a window of n + 1 tokens for a denoiser that removes spans. First the id of the mode; then `text`
    tokens, of which `hidden` tokens are removed and each of `spans` spans is replaced by a sentinel; then each span
    after its sentinel; then a final sentinel. Total: 1 + (text - hidden + spans) + (hidden + spans + 1) = n + 1."""

    text: int
    hidden: int
    spans: int

    @property
    def asked(self) -> int:
        """The number of targets of a window: the tokens of all spans, and the sentinel after each span."""
        return self.hidden + self.spans

    @classmethod
    def of(cls, context: int, rate: float, span: int) -> Layout:
        """The layout for a context. About a share `rate` of the text is hidden, in spans of `span` tokens on average.
        Raises EditError `context-too-short`."""
        room = context - 1
        spans = min(max(1, round(room * rate / (span + 2 * rate))), room // 4)
        if not spans:
            message = f"a context of {context} tokens is too short for `denoising`"
            raise EditError("context-too-short", message, help="use contexts of 5 tokens or more")
        text = room - 2 * spans
        return cls(text, min(max(spans, round(text * rate)), text - spans), spans)


@attrs.frozen
class Denoising(ObjectiveHooks):
    """A mixture of denoisers (UL2, arXiv 2205.05131; for a model trained on the next token: UL2R, arXiv 2210.11399).
    Each step uses one denoiser. `regular` and `extreme` replace spans of the text by sentinels and predict the spans
    after the text; `sequential` predicts everything after a random point of the text. The mode's id comes before the
    text. Shares are exact over every 100 steps of the run, counted from its first step. If the loss is used only for
    some of these steps, because of a blend or a switch, these steps get a random sample of the modes. The remaining
    steps predict every next token, as `next_token` does. The defaults are those of UL2R, section 2.3.

    The loss is the mean over the predicted tokens, in nats. A window has the length of the plan's context, including
    reserved ids, and costs the same as under `next_token`. Reserved ids come after those of the data. The held-out loss
    is that of the next token.

    `prefix: full` lets the tokens before the targets attend to each other, as in UL2R. A denoised window counts as one
    document, also with `attend: document`."""

    data: ClassVar[str] = "text"

    regular: float = setting("ratio", default=0.25, low=0.0, high=1.0, help="share of steps with short spans")
    extreme: float = setting(
        "ratio", default=0.25, low=0.0, high=1.0, help="share of steps with long spans or many tokens"
    )
    sequential: float = setting("ratio", default=0.5, low=0.0, high=1.0, help="share of steps that predict the end")
    regular_rate: float = setting(
        "ratio", default=0.15, above=0.0, below=1.0, help="share of tokens removed by `regular`"
    )
    regular_span: int = setting("tokens", default=3, low=1, help="mean length of its spans")
    extreme_rate: float = setting(
        "ratio", default=0.5, above=0.0, below=1.0, help="share of tokens removed by `extreme`"
    )
    extreme_span: int = setting("tokens", default=32, low=1, help="mean length of its spans")
    sequential_rate: float = setting(
        "ratio", default=0.25, above=0.0, below=1.0, help="share of tokens predicted by `sequential`, on average"
    )
    sentinels: int = setting(default=100, low=2, help="reserved ids, one for each span and one for the end")
    prefix: Literal["causal", "full"] = setting(default="causal", help="attention among the tokens before the targets")

    def __attrs_post_init__(self) -> None:
        """Raises EditError `out-of-range`."""
        total = self.regular + self.extreme + self.sequential
        if total > 1 + 1e-9:
            message = f"the shares of `denoising` add up to {total:.0%} of the steps"
            raise EditError(
                "out-of-range", message, why="must be at most 100%", help="lower `regular`, `extreme` or `sequential`"
            )
        for name, rate, span in (
            ("regular", self.regular_rate, self.regular_span),
            ("extreme", self.extreme_rate, self.extreme_span),
        ):
            if span < rate / (1 - rate):
                message = f"spans of {span} tokens cannot cover {rate:.0%} of a text without touching"
                raise EditError("out-of-range", message, help=f"raise `{name}_span` or lower `{name}_rate`")

    @property
    def reserved(self) -> int:
        return len(MODES) + self.sentinels

    def compute(self, facts: DataFacts, shape: Shape, convention: Convention) -> float:
        """0: no compute in addition to that of the model. Raises EditError `context-too-short`, `too-few-sentinels`."""
        layouts = self.layouts(shape.number("context")) if "context" in shape else {}
        spans = max((layout.spans for layout in layouts.values()), default=0)
        if spans >= self.sentinels:
            message = f"a context of {shape['context']} tokens has {spans} spans, more than the sentinels can mark"
            why = f"{self.sentinels} sentinels mark up to {self.sentinels - 1} spans"
            help = f"set `sentinels: {spans + 1}` in `denoising`"
            raise EditError("too-few-sentinels", message, why=why, help=help)
        return 0.0

    def layouts(self, context: int) -> dict[str, Layout]:
        """The layouts of the denoisers that remove spans. Raises EditError `context-too-short`."""
        known = {
            "regular": (self.regular, self.regular_rate, self.regular_span),
            "extreme": (self.extreme, self.extreme_rate, self.extreme_span),
        }
        return {mode: Layout.of(context, rate, span) for mode, (share, rate, span) in known.items() if share}
