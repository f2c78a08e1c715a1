"""Measures how often the answers of plans (yes, no, unknown) are right, and how often their intervals cover the truth.

    python benchmarks/answers.py [--gemstones FILE.jsonl] [--count 20] [--draws 400] [--former REVISION]
        [--only known seeds gemstones former times]

Every plan is the one of `traversal steepest` over the laws that `fit` fits, with free switches (credit 1). Its answer
comes from the product's measured curves, posterior and rule. The truth is the same plan on curves that are known:

- gemstones: random sets of 2 to 8 shapes of the Gemstones (McLeish et al. 2025, `wandb_df_for_fitting_hot_100b+_477.jsonl`),
  trained for 1/k of the compute of the full runs. The truth is the full runs, smoothed: differences between runs are not
  tested.
- seeds: the tables of the examples. One seed of each shape is fitted, and the other is the truth. Intervals and answers
  are those of another run: they are wider than those that a plan prints, which are for the mean of all runs. Rows "as
  printed" compare the printed ones with the other seed.
- known: simulated runs of known laws, at budgets of k times what the runs allow.
- former: an earlier revision of this repository on Gemstones.

Columns. multi: plans with a switch; coverage and width are of these. cover best, last: shares of 90 % intervals that
contain the true saving against the best fixed shape, and that against the last shape fixed. cover error: the same for
the error at the end, of the plans for which it is printed (their number). yes (right): the plan saves something.
no (right; any): the plan saves less than 2 %; no plan over the true curves saves 5 %. missing: plans whose truth is
beyond the true curves; they are left out.
"""  # noqa: E501

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs
import numpy as np

from answers_cases import (
    KNOWN,
    REPEAT,
    SEEDED,
    SIZES,
    Case,
    Outcome,
    gemstone_cases,
    known_cases,
    outcome,
    planned,
    seed_cases,
)
from answers_former import Former, former, revision
from answers_truth import gemstones, smoothed
from shapeflow.ir.answer import Range
from shapeflow.stages.assess.facts import RUNS_DIFFER

ROOT = Path(__file__).parent.parent
MASKS = (1, 2, 4)
COVERED, RIGHT = 0.9, 0.95
"""The goals."""
HEADS = (
    "data", "k", "tau", "n (multi)", "cover best", "cover last", "cover error", "width", "true median", "yes (right)",
    "no (right; any)", "unknown", "missing",
)  # fmt: skip


@attrs.frozen(eq=False)
class Cell:
    """A row of a table: what is measured, and the answers."""

    part: str
    data: str
    mask: int
    tau: float
    found: tuple[Outcome, ...]
    missing: int
    """Plans whose truth is not known."""

    @property
    def multi(self) -> list[Outcome]:
        return [one for one in self.found if one.switches]

    def said(self, say: str) -> list[Outcome]:
        return [one for one in self.found if one.say == say]


def covered(pairs: Iterable[tuple[Range, float]]) -> float:
    """The share of ranges that contain their number; they are rounded to four digits, and so is the comparison."""
    return share(within.low - 1e-4 <= value <= within.high + 1e-4 for within, value in pairs)


def share(held: Iterable[bool]) -> float:
    values = list(held)
    return float(np.mean(values)) if values else float("nan")


def row(cell: Cell) -> str:
    """A row of the table in markdown."""
    multi, yes, no = cell.multi, cell.said("yes"), cell.said("no")
    shown = [one for one in cell.found if one.shown]
    width = np.median([one.best.high - one.best.low for one in multi]) if multi else float("nan")
    median = np.median([one.true_best for one in multi]) if multi else float("nan")
    values = (
        cell.data,
        str(cell.mask),
        f"{cell.tau:g}",
        f"{len(cell.found)} ({len(multi)})",
        f"{covered((one.best, one.true_best) for one in multi):.2f}",
        f"{covered((one.last, one.true_last) for one in multi):.2f}",
        f"{covered((one.error, one.true_error) for one in shown):.2f} ({len(shown)})",
        f"{width:.3f}",
        f"{median:.3f}",
        f"{len(yes)} ({share(one.true_best > 0 for one in yes):.2f})",
        f"{len(no)} ({share(one.useless for one in no):.2f}; {share(one.possible < 0.05 for one in no):.2f})",
        str(len(cell.said("unknown"))),
        str(cell.missing),
    )
    return line(value.replace("nan", "-") for value in values)


def line(values: Iterable[str]) -> str:
    return f"| {' | '.join(values)} |"


def heads(names: Sequence[str]) -> str:
    return f"{line(names)}\n|{'---|' * len(names)}"


def cells(
    part: str,
    data: str,
    mask: int,
    cases: Iterable[Case],
    taus: Sequence[float],
    draws: int,
    times: float = 1.0,
    extrapolate: bool = False,
) -> Iterator[Cell]:
    """One cell for each tau. `times`: that of the intervals (see `ask`). `extrapolate`: see `planned`."""
    plans = [(case, pieces) for case in cases if (pieces := planned(case, extrapolate)) is not None]
    for tau in taus:
        found = [outcome(case, pieces, tau, draws, times) for case, pieces in plans]
        kept = tuple(one for one in found if one is not None)
        yield Cell(part, data, mask, tau, kept, len(plans) - len(kept))


def of_gemstones(path: Path, count: int, draws: int) -> Iterator[Cell]:
    """Masks of the Gemstones, all numbers of shapes together."""
    runs = gemstones(path)
    truth = {shape: smoothed(run) for shape, run in runs.items()}
    for mask in MASKS:
        cases = [case for size in SIZES for case in gemstone_cases(runs, truth, size, mask, count)]
        yield from cells("gemstones", "Gemstones", mask, cases, (0.01, RUNS_DIFFER), draws)


def of_seeds(folder: Path, draws: int) -> Iterator[Cell]:
    """One seed against the other: answers about another run, then those that a plan prints."""
    for name in SEEDED:
        for mask in MASKS:
            cases = list(seed_cases(folder, name, mask))
            yield from cells("seeds", name, mask, cases, (0.02, 0.03, RUNS_DIFFER), draws, REPEAT)
            yield from cells("printed", f"{name}, as printed", mask, cases, (RUNS_DIFFER,), draws)


def of_known(count: int, draws: int, extrapolate: bool) -> Iterator[Cell]:
    """Known laws."""
    for kind in KNOWN:
        for mask in MASKS:
            cases = known_cases(kind, mask, count)
            yield from cells("known", kind, mask, cases, (RUNS_DIFFER,), draws, extrapolate=extrapolate)


def goals(found: Sequence[Cell]) -> Iterator[str]:
    """PASS or FAIL for each part and mask at the default tau, with all its data together.

    Printed answers are about the mean of all runs; another run differs from it, so they are not held to the goals.
    """
    counted = [cell for cell in found if cell.part != "printed" and cell.tau == RUNS_DIFFER]
    for part, mask in dict.fromkeys((cell.part, cell.mask) for cell in counted):
        these = [one for cell in counted if (cell.part, cell.mask) == (part, mask) for one in cell.found]
        multi, shown = [one for one in these if one.switches], [one for one in these if one.shown]
        yes, no = ([one for one in these if one.say == say] for say in ("yes", "no"))
        checks = (
            ("coverage, saving against the best", covered((one.best, one.true_best) for one in multi), multi, COVERED),
            ("coverage, saving against the last", covered((one.last, one.true_last) for one in multi), multi, COVERED),
            ("coverage, error at the end", covered((one.error, one.true_error) for one in shown), shown, COVERED),
            ("yes right", share(one.true_best > 0 for one in yes), yes, RIGHT),
            ("no right about this plan", share(one.useless for one in no), no, RIGHT),
            ("no right about any plan", share(one.possible < 0.05 for one in no), no, RIGHT),
        )
        for name, value, over, goal in checks:
            if over:
                said = "PASS" if value >= goal else "FAIL"
                yield f"{said} {part}, k = {mask}: {name} {value:.2f} (goal {goal:g}, n {len(over)})"


def of_former(path: Path, name: str, count: int, draws: int) -> Iterator[str]:
    """Rows that compare the rule of an earlier revision with this one, on the same sets."""
    runs = gemstones(path)
    truth = {shape: smoothed(run) for shape, run in runs.items()}
    with revision(name) as source:
        for size in (3, 6):
            for mask in MASKS:
                both: list[tuple[Former, Outcome]] = []
                for case in gemstone_cases(runs, truth, size, mask, count):
                    pieces = planned(case)
                    now = None if pieces is None else outcome(case, pieces, RUNS_DIFFER, draws)
                    before = None if now is None else former(case, source)
                    if now is not None and before is not None:
                        both.append((before, now))
                yield _compared(size, mask, both)


def _compared(size: int, mask: int, both: Sequence[tuple[Former, Outcome]]) -> str:
    quoted = [before for before, _ in both if before.quoted]
    says = [now.say for _, now in both]
    refused, laws = (sum(getattr(one, name) for one, _ in both) for name in ("refused", "laws"))
    values = (
        str(size),
        str(mask),
        str(len(both)),
        f"{refused / laws:.2f}" if laws else "-",
        f"{share(not one.quoted for one, _ in both):.2f}",
        f"{share(one.covers for one, _ in both):.2f}",
        f"{len(quoted)} ({share(one.covers for one in quoted):.2f})",
        f"{share(one.saving > 0 for one, _ in both):.2f}",
        " / ".join(str(says.count(say)) for say in ("yes", "no", "unknown")),
        f"{share(one.best.low - 1e-4 <= one.true_best <= one.best.high + 1e-4 for _, one in both):.2f}",
    )
    return line(value.replace("nan", "-") for value in values)


def of_times(path: Path | None, draws: int) -> Iterator[str]:
    """Wall time of an answer, the smallest of five."""
    cases = [next(known_cases("same b", 1, 1))] if path is None else [_whole(path, size) for size in (5, 22)]
    for case in cases:
        pieces = planned(case)
        if pieces is None:
            continue
        took = []
        for _ in range(5):
            begun = time.perf_counter()
            outcome(case, pieces, RUNS_DIFFER, draws)
            took.append(time.perf_counter() - begun)
        yield f"posterior and answer, {len(case.runs)} shapes, {draws} draws: {min(took):.2f} s"


def _whole(path: Path, size: int) -> Case:
    """The first shapes of the Gemstones with their full runs."""
    runs = dict(list(gemstones(path).items())[:size])
    least = min(run[-1].compute for run in runs.values())
    return Case(runs, {shape: smoothed(run) for shape, run in runs.items()}, 0.5 * least, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("known", "seeds", "gemstones", "former", "times")
    parser.add_argument("--gemstones", type=Path, help="the file of the Gemstones; without it they are left out")
    parser.add_argument("--laws", type=Path, default=ROOT / "examples" / "laws", help="the folder of the seeds' tables")
    parser.add_argument("--count", type=int, default=20, help="sets of Gemstones of each number of shapes")
    parser.add_argument("--known", type=int, default=25, help="simulated cases of each kind")
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--extrapolate", action="store_true", help="known laws: also switch beyond the data")
    parser.add_argument("--former", metavar="REVISION", help="also the rule of this revision")
    parser.add_argument("--only", nargs="*", choices=parts, default=parts, help="the parts that run")
    given = parser.parse_args()
    begun = time.perf_counter()
    wanted = set(given.only)
    tables: list[tuple[str, Iterator[Cell]]] = []
    if "known" in wanted:
        tables.append(("Known laws", of_known(given.known, given.draws, given.extrapolate)))
    if "seeds" in wanted:
        tables.append(("One seed fitted, the other is the truth", of_seeds(given.laws, given.draws)))
    if "gemstones" in wanted and given.gemstones is not None:
        tables.append(("Gemstones", of_gemstones(given.gemstones, given.count, given.draws)))
    found: list[Cell] = []
    for title, each in tables:
        print(f"\n### {title}\n{heads(HEADS)}")
        for cell in each:
            found.append(cell)
            print(row(cell), flush=True)
    if "former" in wanted and given.former and given.gemstones is not None:
        print(f"\n### The rule of {given.former} on Gemstones\n")
        print(heads(("shapes", "k", "n", "laws refused", "plans refused", "covers, all", "quoted (covers)",
                     "true saving > 0", "now: yes / no / unknown", "now: covers")))  # fmt: skip
        for text in of_former(given.gemstones, given.former, given.count, given.draws):
            print(text, flush=True)
    if found:
        print(f"\n### Goals, tau = {RUNS_DIFFER:g}\n", *goals(found), sep="\n")
    if "times" in wanted:
        print("\n### Time\n", *of_times(given.gemstones, given.draws), sep="\n")
    print(f"\n{time.perf_counter() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
