"""A survey knows each event that it has met, whether it was written to its table already or not."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.history import progress
from flybridge.history.progress import Progress

ROWS = st.lists(st.lists(st.integers(-30, 30), min_size=1, max_size=2), max_size=12)


@given(st.lists(ROWS, max_size=20), st.integers(1, 9), st.sampled_from([8, 64, 1 << 12]))
def test_an_event_is_known_from_its_second_row_on(pages, noted, bits):
    """However many are written together, and however many share a bit."""
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "NOTED", noted)
        patch.setattr(progress, "BITS", bits)
        met = set()
        with closing(Progress(Path(place) / "imports.db")) as surveyed:
            for page in pages:
                expected = []
                for row in page:
                    expected.append(not met.isdisjoint(row))
                    met.update(row)
                assert surveyed.are_surveyed(page) == expected
