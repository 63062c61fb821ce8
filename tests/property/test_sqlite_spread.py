"""Many rows in one statement do what each of them alone would do, in the same order."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.store.core.tables import Write
from flybridge.store.sqlite.sql import WRITES
from flybridge.store.sqlite.tables import SIZES, Spread

LARGEST = max(SIZES)
rows = st.lists(st.tuples(st.integers(0, 40), st.integers(-5, 5)), max_size=2 * LARGEST + 7)

ADD = "INSERT INTO sums (id, n, zero) VALUES (?, ?, 0) ON CONFLICT (id) DO UPDATE SET n = 2 * n + excluded.n"
SET = "UPDATE sums SET n = column2 FROM (VALUES (?, ?)) WHERE sums.id = column1"
DROP = "DELETE FROM sums WHERE (id, n) IN (VALUES (?, ?))"


def database() -> sqlite3.Connection:
    """Make a table of twenty sums."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE sums (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, zero INTEGER NOT NULL)")
    db.executemany("INSERT INTO sums VALUES (?, 1, 0)", [(number,) for number in range(20)])
    return db


@given(rows, st.sampled_from([ADD, DROP]))
def test_many_rows_in_one_statement_are_the_same_rows_one_by_one(given_rows, sql):
    """Also where rows of one statement meet each other, and in what is counted."""
    apart, together = database(), database()
    changed = apart.executemany(sql, given_rows).rowcount if given_rows else 0
    assert Spread(sql).run(together, given_rows) == changed
    everything = "SELECT * FROM sums ORDER BY id"
    assert together.execute(everything).fetchall() == apart.execute(everything).fetchall()


@given(rows)
def test_updates_reach_their_rows(given_rows):
    """Of each id once, as the store writes them: which of two would win is not said."""
    once = list(dict(given_rows).items())
    apart, together = database(), database()
    apart.executemany(SET, once)
    Spread(SET).run(together, once)
    everything = "SELECT * FROM sums ORDER BY id"
    assert together.execute(everything).fetchall() == apart.execute(everything).fetchall()


def test_statements_that_are_run_for_every_event_take_many_rows():
    """Otherwise they are as slow as before, and nobody sees it."""
    hot = (
        *(Write.LEDGER_ROWS, Write.MOVE, Write.SEEN, Write.ITEMS, Write.DELIVERIES, Write.LEASE, Write.SIGHTINGS),
        *(
            Write.DROP_ITEMS,
            Write.DROP_DELIVERIES,
            Write.PEOPLE,
            Write.PERFORMANCE,
            Write.COHORTS,
            Write.INSTALLATIONS,
            Write.COVERAGE,
            Write.HOLD_KEYS,
        ),
    )
    assert [what.name for what in hot if not Spread(WRITES[what]).is_spread] == []


def test_what_is_bound_elsewhere_is_not_repeated():
    """A statement with parameters outside its rows runs row by row."""
    db = database()
    spread = Spread("INSERT INTO sums (id, n, zero) VALUES (?, ?, 0) ON CONFLICT (id) DO UPDATE SET n = n + ?")
    assert not spread.is_spread
    assert spread.run(db, [(number, 5, number) for number in range(2 * LARGEST)]) == 2 * LARGEST
    assert db.execute("SELECT n FROM sums WHERE id = 7").fetchone() == (8,)


@pytest.mark.parametrize("n", [0, 1, 3, 4, LARGEST - 1, LARGEST, LARGEST + 1])
def test_every_number_of_rows_is_written(n):
    """None is lost between the sizes."""
    db = database()
    Spread(ADD).run(db, [(100 + number, 1) for number in range(n)])
    assert db.execute("SELECT count(*) FROM sums WHERE id >= 100").fetchone() == (n,)
