"""Many rows of one run at once, as columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from shapeflow.laws.logs.points import Floats
from shapeflow.laws.logs.readers.block import BLANK, NUMBER, OTHER
from shapeflow.laws.logs.usable import COMPUTE, ERROR, unusable


@attrs.frozen(eq=False)
class Cells:
    """One number per row, if there is one."""

    values: Floats
    kinds: NDArray[np.int8]
    """Of each row: NUMBER, BLANK or OTHER."""

    def each(self) -> Iterator[float | Literal["blank", "no number"] | None]:
        """Yield the cells one by one, as `Run.add` takes them."""
        words: dict[int, Any] = {BLANK: None, OTHER: "no number"}
        for value, kind in zip(self.values.tolist(), self.kinds.tolist(), strict=True):
            yield value if kind == NUMBER else words[kind]

    def chosen(self, rows: NDArray[np.intp]) -> Cells:
        """Return some of the cells."""
        return Cells(self.values[rows], self.kinds[rows])

    @property
    def all_finite(self) -> bool:
        return bool((self.kinds == NUMBER).all() and np.isfinite(self.values).all())


@attrs.frozen(eq=False)
class Rows:
    """Rows of one run, in order."""

    compute: Cells
    """In FLOPs."""
    error: Cells
    step: Cells | None
    """None: no row has a step."""
    rate: Cells | None

    def __len__(self) -> int:
        return len(self.error.kinds)

    def each(self) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Yield compute, error, step and rate of each row."""
        blank = [None] * len(self)
        columns = [
            blank if cells is None else cells.each() for cells in (self.compute, self.error, self.step, self.rate)
        ]
        for compute, error, step, rate in zip(*columns, strict=True):
            yield "blank" if compute is None else compute, error, step if isinstance(step, float) else None, rate

    def chosen(self, rows: NDArray[np.intp]) -> Rows:
        """Return some of the rows."""

        def some(cells: Cells | None) -> Cells | None:
            return None if cells is None else cells.chosen(rows)

        return Rows(self.compute.chosen(rows), self.error.chosen(rows), some(self.step), some(self.rate))

    def usable(self, excluded: Counter[str]) -> NDArray[np.intp]:
        """Return the indices of the rows that are points. Count the others in `excluded` by reason, other than those
        without an error. `compute` must be finite everywhere."""
        compute, error = self.compute.values, self.error.values
        good = (compute >= COMPUTE[0]) & (compute <= COMPUTE[1]) & (error >= ERROR[0]) & (error <= ERROR[1])
        good &= self.error.kinds == NUMBER
        for at in np.flatnonzero(~good & (self.error.kinds != BLANK)).tolist():
            known = self.error.kinds[at] == NUMBER
            excluded[unusable(float(compute[at]), float(error[at]) if known else "no number") or ""] += 1
        return np.flatnonzero(good)
