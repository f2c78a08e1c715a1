"""Steps emitted settings through the own code of the trainers, and writes what they do to `answers.json`.

    python tests/targets/ask.py CLONES

CLONES is a folder with the git repositories `Megatron-LM`, `OLMo-core`, `DeepSpeed` and `modded-nanogpt`, of which the
commits below are read. Their classes are taken out of the sources and run as they are, with small stand-ins for what
surrounds them: a trainer, an optimizer, a logger. `tests/test_emit_answers.py` compares the answers with the readers of
`tests/test_emit.py`, which compare them with the plans.
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
import json
import logging
import math
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from test_emit import launches, plans  # noqa: E402

import shapeflow  # noqa: E402
from shapeflow.emitting.parts import Emitted  # noqa: E402
from shapeflow.ir.plan import Plan  # noqa: E402

ANSWERS = HERE / "answers.json"
COMMITS = {
    "megatron": ("Megatron-LM", "d98e8a64"),
    "olmo-core": ("OLMo-core", "fa6c5014"),
    "deepspeed": ("DeepSpeed", "edaa7221"),
    "modded-nanogpt": ("modded-nanogpt", "f411b3d3"),
}


@attrs.frozen
class Source:
    """The sources of one trainer."""

    clone: Path
    commit: str

    def text(self, path: str) -> str:
        command = ["git", "-C", str(self.clone), "show", f"{self.commit}:{path}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def taken(self, path: str, names: set[str], space: dict[str, Any]) -> dict[str, Any]:
        """Run the classes and functions of these names, and return their namespace. `space`: what surrounds them."""
        tree = ast.parse(self.text(path))
        kept = [node for node in tree.body if getattr(node, "name", None) in names]
        assert {node.name for node in kept} == names
        future = ast.parse("from __future__ import annotations").body
        exec(compile(ast.Module(future + kept, []), path, "exec"), space)  # noqa: S102 - That is what is asked.
        return space


def megatron(found: Emitted, plan: Plan, source: Source) -> Iterator[dict[str, float]]:
    """The calculator of micro-batches, driven as `update_train_iters` and `train` do."""
    calc = types.ModuleType("calculator")
    exec(source.text("megatron/core/num_microbatches_calculator.py"), vars(calc))  # noqa: S102 - As above.
    done = consumed = 0
    for launch in launches(found):
        schedule, length = launch.get("--step-batch-size-schedule"), int(launch["--seq-length"])
        if calc._GLOBAL_NUM_MICROBATCHES_CALCULATOR is not None:
            calc.destroy_num_microbatches_calculator()
        calc.init_num_microbatches_calculator(
            rank=1,
            global_batch_size=int(launch.get("--global-batch-size", 1)),
            micro_batch_size=1,
            data_parallel_size=1,
            decrease_batch_size_if_needed=False,
            step_batch_size_schedule=schedule,
            seq_length=length,
        )
        steps, seen, samples = 0, 0, int(launch["--train-samples"])
        while seen < samples:
            calc.update_num_microbatches(seen, consistency_check=False)
            seen, steps = seen + calc.get_current_global_batch_size(), steps + 1
        while done < steps:
            calc.update_num_microbatches(consumed, consistency_check=True)
            size = calc.get_current_global_batch_size()
            yield {"samples": size, "context": length}
            done, consumed = done + 1, consumed + size


def olmo_core(found: Emitted, plan: Plan, source: Source) -> Iterator[dict[str, float]]:
    """The callback, called before each batch of a loader that counts as its own does."""

    class Module:
        def __init__(self) -> None:
            self.optim, self.scheduler = Optimizer(), None

    class Optimizer:
        def __init__(self) -> None:
            self.param_groups = [{"lr": 1.0}]

    torch = types.SimpleNamespace(optim=types.SimpleNamespace(Adam=Optimizer, AdamW=Optimizer, Optimizer=Optimizer))
    space: dict[str, Any] = {
        "dataclass": dataclasses.dataclass,
        "dataclasses": dataclasses,
        "math": math,
        "torch": torch,
        "log": logging.getLogger("quiet"),
        "StrEnum": __import__("enum").StrEnum,
        "Callback": object,
        "OLMoConfigurationError": ValueError,
        "TransformerTrainModule": Module,
        "TransformerPipelineTrainModule": type(None),
        "SkipStepAdamW": Optimizer,
        "SpeedMonitorCallback": type(None),
        "LR_FIELD": "lr",
        "INITIAL_LR_FIELD": "initial_lr",
    }
    source.taken("src/olmo_core/train/common.py", {"DurationUnit", "Duration"}, space)
    path = "src/olmo_core/train/callbacks/batch_size_scheduler.py"
    source.taken(path, {"BatchSizeSchedulerCallback"}, space)
    text = re.sub(r"^from .*$", "", found.files["callback.py"], flags=re.MULTILINE)
    exec(text, space)  # noqa: S102 - It was emitted a line above.
    callback, module = space["callback"], Module()
    loader = types.SimpleNamespace(global_batch_size=callback.batch_sizes[0], batches_processed=0)
    trainer = types.SimpleNamespace(data_loader=loader, train_module=module, callbacks={}, epoch=1)
    callback.trainer, tokens = trainer, 0
    for step in range(plan.steps):
        trainer.global_step, trainer.global_train_tokens_seen = step, tokens
        before = loader.global_batch_size
        callback.pre_load_batch()
        size = loader.global_batch_size
        # The loader counts batches of the new size from then on.
        loader.batches_processed = loader.batches_processed * before // size
        yield {"batch": size, "factor": module.optim.param_groups[0]["lr"]}
        loader.batches_processed, tokens = loader.batches_processed + 1, tokens + size


def deepspeed(found: Emitted, plan: Plan, source: Source) -> Iterator[dict[str, float]]:
    """Its scheduler of sequence lengths, and the emitted function of batches."""
    space: dict[str, Any] = {"math": math, "logger": logging.getLogger("quiet")}
    exec(source.text("deepspeed/runtime/data_pipeline/constants.py"), space)  # noqa: S102 - As above.
    path = "deepspeed/runtime/data_pipeline/curriculum_scheduler.py"
    kind = source.taken(path, {"CurriculumScheduler"}, space)["CurriculumScheduler"]
    own: dict[str, Any] = {}
    exec(found.files["batches.py"], own)  # noqa: S102 - It was emitted a line above.
    sizes: list[int] = []
    engine = types.SimpleNamespace(global_steps=0, set_train_batch_size=sizes.append)
    config = json.loads(found.files.get("ds_config.json", "{}")).get("curriculum_learning")
    scheduler = kind(config) if config else None
    for step in range(plan.steps):
        engine.global_steps = step
        own["before_step"](engine)
        length = {} if scheduler is None else {"context": scheduler.update_difficulty(step + 1)}
        yield {"samples": sizes[-1], **length}


def modded_nanogpt(found: Emitted, plan: Plan, source: Source) -> Iterator[dict[str, float]]:
    """Its classes of stages, with the emitted list."""
    torch = types.SimpleNamespace(tensor=lambda values, device: values)
    space: dict[str, Any] = {
        "dataclass": dataclasses.dataclass,
        "accumulate": itertools.accumulate,
        "pairwise": itertools.pairwise,
        "torch": torch,
        "device": None,
        "WINDOWS": [(1, 3)] * 100,
    }
    source.taken("train_gpt.py", {"TrainingStage", "TrainingSchedule"}, space)
    exec(next(iter(found.files.values())), space)  # noqa: S102 - It was emitted a line above.
    stages = space["TRAINING_STAGES"]
    schedule = space["TrainingSchedule"](stages, plan.steps, 0, split_embed_stage=0)
    for step in range(plan.steps):
        stage, _ = schedule.lookup(step)
        yield {"context": stage.train_max_seq_len, "batch": stage.batch_size, "factor": stage.lr_mul}


ASK = {"megatron": megatron, "olmo-core": olmo_core, "deepspeed": deepspeed, "modded-nanogpt": modded_nanogpt}


def main() -> None:
    clones, answers = Path(sys.argv[1]), dict[str, Any]()
    for target, (clone, commit) in COMMITS.items():
        source, own = Source(clones / clone, commit), dict[str, Any]()
        for name, plan in plans("text").items():
            made = ASK[target](shapeflow.emit(plan, target, partly=True), plan, source)
            runs = [[len(list(same)), row] for row, same in itertools.groupby(made)]
            own[name] = {"plan": plan.digest, "steps": runs}
        answers[target] = {"source": f"{clone} {commit}", "plans": own}
    ANSWERS.write_text(json.dumps(answers, indent=1) + "\n")
    print(f"written: {ANSWERS}")


if __name__ == "__main__":
    main()
