"""Which checkpoints are saved and kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from plans import toy_image_plan

from shapeflow.api import run
from shapeflow.base.diagnostics import Refused, Report, Source
from shapeflow.compiler import compile_file
from shapeflow.ir.events import CheckpointSaved
from shapeflow.ir.plan_json import dumps, loads
from shapeflow.ir.retention import Retention, retained
from shapeflow.language.fmt import formatted
from shapeflow.language.parse import parse
from shapeflow.running.runs import read_run

FILE = """
model      vit(depth: 1, head_width: 8, patch: 4 px)
data       digits(batch: 32)
objective  cross_entropy
axis width in [16, 24] via width_expand
stage (width: 16) until 9 steps
stage (width: 24) until end
budget     30 steps
cooldown   6 steps
checkpoint every 4 steps
"""


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (None, {16, 20}),
        (Retention(1), {8, 16, 20}),
        (Retention(3), {8, 12, 16, 20}),
        (Retention(1, best=True), {4, 8, 16, 20}),
        (Retention(None), {4, 8, 12, 16, 20}),
    ],
)
def test_what_is_kept(keep: Retention | None, kept: set[int]) -> None:
    """The last checkpoints before the switches at 9 and 16 are kept. The switch at 40 has not come yet."""
    errors: Mapping[int, float | None] = {4: 0.5, 8: 0.9, 12: None, 16: 0.7, 20: 0.6}
    assert retained(keep, (9, 16, 40), errors) == kept


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_a_run_keeps_what_its_plan_states(tmp_path: Path) -> None:
    """A checkpoint before the switch and one before the cooldown are saved where none is due. A copy is the user's."""
    plan = toy_image_plan(
        [({"width": 32}, 5), ({"width": 48}, 7)], checkpoint=4, cooldown=2, keep=Retention(1, best=True)
    )
    folder = tmp_path / "run"
    run(plan, folder, device="cpu", pause=9)
    shutil.copytree(folder / "checkpoints/step-000000008", folder / "checkpoints/step-000000008-mine")
    # What a process left that was killed before it removed an older checkpoint.
    shutil.copytree(folder / "checkpoints/step-000000005", folder / "checkpoints/step-000000002")
    run(plan, folder, device="cpu", resume=True)
    expected = {"step-000000005", "step-000000010", "step-000000012", "step-000000008-mine"}
    assert set(saved(folder)) == expected | {best(folder)}


def best(folder: Path) -> str:
    """The name of the best checkpoint by the log."""
    run = read_run(folder)
    names = {event.step: event.name for event in run.events if isinstance(event, CheckpointSaved)}
    return min((e.values[run.plan.metric], names[e.step]) for e in run.measured if e.step in names)[1]


def test_the_best_checkpoint_stays(tmp_path: Path) -> None:
    """The learning rate is so high that the first checkpoint is the best."""
    from shapeflow.optimizers.adamw import Adamw

    plan = toy_image_plan(
        [({"width": 32}, 8)],
        checkpoint=2,
        keep=Retention(1, best=True),
        metric="cross_entropy",
        optimizer=Adamw(lr=3.0, warmup=0, average=1),
    )
    run(plan, tmp_path, device="cpu")
    assert best(tmp_path) == "step-000000002"
    assert saved(tmp_path) == ["step-000000002", "step-000000008"]


@pytest.mark.parametrize(
    ("text", "keep", "noted"),
    [
        ("keep 3", Retention(3), "at most 5 are kept"),
        ("keep 2 and best", Retention(2, best=True), "at most 5 are kept"),
        ("keep all", Retention(None), "at most 10 are kept"),
        ("", None, ""),
    ],
)
def test_a_file_states_what_is_kept(text: str, keep: Retention | None, noted: str, tmp_path: Path) -> None:
    file = tmp_path / "p.shape"
    file.write_text(FILE)
    plan = compile_file(file, [f"checkpoint every 4 steps {text}"], Report())
    assert plan.keep == keep
    assert loads(dumps(plan), "plan") == plan
    assert ('"keep"' in dumps(plan)) == (keep is not None)
    notes = " ".join(plan.notes)
    assert noted in notes
    assert ("a checkpoint takes up to 128 kB" in notes) == bool(noted)
    source = Source("f", FILE.replace("every 4 steps", f"every  4   steps   {text}  # often"))
    tidy = f"checkpoint every 4 steps {text}".rstrip() + "  # often\n"
    assert formatted(parse(source, Report())).endswith(tidy)


def test_a_number_of_checkpoints_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "p.shape"
    file.write_text(FILE)
    for text in ("keep 0", "keep 1.5"):
        with pytest.raises(Refused) as caught:
            compile_file(file, [f"checkpoint every 5% {text}"], Report())
        assert caught.value.diagnostics[0].code == "out-of-range"
