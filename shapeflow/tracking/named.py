"""Finds a tracker by the name that a user gave."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from shapeflow.base.diagnostics import Diagnostic, Refused, did_you_mean
from shapeflow.tracking.tracker import Tracker

NAMES = {
    "tensorboard": ("shapeflow.tracking.tensorboard:TensorBoard", "tensorboard"),
    "wandb": ("shapeflow.tracking.wandb:Wandb", "wandb"),
    "mlflow": ("shapeflow.tracking.mlflow:MLflow", "mlflow"),
    "trackio": ("shapeflow.tracking.wandb:Trackio", "trackio"),
}
"""Name -> class, and the package that it needs."""


def tracker_of(name: str) -> Tracker:
    """A tracker: one of `NAMES`, or `PACKAGE:CLASS` of an installed package, which is called without arguments.

    Raises Refused `no-such-tracker`, `missing-extra`."""
    target, needs = NAMES.get(name, (name, ""))
    package, colon, kind = target.partition(":")
    if not (package and colon and kind.isidentifier()):
        near = did_you_mean(name, NAMES)
        known = ", ".join(f"`{each}`" for each in NAMES)
        help_ = f"did you mean `{near}`?" if near else f"use one of {known}, or `PACKAGE:CLASS` of your own"
        raise Refused(Diagnostic("no-such-tracker", f"there is no tracker `{name}`", place="--track", help=help_))
    try:
        found = getattr(import_module(package), kind)()
    except ImportError as error:
        if not needs:
            raise _unusable(name, error) from error
        help_ = f"install it: `pip install {needs}`"
        message = f"the tracker `{name}` needs the package `{needs}`"
        raise Refused(Diagnostic("missing-extra", message, place="--track", notes=(str(error),), help=help_)) from error
    except Exception as error:
        raise _unusable(name, error) from error
    missing = [call for call in ("begin", "scalars", "note", "end") if not callable(getattr(found, call, None))]
    if missing:
        raise _unusable(name, TypeError(f"it has no method {', '.join(f'`{call}`' for call in missing)}"))
    return cast(Tracker, found)


def _unusable(name: str, error: Exception) -> Refused:
    message, why = f"the tracker `{name}` cannot be used", f"{type(error).__name__}: {error}".partition("\n")[0]
    help_ = (
        f"do what the note says, or leave out `{name}`"
        if name in NAMES
        else "it must be a class that takes no arguments, and has `begin`, `scalars`, `note` and `end`"
    )
    return Refused(Diagnostic("no-such-tracker", message, place="--track", notes=(why,), help=help_))
