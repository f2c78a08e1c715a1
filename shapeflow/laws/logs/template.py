"""Templates: names with placeholders in braces, such as `width{width} - loss` or `runs/w{width}-s{run}/*.csv`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs

from shapeflow.laws.logs.readers.wandb import EXTREMES

RUN = "run"
"""The placeholder for the name of a run."""
PART = "part"
"""The placeholder in paths for the part of a run whose log is several files. All other placeholders are axes."""
LONGEST = 1000
"""Maximum length of a column name that is matched."""
_PLACE = re.compile(r"\{(\w+)\}")
_NUMBER = r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_WILD = re.compile(r"\*\*/|\*\*?|\?|\[.[^]]*\]")


@attrs.frozen
class Template:
    """A text with placeholders in braces for the values of axes or the name of a run."""

    text: str
    numbers: frozenset[str] = frozenset()
    """Placeholders that match only numbers. Others match any text; in a path, any text without `/`."""

    @property
    def places(self) -> list[str]:
        """The names of the placeholders, each once."""
        return list(dict.fromkeys(_PLACE.findall(self.text)))

    @property
    def pattern(self) -> str:
        """The text as a shell pattern, with `*` for each placeholder."""
        return _PLACE.sub("*", self.text)

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with placeholders replaced by values. Raises KeyError for a placeholder without a value."""
        return _PLACE.sub(lambda place: values[place[1]], self.text)

    def columns(self, names: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield each name that matches, with the values of the placeholders. Columns of extremes of a W&B export, such
        as `loss__MIN`, never match."""
        fits = re.compile(self._expression(re.escape, ".+"))
        for name in names:
            if len(name) <= LONGEST and not name.endswith(EXTREMES) and (match := fits.fullmatch(name)):
                yield name, match.groupdict()

    def path(self, path: str) -> dict[str, str] | None:
        """Return the value of each placeholder in a path with `/` as separator. None if the path does not match."""
        match = re.fullmatch(self._expression(_wild, "[^/]+"), path)
        return None if match is None else match.groupdict()

    def without_part(self, path: str) -> str:
        """Return a path with `*` in place of what `{part}` stands for: the same for all parts of a run."""
        match = re.fullmatch(self._expression(_wild, "[^/]+"), path)
        if match is None or PART not in self.places:
            return path
        return f"{path[: match.start(PART)]}*{path[match.end(PART) :]}"

    def _expression(self, literal: Callable[[str], str], letters: str) -> str:
        parts = _PLACE.split(self.text)
        made, seen = literal(parts[0]), set[str]()
        for place, text in zip(parts[1::2], parts[2::2], strict=True):
            group = f"(?P<{place}>{_NUMBER if place in self.numbers else letters})"
            made += (f"(?P={place})" if place in seen else group) + literal(text)
            seen.add(place)
        return made


def _wild(text: str) -> str:
    """Return the regular expression of a path with shell wildcards. A bracket expression matches any character, since
    `glob` has already matched the path."""
    made, at = "", 0
    for found in _WILD.finditer(text):
        made += re.escape(text[at : found.start()])
        made += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}.get(found[0], "[^/]")
        at = found.end()
    return made + re.escape(text[at:])
