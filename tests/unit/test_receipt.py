"""What several runs of `flybridge forget` removed of one person."""

from __future__ import annotations

import msgspec
import pytest

from flybridge.store.receipt import Removed

FIELDS = [field.name for field in msgspec.structs.fields(Removed)]


@pytest.mark.parametrize("field", FIELDS)
def test_every_count_is_that_of_all_runs(field):
    """But of what stays, tombstones and shared keys, the last run has counted all."""
    first = Removed(**{name: n for n, name in enumerate(FIELDS, 1)})
    later = Removed(**{name: 100 * n for n, name in enumerate(FIELDS, 1)})
    factor = 100 if field in {"tombstones", "shared"} else 101
    assert getattr(first.plus(later), field) == factor * getattr(first, field)
