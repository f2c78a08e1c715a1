"""The columns that may hold the values of an axis. Which axes there are is for the caller to say."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from shapeflow.laws.logs.finding.words import CONFIGURATION, plain


@attrs.frozen
class AxisWords:
    """The usual names of the columns of axes."""

    columns: Mapping[str, str] = attrs.field(factory=dict)
    """Name of a column, in lower case with underscores -> its axis."""
    named: frozenset[str] = frozenset()
    """Axes whose values are names."""

    def of(self, name: str) -> str | None:
        """The axis that a column of this name contains; None if it is not the name of an axis."""
        # `config.n_embd`, `args.model.d_model`
        ends = (name, re.split(r"[./]", name)[-1], CONFIGURATION.sub("", plain(name)))
        return next((self.columns[end] for end in map(plain, ends) if end in self.columns), None)
