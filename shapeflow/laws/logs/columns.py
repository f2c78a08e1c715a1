"""Find the columns of a table, by the settings of `fit` or by usual names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from shapeflow.base.diagnostics import Report, did_you_mean
from shapeflow.ir.route import LawRequest, Purpose
from shapeflow.laws.logs.error_columns import UNUSUAL, likely_errors, of_unit
from shapeflow.laws.logs.finding import words
from shapeflow.laws.logs.finding.by_name import RUNS
from shapeflow.laws.logs.finding.roles import COMPUTE, other_sizes, small_size
from shapeflow.laws.logs.no_amount import LAGGING, instead_of
from shapeflow.laws.logs.progress import progress_of, unnamed_counter, unstated_size
from shapeflow.laws.logs.query import ANY_SIZE, Query
from shapeflow.laws.logs.readers import number
from shapeflow.laws.logs.series import Product, Progress, Series, error_names, evaluation
from shapeflow.laws.logs.table_facts import TableFacts
from shapeflow.laws.logs.template import PART, RUN, Template

SHOWN = 30


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
            known = [*known, PART] if setting == "paths" else known
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

    def series(self, table: TableFacts, file: str, given: Mapping[str, str]) -> list[Series]:
        """Return the curves of a table. Empty if a column is missing or is not what it is taken for, which is reported
        (`missing-column`, `wrong-counter`). `given`: the values that the path of the file states."""
        before = len(self.missed)
        errors = self._errors(table, file, given)
        found = [one for name, values in errors if (one := self._series(name, values, table, file))]
        return found if len(self.missed) == before else []

    def _errors(self, table: TableFacts, file: str, given: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
        """Return the error columns, each with the values of axes and `run` from its name and from the path."""
        wanted, names = self.query.error, table.names
        if wanted is None or wanted in names or not self.template(wanted).places:
            usual = [] if wanted else self._usual(table)
            error = self.column("error", [wanted] if wanted else usual, names, file, self._name_error(names))
            if error is not None and words.is_perplexity(error):
                self.wrong("error", error, file, "is a perplexity, not a loss", "add a column of its natural logarithm")
                return []
            return [] if error is None or self._other_unit([error], file) else [(error, dict(given))]
        found = [(name, {**given, **values}) for name, values in self.template(wanted).columns(names)]
        if not found:
            self.missing("error", [wanted], names, file)
        return [] if self._other_unit([name for name, _ in found], file) else found

    def _name_error(self, names: Sequence[str]) -> str | None:
        """What to write if no column is the error by its name, or none is in the unit of the metric."""
        scaled = next((name for name in names if words.is_scaled(name)), None)
        if scaled is not None and self.query.error is None:
            return f"{words.SCALED.format(scaled)}: add a column of the loss itself"
        if self.request.unit not in UNUSUAL:
            return None
        unit = UNUSUAL[self.request.unit or ""]
        return self.request.advice(("error", f"name the column of errors in {unit} with the setting `{{}}`"))

    def _other_unit(self, found: Sequence[str], file: str) -> bool:
        """Report errors whose name states another unit than that of the metric (`mixed-laws`)."""
        name = next((name for name in found if words.unit_of(name) not in (None, self.request.unit)), None)
        if name is None:
            return False
        self.missed.append("error")
        if "unit" not in self.reported:
            self.reported.add("unit")
            theirs, own = words.unit_of(name) or "", self.request.unit or "another unit"
            metric = self.request.metric.partition(":")[0]
            text = metric.partition("@")[0] == "loss"
            setting = "metric loss" if theirs == "nats" else f"metric loss(unit: {theirs})"
            self.report.error(
                "mixed-laws",
                f"`{name}` in `{file}` is in {theirs.replace('_', ' ')}, but `{metric}` of this file is in "
                f"{own.replace('_', ' ')}",
                self.request.at("error", "paths"),
                "errors in two units cannot be compared",
                help=(f"write `{setting}`, or " if text else "")
                + (self.request.advice(("error", "name a column in this unit with `{}`")) or "name other logs"),
            )
        return True

    def errors(self, table: TableFacts) -> list[str]:
        """Return the columns of a table that may be the error, the most likely first."""
        request, taken = self.request, {self.query.axes.get(axis, axis) for axis in self.request.units}
        found = likely_errors(table.columns, table.roles, request.metric, request.unit, table.whole)
        if not table.whole:
            # The first rows of a long log may hold no evaluation.
            usual = [name for name in error_names(request.metric) if name in table.names and words.is_held_out(name)]
            late = [name for name in usual if name not in table.columns or not table.columns[name].present]
            found = found if any(map(words.is_held_out, found)) else [*late, *found]
        return [name for name in found if name not in taken]

    def _usual(self, table: TableFacts) -> list[str]:
        """Return the columns that are looked for, if no setting names the error."""
        request, names, taken = self.request, table.names, {*self.query.axes.values(), *self.request.units}
        # What is in another unit is refused by name, rather than reported as missing.
        share = request.metric.partition("@")[0].endswith("error")
        other = [name for name in table.roles.errors if words.unit_of(name) is not None and not share][:1]
        usual = [name for name in error_names(request.metric) if name not in taken]
        usual = [name for name in usual if name not in names or of_unit(name, request.unit)]
        present = [name for name in usual if name in names]
        return [*self.errors(table), *([] if present else other), *usual]

    def _series(self, error: str, given: Mapping[str, str], table: TableFacts, file: str) -> Series | None:
        query, names = self.query, table.names
        before = len(self.missed)
        step = progress_of(self, table, given, file)
        rate = self.named("rate", query.rate, table.roles.rate, given, names, file)
        compute, guessed = self._compute(given, step, table, file)
        runs = query.run or tuple(name for name in RUNS if name in names)
        for name in query.run:
            self.column("run", [name], names, file)
        for column in query.where:
            self.column("where", [column], names, file)
        likely = [name for name, one in table.roles.of.items() if one.role == "parameters" and query.size == ANY_SIZE]
        likely.sort(key=lambda name: not words.is_active(name))
        size = self.column("parameters", [*likely, *query.size], names, file) if query.size else None
        axes: dict[str, str] = {}
        for axis in self.request.units:
            column = query.axes.get(axis, axis)
            varies = len({shape[axis] for shape in self.request.candidates}) > 1
            if axis not in given and (varies or axis in query.axes or column in names):
                axes[axis] = column
                self.column("axes", [column], names, file)
        if len(self.missed) > before:
            return None
        return Series(error, compute, step, rate, runs, axes, given, guessed, size, table.roles.epochs)

    def named(
        self,
        setting: Purpose,
        wanted: str | None,
        usual: str | None,
        given: Mapping[str, str],
        names: Sequence[str],
        file: str,
    ) -> str | None:
        """Return the column that a setting names, which must exist. Without a setting, return the usual one."""
        return usual if wanted is None else self.column(setting, [self.filled(wanted, given)], names, file)

    def filled(self, text: str, given: Mapping[str, str]) -> str:
        """Return a name with its placeholders replaced by given values, if all are given."""
        template = self.template(text)
        return template.fill(given) if all(place in given for place in template.places) else text

    def _compute(
        self, given: Mapping[str, str], step: Progress | None, table: TableFacts, file: str
    ) -> tuple[Product | None, str | None]:
        """Return the columns whose product is compute, and how they were found if nothing says so. None if no column is
        found, or if compute is derived from the progress and the model."""
        names, derived = table.names, step is not None and self.request.step_compute is not None
        if self.query.compute is None:
            found = next((name for name in COMPUTE if name in names and table.may_count(name)), None)
            if found is not None:
                return Product((found,), self.query.flops), None
            likely = table.roles.compute
            if likely and (len(likely) == 1 or not derived):
                unit = self.query.flops if "compute_unit" in self.request.spans else table.roles.flops
                text = " * ".join((f"{unit:g}", *likely))
                others = other_sizes(likely, table.roles.of, table.columns)
                unused = f" ({', '.join(f'`{name}`' for name in others)} not used)" if others else ""
                return Product(likely, unit), f"`{text}` FLOPs, by the names of the columns{unused}"
            if not derived and not (self.query.step and step is None):
                counters = () if step is not None or self.query.step else table.roles.counters
                if (slow := table.lagging()) is not None:
                    self.wrong("compute", slow, file, LAGGING, self._amount(derived, table, [slow], f"1 * {slow}"))
                else:
                    hint = unnamed_counter(counters) if counters else None
                    small = small_size(table.roles.of, table.rows)
                    if small is not None and table.roles.tokens is not None:
                        hint = unstated_size(small, table.roles.tokens)
                    self.missing("compute", COMPUTE[:2], names, file, hint)
            return None, None
        text = self.filled(self.query.compute, given)
        factor, columns = self.query.flops, []
        for part in [text] if text in names else [part.strip() for part in text.split("*")]:
            value = number(part)
            if part not in names and isinstance(value, float):
                factor *= value
            elif column := self.column("compute", [part], names, file):
                columns.append(column)
        unit = 1.0
        if columns == [text] and self.query.flops == 1 and "compute_unit" not in self.request.spans:
            # A column named alone has the unit of its name.
            unit = words.flops_of(text) or 1.0
        product = Product(tuple(columns), unit * factor)
        if columns and not any(map(words.is_duration, columns)):
            self._no_rate(product, derived, table, file)
        return product, None if unit == 1 else f"`{unit:g} * {text}` FLOPs, by the name of the column"

    def _no_rate(self, product: Product, derived: bool, table: TableFacts, file: str) -> None:
        """Report a product that is named as compute but does not accumulate (`wrong-counter`)."""
        query, columns, written = self.query, product.columns, " * ".join(product.columns)
        settled = "compute_unit" in self.request.spans or "*" in (query.compute or "")
        if (per_time := words.rate_in(columns) or table.speed_in(columns, settled)) is not None:
            lags = per_time == table.lagging()
            column, why = per_time, LAGGING if lags else "is an amount per time, not an amount of compute"
            keep = f"1 * {per_time}" if lags else None
        elif not query.ends and table.is_rate(product.of, [*query.run, *query.axes.values()]):
            column, why = written, "does not grow along the runs: it is an amount per time or per step, not compute"
            keep = None
        else:
            return
        self.wrong("compute", column, file, why, self._amount(derived, table, columns, keep))

    def _amount(self, derived: bool, table: TableFacts, instead: Sequence[str], keep: str | None) -> str:
        return instead_of(table.roles, self.request.setting_names.get("compute", "compute"), derived, instead, keep)

    def wrong(self, setting: Purpose, column: str, file: str, why: str, help: str | None) -> None:
        """Report a column that is not what it is taken for (`wrong-counter`), once."""
        self.missed.append(setting)
        if f"wrong {column}" not in self.reported:
            self.reported.add(f"wrong {column}")
            message = f"`{column}` in `{file}` {why}"
            self.report.error("wrong-counter", message, self.request.at(setting), "names it", help=help)

    def column(
        self, setting: Purpose, wanted: Sequence[str], names: Sequence[str], file: str, hint: str | None = None
    ) -> str | None:
        """Return the first of the wanted columns that exists. None after an error (`missing-column`). `hint`: what to
        write, if that is known."""
        found = next((name for name in wanted if name in names), None)
        if found is None:
            self.missing(setting, wanted, names, file, hint)
        return found

    def missing(
        self, setting: Purpose, wanted: Sequence[str], names: Sequence[str], file: str, hint: str | None = None
    ) -> None:
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
            help=hint
            or (
                f"did you mean `{close}`?"
                if close
                else request.advice((setting, f"name the column with the setting `{{}}`{more}"))
            ),
        )
