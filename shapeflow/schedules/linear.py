"""Linear decay over the whole run."""

from __future__ import annotations

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.decay import Decay


@attrs.frozen
class Linear:
    """The learning rate falls along a straight line, from the end of the warm-up to the end of the run:
    `1 - (1 - final) progress`.

    Progress is counted in steps. These are the rates of `LinearLR` in torch with `total_iters` set to the number of
    steps after the warm-up; `final` would be reached one step after the last."""

    final: float = setting(
        "ratio", default=0.0, low=0.0, below=1.0, help="learning rate at the end of the run, as a share of the full one"
    )

    def decay(self) -> Decay:
        """A straight line."""
        return Decay("linear", self.final)
