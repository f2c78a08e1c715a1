"""Templates: names with places in braces, `width{width} - loss`, `runs/w{width}-s{run}/*.csv`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs

from shapeflow.laws.logs.readers.wandb import EXTREMES

RUN = "run"
"""The place that stands for no axis: it tells runs apart."""
LONGEST = 1000
"""Letters of a name that is looked at."""
_PLACE = re.compile(r"\{(\w+)\}")
_NUMBER = r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_WILD = re.compile(r"\*\*/|\*\*?|\?|\[.[^]]*\]")


@attrs.frozen
class Template:
    """A text whose places in braces stand for the values of axes, or for the name of a run."""

    text: str
    numbers: frozenset[str] = frozenset()
    """Places that hold numbers; others hold any letters up to the next that the text gives, `/` excepted in a path."""

    @property
    def places(self) -> list[str]:
        """The names in braces, each once."""
        return list(dict.fromkeys(_PLACE.findall(self.text)))

    @property
    def pattern(self) -> str:
        """As a pattern of a shell: a wildcard for each place."""
        return _PLACE.sub("*", self.text)

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with values in its places. Raises KeyError for a place without."""
        return _PLACE.sub(lambda place: values[place[1]], self.text)

    def columns(self, names: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
        """The names that fit, and the value of each place; columns of extremes never do."""
        fits = re.compile(self._expression(re.escape, ".+"))
        for name in names:
            if len(name) <= LONGEST and not name.endswith(EXTREMES) and (match := fits.fullmatch(name)):
                yield name, match.groupdict()

    def path(self, path: str) -> dict[str, str] | None:
        """The value of each place in a path, given with `/`; None where it does not fit."""
        match = re.fullmatch(self._expression(_wild, "[^/]+"), path)
        return None if match is None else match.groupdict()

    def _expression(self, literal: Callable[[str], str], letters: str) -> str:
        parts = _PLACE.split(self.text)
        made, seen = literal(parts[0]), set[str]()
        for place, text in zip(parts[1::2], parts[2::2], strict=True):
            group = f"(?P<{place}>{_NUMBER if place in self.numbers else letters})"
            made += (f"(?P={place})" if place in seen else group) + literal(text)
            seen.add(place)
        return made


def _wild(text: str) -> str:
    """The regular expression of a path with a shell's wildcards; letters in brackets fit any one letter, since the
    path was found by the shell's own rules."""
    made, at = "", 0
    for found in _WILD.finditer(text):
        made += re.escape(text[at : found.start()])
        made += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}.get(found[0], "[^/]")
        at = found.end()
    return made + re.escape(text[at:])
