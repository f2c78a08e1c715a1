"""The command line: exit codes, stdout and stderr, and fuzz tests that no input ends in a traceback."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from shapeflow.base.codes import CODES
from shapeflow.base.sealed import digest_of
from shapeflow.cli import answer
from shapeflow.cli.group import COMMANDS
from shapeflow.compiler import compile_file
from shapeflow.ir.plan_json import load, save, sealed
from shapeflow.ir.retention import Retention

ROOT = Path(__file__).parent.parent
EXAMPLES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.shape"))}

TINY = """\
plan "tiny"

model      vit(depth: 1, width: 16, head_width: 8)
data       digits(batch: 32)
objective  cross_entropy
optimizer  adamw(warmup: 1 steps)
metric     cross_entropy

axis patch in [4, 2] px
  via flexi_resize(base: 4 px)

stage (patch: 4 px) until 50%
stage (patch: 2 px) until end

budget     12 steps
evaluate   every 4 steps
checkpoint every 4 steps
"""

LEARNT = """\
plan "tiny, by laws"

let small = 16

model      vit(depth: 1, width: small, head_width: 8)
data       digits(batch: 32)
objective  cross_entropy
optimizer  adamw(lr: 1e-2, warmup: 5 steps)
metric     cross_entropy

axis patch in [4, 2] px
  via flexi_resize(base: 4 px)

laws       from fit("points.csv")
traversal  steepest
budget     60 MFLOPs

evaluate   every 4 steps
"""

LAWS_ONLY = str(ROOT / "examples" / "laws_only.shape")


@attrs.frozen
class Said:
    """The exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def codes(self) -> list[str]:
        """The codes of the diagnostics that the command printed as JSON."""
        return [json.loads(line)["code"] for line in self.err.splitlines()]


Ask = Callable[..., Said]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """A function that runs a command in this process and fails on a traceback."""

    def asked(*arguments: object) -> Said:
        capsys.readouterr()
        status = answer([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "this is a bug" not in captured.err
        assert "Traceback" not in captured.err
        return Said(status, captured.out, captured.err)

    return asked


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in a folder that holds only the tiny program, without colors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "tiny.shape").write_text(TINY, encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the tiny program."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.shape").write_text(TINY, encoding="utf-8")
    assert answer(["run", str(folder / "tiny.shape"), "-o", str(folder / "run"), "--device", "cpu", "--quiet"]) == 0
    return folder / "run"


@pytest.fixture
def run_folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, which the test may damage."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def content(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of the file, for all files in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# -- the command itself ------------------------------------------------------------------------------------------------


def test_help_names_every_command(ask: Ask) -> None:
    said = ask("--help")
    assert said.status == 0
    for name, what in COMMANDS.items():
        assert f"  {name}" in said.out
        assert what in said.out
        own = ask(name, "--help")
        assert own.status == 0
        assert own.out.startswith(f"Usage: shapeflow {name}")
    assert ask("--version").out.startswith("shapeflow 0.")
    assert ask().status == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compil", "tiny.shape"], "Did you mean `compile`?"),
        (["simulat", "tiny.shape"], "Did you mean `simulate`?"),
        (["frobnicate"], "No such command 'frobnicate'."),
        (["compile"], "Missing argument 'FILE'"),
        (["compile", "tiny.shape", "--jsn"], "--json"),
        (["compile", "tiny.shape", "--seed", "many"], "--seed"),
        (["compile", "tiny.shape", "--seed", "-1"], "--seed"),
        (["compile", "tiny.shape", "--let", "width"], "`width` is not of the form NAME=VALUE"),
        (["compile", "tiny.shape", "--format", "xml"], "--format"),
        (["run", "tiny.shape", "--until", "soon"], "`soon` is not of the form METRIC<=VALUE"),
        (["run", "tiny.shape", "--gpus", "0"], "--gpus"),
        (["run", "tiny.shape", "--device", "tpu"], "--device"),
        (["sweep", "tiny.shape"], "Missing option '--budget'"),
        (["sweep", "tiny.shape", "--budget", "2 steps", "--seeds", "one"], "`one` is not a list of whole numbers"),
        (["fmt"], "Missing argument 'FILES...'"),
        (["show"], "Missing argument 'WHAT'"),
    ],
)
def test_a_mistyped_command_exits_with_2(ask: Ask, arguments: list[str], said: str) -> None:
    answered = ask(*arguments)
    assert answered.status == 2
    assert said in answered.err
    assert answered.out == ""


def test_a_bug_is_reported_as_one_with_a_traceback_on_demand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr("shapeflow.compiler.compile_file", broken)
    assert answer(["compile", "tiny.shape"]) == 1
    said = capsys.readouterr().err
    assert "this is a bug in shapeflow: ZeroDivisionError: by nought (test_cli.py:" in said
    assert "Traceback" not in said
    monkeypatch.setenv("SHAPEFLOW_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        answer(["compile", "tiny.shape"])


# -- compile, simulate, explain, fmt -----------------------------------------------------------------------------------


def test_stdout_is_only_json_under_json(ask: Ask, run_folder: Path) -> None:
    for arguments in (
        ["compile", "tiny.shape"],
        ["compile", LAWS_ONLY],
        ["simulate", "tiny.shape"],
        ["simulate", LAWS_ONLY],
        ["show", run_folder],
        ["show", run_folder / "plan.json"],
        ["show", run_folder, run_folder / "plan.json"],
        ["explain"],
        ["explain", "width_expand"],
        ["explain", "budget"],
        ["explain", "syntax"],
    ):
        said = ask(*arguments, "--json")
        assert (said.status, said.err) == (0, ""), arguments
        json.loads(said.out)


def test_events_are_json_lines(ask: Ask) -> None:
    said = ask("simulate", "tiny.shape", "--events")
    assert said.status == 0
    events = [json.loads(line) for line in said.out.splitlines()]
    assert [event["event"] for event in events][:2] == ["run_started", "stage_entered"]
    assert events[-1] == {"event": "run_ended", "step": 12, "compute": events[-1]["compute"], "finished": True}


def test_a_plot_is_drawn(ask: Ask) -> None:
    assert ask("simulate", LAWS_ONLY, "--plot", "curve.svg").status == 0
    assert Path("curve.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_diagnostics_as_json_lines_on_stderr(ask: Ask) -> None:
    Path("two.shape").write_text(TINY.replace("vit(", "vitt(").replace("digits(", "digit("), encoding="utf-8")
    said = ask("compile", "two.shape", "--format", "json")
    assert (said.status, said.out) == (1, "")
    lines = [json.loads(line) for line in said.err.splitlines()]
    assert [line["code"] for line in lines] == ["unknown-component"] * 2
    assert {line["severity"] for line in lines} == {"error"}
    assert ask("compile", "two.shape").err.startswith("error[unknown-component]: ")


def test_warnings_are_reported_and_do_not_fail(ask: Ask) -> None:
    said = ask("compile", LAWS_ONLY, "--set", "stop when error <= 1.1", "--json", "--format", "json")
    assert said.status == 0
    assert said.codes == ["unreached-candidate"]
    json.loads(said.out)


def test_let_set_and_seed_change_what_a_file_says(ask: Ask) -> None:
    Path("points.csv").write_text(POINTS, encoding="utf-8")
    Path("learnt.shape").write_text(LEARNT, encoding="utf-8")
    plain = json.loads(ask("compile", "learnt.shape", "--json").out)
    assert (plain["seed"], plain["model"]["settings"]["width"]) == (0, 16)
    changed = ask("compile", "learnt.shape", "--json", "--seed", 7, "--let", "small=24", "--set", "budget 5 steps")
    assert changed.status == 0, changed.err
    plan = json.loads(changed.out)
    assert (plan["seed"], plan["model"]["settings"]["width"], plan["totals"]["steps"]) == (7, 24, 5)
    assert plan["digest"] != plain["digest"]
    assert ask("compile", "learnt.shape", "--json", "--seed", 0).out == ask("compile", "learnt.shape", "--json").out
    for wrong in (["--let", "nothing=1"], ["--let", "small=wide"], ["--set", "budget 5 px"], ["--set", "sparkle 5"]):
        assert ask("compile", "learnt.shape", *wrong).status == 1, wrong


POINTS = "patch,compute,cross_entropy\n" + "".join(
    f"{patch},{compute:.6e},{0.3 + scale * compute**-0.3:.6f}\n"
    for patch, scale in ((4, 200.0), (2, 400.0))
    for compute in (1e6 * 1.5**step for step in range(14))
)
"""A log of points that lie exactly on two laws."""


def test_fmt_lays_out_and_checks(ask: Ask) -> None:
    crooked = TINY.replace("model      vit", "model vit").replace("\n\n", "\n")
    Path("crooked.shape").write_text(crooked, encoding="utf-8")
    said = ask("fmt", "--check", "crooked.shape", "tiny.shape")
    assert said.status == 1
    assert said.err == "crooked.shape would be reformatted: run `shapeflow fmt crooked.shape`\n"
    assert Path("crooked.shape").read_text(encoding="utf-8") == crooked
    assert ask("fmt", "crooked.shape", "tiny.shape").out == "reformatted crooked.shape\n"
    assert Path("tiny.shape").read_text(encoding="utf-8") == TINY
    assert ask("fmt", "--check", "crooked.shape").status == 0
    Path("wrong.shape").write_text("modle vit\n", encoding="utf-8")
    assert ask("fmt", "wrong.shape").status == 1
    assert Path("wrong.shape").read_text(encoding="utf-8") == "modle vit\n"


def test_files_that_cannot_be_read(ask: Ask) -> None:
    Path("latin.shape").write_bytes('plan "caf\xe9"'.encode("latin-1"))
    Path("folder.shape").mkdir()
    for name in ("missing.shape", "latin.shape", "folder.shape", "missing.json"):
        for command in ("compile", "simulate", "run", "fmt", "show"):
            said = ask(command, name, "--format", "json")
            assert (said.status, len(said.codes)) == (1, 1), (command, name)
            assert said.codes[0] in ("cannot-read", "no-run")
            assert said.codes[0] in CODES


def test_files_that_cannot_be_written(ask: Ask) -> None:
    Path("file").write_text("", encoding="utf-8")
    for arguments in (
        ["compile", "tiny.shape", "-o", "file/plan.json"],
        ["simulate", LAWS_ONLY, "--plot", "file/plot.svg"],
        ["run", "tiny.shape", "-o", "file/run"],
    ):
        said = ask(*arguments, "--format", "json")
        assert (said.status, said.codes) == (1, ["cannot-write"]), arguments


# -- plans -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["compile", "-o"],
        ["fit", "-o"],
        ["simulate", "--plot"],
        ["sweep", "--csv"],
        ["pilot", "--csv"],
        ["profile", "-o"],
    ],
    ids=" ".join,
)
def test_no_output_replaces_the_file_that_is_read(words: list[str], ask: Ask) -> None:
    text = Path("tiny.shape").read_text()
    Path("link.shape").symlink_to("tiny.shape")
    for place in ("tiny.shape", "../" + Path.cwd().name + "/tiny.shape", "link.shape"):
        budget = ["--budget", "1 GFLOPs"] if words[0] == "sweep" else []
        said = ask(words[0], "tiny.shape", words[1], place, *budget)
        assert (said.status, f"`{place}` exists and is not a" in " ".join(said.err.split())) == (2, True)
    assert Path("tiny.shape").read_text() == text


@pytest.mark.parametrize("name", ["plan.json", "events.jsonl", "run.json", "checkpoints/w.safetensors"])
@pytest.mark.parametrize("words", [["export", "{}"], ["report", "{}"], ["compile", "tiny.shape"], ["import", "{}"]])
def test_no_output_replaces_a_file_of_a_run(words: list[str], name: str, ask: Ask, run_folder: Path) -> None:
    said = ask(*(word.format(run_folder) for word in words), "-o", run_folder / name)
    assert (said.status, "is a file of the run in" in " ".join(said.err.split())) == (2, True)


def test_no_output_replaces_a_file_of_a_run_by_a_link_or_from_inside(
    ask: Ask, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path("tiny.shape").resolve()
    Path("link.json").symlink_to(run_folder / "plan.json")
    before = (run_folder / "plan.json").read_bytes()
    assert ask("compile", file, "-o", "link.json").status == 2
    monkeypatch.chdir(next((run_folder / "checkpoints").iterdir()))
    said = ask("compile", file, "-o", "new.json")
    assert (said.status, "is a file of the run in" in " ".join(said.err.split())) == (2, True)
    assert (run_folder / "plan.json").read_bytes() == before


def test_a_plan_replaces_nothing_but_a_plan(ask: Ask) -> None:
    assert ask("compile", "tiny.shape", "-o", "plan.json").status == 0
    assert ask("compile", "tiny.shape", "-o", "plan.json").status == 0
    for name, text in {"log.csv": "step,loss\n1,2\n", "laws.json": '{"format": "shapeflow-laws"}'}.items():
        Path(name).write_text(text)
        said = ask("compile", "tiny.shape", "-o", name)
        assert (said.status, f"`{name}` exists and is not a plan" in " ".join(said.err.split())) == (2, True)
        assert Path(name).read_text() == text
    Path("empty.json").touch()
    assert ask("compile", "tiny.shape", "-o", "empty.json").status == 0


def test_laws_are_not_written_over_their_measurements(ask: Ask) -> None:
    shutil.copytree(ROOT / "examples/laws", "laws")
    shutil.copy(ROOT / "examples/digits.shape", ".")
    before = Path("laws/digits.csv").read_bytes()
    for option in ("-o", "--plot"):
        said = ask("fit", "digits.shape", option, "laws/../laws/digits.csv")
        assert (said.status, Path("laws/digits.csv").read_bytes()) == (2, before)


@pytest.mark.parametrize("option", ["--ratio", "--step", "--step-times-trace"])
def test_numbers_of_a_theory_are_bounded(option: str, ask: Ask) -> None:
    said = ask("phases", "--alpha", "1", "--beta", "0.7", "--budget", "1 GFLOPs", option, "1e308")
    assert (said.status, "1e+308 is out of range" in " ".join(said.err.split())) == (2, True)


@pytest.mark.parametrize("amount", ["1e308 ZFLOPs", "1e38", "1e-13"])
def test_budgets_of_options_have_the_bounds_of_sentences(amount: str, ask: Ask) -> None:
    said = ask("phases", "--alpha", "1", "--beta", "0.7", "--budget", amount)
    assert (said.status, "out of range: 1e-12 FLOPs to 1e+16 ZFLOPs" in " ".join(said.err.split())) == (2, True)


def test_a_run_in_the_current_folder(ask: Ask, monkeypatch: pytest.MonkeyPatch, run_folder: Path) -> None:
    Path("new").mkdir()
    monkeypatch.chdir("new")
    new = ["run", "../tiny.shape", "-o", ".", "--device", "cpu", "--quiet"]
    said = ask(*new, "--from", run_folder)
    assert (said.status, "is the current folder" in said.err) == (1, True)
    assert ask(*new).status == 0
    assert ask("run", ".", "--resume", "--quiet").status == 0


def test_a_compiled_plan_runs_like_its_source(ask: Ask, finished: Path) -> None:
    said = ask("compile", "tiny.shape", "-o", "plans/tiny.json")
    assert said.status == 0
    assert "written to plans/tiny.json" in said.out
    assert load(Path("plans/tiny.json")) == compile_file(Path("tiny.shape"))
    said = ask("run", "plans/tiny.json", "-o", "again", "--device", "cpu", "--json")
    outcome = json.loads(said.out)
    assert (said.status, outcome["finished"], outcome["step"], outcome["folder"]) == (0, True, 12, "again")
    ends = [load_file(folder / LAST / "model.safetensors") for folder in (finished, Path("again"))]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


LAST = "checkpoints/step-000000012"


def test_a_plan_is_final(ask: Ask, finished: Path) -> None:
    for change in (["--seed", 1], ["--set", "budget 1 steps"], ["--let", "a=1"]):
        said = ask("run", finished / "plan.json", "-o", "other", "--format", "json", *change)
        assert (said.status, said.codes) == (1, ["plan-is-final"])
        assert not Path("other").exists()


def test_a_plan_without_a_model_is_not_run(ask: Ask) -> None:
    ask("compile", LAWS_ONLY, "-o", "laws.json")
    for file in (LAWS_ONLY, "laws.json"):
        for command in (["run", file], ["compare", LAWS_ONLY], ["sweep", LAWS_ONLY, "--budget", "1 GFLOPs"]):
            said = ask(*command, "--format", "json")
            assert (said.status, said.codes) == (1, ["no-model"]), command
    assert not Path("runs").exists()


def test_a_plan_that_was_edited_is_refused(ask: Ask, finished: Path) -> None:
    body = json.loads((finished / "plan.json").read_text(encoding="utf-8"))
    Path("edited.json").write_text(json.dumps({**body, "seed": 1}), encoding="utf-8")
    Path("laid_out.json").write_text(json.dumps(body, indent=8), encoding="utf-8")
    Path("newer.json").write_text(json.dumps({**body, "version": 99}), encoding="utf-8")
    Path("other.json").write_text('{"format": "something"}', encoding="utf-8")
    Path("none.json").write_text("[", encoding="utf-8")
    for name, code in (
        ("edited", "plan-edited"),
        ("newer", "plan-version"),
        ("other", "broken-plan"),
        ("none", "broken-plan"),
    ):
        for command in (["run", f"{name}.json", "-o", "run"], ["show", f"{name}.json"], ["compile", f"{name}.json"]):
            said = ask(*command, "--format", "json")
            assert (said.status, said.codes) == (1, [code]), command
    assert ask("show", "laid_out.json").status == 0
    assert not Path("run").exists()


def test_show_prints_plans_runs_and_differences(ask: Ask, run_folder: Path) -> None:
    plan = ask("show", run_folder / "plan.json")
    assert ask("compile", "tiny.shape").out.startswith(plan.out)
    run = ask("show", run_folder)
    assert "finished, 12 steps" in run.out
    assert ask("show", run_folder, run_folder / "plan.json").out == "the plans are the same\n"
    changed = attrs.evolve(load(run_folder / "plan.json"), checkpoint=7, keep=Retention(3, best=True))
    save(sealed(changed), run_folder.parent / "kept.json")
    said = ask("show", run_folder, run_folder.parent / "kept.json").out
    assert "the newest 3 and the best" in said
    assert "checkpoint" in said
    ask("compile", "tiny.shape", "--seed", 3, "--set", "budget 20 steps", "-o", "longer.json")
    rows = json.loads(ask("show", run_folder, "longer.json", "--json").out)
    assert {row["what"] for row in rows} >= {"seed", "(patch: 2 px)", "steps", "compute"}
    assert "(patch: 2 px)" in ask("show", run_folder, "longer.json").out
    assert ask("show", "nowhere").status == 1
    Path("empty").mkdir()
    assert ask("show", "empty", "--format", "json").codes == ["no-run"]


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_folder_that_holds_a_run_is_not_changed(ask: Ask, run_folder: Path) -> None:
    before = content(run_folder)
    plain = ["run", "tiny.shape", "-o", run_folder, "--device", "cpu", "--format", "json"]
    assert ask(*plain).codes == ["run-exists"]
    assert ask(*plain, "--resume").codes == []
    assert ask(*plain, "--resume", "--seed", 5).codes == ["other-history"]
    assert ask(*plain, "--seed", 5).codes == ["run-exists"]
    assert content(run_folder) == before


def test_a_resumed_run_ends_like_an_uninterrupted_one(ask: Ask, run_folder: Path, finished: Path) -> None:
    shutil.rmtree(run_folder / LAST)
    said = ask("run", "tiny.shape", "-o", run_folder, "--device", "cpu", "--resume")
    assert said.status == 0
    assert "resuming after step 8" in said.err
    assert "finished, 12 steps" in said.out
    ends = content(run_folder), content(finished)
    assert {name: ends[0][name] for name in ends[0] if name.startswith(LAST)} == {
        name: ends[1][name] for name in ends[1] if name.startswith(LAST)
    }


def test_until_stops_early_and_resume_continues(ask: Ask) -> None:
    command = ["run", "tiny.shape", "-o", "early", "--device", "cpu"]
    said = ask(*command, "--until", "cross_entropy<=9", "--json")
    outcome = json.loads(said.out)
    assert (said.status, outcome["reached"], outcome["finished"], outcome["step"]) == (0, True, False, 4)
    assert ask(*command, "--resume", "--quiet") == Said(0, "", "")
    assert json.loads(ask("show", "early", "--json").out)["finished"] is True
    said = ask("run", "tiny.shape", "-o", "wrong", "--device", "cpu", "--until", "loss<=1", "--format", "json")
    assert (said.status, said.codes) == (1, ["no-such-metric"])


@pytest.mark.skipif(torch.cuda.device_count() >= 8, reason="this machine has 8 GPUs")
def test_more_gpus_than_there_are_say_what_to_type(ask: Ask) -> None:
    said = ask("run", "tiny.shape", "-o", "run", "--gpus", 8)
    assert said.status == 1
    assert said.err.startswith("error[no-such-gpus]: 8 GPUs are asked for, this machine shows ")
    assert "`--device cpu --processes 8`" in said.err
    assert not Path("run").exists()


def test_a_sweep_leaves_points_that_laws_are_fitted_to(ask: Ask) -> None:
    """From a sweep without laws to a plan by fitted laws, and a comparison of the plan with its rival."""
    Path("learnt.shape").write_text(LEARNT, encoding="utf-8")
    assert ask("compile", "learnt.shape", "--format", "json").codes == ["no-such-logs"]
    sweep = ["sweep", "learnt.shape", "--budget", "24 steps", "--set", "evaluate every 1 steps", "--device", "cpu"]
    assert ask(*sweep, "-o", "sweep", "--track", "json:Nothing", "--format", "json").codes == ["no-such-tracker"]
    assert not Path("sweep").exists()
    said = ask(*sweep, "-o", "sweep", "--csv", "points.csv", "--peak-flops", "2 TFLOPs", "--micro-batch", 1)
    assert said.status == 0, said.err
    assert "2 runs in sweep" in said.out
    for events in Path("sweep").glob("*/events.jsonl"):
        assert json.loads(events.read_text(encoding="utf-8").partition("\n")[0])["peak_flops"] == 2e12
    rows = list(csv.DictReader(Path("points.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 48
    assert {row["patch"] for row in rows} == {"4", "2"}
    before = content(Path("sweep"))
    again = ask(*sweep, "-o", "sweep", "--csv", "again.csv")
    assert again.err.count("already done") == 2
    assert Path("again.csv").read_bytes() == Path("points.csv").read_bytes()
    assert content(Path("sweep")) == before

    said = ask("compile", "learnt.shape", "--json")
    assert said.status == 0, said.err
    plan = json.loads(said.out)
    assert all(candidate["law"]["source"] == "fit" for candidate in plan["candidates"])
    Path("learnt_from_runs.shape").write_text(LEARNT.replace("points.csv", "sweep"), encoding="utf-8")
    assert ask("compile", "learnt_from_runs.shape").status == 0

    said = ask("compare", "learnt.shape", "-o", "compared", "--rival", "last", "--device", "cpu", "--json")
    assert said.status == 0, said.err
    told = json.loads(said.out)
    assert [way["name"] for way in told["ways"]] == ["plan", "last"]
    assert told == json.loads(Path("compared/comparison.json").read_text(encoding="utf-8"))
    assert told["ways"][0]["savings"] == [0.0]


# -- arbitrary input ---------------------------------------------------------------------------------------------------

FUZZ = settings(
    max_examples=80,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
PIECES = [
    *(
        "",
        "0",
        "-1",
        "1e9",
        "1e400",
        "0.5",
        "%",
        "px",
        "FLOPs",
        "steps",
        "(",
        ")",
        "[",
        "]",
        ":",
        ",",
        '"',
        "#",
        "=",
        "*",
    ),
    *(
        "axis",
        "via",
        "in",
        "until",
        "end",
        "where",
        "stage",
        "law for",
        "from",
        "fit",
        "with",
        "use",
        "let",
        "is",
        "<=",
    ),
    *(
        "vit",
        "patch",
        "width",
        "context",
        "tokens",
        "steepest",
        "random",
        "\n",
        "\t",
        "\r\n",
        "\x00",
        "é",
        "𝛼",
        "\ufeff",
    ),
]


def mutated(draw: Callable[[st.SearchStrategy[Any]], Any], text: str) -> str:
    """A text with a few words deleted, doubled, swapped or replaced."""
    words = split(text)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(words) - 1))
        match draw(st.sampled_from(["drop", "double", "swap", "replace", "insert", "cut"])):
            case "drop":
                del words[at]
            case "double":
                words.insert(at, words[at])
            case "swap":
                other = draw(st.integers(0, len(words) - 1))
                words[at], words[other] = words[other], words[at]
            case "replace":
                words[at] = draw(st.sampled_from(PIECES))
            case "insert":
                words.insert(at, draw(st.sampled_from(PIECES)))
            case _:
                words[at] = words[at][:-1]
    return "".join(words)


def split(text: str) -> list[str]:
    """The words, numbers, spaces and single characters of a text; their concatenation is the text."""
    found: list[str] = []
    for letter in text:
        if found and letter.isalnum() and found[-1][-1].isalnum():
            found[-1] += letter
        else:
            found.append(letter)
    return found


def no_bug(capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
    """Run a command that may fail, but only with a diagnostic."""
    capsys.readouterr()
    status = answer([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert "this is a bug" not in said.err, said.err
    assert status in (0, 1)
    assert status == 0 or "error[" in said.err


@FUZZ
@given(data=st.data(), name=st.sampled_from(list(EXAMPLES)))
def test_any_text_is_compiled_or_refused_with_a_diagnostic(
    data: st.DataObject, name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = mutated(data.draw, EXAMPLES[name])
    (tmp_path / "mutated.shape").write_bytes(text.encode())
    no_bug(capsys, "compile", tmp_path / "mutated.shape")


LEAVES = [None, True, 0, -1, 3.5, 1e30, "", "word", [], {}, [0], {"a": 1}]


@FUZZ
@given(data=st.data(), sealed=st.booleans())
def test_any_plan_is_shown_or_refused_with_a_diagnostic(
    data: st.DataObject, sealed: bool, finished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Some values of a plan file are replaced. Half of the files get a matching digest, as a forger would write it."""
    body = json.loads((finished / "plan.json").read_text(encoding="utf-8"))
    places = list(leaves(body))
    for _ in range(data.draw(st.integers(1, 2))):
        holder, key = data.draw(st.sampled_from(places))
        if isinstance(holder, dict) and data.draw(st.booleans()):
            holder.pop(key, None)
        elif isinstance(holder, dict) or key < len(holder):
            holder[key] = data.draw(st.sampled_from(LEAVES))
    if sealed:
        body["digest"] = digest_of(body)
    (tmp_path / "mutated.json").write_text(json.dumps(body), encoding="utf-8")
    no_bug(capsys, "show", tmp_path / "mutated.json")


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value, as its container and key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from leaves(item)


@FUZZ
@given(data=st.data(), name=st.sampled_from(["events.jsonl", "plan.json", "data.json"]))
def test_any_damaged_run_is_shown_or_refused_with_a_diagnostic(
    data: st.DataObject, name: str, finished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One file of the run's folder is truncated, or a few of its bytes are flipped."""
    folder = tmp_path / "harmed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("checkpoints"))
    content = bytearray((folder / name).read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(content)
    no_bug(capsys, "show", folder)


@FUZZ
@given(data=st.data())
def test_any_log_is_shown_or_refused_with_a_diagnostic(
    data: st.DataObject, finished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Some values of a logged event are replaced."""
    folder = tmp_path / "harmed"
    folder.mkdir(exist_ok=True)
    shutil.copy(finished / "plan.json", folder)
    lines = (finished / "events.jsonl").read_text(encoding="utf-8").splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    event = json.loads(lines[number])
    holder, key = data.draw(st.sampled_from(list(leaves(event))))
    holder[key] = data.draw(st.sampled_from(LEAVES))
    lines[number] = json.dumps(event)
    (folder / "events.jsonl").write_text("\n".join(lines), encoding="utf-8")
    no_bug(capsys, "show", folder, *data.draw(st.sampled_from([(), ("--json",)])))


@settings(FUZZ, max_examples=15)
@given(data=st.data())
def test_any_damaged_run_is_resumed_or_refused_with_a_diagnostic(
    data: st.DataObject, finished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With any file damaged, a resumed run reaches the same end or is refused; it is never silently wrong."""
    folder = tmp_path / "harmed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(finished, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "000012" not in str(path))
    shutil.rmtree(folder / LAST)
    harmed = data.draw(st.sampled_from(files))
    content = bytearray(harmed.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    harmed.write_bytes(content)
    command = ["run", "tiny.shape", "-o", folder, "--device", "cpu", "--resume", "--quiet"]
    no_bug(capsys, *command)


@pytest.mark.parametrize("number", ["9" * 12, "9" * 5000, "-1", "²", "1e3", "\x1b[31m"])
@pytest.mark.parametrize("option", ["--micro-batch", "--pause", "--processes", "--gpus", "--threads"])
def test_counts_have_a_limit(option: str, number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["run", str(ROOT / "examples/digits.shape"), "-o", str(tmp_path / "out"), option, number]) == 2
    said = capsys.readouterr().err
    assert option in said
    assert "\x1b" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["/", "."])
def test_a_profile_of_a_folder(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["profile", file]) == 1
    assert "error[cannot-read]" in capsys.readouterr().err
