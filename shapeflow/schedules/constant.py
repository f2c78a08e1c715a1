"""A constant learning rate."""

from __future__ import annotations

import attrs

from shapeflow.ir.decay import Decay


@attrs.frozen
class Constant:
    """The learning rate stays constant after the warm-up. This is the default, and scaling laws are fitted to such
    runs. It can be combined with a `cooldown`."""

    def decay(self) -> Decay | None:
        """No decay."""
        return None
