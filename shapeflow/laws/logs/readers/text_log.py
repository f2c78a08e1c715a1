"""Reader of text that trainers print: lines with the number of a step and pairs of a name and a number.

`DIALECTS` lists what is recognized. A dialect is a pattern of the lines that hold the step, a pattern of pairs, and the
names that it abbreviates. Lines that fit no dialect are passed over: a trainer prints much that is not a measurement.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from shapeflow.laws.logs.readers.cells import number
from shapeflow.laws.logs.readers.ends import Ends
from shapeflow.laws.logs.readers.lines import Lines
from shapeflow.laws.logs.readers.log import Log, Row
from shapeflow.laws.logs.readers.numerals import plain_of

_NUMBER = r"[-+]?(?:\d+(?:[.,]\d+)*\.?|\.\d+)(?:[eE][-+]?\d+)?|nan|inf"
"""A number, also with a decimal comma or marks between thousands: what they mean is for the reader of rows to ask."""
_WHOLE = r"\d+(?:[.,]\d{3})*"
_BARS = re.compile(
    rf"(?:^|[|,])\s*(?P<key>[A-Za-z][^|:=,]{{0,100}}?)\s*+[:=]?\s*+(?P<value>{_NUMBER})(?=[\s%|,(]|[a-z]|$)"
)
_COLONS = re.compile(rf"(?P<key>[A-Za-z_][\w/.@-]*)\s?[:=]\s*(?P<value>{_NUMBER})(?![\w.]*/)")
_QUOTED = re.compile(rf"'(?P<key>[^']+)': '?(?P<value>{_NUMBER})'?(?=[,}}\s])")
_JSON = re.compile(rf'"(?P<key>[^"]+)": "?(?P<value>{_NUMBER})"?(?=[,}}\s])')
_OF_STEP = re.compile(rf"^(?P<key>val loss) (?P<value>{_NUMBER})$")
"""A line of llm.c without a step: it stands after the line of the last step that was done."""
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@attrs.frozen
class Dialect:
    """The lines of one trainer."""

    trainers: str
    line: re.Pattern[str]
    """Matches a line with measurements, or the heading of a block of them. Its group `step` is the step."""
    pairs: re.Pattern[str] = _COLONS
    """Finds the pairs of a line, groups `key` and `value`."""
    short: Mapping[str, str] = attrs.field(factory=dict)
    """Name that the trainer abbreviates -> the name of the column."""
    block: bool = False
    """Whether the pairs stand in indented lines below the heading."""
    held_out: re.Pattern[str] | None = None
    """Matches lines that are about held-out data, although the names of their pairs do not say so."""
    each: re.Pattern[str] | None = None
    """Matches a line before the measurements that states the tokens of a step, group `tokens`."""
    thousands: re.Pattern[str] | None = None
    """Names of the numbers that the trainer writes with commas between thousands."""
    base_two: bool = False
    """Whether its losses are in bits. They are read in nats."""

    def row(self, line: str) -> dict[str, Any] | None:
        """Return the row of a line. None if the line is not of this dialect."""
        found = self.line.search(line)
        if found is None:
            return None
        row: dict[str, Any] = {"step": found["step"]} if found.groupdict().get("step") else {}
        if not self.block:
            row.update(self.pairs_of(line[: found.start()] + line[found.end() :] if row else line))
            if self.held_out is not None and self.held_out.search(line):
                row = {name if name == "step" else f"val/{name}": value for name, value in row.items()}
        return row

    def pairs_of(self, text: str) -> dict[str, str]:
        found = self.pairs.finditer(text.strip())
        named = ((self.short.get(key := one["key"].strip().strip("'\""), key), one["value"]) for one in found)
        found_all = {key: self._number(key, value) for key, value in named if key}
        if self.base_two:
            found_all.update((key, _in_nats(value)) for key, value in found_all.items() if key.endswith("loss"))
        return found_all

    def _number(self, key: str, value: str) -> str:
        marked = self.thousands is not None and self.thousands.fullmatch(key) is not None
        return plain_of(value, "thousands_comma") if marked else value


def _in_nats(bits: str) -> str:
    value = number(bits)
    return repr(value * math.log(2)) if isinstance(value, float) else bits


_HINT = re.compile(r"[Ss]tep|[Ii]ter|[Bb]atch|[Ee]poch|[Ll]oss|s:\d")
"""Is in each line that fits a dialect: one pattern is faster than all of theirs where a folder holds other files."""
DIALECTS = (
    Dialect(
        "llm.c",
        re.compile(rf"^s:(?P<step>{_WHOLE})(?= (?:trl|tel|eval):)"),
        short={"trl": "train_loss", "tel": "val_loss", "eval": "hellaswag_accuracy"},
    ),
    Dialect("modded-nanogpt", re.compile(r"^step:(?P<step>\d+)/\d+(?= )")),
    Dialect(
        "nanoGPT",
        re.compile(rf"^(?:step|iter) +(?P<step>{_WHOLE})(?:/{_WHOLE})?: (?=(?:train )?loss )"),
        re.compile(rf"(?:^|, )(?P<key>[a-z][a-z ]*?) (?P<value>{_NUMBER})"),
        each=re.compile(r"^tokens per iteration will be: (?P<tokens>[\d,]+)$"),
    ),
    Dialect(
        "Megatron",
        re.compile(
            rf"(?:^|\s|\])\s*(?:validation loss at )?iteration\s+(?P<step>{_WHOLE})\s*(?:/\s*{_WHOLE}\s*)?(?=\|)"
        ),
        _BARS,
        held_out=re.compile(r"validation loss at"),
    ),
    Dialect("torchtune", re.compile(rf"^Step (?P<step>{_WHOLE}) \| (?=\w+:[-+.\d])")),
    Dialect(
        "nanochat, llm.c",
        re.compile(rf"^(?:[Ss]tep:?)\s+(?P<step>{_WHOLE})\s*(?:/\s*{_WHOLE}\s*)?(?:\([\d.]+%\)\s*)?(?=\|)"),
        _BARS,
        thousands=re.compile(r"tok/sec"),
        each=re.compile(
            r"^(?:[Tt]otal (?:desired )?batch size:? |batch_size B=.* total_batch_size=)(?P<tokens>[\d,]+)(?: =>.*)?$"
        ),
    ),
    Dialect(
        "torchtitan",
        re.compile(rf"\bstep:\s*(?P<step>{_WHOLE})\s+(?=(?:\w+/)*\w*loss: )"),
        held_out=re.compile(r"\bvalidate\b"),
        thousands=re.compile(r"tps"),
    ),
    Dialect(
        "OLMo, Composer",
        re.compile(rf"\[(?:step|batch|iteration)=(?P<step>{_WHOLE})(?:/{_WHOLE})?\b[^\]]*\]:?\s*$"),
        re.compile(rf"^(?:Train |Eval )?(?P<key>[\w/. -]+?)\s?[=:]\s*(?P<value>{_NUMBER})$"),
        block=True,
        thousands=re.compile(r"throughput/.*"),
    ),
    Dialect(
        "fairseq",
        re.compile(
            r"\| (?:train_inner|train|valid\w*) \| "
            r'(?=\{"epoch": .*"(?:train_|valid\w*?_)?num_updates": "?(?P<step>\d+))'
        ),
        _JSON,
        base_two=True,
    ),
    Dialect("Hugging Face", re.compile(r"^\s*\{'(?:eval_)?(?:train_)?loss': "), _QUOTED),
)


def rows(log: Log) -> Iterator[Row]:
    """Yield a row for each line with measurements, or for each block of them. Raises Unreadable."""
    lines, ends = Lines(log), Ends()
    used: dict[str, None] = {}
    block: tuple[Dialect, dict[str, Any]] | None = None
    each: dict[str, float] = {}
    last: tuple[Dialect, str] | None = None
    for line in lines:
        line = _ANSI.sub("", line)
        found = dialect_of(line)
        if found is not None and "step" in found[1]:
            last = found[0], found[1]["step"]
        elif last is not None and (alone := _OF_STEP.match(line)) is not None:
            found = last[0], {"step": last[1], alone["key"]: alone["value"]}
        if found is None:
            each.update(_each(line))
        elif found[0].trainers in each:
            _count(found[1], each[found[0].trainers], log)
        if found is not None:
            used[found[0].trainers] = None
        pairs = block[0].pairs_of(line) if block is not None and found is None and line[:1].isspace() else {}
        row = pairs or (found[1] if found is not None else {})
        name, value = list(row.items())[-1] if row else ("", "")
        if row and not lines.ended and not ends.whole(name, value, ""):
            log.torn = True
            continue
        ends.see(name, value)
        if pairs and block is not None:
            block[1].update(pairs)
            continue
        yield from _measured(block)
        block = found if found is not None and found[0].block else None
        if block is None:
            yield from _measured(found)
    yield from _measured(block)
    log.notes.append(f"lines as printed by {', '.join(used)}; other lines are passed over")


def _each(line: str) -> Iterator[tuple[str, float]]:
    """Yield the dialects in which a line states the tokens of a step, and their number."""
    for dialect in DIALECTS:
        if dialect.each is not None and (found := dialect.each.search(line)) is not None:
            yield dialect.trainers, float(found["tokens"].replace(",", ""))


def _count(row: dict[str, Any], each: float, log: Log) -> None:
    """Add the tokens of a row that has a step and no tokens of its own."""
    step = number(plain_of(row.get("step"), log.numerals))
    if isinstance(step, float) and "tokens" not in row:
        row["tokens"] = f"{step * each:.0f}"
        log.made["tokens"] = f"{each:.0f} tokens a step, by a line of the log"


def _measured(found: tuple[Dialect, dict[str, Any]] | None) -> Iterator[Row]:
    if found is not None and len(found[1]) > 1:
        yield found[1]


def dialect_of(line: str) -> tuple[Dialect, dict[str, Any]] | None:
    """Return the dialect of a line and the row in it. None if it has none."""
    for dialect in DIALECTS:
        if (row := dialect.row(line)) is not None:
            return dialect, row
    return None


def looks_so(head: bytes) -> bool:
    """Return whether one of these lines is of a dialect. Binary files have none."""
    if b"\0" in head[:1024]:
        return False
    text = _ANSI.sub("", head.decode(errors="replace"))
    lines = (line for line in text.splitlines() if len(line) < 4000 and _HINT.search(line))
    return any(dialect_of(line) is not None for line in lines)
