"""The cross-entropy of held-out images."""

from __future__ import annotations

from typing import ClassVar

import attrs


@attrs.frozen
class HeldOutCrossEntropy:
    """Cross-entropy of held-out labels in nats, without label smoothing."""

    data: ClassVar[str] = "images"
    caution: ClassVar[str | None] = None

    @property
    def key(self) -> str:
        return "cross_entropy"
