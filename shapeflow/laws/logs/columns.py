"""Find the columns of a table, by the settings of `fit` or by usual names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import attrs

from shapeflow.base.diagnostics import Report, did_you_mean
from shapeflow.ir.route import LawRequest, Purpose
from shapeflow.laws.logs.readers import Row, number
from shapeflow.laws.logs.runs import Query
from shapeflow.laws.logs.template import RUN, Template

COMPUTE = ("compute", "flops", "total_flos")
STEP = ("step", "steps", "global_step", "train/global_step", "trainer/global_step", "_step", "Step")
RUNS = ("run", "run_name", "seed")
RATE = ("learning_rate", "lr", "train/learning_rate", "train/lr")
HELD_OUT = ("eval", "val", "valid", "validation", "test", "held_out")
"""Prefixes in the names of errors on held-out data."""
_HELD_OUT = re.compile(r"(?i)(.*[^a-z])?(eval|evaluation|val|valid|validation|test|dev|held.?out)([^a-z].*)?")
_TRAINING = re.compile(r"(?i)(.*[^a-z])?(train|training)([^a-z].*)?")
SHOWN = 30


@attrs.frozen
class Product:
    """A product of a factor and some columns."""

    columns: tuple[str, ...]
    factor: float = 1.0

    def of(self, row: Row) -> float | str:
        """Return the product of a row, or the reason why there is none: `blank` or `no number`."""
        product = self.factor
        for column in self.columns:
            cell = number(row.get(column))
            if not isinstance(cell, float):
                return cell
            product *= cell
        return product


@attrs.frozen
class Series:
    """The columns of one curve of a table."""

    error: str
    compute: Product | None
    """None: compute is the number of steps times the FLOPs per step of the model."""
    step: str | None
    rate: str | None
    runs: tuple[str, ...]
    axes: Mapping[str, str]
    """Axis -> the column of its values."""
    given: Mapping[str, str] = attrs.field(factory=dict)
    """Axis, or `run` -> its value in the name of the error column or in the path of the file."""
    size: str | None = None
    """The column of the number of parameters, if it is needed."""

    @property
    def evaluation(self) -> str | None:
        """`held-out` or `training`, by the name of the error column. None: unknown."""
        return evaluation(self.error)


def evaluation(name: str) -> str | None:
    """Return `held-out` or `training`, by the name of an error. None: unknown."""
    if _HELD_OUT.fullmatch(name):
        return "held-out"
    return "training" if _TRAINING.fullmatch(name) else None


def error_names(metric: str) -> list[str]:
    """Return the possible names of the error column of a metric, in order of preference: the metric itself, `error` (if
    the metric is not an error), names on held-out data such as `eval_loss`, and `loss` (or `error`)."""
    bare = metric.partition("@")[0]
    general = ["error"] if bare.endswith("error") else ["error", "loss"]
    held = [f"{prefix}{mark}{general[-1]}" for prefix in HELD_OUT for mark in "_/"]
    own = [metric] if bare in general else [metric, bare]
    return list(dict.fromkeys([*own, *general[:-1], *held, general[-1]]))


@attrs.frozen
class Finder:
    """Finds the columns of tables, and reports each missing column once."""

    query: Query
    request: LawRequest
    report: Report
    reported: set[str] = attrs.field(factory=set)
    """The columns that were reported as missing. Many files of a sweep may lack the same column."""
    missed: list[str] = attrs.field(factory=list)
    """The settings of all missing columns, including those that were already reported for another file."""

    def template(self, text: str) -> Template:
        """Return the template of a text. Placeholders of axes with numeric values match only numbers."""
        values = {axis: [shape[axis] for shape in self.request.candidates] for axis in self.request.units}
        numbers = {axis for axis, all_ in values.items() if not any(isinstance(value, str) for value in all_)}
        return Template(text, frozenset(numbers))

    def check_places(self) -> None:
        """Report placeholders in braces that are not defined (`unknown-place`)."""
        query, axes = self.query, list(self.request.units)
        in_error = self.template(query.error or "").places
        texts: Mapping[Purpose, str | None] = {
            "paths": query.pattern,
            "error": query.error,
            "compute": query.compute,
            "step": query.step,
            "rate": query.rate,
        }
        for setting, text in texts.items():
            known = [*axes, RUN] if setting in ("paths", "error") else in_error
            for place in self.template(text or "").places:
                if place not in known:
                    self._unknown_place(setting, place, known)

    def _unknown_place(self, setting: Purpose, place: str, known: Sequence[str]) -> None:
        error = self.request.setting_names.get("error")
        names = ", ".join(f"`{{{name}}}`" for name in known) or (
            f"none; only `{error}` may contain them" if error else "none"
        )
        close = did_you_mean(place, known)
        self.report.error(
            "unknown-place",
            f"`{{{place}}}` is not a placeholder here",
            self.request.at(setting),
            "a placeholder stands for the value of an axis, or for the name of the run",
            notes=[f"placeholders here: {names}"],
            help=f"did you mean `{{{close}}}`?"
            if close
            else f"write {names}"
            if known
            else "write the name of the column without braces",
        )

    def series(self, names: Sequence[str], file: str, given: Mapping[str, str]) -> list[Series]:
        """Return the curves of a table with the columns `names`. Empty if a column is missing, which is reported
        (`missing-column`). `given`: the values that the path of the file states."""
        before = len(self.missed)
        errors = self._errors(names, file, given)
        found = [one for name, values in errors if (one := self._series(name, values, names, file))]
        return found if len(self.missed) == before else []

    def _errors(self, names: Sequence[str], file: str, given: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
        """Return the error columns, each with the values of axes and `run` from its name and from the path."""
        wanted = self.query.error
        if wanted is None or wanted in names or not self.template(wanted).places:
            taken = {self.query.axes.get(axis, axis) for axis in self.request.units}
            usual = [name for name in error_names(self.request.metric) if name not in taken]
            error = self.column("error", [wanted] if wanted else usual, names, file)
            return [] if error is None else [(error, dict(given))]
        found = [(name, {**given, **values}) for name, values in self.template(wanted).columns(names)]
        if not found:
            self.missing("error", [wanted], names, file)
        return found

    def _series(self, error: str, given: Mapping[str, str], names: Sequence[str], file: str) -> Series | None:
        query = self.query
        before = len(self.missed)
        step = self._named("step", query.step, STEP, given, names, file)
        rate = self._named("rate", query.rate, RATE, given, names, file)
        compute = self._compute(given, step, names, file)
        runs = (query.run,) if query.run else tuple(name for name in RUNS if name in names)
        if query.run:
            self.column("run", [query.run], names, file)
        for column in query.where:
            self.column("where", [column], names, file)
        size = self.column("parameters", query.size, names, file) if query.size else None
        axes: dict[str, str] = {}
        for axis in self.request.units:
            column = query.axes.get(axis, axis)
            varies = len({shape[axis] for shape in self.request.candidates}) > 1
            if axis not in given and (varies or axis in query.axes or column in names):
                axes[axis] = column
                self.column("axes", [column], names, file)
        if len(self.missed) > before:
            return None
        return Series(error, compute, step, rate, runs, axes, given, size)

    def _named(
        self,
        setting: Purpose,
        wanted: str | None,
        usual: Iterable[str],
        given: Mapping[str, str],
        names: Sequence[str],
        file: str,
    ) -> str | None:
        """Return the column that a setting names, which must exist. Without a setting, return the first of the usual
        columns that exists, or None."""
        if wanted is None:
            return next((name for name in usual if name in names), None)
        return self.column(setting, [self._filled(wanted, given)], names, file)

    def _filled(self, text: str, given: Mapping[str, str]) -> str:
        template = self.template(text)
        return template.fill(given) if all(place in given for place in template.places) else text

    def _compute(self, given: Mapping[str, str], step: str | None, names: Sequence[str], file: str) -> Product | None:
        """Return the column of compute, or several columns to multiply. None if no column is found, or if compute is
        derived from the steps of the model."""
        if self.query.compute is None:
            found = next((name for name in COMPUTE if name in names), None)
            if found is None and (step is None or self.request.step_compute is None):
                self.missing("compute", COMPUTE[:2], names, file)
            return Product((found,), self.query.flops) if found else None
        text = self._filled(self.query.compute, given)
        factor, columns = self.query.flops, []
        for part in [text] if text in names else [part.strip() for part in text.split("*")]:
            value = number(part)
            if part not in names and isinstance(value, float):
                factor *= value
            elif column := self.column("compute", [part], names, file):
                columns.append(column)
        return Product(tuple(columns), factor)

    def column(self, setting: Purpose, wanted: Sequence[str], names: Sequence[str], file: str) -> str | None:
        """Return the first of the wanted columns that exists. None after an error (`missing-column`)."""
        found = next((name for name in wanted if name in names), None)
        if found is None:
            self.missing(setting, wanted, names, file)
        return found

    def missing(self, setting: Purpose, wanted: Sequence[str], names: Sequence[str], file: str) -> None:
        """Report that none of the wanted columns exists (`missing-column`), once for each setting and column."""
        self.missed.append(setting)
        if f"{setting} {wanted[0]}" in self.reported:
            return
        self.reported.add(f"{setting} {wanted[0]}")
        request, name, close = self.request, self.request.setting_names.get(setting), did_you_mean(wanted[0], names)
        shown = [name for name in wanted if evaluation(name) is None or len(wanted) == 1]
        more = ""
        if setting == "compute" and self.query.compute is None:
            needs = "a step column" if request.step_compute else "a step column and a `model` sentence"
            more = (
                f"; if there is none, compute can be derived from {needs}{request.advice(('step', ': see `{}`')) or ''}"
            )
        self.report.error(
            "missing-column",
            f"`{file}` has no column {' or '.join(f'`{name}`' for name in shown)}",
            request.at(setting),
            "" if name is None else "names it" if name in request.spans else f"`{name}` is not set",
            notes=[f"its columns: {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"],
            help=f"did you mean `{close}`?"
            if close
            else request.advice((setting, f"name the column with the setting `{{}}`{more}")),
        )
