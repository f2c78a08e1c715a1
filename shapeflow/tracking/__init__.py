"""Experiment trackers: TensorBoard, Weights & Biases, MLflow, Trackio, and classes of your own.

A tracker gets four kinds of calls (`Tracker`). `Tracking` makes them from the events of a run, so that a run, a resumed
run and `shapeflow track` afterwards say the same. A tracker that fails is dropped with a warning; it never stops a run.
"""

from shapeflow.tracking.feed import Tracking, Values, values_of
from shapeflow.tracking.named import NAMES, tracker_of
from shapeflow.tracking.tracker import About, Tracker

__all__ = ["NAMES", "About", "Tracker", "Tracking", "Values", "tracker_of", "values_of"]
