"""A set of row numbers is a set, whatever is added in whichever order."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from flybridge.history.row_numbers import RowNumbers

NUMBERS = st.integers(0, 5000)


@given(pages=st.lists(st.lists(NUMBERS, max_size=20), max_size=20), asked=st.lists(NUMBERS, max_size=50))
def test_it_holds_what_was_added_and_nothing_else(pages: list[list[int]], asked: list[int]) -> None:
    found, expected = RowNumbers(), set[int]()
    for page in pages:
        found.update(page)
        expected.update(page)
    assert len(found) == len(expected)
    assert bool(found) is bool(expected)
    assert [number in found for number in (*asked, *expected)] == [number in expected for number in (*asked, *expected)]


def test_a_million_rows_take_a_bit_each() -> None:
    found = RowNumbers()
    found.update(range(1_000_000))
    assert len(found) == 1_000_000
    assert sys.getsizeof(found._bits) < 150_000
