"""Cosine decay over the whole run."""

from __future__ import annotations

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.decay import Decay


@attrs.frozen
class Cosine:
    """The learning rate falls along half a cosine (Loshchilov and Hutter, arXiv 1608.03983, without restarts), from
    the end of the warm-up to the end of the run: `final + (1 - final) (1 + cos(pi progress)) / 2`.

    Progress is counted in steps. These are the rates of `CosineAnnealingLR` in torch with `T_max` set to the number of
    steps after the warm-up; `final` would be reached one step after the last."""

    final: float = setting(
        "ratio", default=0.1, low=0.0, below=1.0, help="learning rate at the end of the run, as a share of the full one"
    )

    def decay(self) -> Decay:
        """Half a cosine."""
        return Decay("cosine", self.final)
