"""Compares a plan with its rivals by the compute that each needs to reach the same held-out value.

Every run counts its compute from zero, without evaluation.

The plan and its rivals are trained without a schedule and cooldown. Both lower the error only at the end of a run, so
finding the compute at which a rival reaches an error would need a separate cooldown at every point.
"""

from __future__ import annotations

from shapeflow.running.rivals.choice import LeftOut, Rivals, rivals_of
from shapeflow.running.rivals.compared import Compared, compared
from shapeflow.running.rivals.halving import Choice, Train, halved
from shapeflow.running.rivals.of_file import OfFile, plan_entry
from shapeflow.running.rivals.of_plan import OfPlan
from shapeflow.running.rivals.paired import Paired, paired
from shapeflow.running.rivals.past import Past
from shapeflow.running.rivals.predicted import Prediction, Why, predictions
from shapeflow.running.rivals.results import Result, metric_of, results, seconds_to, step_times, target_of
from shapeflow.running.rivals.same import joined
from shapeflow.running.rivals.ways import FIXED, PLAN, RIVALS, Cases, Entry, with_goal

__all__ = [
    "FIXED",
    "PLAN",
    "RIVALS",
    "Cases",
    "Choice",
    "Compared",
    "Entry",
    "LeftOut",
    "OfFile",
    "OfPlan",
    "Paired",
    "Past",
    "Prediction",
    "Result",
    "Rivals",
    "Train",
    "Why",
    "compared",
    "halved",
    "joined",
    "metric_of",
    "paired",
    "plan_entry",
    "predictions",
    "results",
    "rivals_of",
    "seconds_to",
    "step_times",
    "target_of",
    "with_goal",
]
