"""`laws from mixture("pilots/*")`: the law of constant shares of several shapes, fitted to pilots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs
import numpy as np

from shapeflow.base.diagnostics import Report
from shapeflow.base.settings import setting, written
from shapeflow.base.shapes import Shape
from shapeflow.ir.components import LawSourceHooks
from shapeflow.ir.edits import Floats
from shapeflow.ir.law import Law, Provenance
from shapeflow.ir.mixture import MixtureLaw, Pilot
from shapeflow.ir.route import LawRequest, Purpose
from shapeflow.laws.logs.runs import common_error
from shapeflow.laws.mixing.direct import measured, worse
from shapeflow.laws.mixing.fitted import draws, fit
from shapeflow.laws.mixing.pilots import ALIKE, FEWEST, FIRST, Trial, kept
from shapeflow.laws.mixing.reading import Pilots, read_pilots
from shapeflow.laws.mixing.reasons import doubts

SHOWN = 5
SAME = 0.01
"""Largest difference of a pilot's FLOPs from those of the file's model, in their logarithm."""


@attrs.frozen
class Mixture(LawSourceHooks):
    """Fits the law of a mixture, E = c + a (u^-b + lam v^-b), to pilots: short runs with constant shares of a target
    shape and of cheaper ones. v is the data at the target; u also counts the data at the other shapes, each with its
    own value. `traversal mixture` computes the best share from it.

    `paths` names run folders or tables that `shapeflow pilot` wrote, relative to the `.shape` file. The metric must be
    measured at the target shape. Pilots need at least two different shares; a saving is stated only if the target
    alone was trained with two seeds. `docs/mixtures.md` explains the law.
    """

    paths: str = setting(first=True, help='run folders or tables, with wildcards: `"pilots/*"`')
    start: float = setting(
        "ratio",
        default=FIRST,
        above=0.0,
        below=1.0,
        help="share of the shortest pilot before which points are left out",
    )
    seeds_differ: float = setting(
        "ratio",
        default=0.008,
        above=0.0,
        high=1.0,
        help="how much the errors of two seeds differ at equal compute, as far as the pilots do not show more",
    )
    noise: float = setting(
        "ratio", default=0.003, above=0.0, high=1.0, help="noise of one measurement, as a share of the error"
    )
    useful: float = setting("ratio", default=0.02, low=0.0, high=1.0, help="the smallest saving worth a mixture")

    setting_names: ClassVar[Mapping[Purpose, str]] = {"paths": "paths"}

    def laws(self, request: LawRequest, report: Report) -> dict[Shape, Law]:
        """The law of the target alone. Empty after an error."""
        found = self.mixture(request, report)
        if found is None or request.step_compute is None or request.step_data is None:
            return {}
        shape = found.target
        return {shape: found.law({shape: request.step_data[shape] / request.step_compute[shape]})}

    def mixture(self, request: LawRequest, report: Report) -> MixtureLaw | None:
        """The law of the mixtures. None after an error.

        Errors: path-outside, no-such-logs, unknown-place, unreadable-log, missing-column, mixed-conventions,
        steps-without-model, mixed-pilots, foreign-pilots, too-few-pilots, no-common-target, short-pilot,
        unpiloted-shape. Warnings: skipped-runs."""
        before = len(report.errors)
        if request.step_compute is None or request.step_data is None:
            report.error("steps-without-model", "`mixture` needs a model", request.at("paths"), "shares are of steps")
            return None
        found = read_pilots(self.paths, request, report)
        if found is None or not self._comparable(found, request, report) or _foreign(found.trials, request, report):
            return None
        target = _target(found.trials, request, report)
        if target is None:
            return None
        trials = kept(found.trials, target, self.start)
        # Draws depend on the order: it must not depend on the names of files.
        trials.sort(key=lambda one: (*(one.data[-1] / one.data[-1].sum()).round(6).tolist(), one.seed or 0))
        self._long_enough(trials, request, report)
        if len(report.errors) > before:
            return None
        return self._fitted(trials, found, target, request)

    def _fitted(self, trials: Sequence[Trial], found: Pilots, target: int, request: LawRequest) -> MixtureLaw:
        size = float(np.median(np.concatenate([one.error for one in trials])))
        law = fit(trials, target, self.seeds_differ * size, self.noise * size)
        why, levels = doubts(law, _prices(request))
        return MixtureLaw(
            target=request.candidates[target],
            shapes=request.candidates,
            kinds=law.kinds,
            theta=np.concatenate([law.theta[None], draws(law)]),
            unit=law.unit,
            level=law.level,
            reach=max(float(one.data[-1].sum()) for one in trials),
            rms=law.rms,
            pilots=tuple(_pilot(one, target) for one in trials),
            reasons=why,
            levels=levels,
            worse=worse(law),
            measured=measured(trials, target),
            provenance=self._provenance(trials, found, target, request),
        )

    def _provenance(self, trials: Sequence[Trial], found: Pilots, target: int, request: LawRequest) -> Provenance:
        same = [one for one in trials if one.share(target) > 1 - 1e-9] or list(trials)
        compute = np.concatenate([one.compute for one in same])
        error = np.concatenate([one.error for one in same])
        return Provenance(
            source="fit",
            metric=request.metric,
            convention=request.convention,
            unit=request.unit,
            evaluation="held-out",
            learning_rate="constant",
            files=tuple(sorted(found.hashes.items())),
            runs=len(trials),
            points=sum(len(one.error) for one in trials),
            compute=(float(compute.min()), float(compute.max())),
            error=(float(error.max()), float(error.min())),
            settings={"is": "mixture", **written(self)},
            spent=sum(float(one.compute[-1]) for one in trials),
            held_out_error=common_error([one.held_out_error for one in trials]),
        )

    def _comparable(self, found: Pilots, request: LawRequest, report: Report) -> bool:
        """Whether the pilots were trained alike, like the file, with at least two shares. Reports `mixed-pilots`,
        `foreign-pilots`, `too-few-pilots`; warns `skipped-runs`."""
        at, first = request.at("paths"), next(iter(found.trials), None)
        for one in found.trials[1:]:
            assert first is not None
            for part, value in one.about.items():
                if part in first.about and first.about[part] != value:
                    message = f"the pilots `{first.name}` and `{one.name}` differ in their {part}"
                    help_ = "name only pilots of one training: same model, data, batch, learning rate and averaging"
                    report.error("mixed-pilots", message, at, "their errors cannot be compared", help=help_)
                    return False
        other = None if first is None or request.trains_unlike is None else request.trains_unlike(first.trained)
        if other is not None:
            assert first is not None
            help_ = "train pilots of this file: `shapeflow pilot`, into another folder with `-o`"
            message, why = f"the pilots were trained with a different {other}", "does not match what this file trains"
            report.error("foreign-pilots", message, at, why, notes=[f"such as `{first.name}`"], help=help_)
            return False
        ends = [np.log(np.maximum(one.data[-1] / one.data[-1].sum(), 1e-9)) for one in found.trials]
        shares = {tuple(np.round(end / ALIKE)) for end in ends}
        notes = [f"{name}: {why}" for name, why in list(found.skipped.items())[:SHOWN]]
        if len(shares) < 2:
            count = f"{len(ends)} pilots with equal shares" if len(ends) > 1 else "one pilot" if ends else "no pilot"
            message, why = "a law of mixtures needs pilots with different shares", f"found {count}"
            help_ = "`shapeflow pilot` trains them: shares 1, 0.5, 0.1 and 0.03 of the target"
            report.error("too-few-pilots", message, at, why, notes=notes, help=help_)
            return False
        if notes:
            message = f"{len(found.skipped)} of the runs are left out"
            report.warning("skipped-runs", message, at, "not pilots of these candidates, or found twice", notes=notes)
        return True

    def _long_enough(self, trials: Sequence[Trial], request: LawRequest, report: Report) -> None:
        """Report pilots with too few points after the start (`short-pilot`)."""
        for one in trials:
            if len(one.error) < FEWEST:
                message = f"the pilot `{one.name}` has {len(one.error)} measurements after its start"
                why = f"a law needs at least {FEWEST} of each"
                help_ = "evaluate more often, or train longer; see `start`"
                report.error("short-pilot", message, request.at("paths"), why, help=help_)
                return


def _target(trials: Sequence[Trial], request: LawRequest, report: Report) -> int | None:
    """The shape that all pilots train: the one that some pilot trains alone. None after reporting
    `no-common-target`."""
    ends = np.array([one.data[-1] / one.data[-1].sum() for one in trials])
    common = np.flatnonzero((ends > 0).all(0))
    sole = [int(shape) for shape in common if (ends[:, shape] > 1 - 1e-9).any()]
    if len(sole) == 1 or len(common) == 1:
        return (sole or [int(shape) for shape in common])[0]
    message = "no shape is the target of all pilots" if not len(common) else "the target of the pilots is not clear"
    help_ = "`shapeflow pilot` trains the target alone, and in every mixture"
    why = "every pilot must train the target, and one of them nothing else"
    report.error("no-common-target", message, request.at("paths"), why, help=help_)
    return None


def _prices(request: LawRequest) -> Floats:
    """(candidates,): FLOPs per unit of data."""
    assert request.step_compute is not None
    assert request.step_data is not None
    return np.array([request.step_compute[shape] / request.step_data[shape] for shape in request.candidates])


def _foreign(trials: Sequence[Trial], request: LawRequest, report: Report) -> bool:
    """Whether a pilot cost other FLOPs than the file's model does on the same data. If so, reports
    `foreign-pilots`."""
    prices = _prices(request)
    for one in trials:
        ratio = float(one.compute[-1] / (one.data[-1] @ prices))
        if abs(math.log(ratio)) > SAME:
            message = f"the pilot `{one.name}` took {ratio:.3g} times the FLOPs that the file's model takes on its data"
            help_ = "train pilots of this model: `shapeflow pilot`"
            report.error("foreign-pilots", message, request.at("paths"), "it is of another model", help=help_)
            return True
    return False


def _pilot(one: Trial, target: int) -> Pilot:
    share = one.share(target)
    return Pilot(
        name=one.name,
        share=1.0 if math.isclose(share, 1.0) else share,
        seed=one.seed,
        compute=float(one.compute[-1]),
        error=float(one.error[-1]),
    )
