"""Which column is the error of a metric: of one table, and one for all files of a fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from shapeflow.base.diagnostics import Report
from shapeflow.ir.route import LawRequest
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.by_name import LETTER
from shapeflow.laws.logs.finding.roles import Roles
from shapeflow.laws.logs.finding.summary import Column
from shapeflow.laws.logs.runs import Logs

UNUSUAL = {
    "bits_per_token": "bits per token", "bits_per_byte": "bits per byte", "bits_per_character": "bits per character",
}  # fmt: skip
"""Units of errors that the name of a column has to state -> their names in messages."""
SMALL = 0.1
"""A column `error` that is always below this share of another error is the standard error of that one."""
SHOWN = 6
"""Maximum number of files that a message lists."""


def of_unit(name: str, unit: str | None) -> bool:
    """Whether errors of this name may be in a unit: what states none is in the usual one."""
    said = words.unit_of(name)
    return said == unit if said or unit in UNUSUAL else True


def likely_errors(
    columns: Mapping[str, Column], roles: Roles, metric: str, unit: str | None, whole: bool = True
) -> list[str]:
    """Return the columns that may be the error of a metric, the most likely first: the metric itself, held-out errors,
    and a column `error` before training errors. Columns without numbers are none. `whole`: whether the columns are
    those of all rows; in the first rows of a long log, a few held-out errors are enough."""
    own = metric.partition(":")[0]
    bare = own.partition("@")[0]
    named = [own] if bare in ("loss", "error") else [own, bare]
    share = bare.endswith("error")
    named_so = [one for one in roles.errors if words.is_error(one) or roles.of[one].why == LETTER]
    of_kind = [one for one in named_so if of_unit(one, unit)]
    found = [one for one in of_kind if words.is_share(one) == share or _general(one)]
    found = [one for one in found if not (_general(one) and _is_standard_error(one, found, columns))]
    if not share:
        found.sort(key=lambda one: (_general(one) or words.is_training(one), words.is_training(one)))
    if not whole:
        found.sort(key=lambda one: not words.is_held_out(one))
    exact = [one for one in named if one in columns and columns[one].numeric and columns[one].high > 0]
    return list(dict.fromkeys([*exact, *found]))


def _general(name: str) -> bool:
    return words.plain(name) == "error" and not words.is_held_out(name) and not words.is_training(name)


def _is_standard_error(name: str, found: Sequence[str], columns: Mapping[str, Column]) -> bool:
    return any(columns[name].high < SMALL * columns[one].low for one in found if one != name)


def one_error(logs: Logs, request: LawRequest, report: Report) -> str | None:
    """Return the error column that all files of a fit have: the one that most files would be read by, held-out ones
    first. None if there are no tables, or after an error (`mixed-laws`): files would be read by different columns."""
    used = {file for run in logs.runs.values() for file in run.files}
    of = {file: found for file, found in logs.errors.items() if file in used}
    if not of:
        return None
    first = Counter(found[0] for found in of.values())
    shared = set.intersection(*map(set, of.values()))
    order = dict.fromkeys(name for found in of.values() for name in found)
    most = sorted(order, key=lambda name: (not words.is_held_out(name), words.is_training(name), -first[name]))
    chosen = next((name for name in most if name in shared), None)
    if chosen is None or (words.is_held_out(most[0]) and not words.is_held_out(chosen)):
        _unlike(of, first, most[0], request, report)
        return None
    return chosen


def _unlike(
    of: Mapping[str, Sequence[str]], first: Counter[str], best: str, request: LawRequest, report: Report
) -> None:
    """Report files whose errors are in different columns (`mixed-laws`)."""
    files = {column: [file for file, found in of.items() if found[0] == column] for column in first}
    lacking = [file for file, found in of.items() if best not in found]
    report.error(
        "mixed-laws",
        f"the files would be read by different error columns: `{best}` is missing in {len(lacking)} of {len(of)}",
        request.at("error", "paths"),
        "errors in different columns may be of different data",
        notes=[
            f"`{column}`: {', '.join(f'`{file}`' for file in listed[:SHOWN])}{', ...' if len(listed) > SHOWN else ''}"
            for column, listed in files.items()
        ],
        help=request.advice(
            ("error", f'to read one column, write `{{}}: "{best}"` and name only files that have it'),
            "give the column the same name in all files if it is the same error",
        ),
    )
