"""Compiling a text to a plan: imports that are avoided, the plan itself, determinism."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from sources import BY_HAND, LAWS_ONLY, TWO_LAWS, compiled, refused, written

import shapeflow
from shapeflow import cli
from shapeflow.base.diagnostics import Refused, Report
from shapeflow.running.execute import execute
from shapeflow_simulator import Simulator

HEAVY = ["torch", "scipy", "lark", "numpy", "rich", "sklearn", "safetensors", "matplotlib", "cattrs"]


def imported_by(code: str, *arguments: str) -> set[str]:
    """The heavy packages that a new Python process has imported after running some code."""
    ask = f"\nimport json, sys\nprint(json.dumps([name for name in {HEAVY} if name in sys.modules]), file=sys.stderr)"
    command = [sys.executable, "-c", code + ask, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


# what is imported when


def test_importing_shapeflow_imports_no_heavy_package() -> None:
    assert imported_by("import shapeflow") & {"torch", "scipy", "lark", "numpy", "rich"} == set()


@pytest.mark.parametrize("arguments", ["--help", "--version", "compile --help", "run --help", "explain --help"])
def test_help_imports_no_heavy_package(arguments: str) -> None:
    code = f"from shapeflow.cli import answer; assert answer({arguments.split()!r}) == 0"
    assert imported_by(code) == set()


def test_compiling_and_simulating_never_wait_for_torch(tmp_path: Path) -> None:
    file = str(written(tmp_path, BY_HAND))
    for command in ("compile", "simulate"):
        code = f"from shapeflow.cli import answer; assert answer([{command!r}, {file!r}]) == 0"
        assert imported_by(code) & {"torch", "sklearn", "matplotlib", "scipy"} == set()


def test_everything_of_shapeflow_can_be_imported_where_there_is_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import pkgutil, importlib, shapeflow, shapeflow_simulator\n"
        "names = [one.name for one in pkgutil.walk_packages(shapeflow.__path__, 'shapeflow.')]\n"
        "assert len(names) > 50\n"
        "for name in names:\n"
        "    name.endswith('__main__') or importlib.import_module(name)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# the public names


def test_the_public_names_stay_what_they_are(tmp_path: Path) -> None:
    """Importing a submodule with the name of a public function would replace the function."""
    for name in shapeflow.__all__:
        assert not isinstance(getattr(shapeflow, name), ModuleType), name
    assert shapeflow.compile(written(tmp_path, TWO_LAWS)) == shapeflow.compile(str(written(tmp_path, TWO_LAWS)))
    submodules = {one.name for one in pkgutil.iter_modules(shapeflow.__path__)}
    assert submodules.isdisjoint(shapeflow.__all__)


# the plan


def test_two_laws(tmp_path: Path) -> None:
    """By hand: the plan switches at error 0.4 after 5 FLOPs and ends after 11; the second law alone needs 16."""
    plan = compiled(tmp_path, TWO_LAWS)
    first, second = plan.stages
    assert [first.shape["width"], second.shape["width"]] == [1, 2]
    assert (first.leave.error, first.leave.compute) == (pytest.approx(0.4), pytest.approx(5))
    assert (plan.totals.error, plan.totals.compute) == (pytest.approx(0.25), pytest.approx(11))
    assert plan.comparison.best_fixed.compute == pytest.approx(16)
    assert plan.comparison.best_fixed.saving == pytest.approx(0.3125)
    assert not plan.runnable


def test_a_plan_without_a_model_has_no_steps(tmp_path: Path) -> None:
    plan = compiled(tmp_path, TWO_LAWS)
    assert plan.totals.steps is None
    assert plan.model is None
    assert [stage.steps for stage in plan.stages] == [None, None]
    assert [stage.transition for stage in plan.stages] == [None, None]


def test_a_plan_without_a_model_has_no_events(tmp_path: Path) -> None:
    with pytest.raises(Refused) as error:
        list(shapeflow.simulate(compiled(tmp_path, TWO_LAWS)))
    assert [one.code for one in error.value.diagnostics] == ["no-model"]
    assert cli.answer(["simulate", str(written(tmp_path, TWO_LAWS)), "--events"]) == 1


@pytest.mark.parametrize("traversal", ["evenly", "logarithmic", "fixed((width: 1))"])
def test_a_traversal_that_needs_no_laws_has_none(tmp_path: Path, traversal: str) -> None:
    bare = "axis width in [1, 2] via width_expand\nbudget 20 FLOPs\n"
    plan = compiled(tmp_path, f"{bare}traversal {traversal}")
    assert plan.totals.compute == pytest.approx(20)
    assert plan.totals.error is None
    assert [one.code for one in refused(tmp_path, bare + "traversal steepest")] == ["missing-laws"]


def test_an_unreached_candidate_is_reported_for_free_traversals(tmp_path: Path) -> None:
    for text, codes in (
        (LAWS_ONLY + "traversal steepest\nstart at error 1.2\nbudget 4 FLOPs", ["unreached-candidate"]),
        (LAWS_ONLY + "traversal fixed((width: 2))\nbudget 4 FLOPs", []),
        (LAWS_ONLY + "stage (width: 2) until end\nbudget 4 FLOPs", []),
        (TWO_LAWS, []),
    ):
        report = Report()
        compiled(tmp_path, text, report=report)
        assert [one.code for one in report.diagnostics] == codes


def test_many_unreached_candidates_are_reported_together(tmp_path: Path) -> None:
    widths = range(1, 12)
    laws = [f"law for (width: {width}) is power(a: {width}, b: 1)" for width in widths]
    text = f"axis width in {list(widths)} via width_expand\n" + "\n".join(laws)
    report = Report()
    compiled(tmp_path, text + "\ntraversal steepest\nstart at error 1.2\nbudget 4 FLOPs", report=report)
    (one,) = report.diagnostics
    assert (one.code, one.message) == ("unreached-candidate", "the plan never uses 10 candidates")
    assert one.notes[0].endswith("(width: 9), and 2 more")


def test_a_stated_law_overrides_a_fitted_one(tmp_path: Path) -> None:
    rows = [f"{width},{10.0 ** (6 + i / 4):.6g},{2 * 10.0 ** (-0.1 * i):.6g}" for width in (1, 2) for i in range(20)]
    (tmp_path / "runs.csv").write_text("\n".join(["width,compute,loss", *rows]) + "\n")
    text = (
        'axis width in [1, 2] via width_expand\nlaws from fit("runs.csv")\n'
        "law for (width: 1) is power(a: 9, b: 0.5)\ntraversal evenly\nbudget 1 PFLOPs"
    )
    laws = [candidate.law for candidate in compiled(tmp_path, text).candidates]
    assert [law.provenance.source for law in laws if law] == ["stated", "fit"]
    assert laws[0] is not None
    assert laws[0].a == 9


# determinism


def test_the_digest_is_the_same_in_every_process(tmp_path: Path) -> None:
    code = "import pathlib, sys; from shapeflow import compile; print(compile(pathlib.Path(sys.argv[1])).digest)"
    command = [sys.executable, "-c", code, str(written(tmp_path, BY_HAND))]
    digests = set()
    for seed in ("0", "1", "12345"):
        done = subprocess.run(command, env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True)
        digests.add(done.stdout.strip())
    assert digests == {compiled(tmp_path, BY_HAND).digest}


@pytest.mark.parametrize(
    "sentence",
    [
        "seed 1",
        "budget 601 steps",
        "evaluate every 10 steps",
        "checkpoint every 10 steps",
        'plan "another name"',
        "optimizer adamw(lr: 2e-3)",
        "objective cross_entropy(label_smoothing: 1%)",
        "metric cross_entropy",
        "data digits(batch: 128)",
        "model vit(depth: 3, width: 32, heads: 2)",
        "model vit(depth: 2, width: 32, heads: 2, norm_eps: 1e-5)",
        "axis patch in [2, 4] px via flexi_resize(base: 4 px)",
        "axis patch in [4, 2] px via flexi_resize(base: 2 px)",
        "axis patch in [4, 2] px via flexi_resize(base: 4 px, preview: 24%)",
        "axis patch in [4, 2] px via flexi_resize(base: 4 px, credit: 99%)",
        "axis patch in [4, 2] px via flexi_resize(base: 4 px, antialias: false)",
    ],
)
def test_the_digest_changes_with_everything(tmp_path: Path, sentence: str) -> None:
    assert compiled(tmp_path, BY_HAND, sentence).digest != compiled(tmp_path, BY_HAND).digest


def test_a_whole_plan_can_be_simulated(tmp_path: Path) -> None:
    plan = compiled(tmp_path, BY_HAND)
    events = list(execute(plan, Simulator(plan)))
    assert events == list(execute(plan, Simulator(plan)))
    assert len([event for event in events if type(event).__name__ == "StepDone"]) == 600
