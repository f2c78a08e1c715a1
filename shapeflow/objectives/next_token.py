"""Cross-entropy of the next token."""

from __future__ import annotations

from typing import ClassVar

import attrs


@attrs.frozen
class NextToken:
    """Cross-entropy of the next token, in nats per token, averaged over all positions of the context."""

    data: ClassVar[str] = "text"
