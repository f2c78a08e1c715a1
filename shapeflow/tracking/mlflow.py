"""Sends values to MLflow. Its own environment variables apply: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from shapeflow.tracking.tracker import About

EXPERIMENT = "shapeflow"
LONGEST = 500
"""Maximum length of a parameter's text; MLflow refuses longer ones of some stores."""
TOGETHER = 100
"""Maximum number of parameters of one call."""


class MLflow:
    def __init__(self) -> None:
        self._entities: Any = import_module("mlflow.entities")
        self._client: Any = import_module("mlflow.tracking").MlflowClient()

    def begin(self, about: About) -> str:
        if about.identity is not None:
            self._run = about.identity
            self._client.update_run(self._run, status="RUNNING")
            return self._run
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        self._run = str(self._client.create_run(experiment, run_name=about.name).info.run_id)
        settings = [self._entities.Param(_named(key), str(value)[:LONGEST]) for key, value in about.config.items()]
        for at in range(0, len(settings), TOGETHER):
            self._client.log_batch(self._run, params=settings[at : at + TOGETHER])
        return self._run

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(_named(key), value, now, step) for key, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def note(self, text: str, step: int) -> None:
        self._client.log_batch(self._run, tags=[self._entities.RunTag(f"step {step}", text)])

    def end(self, finished: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


def _named(key: str) -> str:
    """A name that MLflow takes: `held_out/loss@own` is `held_out/loss_own`."""
    return re.sub(r"[^0-9A-Za-z_\-. :/]", "_", key)
