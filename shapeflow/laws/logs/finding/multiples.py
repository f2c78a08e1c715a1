"""The multiple of a unit that the words of a name state: 1e9 for `tokens_in_billions`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21}
"""First letter of a prefix of FLOPs, or the whole prefix -> its value."""
_LETTERS = {"k": 1e3, "m": 1e6, "b": 1e9, "bn": 1e9, "mn": 1e6, "t": 1e12}
"""Letters of a multiple next to what is counted: `tokens_b`."""
_WORDS = {
    "thousand": 1e3, "million": 1e6, "mio": 1e6, "mil": 1e6, "billion": 1e9, "bil": 1e9, "trillion": 1e12,
    "quadrillion": 1e15,
    "kilo": 1e3, "mega": 1e6, "giga": 1e9, "tera": 1e12, "peta": 1e15, "exa": 1e18, "zetta": 1e21,
}  # fmt: skip
"""Words of a multiple, anywhere in the name of an amount, in the singular."""
_FILLERS = {"in", "of", "x", "trained", "train", "training", "unit", "units"}
"""Words between what is counted and its multiple."""
_POWER = re.compile(
    r"(?<![0-9a-wyz.])x?\s*(?:1e|10\^|10\*\*)\+?(\d{1,2})(?![0-9])"
    r"|(?<![0-9a-z.])e\+?(3|6|9|12|15|18|20|21|24)(?![0-9])"
)
"""A multiple that a name states: `FLOPs (1e15)`, `tokens x10^9`, `flops_e15`."""


def multiple_of(
    name: str, parts: Sequence[str], counted: Callable[[str], bool], letters: dict[str, float], ahead: Sequence[str]
) -> float:
    """Return the number that one unit of a column stands for. `parts`: the words of the name, without those that say
    nothing of its unit; `counted`: whether a word is what is counted; `letters`: the letters of a multiple after it;
    `ahead`: those that are one before it, too, at the start of the name."""
    # Words lose the numbers at their ends, and `e15` is not `e`.
    if (stated := power_of(name)) != 1:
        return stated
    for part in parts:
        if (value := _WORDS.get(part.removesuffix("s"))) is not None:
            return value
    known = [part for part in parts if part not in _FILLERS]
    for at, part in enumerate(known):
        if not counted(part):
            continue
        if at + 1 < len(known) and known[at + 1] in letters:
            return letters[known[at + 1]]
        if at == 1 and known[0] in ahead:
            return letters[known[0]]
    return 1.0


def multiple(text: str) -> float:
    """Return the multiple that a text states: `M`, `bn`, `EF`, `1e18 FLOPs`; 1 for none, and for what is not known."""
    low = text.lower().strip()
    if (stated := power_of(low)) != 1:
        return stated
    letters = {**{letter: value for letter, value in PREFIXES.items() if letter}, **_LETTERS}
    bare = low.split(" ")[0].removesuffix("flops").removesuffix("flop")
    known = letters.get(bare, letters.get(bare.removesuffix("f"), 1.0)) if bare else 1.0
    return _WORDS.get(bare.removesuffix("s"), known)


def power_of(name: str) -> float:
    """The power of ten that a name states as its unit; 1 if it states none."""
    found = _POWER.search(name.lower())
    return 1.0 if found is None else 10.0 ** int(found[1] or found[2])


def of_data(name: str, parts: Sequence[str], counted: Callable[[str], bool]) -> float:
    """Return the multiple of a name of data or of parameters."""
    return multiple_of(name, parts, counted, _LETTERS, ("k", "m", "b", "bn", "mn"))


def of_flops(name: str, parts: Sequence[str]) -> float:
    """Return the multiple of a name of FLOPs, apart from a prefix within the word (`pflops`)."""
    letters = {**{letter: value for letter, value in PREFIXES.items() if letter}, "b": 1e9}
    return multiple_of(name, parts, {"flops", "flop", "flos", "macs", "mac"}.__contains__, letters, tuple("gtpez"))
