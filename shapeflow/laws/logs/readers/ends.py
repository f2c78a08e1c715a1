"""Whether a last line without a line end is whole: half a number is still a number."""

from __future__ import annotations

import attrs

DIGITS = 10
"""A number with more digits than this, a decimal point and no exponent may lack its last digits: they do not matter."""
ALIKE = 3
"""This many numbers of equal length in a row are written in a fixed format."""


@attrs.define
class Ends:
    """The last numbers of the lines that were read."""

    lengths: dict[str, list[int]] = attrs.field(factory=dict)
    """Name -> the lengths of its last numbers."""
    exponents: bool = False
    """Whether a number had an exponent, which may be what is cut off."""

    def see(self, name: str, cell: str) -> None:
        """Add the last cell of a whole line."""
        self.lengths[name] = [*self.lengths.get(name, ())[-ALIKE + 1 :], len(cell)]
        self.exponents |= "e" in cell.lower()

    def whole(self, name: str, cell: str, line: str) -> bool:
        """Return whether a line without a line end is whole, by its last cell: it closes its quotes, is as long as
        those above, or has more digits than matter."""
        if line.endswith('"') and line.count('"') % 2 == 0:
            return True
        above = self.lengths.get(name, [])
        precise = "." in cell and sum(sign.isdigit() for sign in cell) > DIGITS and not self.exponents
        fixed = len(above) == ALIKE and {len(cell)} == set(above) and bool(cell)
        return fixed or (precise and "e" not in cell.lower())
