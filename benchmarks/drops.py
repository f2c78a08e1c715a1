"""Predicts the ends of cooldowns from one that was measured, as a plan's note on its cooldown does.

    python benchmarks/drops.py FOLDER [--measured 20e9] [--leave-out 2560x8,3072x12]

FOLDER has the tables of the Gemstones (McLeish et al. 2025, github.com/mcleish7/gemstone-scaling-laws, `wandb_dfs`):
`wandb_df_for_fitting_hot_100b+_477.jsonl`, the curves at a constant rate, and `..._cool_begin.jsonl` and
`..._cool_end.jsonl`, where the learning rate begins to fall, and the ends, 10% later. For each shape a law is fitted to
the curve at a constant rate (known up to the longest end) and one run with a cooldown, the one that begins at
`--measured` tokens. Then a plan with `cooldown 10%` is compiled for each of the other cooldowns, and the end that its
note predicts is compared with the measured one: errors in 0.001 nats.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from shapeflow.base.diagnostics import Report
from shapeflow.compiler import compile_file, fit_file
from shapeflow.laws.laws_file import save

FILES = "wandb_df_for_fitting_{}.jsonl"
LOWERED = re.compile(r"the cooldown lowers the final error by ([\d.]+)")
MODEL = """model transformer(depth: {depth}, head_width: 64, mlp_ratio: 3, context: 2048 tokens)
data python_source(batch: 4194304 tokens)
objective next_token
metric loss
axis width in [{width}] via width_expand
laws from fit("runs.csv", resamples: 0)
stage (width: {width}) until end
budget 1 EFLOPs
"""
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the tables")
    parser.add_argument("--measured", type=float, default=20e9, help="tokens at which the measured cooldown begins")
    parser.add_argument("--leave-out", default="", help="shapes to leave out, as WIDTHxDEPTH, separated by commas")
    options = parser.parse_args()
    left_out = set(options.leave_out.split(","))
    hot, begin, end = (
        read(options.folder / FILES.format(name)) for name in ("hot_100b+_477", "cool_begin", "cool_end")
    )
    missed: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for shape in sorted(set(end) - left_out):
        known = nearest(begin[shape], options.measured)
        found = of_shape(hot[shape], begin[shape][known], end[shape], known)
        print(f"{shape:>8}  " + " ".join(f"{each[1]:+6.1f}" for each in found.values()))
        for tokens, each in found.items():
            missed[tokens].append(each)
    print("mean, largest and mean signed error with the law at the end, and with the measured curve there")
    for tokens, pairs in sorted(missed.items()):
        print(f"{tokens:>11}  " + row(np.array(pairs)))
    print(f"{'all':>11}  " + row(np.array([pair for pairs in missed.values() for pair in pairs])))


def row(pairs: np.ndarray[Any, Any]) -> str:
    off = np.abs(pairs)
    return "   ".join(f"{off[:, i].mean():6.2f} {off[:, i].max():6.1f} {pairs[:, i].mean():+6.2f}" for i in (0, 1))


def read(path: Path) -> dict[str, list[Row]]:
    """Shape -> its rows, in order of tokens."""
    found: dict[str, list[Row]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        each = json.loads(line)
        found[f"{each['width']}x{each['depth']}"].append(each)
    return {shape: sorted(rows, key=lambda each: float(each["tokens"])) for shape, rows in found.items()}


def nearest(rows: list[Row], tokens: float) -> int:
    return min(range(len(rows)), key=lambda index: abs(rows[index]["tokens"] - tokens))


def of_shape(hot: list[Row], begin: Row, ends: list[Row], known: int) -> dict[int, tuple[float, float]]:
    """Tokens in 1e9 of each cooldown that is not `known` -> the predicted end less the measured one, with the law at
    that end, and with the measured curve there."""
    with tempfile.TemporaryDirectory() as made:
        path = files_of(Path(made), hot, begin, ends[known], ends[-1]["tokens"])
        report = Report()
        _, laws = fit_file(path, (), report)
        for one in report.diagnostics:
            if one.code in ("odd-drop", "unlike-runs"):
                print(f"  {one.code}: {'; '.join(one.notes)}")
        save(path.with_name("laws.json"), laws.laws)
        found = {}
        for index, end in enumerate(ends):
            if index != known and (lowered := predicted(path, compute_of(end))) is not None:
                drop, value = lowered
                curve = np.interp(np.log(end["tokens"]), *np.log([[one["tokens"], one["final_loss"]] for one in hot]).T)
                off = value - end["final_loss"], float(np.exp(curve)) - drop - end["final_loss"]
                found[round(end["tokens"] / 1e9)] = (1e3 * off[0], 1e3 * off[1])
        return found


def compute_of(row: Row) -> float:
    return 6.0 * float(row["params_active_precise"]) * float(row["tokens"])


def files_of(folder: Path, hot: list[Row], begin: Row, end: Row, last: float) -> Path:
    """A `.shape` file, and a table of two runs: at a constant rate to the longest end, and with one cooldown."""
    table = ["run,width,flops,lr,loss"]
    width = hot[0]["width"]
    runs = {"hot": hot, "cooled": [*(row for row in hot if row["tokens"] < begin["tokens"]), begin, end]}
    for name, rows in runs.items():
        for each in rows:
            if each["tokens"] <= last:
                rate = 0.0 if each is end else 1.0
                table.append(f"{name},{width},{compute_of(each)!r},{rate},{each['final_loss']!r}")
    (folder / "runs.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    path = folder / "plan.shape"
    path.write_text(MODEL.format(width=width, depth=hot[0]["depth"]), encoding="utf-8")
    return path


def predicted(path: Path, compute: float) -> tuple[float, float] | None:
    """The drop and the end that the note of a plan with this compute predicts; None if it says that they are not
    known."""
    plan = compile_file(path, (f"budget {compute!r} FLOPs", "cooldown 10%", 'laws from table("laws.json")'))
    found = next((match for note in plan.notes if (match := LOWERED.search(note))), None)
    error = plan.stages[-1].leave.error
    return None if found is None or error is None else (float(found[1]), error - float(found[1]))


if __name__ == "__main__":
    main()
