"""What runs cost before they are trained: exact numbers of small examples, and the dry runs of commands."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from plans import toy_image_plan, toy_text_plan
from test_probe import in_this_process

from shapeflow.base.diagnostics import Report
from shapeflow.base.shapes import Shape
from shapeflow.cli import answer
from shapeflow.compiler import program_of
from shapeflow.ir.plan import Plan
from shapeflow.running import price as pricing
from shapeflow.running.pool import Pool
from shapeflow.running.price import Pace, Price, Prices, candidate_prices, evaluations_compute, price
from shapeflow.running.probe import Asked, probing
from shapeflow.running.runs import read_run
from shapeflow_torch import TorchBackend

torch.set_num_threads(1)
ROOT = Path(__file__).parent.parent

TEXT = """
model     transformer(depth: 1, width: 16, head_width: 8, mlp_ratio: 3)
data      python_source(batch: 64 tokens)
objective next_token
optimizer adamw(lr: 1e-2, warmup: 2 steps)
axis context in [8, 32] tokens via context_grow(preview: 0%)
stage (context: 8 tokens) until 50%
stage (context: 32 tokens) until end
budget 24 steps
evaluate every 10 steps
"""
PARAMETERS = 256 * 16 + 4 * 16 * 16 + 3 * 16 * 48 + 3 * 16
"""Embedding, attention, MLP, and three norms."""
TOKEN = {n: 3 * 2 * (4 * 16 * 16 + 3 * 16 * 48 + 2 * n * 16 + 256 * 16) for n in (8, 32)}
"""Context -> FLOPs of training on a token: three passes, two FLOPs per multiply-accumulate of attention's and the MLP's
matrices, of attention itself, and of the head."""
SHAPES = {n: Shape.of(context=n) for n in (8, 32)}

IMAGES = """
model     vit(depth: 1, width: 16, head_width: 8, patch: 4 px)
data      digits(batch: 16)
objective cross_entropy
metric    {metric}
axis batch in [16, 32] via batch_resize
stage (batch: 16) until end
budget {budget}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two files; jobs run in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(Pool, "run", in_this_process)
    Path("text.shape").write_text(TEXT, encoding="utf-8")
    return tmp_path


Ask = Callable[..., str]


@pytest.fixture
def ask(here: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    def asked(*words: str, status: int = 0) -> str:
        capsys.readouterr()
        code = answer(list(words))
        said = capsys.readouterr()
        assert code == status, said.err
        return said.out if status == 0 else said.err

    return asked


def program(text: str) -> Any:
    Path("file.shape").write_text(text, encoding="utf-8")
    found = program_of(Path("file.shape"), [], Report())
    assert found is not None
    return found


def test_the_price_of_each_candidate(here: Path) -> None:
    """24 steps of 64 tokens. Evaluated after steps 10, 20 and 24, on 32,768 tokens in windows of 8 and of 32 tokens, or
    only in windows of 32, with a third of the FLOPs of training."""
    found = program(TEXT)
    short, long = candidate_prices(found)
    assert [(one.label, one.parameters, one.steps, one.data) for one in (short, long)] == [
        ("(context: 8 tokens)", PARAMETERS, 24, 24 * 64),
        ("(context: 32 tokens)", PARAMETERS, 24, 24 * 64),
    ]
    assert [part.step_compute for one in (short, long) for part in one.parts] == [64 * TOKEN[8], 64 * TOKEN[32]]
    assert (short.compute, long.compute) == (24 * 64 * TOKEN[8], 24 * 64 * TOKEN[32])
    assert evaluations_compute(found, short) == pytest.approx(3 * 32_768 * (TOKEN[8] + TOKEN[32]) / 3, rel=1e-12)
    assert evaluations_compute(found, long) == pytest.approx(3 * 32_768 * TOKEN[32] / 3, rel=1e-12)


def test_the_price_of_candidates_trained_on_images(here: Path) -> None:
    """Evaluation uses 360 held-out images; a few-shot error also their features and those of 10 classes of 5 images. A
    budget in epochs of 1,437 images gives fewer steps of a larger batch."""
    found = program(IMAGES.format(metric="cross_entropy", budget="2 epochs"))
    small, large = candidate_prices(found)
    assert [one.steps for one in (small, large)] == [2 * 1437 // 16, 2 * 1437 // 32]
    image = found.trained.model.compute(found.trained.whole(Shape.of(batch=16)), "flops").sample
    evaluations = small.parts[0].evaluations
    assert evaluations_compute(found, small) == pytest.approx(evaluations * 360 * image / 3, rel=1e-12)
    shots = program(IMAGES.format(metric="fewshot_error(shots: 5)", budget="2 epochs"))
    expected = evaluations * (360 + 360 + 10 * 5) * image / 3
    assert evaluations_compute(shots, candidate_prices(shots)[0]) == pytest.approx(expected, rel=1e-12)


def test_evaluation_has_no_price_if_the_held_out_images_are_not_known(here: Path) -> None:
    text = IMAGES.format(metric="cross_entropy", budget="8 steps")
    folder = 'image_folder("mine", classes: 3, image: 8 px, held_out: 20%{})'
    unknown = program(text.replace("digits(batch: 16)", folder.format("")))
    assert evaluations_compute(unknown, candidate_prices(unknown)[0]) is None
    known = program(text.replace("digits(batch: 16)", folder.format(", samples: 80")))
    assert known.trained.facts.held_out == 20


def test_compile_prints_prices_without_laws_only(ask: Ask) -> None:
    shown = ask("compile", "text.shape")
    evaluation = 100 * (TOKEN[8] + TOKEN[32]) * 32_768 / ((TOKEN[8] + TOKEN[32]) * 32_768 + 24 * 64 * TOKEN[8])
    row = next(line for line in shown.splitlines() if line.split()[:2] == ["8", "tokens"] and "7 472" in line)
    assert row.split() == ["8", "tokens", "7", "472", "2.949", "24", "70.78", "0.206", f"{evaluation:.3g}%"]
    assert "tokens per" in shown
    assert "without laws" not in ask("compile", str(ROOT / "examples" / "laws_only.shape"))
    assert "without laws" not in ask("compile", "text.shape", "--json")


PLANS = [
    toy_text_plan(preview=0.5, evaluate=5),
    toy_text_plan([({"context": 16}, 7), ({"context": 64}, 6), ({"context": 16}, 9)], evaluate=4),
    toy_image_plan([({"batch": 16}, 100), ({"batch": 32}, 100)], preview=0.29, cooldown=30, evaluate=7),
    toy_image_plan([({"width": 32}, 4), ({"width": 48}, 4)]),
]


@pytest.mark.parametrize("plan", PLANS)
def test_parts_add_up_to_the_run(plan: Plan) -> None:
    whole = price(plan)
    assert whole.steps == plan.steps
    assert sum(part.evaluations for part in whole.parts) == sum(map(plan.measures_at, range(1, plan.steps + 1)))
    assert {part.shape for part in whole.parts} == {s.shape for s in plan.stages} | {
        blend.shape for stage in plan.stages for blend in stage.blends
    }
    assert whole.compute == plan.totals.compute
    for start in range(plan.steps):
        rest = price(plan, start=start)
        assert rest.steps == plan.steps - start
        assert sum(p.evaluations for p in rest.parts) == sum(map(plan.measures_at, range(start + 1, plan.steps + 1)))
        assert rest.compute == pytest.approx(whole.compute - plan.compute_at(start))


def test_parts_of_a_run_with_a_preview() -> None:
    """100 steps of 16 images, 29 of them with 32, then 100 steps of 32."""
    small, large = price(PLANS[2]).parts
    assert (small.steps, small.data) == (71, 71 * 16)
    assert (large.steps, large.data) == (129, 129 * 32)


def test_seconds_of_runs_in_parallel() -> None:
    """Runs of 3, 1, 1 and 2 s start in order: two at once end after 4 s; then one run of 5 s."""
    paces = {SHAPES[8]: Pace(step=0.5, evaluation=0.25)}

    def one(steps: int, evaluations: int = 0, **about: Any) -> Price:
        part = pricing.Part(SHAPES[8], 1, 1.0, steps, steps, evaluations)
        return Price("", (part,), float(steps), **about)

    first = (one(6), one(1, 2), one(2), one(4), one(1000, state="finished"))
    found = Prices((first, (one(10),)), paces, 2)
    assert [found.seconds(each) for each in found.all] == [3.0, 1.0, 1.0, 2.0, None, 5.0]
    assert found.total_seconds == 4.0 + 5.0
    assert attrs.evolve(found, at_once=1).total_seconds == 12.0
    assert attrs.evolve(found, paces=None).total_seconds is None


def test_a_dry_sweep_writes_nothing(ask: Ask, here: Path) -> None:
    words = ["sweep", "text.shape", "--budget", "6 steps", "--set", "evaluate every 3 steps"]
    found = json.loads(ask(*words, "--dry-run", "--json"))
    assert [path.name for path in here.iterdir()] == ["text.shape"]
    assert [(one["label"], one["state"], one["compute"]) for one in found["runs"]] == [
        ("(context: 8 tokens), seed 0", "new", 6 * 64 * TOKEN[8]),
        ("(context: 32 tokens), seed 0", "new", 6 * 64 * TOKEN[32]),
    ]
    assert found["runs"][1]["shapes"] == [
        {
            "shape": {"context": 32},
            "parameters": PARAMETERS,
            "step_compute": 64 * TOKEN[32],
            "steps": 6,
            "data": 6 * 64,
            "evaluations": 2,
        }
    ]
    both = 6 * 64 * (TOKEN[8] + TOKEN[32])
    assert found["total"] == {"runs": 2, "finished": 0, "compute": both, "compute_left": both}
    assert "2 runs, 37.16 MFLOPs in total" in ask(*words, "--dry-run")
    ask(*words, "--set", "optimizer adamw(lr: 1e-3)", "--device", "cpu", "--jobs", "1")
    assert "other-plan" in ask(*words, "--dry-run", status=1)


def test_finished_and_interrupted_runs_are_marked(ask: Ask, here: Path) -> None:
    words = ["sweep", "text.shape", "--budget", "6 steps"]
    ask(*words, "--jobs", "1", "--device", "cpu")
    log = here / "runs" / "text-sweep" / "context32-seed0" / "events.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(line for line in lines if '"step": 5' not in line and '"step": 6' not in line))
    found = json.loads(ask(*words, "--dry-run", "--json"))
    assert [one["state"] for one in found["runs"]] == ["finished", "begun"]
    assert found["total"]["finished"] == 1
    assert found["total"]["compute_left"] == found["runs"][1]["compute"]
    assert "finished: 1, 19.46 MFLOPs left" in ask(*words, "--dry-run")


def test_a_dry_comparison(ask: Ask, here: Path) -> None:
    """The plan has 12 steps in each shape; `fixed` may take 2.5 times its FLOPs. Once the plan is trained, a run of a
    rival that has reached the same value counts as finished."""
    words = ["compare", "text.shape", "--rival", "fixed(shape: (context: 8 tokens))", "-o", "out"]
    found = json.loads(ask(*words, "--dry-run", "--json"))
    assert not (here / "out").exists()
    plan, rival = found["runs"]
    compute = 12 * 64 * (TOKEN[8] + TOKEN[32])
    assert [part["steps"] for part in plan["shapes"]] == [12, 12]
    assert plan["compute"] == compute
    assert rival["steps"] == math.floor(2.5 * compute / (64 * TOKEN[8]))
    assert "its price is an upper bound" in ask(*words, "--dry-run")
    ask(*words, "--device", "cpu", "--jobs", "1")
    again = json.loads(ask(*words, "--dry-run", "--json"))
    assert [one["state"] for one in again["runs"]] == ["finished", "finished"]


def test_a_dry_probe_counts_the_trunk_once(ask: Ask, here: Path) -> None:
    """12 steps before the switch, then 6 in the new shape, and as many FLOPs in the old one."""
    words = ["probe", "text.shape", "--transition", "context", "--seeds", "0,1"]
    found = json.loads(ask(*words, "--dry-run", "--json"))
    assert [path.name for path in here.iterdir()] == ["text.shape"]
    asked = probing(Path("text.shape"), [], "context", [], [0, 1], Asked(), Path("runs/text-probe"), Report())
    assert found["total"]["compute"] == pytest.approx(asked.compute)
    names = [Path(one["folder"]).name for one in found["runs"]]
    assert names == [*["trunk"] * 2, *["stays", "moves"] * 2, *["scratch"] * 2]
    steps = {Path(one["folder"]).name: one["steps"] for one in found["runs"]}
    assert (steps["trunk"], steps["moves"], steps["stays"]) == (12, 6, round(6 * TOKEN[32] / TOKEN[8]))
    assert found["runs"][3]["compute"] == pytest.approx(6 * 64 * TOKEN[32])


def test_reference_runs_of_a_finished_probe_are_finished(ask: Ask, here: Path) -> None:
    """Reference runs end early, at the lowest error that the branches reached."""
    words = ["probe", "text.shape", "--transition", "context", "--set", "data python_source(batch: 256 tokens)"]
    ask(*words, "--device", "cpu", "--jobs", "1")
    found = json.loads(ask(*words, "--dry-run", "--json"))
    run = read_run(Path(found["runs"][3]["folder"]))
    assert run.ended is not None
    assert not run.ended.finished
    assert [one["state"] for one in found["runs"]] == ["finished"] * 4


def test_time_is_counted_for_runs_to_train(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shape is timed once. 6 steps of 0.5 s and 2 evaluations of 1 s; with 32 tokens, twice as long."""
    timed = []

    class Backend:
        def pace(self, plan: Plan, known: frozenset[Shape], **how: Any) -> dict[Shape, tuple[float, float]]:
            timed.append((plan.stages[0].shape, known, how["threads"], how["device"]))
            return {plan.stages[0].shape: (plan.stages[0].shape.number("context") / 16, 1.0)}

    monkeypatch.setattr(pricing, "backend", lambda name: Backend)
    words = ["sweep", "text.shape", "--budget", "6 steps", "--set", "evaluate every 3 steps", "--seeds", "0,1"]
    words += ["--dry-run", "--time", "--device", "cpu"]
    found = json.loads(ask(*words, "--jobs", "1", "--json"))
    short, long = 6 * 0.5 + 2 * 1.0, 6 * 2.0 + 2 * 1.0
    assert [one["seconds"] for one in found["runs"]] == [short, long, short, long]
    assert found["total"]["seconds_left"] == 2 * (short + long)
    assert timed == [(SHAPES[8], frozenset(), None, "cpu"), (SHAPES[32], frozenset({SHAPES[8]}), None, "cpu")]
    assert "estimated time: 38 s, one run at a time" in ask(*words, "--jobs", "1")
    # The second run with 32 tokens starts when the second one with 8 tokens ends: 5 + 5 + 14 s.
    assert "estimated time: 24 s, 2 runs in parallel" in ask(*words, "--jobs", "2")


@pytest.mark.parametrize("plan", [PLANS[0], PLANS[3]])
def test_real_steps_are_timed(plan: Plan, here: Path) -> None:
    """Every shape is timed, that of a blend too; shapes that are known are left out."""
    shapes = [stage.shape for stage in plan.stages]
    found = TorchBackend().pace(plan, root=here, device="cpu", threads=1)
    assert list(found) == shapes
    assert all(step > 0 and evaluation > 0 for step, evaluation in found.values())
    assert list(TorchBackend().pace(plan, root=here, device="cpu", known=frozenset(shapes[:1]))) == shapes[1:]
    assert [path.name for path in here.iterdir()] == ["text.shape"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "text.shape", "--budget", "6 steps", "--time"], "`--time` needs `--dry-run`"),
        (["compare", "text.shape", "--time"], "`--time` needs `--dry-run`"),
        (["sweep", "text.shape", "--budget", "6 steps", "--json"], "`--json` needs `--dry-run`"),
    ],
)
def test_options_that_need_a_dry_run(words: list[str], message: str, ask: Ask) -> None:
    assert message in ask(*words, status=2)


def test_a_dry_run_needs_no_torch(here: Path) -> None:
    text = here / "text.shape"
    commands = [
        ["compile", str(text)],
        ["sweep", str(text), "--budget", "6 steps", "--dry-run"],
        ["compare", str(text), "--rival", "random", "--dry-run", "-o", str(here / "out")],
        ["probe", str(text), "--transition", "context", "--dry-run"],
    ]
    code = (
        "import sys; sys.modules['torch'] = None; from shapeflow.cli import answer; "
        f"sys.exit(sum(answer(words) for words in {commands!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in here.iterdir()] == ["text.shape"]
