"""The kit of GPU evidence: which piece comes next, what is left, and pieces that are stopped and continued."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import gpu_evidence
import shapeflow
from evidence import gpu_tests, kit, question, report
from evidence.kit import Failed, Kit, OutOfTime, Piece, Result
from evidence.state import FILE, Call, Found, OtherSettings, State, load
from shapeflow.running.run_log import CHECKPOINTS

SETTINGS = {"toy": True, "flops": 2e9}
CALL = Call("2026-01-01 00:00", "some device", "2.0", "python benchmarks/gpu_evidence.py")


def made(folder: Path, seconds: float = 60.0, flops: float = 2e9) -> Kit:
    return Kit(folder, True, "cpu", Path(), flops, 1, time.monotonic() + seconds)


def counting(upto: int, stop: int | None = None) -> Piece:
    """A piece that counts, and runs out of time at a number."""

    def piece(kit: Kit, found: Result) -> Iterator[Result]:
        for number in range(found.get("number", 0) + 1, upto + 1):
            if number == stop:
                raise OutOfTime
            yield {"number": number}

    return piece


def failing(kit: Kit, found: Result) -> Iterator[Result]:
    yield {"number": 1}
    raise Failed("exit code 1")


def follow(folder: Path, pieces: dict[str, Piece], seconds: float = 60.0, names: list[str] | None = None) -> int:
    state = load(folder, SETTINGS, pieces)
    return gpu_evidence.follow(made(folder, seconds), state, names or state.left(), CALL, pieces)


@pytest.fixture(autouse=True)
def sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section of the report for pieces of these tests."""
    counted = dict.fromkeys(("first", "second"), lambda result: [f"number {result['number']}"])
    monkeypatch.setattr(report, "SECTIONS", {**counted, **report.SECTIONS})


def test_a_later_call_continues_where_the_last_one_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(tmp_path, {"first": counting(5, stop=3), "second": counting(2)}, names=["first"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "left: first, second"
    assert load(tmp_path, SETTINGS, ()).pieces["first"].result == {"number": 2}
    assert follow(tmp_path, {"first": counting(5), "second": counting(2)}) == 0
    after = load(tmp_path, SETTINGS, ())
    found = [(each.status, each.result["number"]) for each in after.pieces.values()]
    assert found == [("finished", 5), ("finished", 2)]
    assert [len(found.calls) for found in after.pieces.values()] == [2, 1]
    assert capsys.readouterr().out.splitlines()[-1] == "left: nothing"


def test_no_piece_begins_when_the_time_is_spent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(tmp_path, {"first": counting(5)}, seconds=0.0) == 0
    assert capsys.readouterr().out == "left: first\n"
    assert not (tmp_path / FILE).exists()


def test_a_failed_piece_keeps_its_reason_and_is_not_tried_again_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces: dict[str, Piece] = {"first": failing, "second": counting(1)}
    assert follow(tmp_path, pieces) == 1
    found = load(tmp_path, SETTINGS, ()).pieces["first"]
    assert (found.status, found.reason, found.result) == ("failed", "exit code 1", {"number": 1})
    assert "failed: first" in capsys.readouterr().out
    assert follow(tmp_path, pieces) == 0
    assert "begins" not in capsys.readouterr().out
    assert follow(tmp_path, {"first": counting(2)}, names=["first"]) == 0
    assert load(tmp_path, SETTINGS, ()).pieces["first"].status == "finished"


def test_a_piece_waits_for_the_one_that_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(tmp_path, {"sweep": counting(1), "answer": counting(1)}, names=["answer"]) == 2
    assert "answer: waits for sweep" in capsys.readouterr().out


def test_evidence_of_other_settings_is_not_continued(tmp_path: Path) -> None:
    follow(tmp_path, {"first": counting(1)})
    with pytest.raises(OtherSettings, match="use another --out"):
        load(tmp_path, {**SETTINGS, "flops": 1e16}, ())
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(OtherSettings, match="not a file of this kit"):
        load(tmp_path, SETTINGS, ())


def test_without_a_gpu_only_toys_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_evidence, "_device", lambda: ("cpu", "CPU", "2.0"))
    assert gpu_evidence.main(["--out", str(tmp_path)]) == 2
    assert "--toy" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


COUNTER = """\
import signal, sys, time
from pathlib import Path
file, asked = Path("count"), []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
done = int(file.read_text()) if file.exists() else 0
Path("ready").touch()
while done < 40 and not asked:
    done += 1
    time.sleep(0.02)
file.write_text(str(done))
sys.exit(143 if asked else 0)
"""


def test_a_command_is_stopped_when_the_time_is_spent_and_continued(tmp_path: Path) -> None:
    command, log = [sys.executable, "-c", COUNTER], tmp_path / "log.txt"
    with pytest.raises(OutOfTime):
        kit.finish(made(tmp_path, 0.5), command, log)
    assert 0 < int((tmp_path / "count").read_text()) < 40
    kit.finish(made(tmp_path), command, log)
    assert (tmp_path / "count").read_text() == "40"


def test_a_command_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "GRACE", 0.2)
    command = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"]
    begun = time.monotonic()
    with pytest.raises(OutOfTime):
        kit.finish(made(tmp_path, 0.5), command, tmp_path / "log.txt")
    assert time.monotonic() - begun < 10


def test_a_command_that_fails_gives_its_last_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no space left'); raise SystemExit(3)"]
    with pytest.raises(Failed, match=r"exit code 3\nno space left"):
        kit.finish(made(tmp_path), command, tmp_path / "log.txt")


def test_a_toy_sweep_is_trained(tmp_path: Path) -> None:
    pieces: dict[str, Piece] = {"sweep": question.sweep}
    short = attrs.evolve(made(tmp_path, flops=2e8), jobs=2)
    assert gpu_evidence.follow(short, load(tmp_path, SETTINGS, pieces), ["sweep"], CALL, pieces) == 0
    runs = load(tmp_path, SETTINGS, ()).pieces["sweep"].result["runs"]
    assert [each["run"] for each in runs] == ["patch14-seed0", "patch7-seed0"]
    assert all(each["steps"] == each["of"] > 0 for each in runs)
    assert not list(tmp_path.glob(f"question/sweep/*/{CHECKPOINTS}"))
    assert "| patch14-seed0 |" in (tmp_path / report.FILE).read_text()


def test_the_rivals_of_a_plan_whose_best_patch_is_the_finest_are_trained_once(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="cannot be read"):
        question.rivals_of(made(tmp_path))
    plan = tmp_path / "question" / "plan.json"
    plan.parent.mkdir()
    plan.write_text(json.dumps({"comparison": {"best_fixed": {"shape": {"patch": 14}}}}))
    rivals = question.rivals_of(made(tmp_path))
    assert rivals[:2] == ["best", "fixed(shape: (patch: 7 px))"]
    plan.write_text(json.dumps({"comparison": {"best_fixed": {"shape": {"patch": 7}}}}))
    assert question.rivals_of(made(tmp_path)) == rivals[1:]


@pytest.mark.parametrize(("scale", "flops"), [(question.LARGE, 1e16), (question.TOY, 2e9)], ids=["large", "toy"])
def test_the_question_compiles(scale: question.Scale, flops: float, tmp_path: Path) -> None:
    path = tmp_path / question.FILE
    lines = question.program(scale, flops).splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("laws")))
    plan = shapeflow.compile(path, ["traversal evenly"])
    assert [stage.shape["patch"] for stage in plan.stages] == list(scale.patches)


def test_outcomes_of_tests_are_read_from_a_record_that_may_be_cut_off(tmp_path: Path) -> None:
    record = tmp_path / "outcomes.jsonl"
    lines = [{"test": f"t{n}", "outcome": outcome, "reason": why} for n, (outcome, why) in enumerate(OUTCOMES)]
    record.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"test": "t9", "outc')
    assert gpu_tests.summary(record) == {
        "outcomes": {"passed": 2, "skipped": 2, "failed": 1},
        "failed": [{"test": "t4", "reason": "E  assert 1 == 2"}],
        "skipped": {"no CUDA device here": 2},
    }


OUTCOMES = [("passed", ""), ("passed", ""), *[("skipped", "no CUDA device here")] * 2, ("failed", "E  assert 1 == 2")]


def test_the_report_shows_each_piece_with_its_calls() -> None:
    spread = {"median": 2e-3, "low": 1e-3, "high": 4e-3}
    timed = {"flops": 4e9, "case": {"width": 16}, "parameters": {"ours": 1234}, "rounds": 3, "clock": "wall"}
    timed |= {"seconds": {"ours": spread, "peer": spread}, "missing": {"peer, compiled": "no such module"}}
    timed |= {"ratios": {"ours / peer": {"median": 1.1, "low": 1.0, "high": 1.25}}}
    ways = {"what": "the plan", "compute": [1e9, None], "final": [0.5, 0.6], "savings": [0.25, None]}
    compared = {"metric": "cross_entropy", "target": 0.6, "seeds": [1, 2], "ways": [ways]}
    pieces = {
        "step": Found("unfinished", {"vit": timed}, (CALL,)),
        "compare": Found("finished", {"comparison": compared, "runs": []}, (CALL, CALL)),
        "sweep": Found("failed", {}, (CALL,), "exit code 1"),
        "answer": Found(),
    }
    text = report.report(State(SETTINGS, pieces))
    assert "| vit | peer | 2 (1 to 4) | 2 | 1.1 (1 to 1.25) |" in text
    assert "- vit, peer, compiled: not measured, no such module" in text
    assert "| the plan | 1e+09, never | 0.5, 0.6 | +25.0%, - |" in text
    assert "exit code 1" in text
    assert "## answer" not in text
    assert text.count("| 2026-01-01 00:00 | some device | 2.0 |") == 4
