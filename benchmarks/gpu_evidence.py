"""Measures what only a GPU can show, in pieces of a few minutes that a later call continues.

    python benchmarks/gpu_evidence.py --out runs/evidence --data FOLDER [--piece NAME] [--minutes 9]
    python benchmarks/gpu_evidence.py --out runs/toy --toy

    tests     tests/gpu
    step      time per training step, next to timm and Hugging Face
    sweep     every patch size as a fixed shape, on Fashion-MNIST at 60 px
    answer    whether switching the patch size pays, by the laws of the sweep
    compare   the plan and its rivals at equal error

Without `--piece` a call continues with the first piece that is not finished, then with the next ones. When its minutes
are spent it saves checkpoints, prints what is left and ends. `--toy` makes all pieces small enough for a CPU. Results
are in evidence.json and evidence.md in the folder of `--out`.

The exit code is 1 if a piece failed, 2 if a piece cannot begin. A failed piece is tried again only by `--piece`.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from evidence import gpu_tests, question, timed
from evidence.kit import Failed, Kit, OutOfTime, Piece
from evidence.report import write_report
from evidence.state import Call, Found, OtherSettings, State, load, save, today
from shapeflow.base.diagnostics import Refused

PIECES: Mapping[str, Piece] = {
    "tests": gpu_tests.tests,
    "step": timed.step,
    "sweep": question.sweep,
    "answer": question.answer,
    "compare": question.compare,
}
NEEDS = {"answer": "sweep", "compare": "answer"}
"""Piece -> the piece that must be finished before it."""
FLOPS, TOY_FLOPS = 1e16, 2e9
"""The compute of each run of the sweep, and of the plan."""
JOBS = {"cpu": 2, "cuda": 3}
"""Runs in parallel by device. A small model leaves a GPU idle between its kernels."""


def main(arguments: Sequence[str] | None = None) -> int:
    begun = time.monotonic()
    choices = _choices(arguments)
    device, name, torch = _device()
    if device == "cpu" and not choices.toy:
        return _refuse("this machine has no CUDA device: add `--toy` to try the kit on a CPU")
    if not choices.toy and not choices.data.is_dir():
        return _refuse(f"there is no folder {choices.data}: `--data` names the folder of the Fashion-MNIST idx files")
    flops = choices.flops or (TOY_FLOPS if choices.toy else FLOPS)
    kit = Kit(
        folder=choices.out.resolve(),
        toy=choices.toy,
        device=device,
        data=choices.data,
        flops=flops,
        jobs=choices.jobs or JOBS[device],
        deadline=begun + 60 * choices.minutes,
    )
    try:
        state = load(kit.folder, {"toy": kit.toy, "flops": kit.flops}, PIECES)
    except OtherSettings as other:
        return _refuse(str(other))
    command = shlex.join(["python", "benchmarks/gpu_evidence.py", *(sys.argv[1:] if arguments is None else arguments)])
    call = Call(today(), name, torch, command)
    signal.signal(signal.SIGTERM, _interrupt)
    names = [choices.piece] if choices.piece else state.left()
    return follow(kit, state, names, call, PIECES)


def follow(kit: Kit, state: State, names: Sequence[str], call: Call, pieces: Mapping[str, Piece]) -> int:
    """Work on some pieces in order until they are finished or the time is spent. Returns the exit code."""
    code = 0
    try:
        for name in names:
            if kit.left == 0:
                break
            blocker = NEEDS.get(name)
            if blocker is not None and state.pieces[blocker].status != "finished":
                print(f"{name}: waits for {blocker}")
                code = code or 2
                continue
            if state.pieces[name].status == "finished":
                print(f"{name}: already finished")
                continue
            state = work(kit, state, name, call, pieces[name])
            found = state.pieces[name]
            print(f"{name}: {found.status}{f': {found.reason}' if found.reason else ''}")
            code = 1 if found.status == "failed" else code
    except KeyboardInterrupt:
        code = 130
    _print_left(load(kit.folder, state.settings, pieces))
    return code


def _print_left(state: State) -> None:
    print(f"left: {', '.join(state.left()) or 'nothing'}")
    failed = [name for name, found in state.pieces.items() if found.status == "failed"]
    if failed:
        print(f"failed: {', '.join(failed)}; `--piece NAME` tries one again")


def work(kit: Kit, state: State, name: str, call: Call, piece: Piece) -> State:
    """Work on one piece, and write the state after everything that it measured."""
    found, begun = state.pieces[name], time.monotonic()
    before = found.calls

    def kept(found: Found) -> State:
        timed_call = attrs.evolve(call, seconds=round(time.monotonic() - begun, 1))
        after = state.with_piece(name, attrs.evolve(found, calls=(*before, timed_call)))
        save(after, kit.folder)
        write_report(after, kit.folder)
        return after

    found = attrs.evolve(found, status="unfinished", reason=None)
    print(f"{name}: begins, {kit.left:.0f} s left", flush=True)
    try:
        for result in piece(kit, found.result):
            found = attrs.evolve(found, result=result)
            kept(found)
        found = attrs.evolve(found, status="finished")
    except OutOfTime:
        pass
    except Failed as failed:
        found = attrs.evolve(found, status="failed", reason=str(failed))
    except Refused as refused:
        reason = "\n".join(f"{each.code}: {each.message}" for each in refused.diagnostics)
        found = attrs.evolve(found, status="failed", reason=reason)
    except KeyboardInterrupt:
        kept(found)
        raise
    return kept(found)


def _choices(arguments: Sequence[str] | None) -> argparse.Namespace:
    text, _, rest = (__doc__ or "").partition("\n")
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=text, epilog=rest, formatter_class=style)
    parser.add_argument("--out", type=Path, required=True, help="the folder of all results")
    parser.add_argument("--piece", choices=PIECES, help="work on this piece only")
    parser.add_argument("--minutes", type=float, default=9.0, help="when to stop; default: 9")
    parser.add_argument("--toy", action="store_true", help="small sizes, for a CPU")
    default = Path("/usr/share/datasets/fashion-mnist")
    parser.add_argument("--data", type=Path, default=default, help="the folder of the Fashion-MNIST idx files")
    parser.add_argument("--flops", type=float, help="compute of each run; default: 1e16, 2e9 with --toy")
    parser.add_argument("--jobs", type=int, help="runs in parallel; default: 3 on a GPU, 2 on a CPU")
    return parser.parse_args(arguments)


def _device() -> tuple[str, str, str]:
    """The kind of device, its name, and the version of torch."""
    import torch

    from shapeflow_torch.devices import gpus

    found = gpus()
    return ("cuda", found[0], torch.__version__) if found else ("cpu", f"CPU ({platform.machine()})", torch.__version__)


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
