"""The pieces of a text that no grammar has read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shapeflow.language.skim import piece_at, skim

PARTS = ["a", '"', "#", " ", "\n", "\r", "\r\n", "(", "1.5", "<=", "\ufeff", "\u00e9", "e-"]


@given(st.lists(st.sampled_from(PARTS), max_size=30).map("".join))
def test_the_piece_at_an_offset_is_that_of_the_whole_text(text: str) -> None:
    pieces = skim(text)
    for offset in range(len(text) + 1):
        assert piece_at(text, offset) == next((one for one in pieces if one.start <= offset < one.end), None)
