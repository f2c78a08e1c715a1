"""How many steps an epoch has, by the configuration that a trainer writes next to a log."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from shapeflow.laws.logs.beside import beside
from shapeflow.laws.logs.readers import number

DIRECT = (
    "steps_per_epoch", "iters_per_epoch", "iterations_per_epoch", "batches_per_epoch", "updates_per_epoch",
    "num_update_steps_per_epoch", "num_training_batches",
)  # fmt: skip
TOTAL = ("max_steps", "total_steps", "num_train_steps", "num_training_steps", "max_iters", "global_step")
EPOCHS = ("num_train_epochs", "num_epochs", "max_epochs", "total_epochs", "n_epochs", "epochs")
SAMPLES = (
    "num_train_samples", "num_train_examples", "train_samples", "train_size", "dataset_size", "num_samples", "n_train",
    "num_examples", "epoch_size", "samples_per_epoch",
)  # fmt: skip
GLOBAL = ("global_batch_size", "total_batch_size", "total_train_batch_size", "effective_batch_size")
BATCH = ("train_batch_size", "batch_size", "batch", "bs")
"""Names of the batch of all processes, or of each: trainers differ, and `train_batch_size` is that of a process in the
state of a Hugging Face trainer."""
EACH = (
    "per_device_train_batch_size", "per_gpu_train_batch_size", "micro_batch_size", "batch_size_per_gpu",
    "train_micro_batch_size_per_gpu", "per_device_batch_size", "batch_size_per_device", "device_batch_size",
    "local_batch_size", "per_replica_batch_size",
)  # fmt: skip
ACCUMULATED = ("gradient_accumulation_steps", "accumulate_grad_batches", "accum_iter", "accumulation_steps", "accum")
PROCESSES = (
    "world_size", "num_processes", "data_parallel_size", "dp_size", "num_gpus", "n_gpu", "n_gpus", "ngpus", "gpus",
    "devices", "num_devices", "n_devices", "nproc_per_node", "gpus_per_node", "devices_per_node", "num_gpus_per_node",
)  # fmt: skip
STRATEGY = ("strategy", "distributed_backend", "distributed_type", "distributed_strategy", "accelerator", "parallelism")
PARALLEL = (
    "ddp", "fsdp", "deepspeed", "multi_gpu", "multi_cpu", "multi_npu", "multi_xpu", "hsdp", "zero", "xla", "horovod",
)  # fmt: skip
"""Values of a strategy whose processes load a batch each, as a part of the value: `ddp_find_unused_parameters_true`."""
FLAGS = ("distributed", "ddp", "fsdp", "use_ddp", "use_fsdp", "multi_gpu")
YES = ("true", "1", "yes")
SPLIT = "split_batches"
"""Says that `batch_size` is that of all processes, in the configuration of accelerate."""
LIMITS = ("limit_train_batches", "overfit_batches")
"""Say that an epoch is a part of the data, unless they are a share of 1 or 0."""
PASSES = ("num_training_batches", "batches_per_epoch")
"""Of `DIRECT`, those that count the batches of a process: an update may take several."""
OF_ALL_NODES = ("data_parallel_size", "dp_size", "world_size", "num_processes")
OF_A_NODE = ("nproc_per_node", "gpus_per_node", "devices_per_node", "num_gpus_per_node", "devices")
"""Names of the number of processes on all nodes, and on each of them. Of other names, it is not known which."""
NONE = (None, "", "None", "null", "0")
NODES = ("num_nodes", "nnodes", "n_nodes", "nodes", "node_count", "num_machines")
CLOSE = 0.02
"""Largest difference between two ways to count the steps, as a share: a last batch may be dropped or kept."""


@attrs.frozen
class Epoch:
    """The length of an epoch."""

    steps: float
    said: str
    """The keys that say so."""


def epoch_of(log: Path, last: float) -> Epoch | None:
    """Return the length of an epoch of a log by the configurations next to it. None if they do not say it, or say
    different lengths. `last`: the epochs that the log has counted at its end."""
    found = list(_ways(beside(log, states=True), last))
    if not found or max(one.steps for one in found) > (1 + CLOSE) * min(one.steps for one in found) + 1:
        return None
    return found[0]


def _ways(known: Mapping[str, str], last: float) -> Iterator[Epoch]:
    """Yield each way to count the steps of an epoch, the surest first."""
    for name in DIRECT:
        if (steps := _count(known, name)) is not None:
            each = _first(known, ACCUMULATED) if name in PASSES else None
            over = "" if each is None or each[1] == 1 else f" over `{each[0]}: {each[1]:g}`"
            yield Epoch(
                math.ceil(steps / each[1]) if over and each is not None else steps, f"`{name}: {steps:g}`{over}"
            )
    total, epochs = _first(known, TOTAL), _first(known, EPOCHS)
    # A limit on steps overrides the number of epochs, which is then another: a run that ends elsewhere shows it.
    if total is not None and epochs is not None and total[1] >= epochs[1] and abs(last / epochs[1] - 1) <= CLOSE:
        yield Epoch(total[1] / epochs[1], f"`{total[0]}: {total[1]:g}` over `{epochs[0]}: {epochs[1]:g}`")
    samples, batch = _first(known, SAMPLES), batch_of(known)
    limited = any(known.get(name) not in (*NONE, "1.0", "0.0") for name in LIMITS)
    if samples is not None and batch is not None and samples[1] >= batch[1] and not limited:
        said = f"`{samples[0]}: {samples[1]:g}` in batches of {batch[1]:g} ({batch[0]})"
        yield Epoch(math.ceil(samples[1] / batch[1]), said)


def batch_of(known: Mapping[str, str]) -> tuple[str, float] | None:
    """The samples of one step. None if the batch is that of one process of an unknown number, or it is not known
    whether it is."""
    if (whole := _first(known, GLOBAL)) is not None:
        return f"`{whole[0]}`", whole[1]
    each = _first(known, EACH)
    if (one := each or _first(known, BATCH)) is None:
        return None
    processes = _processes(known)
    if processes is None:
        return None
    of_each = each is not None or _loads_each(known, processes)
    # Trainers differ in whether `batch_size` is that of a process or of all of them.
    if not processes if of_each else math.prod(count for _, count in processes) > 1 and not _splits(known):
        return None
    parts = [one, *filter(None, (_first(known, ACCUMULATED),)), *(processes if of_each else ())]
    return " times ".join(f"`{name}`" for name, _ in parts), math.prod(value for _, value in parts)


def _loads_each(known: Mapping[str, str], processes: Sequence[tuple[str, float]]) -> bool:
    """Whether the configuration says that each process loads a batch of its own: by its strategy, or by the number of
    processes of accelerate."""
    if _splits(known):
        return False
    strategy = any(mark in str(known.get(name)).lower() for name in STRATEGY for mark in PARALLEL)
    flagged = any(str(known.get(name)).lower() in YES for name in FLAGS)
    return strategy or flagged or any(name == "num_processes" and count > 1 for name, count in processes)


def _splits(known: Mapping[str, str]) -> bool:
    return str(known.get(SPLIT)).lower() in YES


def _processes(known: Mapping[str, str]) -> list[tuple[str, float]] | None:
    """The numbers whose product is that of the processes; empty if nothing states it. None if what states it is no
    number (`devices: auto`), or there are several nodes and it is not known whether a number is that of each."""
    if (every := _first(known, OF_ALL_NODES)) is not None:
        return [every]
    unknown = any(_count(known, name) is None for name in (*PROCESSES, *NODES) if known.get(name) not in NONE)
    found, nodes = _first(known, PROCESSES), _first(known, NODES)
    if unknown or (nodes is not None and nodes[1] > 1 and (found is None or found[0] not in OF_A_NODE)):
        return None
    return [one for one in (found, nodes) if one is not None and (one is found or one[1] > 1)]


def _first(known: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, float] | None:
    return next(((name, value) for name in names if (value := _count(known, name)) is not None), None)


def _count(known: Mapping[str, str], name: str) -> float | None:
    value = number(known.get(name))
    return value if isinstance(value, float) and math.isfinite(value) and value >= 1 else None
