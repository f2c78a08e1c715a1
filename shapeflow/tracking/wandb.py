"""Sends values to Weights & Biases, or to Trackio, which has the same calls. Their own environment variables, such as
WANDB_MODE=offline and WANDB_PROJECT, apply."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from shapeflow.tracking.tracker import About

PROJECT = "shapeflow"


class Wandb:
    package = "wandb"

    def __init__(self) -> None:
        self._library: Any = import_module(self.package)

    def begin(self, about: About) -> str | None:
        again = {} if about.identity is None else {"id": about.identity}
        self._run = self._library.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=about.name,
            config=dict(about.config),
            dir=str(about.folder),
            resume="allow",
            **again,
        )
        return str(self._run.id)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def note(self, text: str, step: int) -> None:
        # A text cannot be charted; the numbers of a stage are logged as scalars.
        self._run.summary["stage"] = f"{text} (step {step})"

    def end(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


class Trackio(Wandb):
    package = "trackio"

    def begin(self, about: About) -> str | None:
        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        name = about.identity or f"{about.name}-{about.config['plan'][:8]}"
        self._run = self._library.init(project=project, name=name, config=dict(about.config), resume="allow")
        return name

    def note(self, text: str, step: int) -> None:
        del text, step

    def end(self, finished: bool) -> None:
        del finished
        self._library.finish()
