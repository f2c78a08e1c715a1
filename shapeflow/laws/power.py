"""`law for (patch: 10 px) is power(a: 4.1, b: 0.31, c: 19%, d: 2 PFLOPs)`: a law that is stated, not fitted."""

from __future__ import annotations

import attrs

from shapeflow.base.settings import setting
from shapeflow.ir.law import FLOOR, OFFSET, STEEP, Law, Provenance


@attrs.frozen
class Power:
    """A stated law: error = a (compute + d)^-b + c, with compute in FLOPs (Anagnostidis et al. 2024, eq. 1).

    A stated law has no measured range, so a traversal trusts it everywhere, and the file must state the error at which
    the run starts: `start at error 1.2`.
    """

    a: float = setting("number", above=0.0, help="the scale: error above the floor at compute + d = 1 FLOP")
    b: float = setting(
        "number", low=STEEP[0], high=STEEP[1], help="the exponent: how fast the error falls with compute"
    )
    c: float = setting(
        "ratio",
        "number",
        default=0.0,
        low=-FLOOR,
        high=FLOOR,
        help="the floor: the error that more compute cannot reduce",
    )
    d: float = setting(
        "compute",
        "number",
        default=0.0,
        low=-OFFSET,
        high=OFFSET,
        help="an offset of compute; negative if compute was lost in the warm-up",
    )

    def law(self, metric: str, convention: str) -> Law:
        """Return the law of `metric`, with compute counted by `convention` (`flops` or `paper`)."""
        return Law(self.a, self.b, self.c, self.d, Provenance(source="stated", metric=metric, convention=convention))
