"""The logs that trainers write, made in each one's own format from the same curves."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from log_files import events, trainer_state

WIDTHS = (64, 128, 256)
EPOCH = 40
"""Steps of an epoch, and between measurements."""
TOKENS, SAMPLES = 65536, 256
"""Tokens and samples of a step."""
STEPS = range(EPOCH, 4001, EPOCH)


@attrs.frozen
class Truth:
    """The curves that all logs record."""

    flops: Mapping[int, float]
    """Width -> FLOPs of a step."""

    def loss(self, width: int, step: float) -> float:
        return 1.5 + 24 / width + 6e4 * width**0.3 * (step * self.flops[width]) ** -0.35

    def points(self, width: int) -> Iterator[tuple[int, float, float]]:
        """Yield the step, the held-out loss and the training loss."""
        for step in STEPS:
            yield step, self.loss(width, step), 1.01 * self.loss(width, step)


def rate(step: int) -> float:
    return 3e-4 * min(1.0, step / 100)


def table(path: Path, rows: Iterable[Mapping[str, Any]], delimiter: str = ",") -> None:
    listed = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, listed[0], delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(listed)


def text(path: Path, lines: Iterable[str], first: str = "starting run") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([first, *lines]) + "\n")


def hugging_face(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        rows: list[dict[str, Any]] = []
        for step, held, train in truth.points(width):
            rows.append({"epoch": step / 1000, "loss": train, "learning_rate": rate(step), "step": step})
            rows.append({"epoch": step / 1000, "eval_loss": held, "eval_runtime": 2.0, "step": step})
        total = {"global_step": 4000, "total_flos": 4000 * truth.flops[width]}
        trainer_state(folder / f"width{width}" / "checkpoint-4000" / "trainer_state.json", rows, **total)


def hugging_face_without_flos(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        rows = [{"eval_loss": held, "step": step, "learning_rate": 1e-3} for step, held, _ in truth.points(width)]
        rows.append({"step": 4000, "total_flos": 0.0, "train_loss": 3.0, "train_runtime": 9.0})
        trainer_state(folder / f"width{width}" / "trainer_state.json", rows, global_step=4000, total_flos=0.0)


def lightning(folder: Path, truth: Truth) -> None:
    for number, width in enumerate(WIDTHS):
        rows: list[dict[str, Any]] = []
        for step, held, train in truth.points(width):
            both = {"epoch": 0, "step": step, "lr-AdamW": "", "train_loss": "", "val_loss": ""}
            rows.append({**both, "train_loss": train, "lr-AdamW": 3e-4})
            rows.append({**both, "val_loss": held})
        table(folder / f"version_{number}" / "metrics.csv", rows)
        (folder / f"version_{number}" / "hparams.yaml").write_text(
            f"model:\n  d_model: {width}\n  heads: 4\nlr: 3.0e-4\n"
        )


def keras(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        points = enumerate(truth.points(width))
        rows = [
            {
                "epoch": epoch,
                "accuracy": 0.2,
                "learning_rate": 1e-3,
                "loss": train,
                "val_accuracy": 0.2,
                "val_loss": held,
            }
            for epoch, (_, held, train) in points
        ]
        table(folder / f"width{width}.csv", rows)


def timm(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        points = enumerate(truth.points(width))
        rows = [
            {"epoch": epoch, "train_loss": train, "eval_loss": held, "eval_top1": 30.0, "lr": 5e-4}
            for epoch, (_, held, train) in points
        ]
        table(folder / f"width{width}" / "summary.csv", rows)
        (folder / f"width{width}" / "args.yaml").write_text("batch_size: 256\nlr: 0.0005\n")


def fastai(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        points = enumerate(truth.points(width))
        rows = [
            {"epoch": e, "train_loss": t, "valid_loss": h, "accuracy": 0.2, "time": "00:12"} for e, (_, h, t) in points
        ]
        table(folder / f"width{width}" / "history.csv", rows)


def composer(folder: Path, truth: Truth) -> None:
    rows: list[dict[str, Any]] = []
    for width in WIDTHS:
        for step, held, train in truth.points(width):
            rows.append(
                {
                    "run_name": f"m{width}", "d_model": width, "time/batch": step, "time/token": step * TOKENS,
                    "lr-DecoupledAdamW/group0": 3e-4, "throughput/tokens_per_sec": 1e6, "loss/train/total": train,
                    "metrics/eval/LanguageCrossEntropy": held if step % 80 == 0 else "",
                }
            )  # fmt: skip
    table(folder / "history.csv", rows)


def olmo(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        lines = []
        for step, held, train in truth.points(width):
            lines.append(f"2024-05-01 10:00:00 INFO [olmo.train:967, rank=0] [step={step}/4000,epoch=0]")
            lines.append(f"    optim/learning_rate_group0={rate(step):.6g}")
            lines.append(f"    train/CrossEntropyLoss={train:.6f}")
            lines.append(f"    eval/c4/CrossEntropyLoss={held:.6f}")
            lines.append(f"    throughput/total_tokens={step * TOKENS:,}")
            lines.append("    throughput/device/tokens_per_second=120,000")
        text(folder / f"width{width}" / "stdout.log", lines)


def torchtitan(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        lead = "[titan] 2024-05-01 10:00:00,000 - root - INFO - "
        lines = (
            f"{lead}\x1b[31mstep: {step:2}  \x1b[32mloss: {held:8.5f}  \x1b[34mgrad_norm: 0.5000  \x1b[36mmemory: "
            f"45.20GiB(57.00%)  tps: 8,000  tflops: 300.20  mfu: 40.00%\x1b[0m"
            for step, held, _ in truth.points(width)
        )
        text(folder / f"width{width}.log", lines)


def megatron(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        lines = (
            f" iteration {step:8}/    4000 | consumed samples: {step * SAMPLES:12} | elapsed time per iteration (ms): "
            f"271.8 | learning rate: {rate(step):.3E} | global batch size:   {SAMPLES} | lm loss: {held:.6E} | loss "
            "scale: 1.0 | grad norm: 0.500 | number of skipped iterations:   0 |"
            for step, held, _ in truth.points(width)
        )
        text(folder / f"width{width}" / "train.out", lines)


def nanogpt(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        lines = [f"tokens per iteration will be: {TOKENS:,}", "number of parameters: 1.23M"]
        for step, held, train in truth.points(width):
            lines.append(f"iter {step}: loss {train:.4f}, time 32.10ms, mfu 12.10%")
            lines.append(f"step {step}: train loss {train:.5f}, val loss {held:.5f}")
        text(folder / f"width{width}.txt", lines)


def llm_c(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        lines = []
        for step, held, train in truth.points(width):
            lines += [f"s:{step} trl:{train:.6f} lr:{rate(step):.6f} norm:0.50", f"s:{step} tel:{held:.6f}"]
        text(folder / f"width{width}" / "main.log", lines)


def llm_c_printed(folder: Path, truth: Truth) -> None:
    """What `train_gpt2.cu` prints: the held-out loss stands after the line of the last step, without its number."""
    for width in WIDTHS:
        size = f"batch_size B=32 * seq_len T=256 * num_processes=8 and total_batch_size={TOKENS}"
        lines = [f"| batch size B          | {32:<50} |", size, "=> setting grad_accum_steps=1", "val loss 11.009200"]
        for step, held, train in truth.points(width):
            lines.append(
                f"step {step:4}/4000 | loss {train:7.6f} (+0.12z)| norm 0.5000 (-0.30z)| lr {rate(step):.2e} | "
                "31.20 ms | 50.1% bf16 MFU | 500000 tok/s"
            )
            lines.append(
                "                  compute 99.0% | memory: 40.0% | fan: 30% | 1400 MHz / 1410 MHz | 300 W / 400 W"
            )
            lines.append(f"val loss {held:.6f}")
        text(folder / f"width{width}.log", lines)


def modded_nanogpt(folder: Path, truth: Truth) -> None:
    """Its logs begin with their own source."""
    for width in WIDTHS:
        lines = ["import sys", *(f"x{i} = linear(x, {i})  # a comment, and more" for i in range(4000)), "=" * 100]
        for step, held, _ in truth.points(width):
            lines.append(f"step:{step}/4000 train_time:{240 * step}ms step_avg:240.50ms")
            lines.append(f"step:{step}/4000 val_loss:{held:.6f} train_time:{240 * step}ms step_avg:240.50ms")
        text(folder / f"width{width}" / "log.txt", [*lines, "peak memory allocated: 31492 MiB"], "import os")


def nanochat(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        lines = [
            "Estimated FLOPs per token: 1.234560e+08",
            f"Total number of training tokens: {4000 * TOKENS:,}",
            f"Total batch size {TOKENS:,} => gradient accumulation steps: 2",
        ]
        for step, held, train in truth.points(width):
            lines.append(f"Step {step:05} | Validation bpb: {held:.6f}")
            lines.append(f"Step {step:05} | CORE metric: 0.1234")
            lines.append(
                f"step {step:05}/04000 ({step / 40:.2f}%) | loss: {train:.6f} | lrm: 1.00 | dt: 912.30ms | tok/sec: "
                f"71,836 | bf16_mfu: 40.10 | epoch: 1 pq: 3 rg: 12 | total time: {0.9123 * step / 60:.2f}m | eta: 3.1m"
            )
        text(folder / f"width{width}.log", lines)


def levanter(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        rows = [
            {
                "global_step": step, "train/loss": train, "eval/loss": held, "optim/learning_rate": rate(step),
                "throughput/total_tokens": step * TOKENS, "throughput/tokens_per_second": 1e5, "_runtime": step * 0.5,
            }
            for step, held, train in truth.points(width)
        ]  # fmt: skip
        path = folder / f"width{width}" / "tracker_metrics.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def wandb_chart(folder: Path, truth: Truth) -> None:
    rows = []
    for step in STEPS:
        row: dict[str, Any] = {"Step": step}
        for width in WIDTHS:
            name = f"sweep width{width} - eval/loss"
            row.update(dict.fromkeys([name, f"{name}__MIN", f"{name}__MAX"], truth.loss(width, step)))
        rows.append(row)
    table(folder / "wandb_export.csv", rows)


def wandb_runs(folder: Path, truth: Truth) -> None:
    """The table of runs: five runs of each width, and three that did not finish."""
    rows: list[dict[str, Any]] = []
    for width in WIDTHS:
        for step in (250, 500, 1000, 2000, 4000):
            held = truth.loss(width, step)
            rows.append(
                {
                    "Name": f"gpt-{width}", "State": "finished", "Notes": "-", "User": "someone", "Tags": "",
                    "Created": f"2025-05-05T{len(rows):02}:00:00.000Z", "Runtime": step, "Sweep": "", "lr": 3e-4,
                    "d_model": width, "max_steps": step, "_runtime": step + 0.5, "_step": step // 10,
                    "_timestamp": 1.7e9 + step, "tokens": step * TOKENS, "train/loss": 1.01 * held, "val/loss": held,
                    "val/loss.min": 0.99 * held,
                }
            )  # fmt: skip
    for at, state in ((2, "crashed"), (7, "running"), (9, "failed")):
        cut = {"State": state, "Created": f"2025-05-06T{at:02}:00:00.000Z", "tokens": 1e6, "val/loss": 9.0}
        rows.insert(at, {**rows[at], **cut})
    table(folder / "wandb_export_2025-05-07.csv", rows)


def tensorboard(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        rows = [{"step": s, "loss/val": h, "loss/train": t, "lr": rate(s)} for s, h, t in truth.points(width)]
        events(folder / f"width{width}" / "events.out.tfevents.1.host", rows)


def tensorboard_folders(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        for name, column in (("train", 2), ("val", 1)):
            rows = [{"step": point[0], "loss": point[column]} for point in truth.points(width)]
            events(folder / f"width{width}" / f"loss_{name}" / "events.out.tfevents.1.host", rows)
        flops = [{"step": step, "total_flops": float(step * truth.flops[width])} for step in STEPS]
        events(folder / f"width{width}" / "events.out.tfevents.2.host", flops)


def mlflow(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        run = folder / "0" / f"run{width:08x}"
        values: dict[str, Callable[[int], float]] = {
            "eval/loss": lambda step, width=width: truth.loss(width, step),  # type: ignore[misc]
            "learning_rate": rate,
            "total_flops": lambda step, width=width: step * truth.flops[width],  # type: ignore[misc]
        }
        for name, of in values.items():
            path = run / "metrics" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{1_700_000_000_000 + step} {of(step)!r} {step}\n" for step in STEPS))
        (run / "params").mkdir()
        (run / "params" / "width").write_text(str(width))
        (run / "meta.yaml").write_text("lifecycle_stage: active\n")


def semicolons(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        rows = [
            {"step": step, "eval_loss": f"{held:.6f}".replace(".", ","), "lr": "0,0003"}
            for step, held, _ in truth.points(width)
        ]
        table(folder / f"width{width}.csv", rows, ";")


def by_tokens(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        rows = [
            {"tokens_b": step * TOKENS / 1e9, "loss": held, "tflops": 300.2} for step, held, _ in truth.points(width)
        ]
        table(folder / f"width{width}.csv", rows)


def fairseq(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        lines = []
        for step, held, train in truth.points(width):
            inner = {"epoch": 1, "update": step / 4000, "loss": f"{train / math.log(2):.6f}",
                     "ppl": "30.1", "wps": "5000",
                     "wpb": str(TOKENS), "bsz": "256", "num_updates": str(step), "lr": f"{rate(step):.6g}",
                     "gnorm": "0.5", "train_wall": "12", "wall": f"{step * 0.73:.0f}"}  # fmt: skip
            valid = {"epoch": 1, "valid_loss": f"{held / math.log(2):.6f}", "valid_ppl": "30.1", "valid_wps": "5000",
                     "valid_num_updates": str(step), "valid_best_loss": f"{held:.6f}"}  # fmt: skip
            lines.append(f"2022-11-11 14:05:27 | INFO | train_inner | {json.dumps(inner)}")
            lines.append(f"2022-11-11 14:05:29 | INFO | valid | {json.dumps(valid)}")
        text(folder / f"width{width}" / "train.log", lines)


def torchtune(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        lines = [
            f"Step {step} | loss:{held:.6f} lr:{rate(step):.6g} tokens_per_second_per_gpu:4000.1 grad_norm:0.5 "
            for step, held, _ in truth.points(width)
        ]
        text(folder / f"width{width}" / "log_1700000000.txt", lines)


def trl(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        lines = [
            f"{{'loss': {held:.6f}, 'grad_norm': 0.5, 'learning_rate': {rate(step):.6g}, 'num_tokens': "
            f"{step * TOKENS:.1f}, 'mean_token_accuracy': 0.6, 'epoch': {step / 4000:.4f}}}"
            for step, held, _ in truth.points(width)
        ]
        text(folder / f"width{width}.log", lines)


def lightning_of_nan(folder: Path, truth: Truth) -> None:
    for width in WIDTHS:
        rows: list[dict[str, Any]] = []
        for step, held, train in truth.points(width):
            both = {"consumed_samples": step * SAMPLES, "epoch": 0, "global_step": step, "lr": 3e-4, "step": step}
            rows.append({**both, "reduced_train_loss": train, "val_loss": "nan"})
            rows.append({**dict.fromkeys(both, "nan"), "step": step, "reduced_train_loss": "nan", "val_loss": held})
        table(folder / f"width{width}" / "metrics.csv", rows)


EPOCHS = (keras, timm, fastai)
"""Trainers that count epochs alone."""
TRAINERS = (
    hugging_face, hugging_face_without_flos, lightning, keras, timm, fastai, composer, olmo, torchtitan, megatron,
    nanogpt, llm_c, llm_c_printed, modded_nanogpt, nanochat, levanter, wandb_chart, tensorboard, tensorboard_folders,
    mlflow, semicolons, by_tokens, fairseq, torchtune, trl, lightning_of_nan,
)  # fmt: skip
