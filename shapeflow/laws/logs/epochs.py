"""How many steps an epoch has, by the configuration that a trainer writes next to a log."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
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
GLOBAL = ("global_batch_size", "total_batch_size", "total_train_batch_size", "effective_batch_size", "train_batch_size")
BATCH = ("batch_size", "batch", "bs")
EACH = ("per_device_train_batch_size", "per_gpu_train_batch_size", "micro_batch_size", "batch_size_per_gpu")
ACCUMULATED = ("gradient_accumulation_steps", "accumulate_grad_batches", "accum_iter", "accumulation_steps", "accum")
PROCESSES = (
    "world_size", "num_processes", "data_parallel_size", "dp_size", "num_gpus", "n_gpu", "n_gpus", "ngpus", "gpus",
    "devices", "num_devices", "n_devices", "nproc_per_node", "gpus_per_node", "devices_per_node", "num_gpus_per_node",
)  # fmt: skip
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
            yield Epoch(steps, f"`{name}: {steps:g}`")
    total, epochs = _first(known, TOTAL), _first(known, EPOCHS)
    # A limit on steps overrides the number of epochs, which is then another: a run that ends elsewhere shows it.
    if total is not None and epochs is not None and total[1] >= epochs[1] and abs(last / epochs[1] - 1) <= CLOSE:
        yield Epoch(total[1] / epochs[1], f"`{total[0]}: {total[1]:g}` over `{epochs[0]}: {epochs[1]:g}`")
    samples, batch = _first(known, SAMPLES), batch_of(known)
    if samples is not None and batch is not None and samples[1] >= batch[1]:
        said = f"`{samples[0]}: {samples[1]:g}` in batches of {batch[1]:g} ({batch[0]})"
        yield Epoch(math.ceil(samples[1] / batch[1]), said)


def batch_of(known: Mapping[str, str]) -> tuple[str, float] | None:
    """The samples of one step. None if the batch is that of one process of an unknown number."""
    if (whole := _first(known, GLOBAL)) is not None:
        return f"`{whole[0]}`", whole[1]
    each = _first(known, EACH)
    if (one := each or _first(known, BATCH)) is None:
        return None
    processes = _processes(known)
    # Trainers differ in whether `batch_size` is that of a process or of all of them.
    if processes is None or (not processes if each is not None else math.prod(count for _, count in processes) > 1):
        return None
    parts = [one, *filter(None, (_first(known, ACCUMULATED),)), *(processes if each is not None else ())]
    return " times ".join(f"`{name}`" for name, _ in parts), math.prod(value for _, value in parts)


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
