"""The configuration that trainers write next to a log: `hparams.yaml`, `config.json`, `args.json`, `.hydra/`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shapeflow.base.json_text import parse_json
from shapeflow.laws.logs.readers import mlflow

NAMES = (
    "hparams.yaml", "config.json", "args.json", "args.yaml", "config.yaml", ".hydra/config.yaml", "params.json",
    "hparams.json", "model_config.json", "wandb-metadata.json",
)  # fmt: skip
"""Names of configurations, relative to the folder of a log or to the one above it."""
STATES = ("trainer_state.json", "all_results.json")
"""Names of files that say how a training went, and are asked for counts alone."""
LARGEST = 1 << 20
"""Maximum size of a configuration in bytes."""
MOST, LONGEST = 1000, 1000
"""Maximum number of parameters of a run of MLflow, and of bytes of one."""
LISTED = ("devices", "gpus", "gpu_ids", "device_ids")
"""Keys whose list stands for the number of its entries."""
_LIST = re.compile(r" *(?P<key>\w+) *: *\[ *(?P<items>[\d, ]*\d) *,? *\] *(?:#.*)?")
_LINE = re.compile(r"(?P<indent> *)(?P<key>[\w.-]+) *: *(?P<value>[^#{}\[\]&*|>]*?) *(?:#.*)?")


def beside(path: Path, states: bool = False) -> dict[str, str]:
    """Return the numbers and texts in the configurations next to a log, by their keys: `d_model`, and `model.d_model`
    for one that is nested. A key that stands in several places with different values is left out. `states`: whether to
    read files that say how the training went, too."""
    found: dict[str, str] = {}
    metrics = mlflow.folder_of(path)
    if metrics is not None:
        found.update(_parameters(metrics.parent / "params"))
    for folder in (path.parent, path.parent.parent):
        for name in (*NAMES, *(STATES if states else ())):
            for key, value in _values(folder / name):
                found.setdefault(key, value)
    return found


def _parameters(folder: Path) -> dict[str, str]:
    """Return the parameters of a run of MLflow: a file for each, with its value."""
    found: dict[str, str] = {}
    try:
        for path in sorted(folder.iterdir())[:MOST]:
            if path.is_file() and path.stat().st_size <= LONGEST:
                found[path.name] = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return {}
    return found


def is_configuration(path: Path) -> bool:
    """Return whether a file has the name of a configuration, and so is not a log."""
    return any(path.as_posix().endswith(f"/{name}") or path.as_posix() == name for name in NAMES)


def _values(path: Path) -> Iterator[tuple[str, str]]:
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return
        text = path.read_text(encoding="utf-8")
        pairs = list(_of_json(parse_json(text), "") if path.suffix == ".json" else _of_yaml(text))
    except (OSError, ValueError):
        return
    ends: dict[str, set[str]] = {}
    for key, value in pairs:
        ends.setdefault(key.rpartition(".")[2], set()).add(value)
    yield from pairs
    yield from ((key, values.pop()) for key, values in ends.items() if len(values) == 1)


def _of_json(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _of_json(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, bool) and key:
        yield key, str(value).lower()
    elif isinstance(value, int | float | str) and key:
        yield key, str(value)
    elif isinstance(value, list) and value and key.rpartition(".")[2] in LISTED:
        yield key, str(len(value))


def _of_yaml(text: str) -> Iterator[tuple[str, str]]:
    """The scalars of a YAML document of nested mappings. Anything else in it is passed over."""
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        listed = _LIST.fullmatch(line) if found is None else None
        if listed is not None and listed["key"] in LISTED:
            yield listed["key"], str(listed["items"].count(",") + 1)
        if found is None:
            continue
        indent = len(found["indent"])
        above = [(at, key) for at, key in above if at < indent]
        key, value = ".".join([*(key for _, key in above), found["key"]]), found["value"].strip("'\" ")
        if value:
            yield key, value
        else:
            above.append((indent, found["key"]))
