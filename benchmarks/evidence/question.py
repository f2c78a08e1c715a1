"""Pieces `sweep`, `answer` and `compare`: the question of Anagnostidis et al. (ICML 2024, arXiv 2311.03233), whether
switching the patch size of a vision transformer saves compute, with the commands of shapeflow.

The runs of the comparison use other seeds than the sweep.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from evidence.kit import Failed, Kit, OutOfTime, Result, finish, shapeflow
from shapeflow.base.files import write_text
from shapeflow.running.run_log import CHECKPOINTS, PLAN
from shapeflow.running.run_log import DATA as DATA_FILE
from shapeflow.running.runs import read_run

DATA = "fashion-mnist"
"""A link to the data, next to the .shape file: the plan does not depend on where the data is."""
FILE = "question.shape"
SEEDS = "1,2"
SHARE = "25%"
"""The constant share of steps in the finest patch size."""


@attrs.frozen
class Scale:
    """The sizes of the question. `data`: as in a .shape file; `width`, `depth`, `heads`: of the vision transformer;
    `side`: of the upsampled images, in px; `patches`: sides in px, from coarse to fine; `warmup`: in steps."""

    data: str
    width: int
    depth: int
    heads: int
    side: int
    patches: tuple[int, ...]
    lr: str
    warmup: int


LARGE = Scale(
    f'fashion_mnist(image: 24 px, batch: 512, folder: "{DATA}")', 192, 12, 3, 60, (20, 15, 12, 10, 6), "1e-3", 500
)
TOY = Scale("digits(batch: 64)", 16, 1, 2, 28, (14, 7), "2e-3", 20)


def program(scale: Scale, flops: float) -> str:
    """The .shape file of the question."""
    sizes = f"depth: {scale.depth}, width: {scale.width}, heads: {scale.heads}, resolution: {scale.side} px"
    return f"""\
plan "which patch size, and when"

model      vit({sizes}, upsample: true)
data       {scale.data}
objective  cross_entropy(label_smoothing: 10%)
optimizer  adamw(lr: {scale.lr}, beta2: 0.999, weight_decay: 0.01, warmup: {scale.warmup} steps)
metric     cross_entropy

axis patch in [{", ".join(map(str, scale.patches))}] px
  via flexi_resize(base: {scale.patches[0]} px, grid: {scale.side // scale.patches[-1]})

laws       from fit("sweep")
traversal  steepest
budget     {budget(flops)}

evaluate   every 4%
checkpoint every 10%
seed       0
"""


def budget(flops: float) -> str:
    return f"{flops:.6g} FLOPs"


def scale_of(kit: Kit) -> Scale:
    return TOY if kit.toy else LARGE


def sweep(kit: Kit, found: Result) -> Iterator[Result]:
    """Train every patch size as a fixed shape. The result: for each, its steps, epochs and last values."""
    folder = _prepared(kit)
    words = ["sweep", FILE, "--budget", budget(kit.flops), "-o", "sweep", *_devices(kit)]
    yield from _trained(kit, folder, words, "sweep")


def answer(kit: Kit, found: Result) -> Iterator[Result]:
    """Compile the file with the laws of the sweep. The result: the answer, the stages, the best fixed shape."""
    folder = _prepared(kit)
    log, command = folder / "answer-log.txt", shapeflow("compile", FILE)
    finish(kit, command, log, folder / "answer.txt")
    finish(kit, [*command, "--json"], log, folder / "plan.json")
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    best = plan["comparison"]["best_fixed"]
    yield {
        "screen": (folder / "answer.txt").read_text(encoding="utf-8"),
        "answer": plan["answer"],
        "stages": [{"shape": stage["shape"], "steps": stage["steps"]} for stage in plan["stages"]],
        "best_fixed": best["shape"],
        "saving": best["saving"],
    }


def compare(kit: Kit, found: Result) -> Iterator[Result]:
    """Train the plan and its rivals with two seeds, until each reaches the same error."""
    folder = _prepared(kit)
    rivals = [word for rival in rivals_of(kit) for word in ("--rival", rival)]
    words = ["compare", FILE, *rivals, "--seeds", SEEDS, "-o", "compare", *_devices(kit)]
    yield from _trained(kit, folder, words, "compare")
    whole = json.loads((folder / "compare" / "comparison.json").read_text(encoding="utf-8"))
    yield {"comparison": whole, "runs": _runs(folder / "compare")}


def rivals_of(kit: Kit) -> list[str]:
    """The rivals: the best and the finest fixed patch size, uniform random, and a constant share of the finest. Raises
    Failed if the plan that `answer` compiled cannot be read."""
    finest = scale_of(kit).patches[-1]
    try:
        plan = json.loads((kit.folder / "question" / "plan.json").read_text(encoding="utf-8"))
        best = plan["comparison"]["best_fixed"]["shape"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failed(f"the plan of `answer` cannot be read: {error}") from None
    # The best fixed patch size may be the finest; it is trained once.
    first = [] if best == {"patch": finest} else ["best"]
    return [
        *first,
        f"fixed(shape: (patch: {finest} px))",
        "random",
        f"shares(target: (patch: {finest} px), share: {SHARE})",
    ]


def _prepared(kit: Kit) -> Path:
    """The folder of the question, with its file and a link to its data."""
    folder = kit.folder / "question"
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FILE, program(scale_of(kit), kit.flops))
    link = folder / DATA
    if not kit.toy:
        link.unlink(missing_ok=True)
        link.symlink_to(kit.data.resolve())
    return folder


def _devices(kit: Kit) -> list[str]:
    return ["--device", kit.device, "--jobs", str(kit.jobs)]


def _trained(kit: Kit, folder: Path, words: list[str], name: str) -> Iterator[Result]:
    """Run a command that trains several runs. Its result is yielded however it ends."""
    try:
        finish(kit, shapeflow(*words), folder / f"{name}-log.txt")
    except (OutOfTime, Failed):
        yield {"runs": _runs(folder / name)}
        raise
    yield {"runs": _runs(folder / name)}
    for each in _folders(folder / name):
        shutil.rmtree(each / CHECKPOINTS, ignore_errors=True)


def _images(folder: Path) -> int:
    """The number of training images of a run."""
    return int(json.loads((folder / DATA_FILE).read_text(encoding="utf-8"))["training_images"])


def _folders(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"*/{PLAN}"))


def _runs(folder: Path) -> list[dict[str, Any]]:
    """Each run: how far it is, and the last values that it measured. Checkpoints of finished runs are removed: no
    command needs them, and a folder without them is small enough to be carried to another machine."""
    found = []
    for path in _folders(folder):
        if not (path / DATA_FILE).exists():
            # The run was stopped before its first step.
            continue
        run = read_run(path)
        ended = run.ended is not None and run.ended.finished
        if ended:
            shutil.rmtree(path / CHECKPOINTS, ignore_errors=True)
        last = run.measured[-1] if run.measured else None
        found.append(
            {
                "run": path.name,
                "steps": run.done,
                "epochs": run.done * (run.plan.stages[0].batch or 0) / _images(path),
                "of": run.plan.steps,
                "compute": 0.0 if last is None else last.compute,
                "values": {} if last is None else dict(last.values),
                "seconds": run.trained,
            }
        )
    return found
