"""Several corpora of text, read in fixed shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from shapeflow.base.settings import name_of, setting, written
from shapeflow.ir.components import Data, DataHooks
from shapeflow.ir.corpora import normal
from shapeflow.ir.edits import EditError
from shapeflow.ir.parameters import Corpus, DataFacts

BATCH = 512
"""Default number of tokens of one step, as for a single text."""


@attrs.frozen
class Mixture(DataHooks):
    """Corpora of one vocabulary, read in shares: `mixture(of: [tokens("code.bin"), tokens("prose.bin")],
    weights: [70%, 30%], batch: 4096 tokens)`.

    Weights are shares of the tokens, and are divided by their sum. After every step, each corpus has had its share up
    to one window. Each corpus is read in its own order and has its own epochs. Held-out losses are means over the
    corpora with the same weights; the log also has that of each corpus. All corpora need the same vocabulary, tokenizer
    and end-of-document token. The batch is that of the mixture."""

    of: tuple[Data, ...] = setting(kind="data", help="the corpora", example='[tokens("a.bin"), tokens("b.bin")]')
    weights: tuple[float, ...] = setting("ratio", above=0.0, help="the share of each, in the same order")
    batch: int = setting("tokens", default=BATCH, low=1, help="tokens of one step, at every context")

    def __attrs_post_init__(self) -> None:
        """Raises EditError `mixture-weights`, `corpora-differ`."""
        if len(self.of) != len(self.weights):
            message = f"a mixture of {len(self.of)} corpora has {len(self.weights)} weights"
            raise EditError("mixture-weights", message, why="needs one weight for each corpus")
        if not self.of:
            raise EditError("mixture-weights", "the mixture has no corpus", why="nothing to train on")
        for number, one in enumerate(self.of):
            if isinstance(one, Mixture) or one.facts().kind != "text":
                message = f"a mixture is of corpora of text, and `{name_of(one)}` is not one"
                raise EditError("corpora-differ", message, why="not a corpus of text", setting=f"of.{number}.")
            if one.batch not in (BATCH, self.batch):
                message = (
                    f"a step has {self.batch} tokens of all corpora together, and `{name_of(one)}` states {one.batch}"
                )
                help_ = "leave it out, and set the `batch` of the mixture"
                raise EditError(
                    "corpora-differ", message, why="a second batch", help=help_, setting=f"of.{number}.batch"
                )

    def facts(self) -> DataFacts:
        return attrs.evolve(self.of[0].facts(), batch=self.batch)

    def longest(self, folder: Path) -> int | None:
        """That of the corpus that allows the least; None if none is known."""
        return min((each for one in self.of if (each := one.longest(folder)) is not None), default=None)

    def corpora(self, folder: Path) -> tuple[Corpus, ...]:
        """Every corpus, with its share of an evaluation."""
        texts = [one.corpora(folder)[0] for one in self.of]
        return tuple(attrs.evolve(one, share=share) for one, share in zip(texts, normal(self.weights), strict=True))

    def found_in(self, folder: Path) -> Mixture:
        """This mixture with the facts of its corpora. Raises EditError `corpora-differ`, and what they raise."""
        parts = tuple(one.found_in(folder) for one in self.of)
        facts, names = [one.facts() for one in parts], names_of([{"is": name_of(one), **written(one)} for one in parts])
        told = [{"vocabulary": one.vocabulary, "end-of-document token": one.separator} for one in facts]
        check_alike(names, [{**fact, **one.tokenizer_in(folder)} for fact, one in zip(told, parts, strict=True)])
        return attrs.evolve(self, of=parts)


def names_of(corpora: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of corpora in messages and logs: the name of the file or folder, or that of the component, with a
    number if another corpus has the same. `corpora`: their components as JSON."""
    plain = [Path(one["path"]).stem if "path" in one else str(one["is"]) for one in corpora]
    return [name if plain.count(name) == 1 else f"{name}-{number}" for number, name in enumerate(plain, 1)]


def check_alike(names: Sequence[str], facts: Sequence[Mapping[str, Any]]) -> None:
    """Raise EditError `corpora-differ` if corpora differ in a fact."""
    for name, own in zip(names[1:], facts[1:], strict=True):
        for fact, value in own.items():
            if facts[0].get(fact, value) != value:
                first, other = ("none" if each is None else each for each in (facts[0][fact], value))
                message = f"the {fact} of `{names[0]}` is {first}, that of `{name}` is {other}"
                help_ = "make all corpora with the same tokenizer: `shapeflow tokenize` with one `--tokenizer`"
                raise EditError("corpora-differ", message, why="corpora of one mixture need the same", help=help_)
