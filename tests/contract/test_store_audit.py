"""What every store's audit sees, what it hides at rest, and what no content may do to it."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from filings import DAY, NOW_MS, direct, envelope, standing, waiting
from msgspec import structs

from flybridge.errors import StoreUnavailable
from flybridge.records import Apply, Carried, Dead, Filing
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.sqlite.store import SqliteStore

END = Dead("map", "no_event_time", "The postback has no event_time.", "Select event_time.")


def change(store, sql: str) -> None:
    """Change rows behind the store's back."""
    if isinstance(store, SqliteStore):
        with sqlite3.connect(store._place) as db:
            assert db.execute(sql).rowcount > 0
        db.close()
    else:
        with psycopg.connect(store._place) as server:
            assert server.execute(sql).rowcount > 0


DAMAGES = {
    "a counter too high": (
        "UPDATE cells SET n = n + 1 WHERE outcome = 'applied'",
        [("shop", DAY, "2 envelopes from push are counted as applied (sighting)", 2, 1)],
    ),
    "a pruned tally too high": (
        "UPDATE cells SET pruned = 1 WHERE outcome = 'applied'",
        [("shop", DAY, "but the ledger has 1 rows", 0, 1)],
    ),
    "a ledger line lost": (
        "DELETE FROM ledger WHERE cell = (SELECT id FROM cells WHERE outcome = 'applied')",
        [("shop", DAY, "but the ledger has 0 rows", 1, 0)],
    ),
    "a ledger line in no cell": (
        "UPDATE ledger SET cell = 987654 WHERE cell = (SELECT id FROM cells WHERE outcome = 'applied')",
        [("shop", DAY, "but the ledger has 0 rows", 1, 0), ("", "", "stand in counter 987654", 0, 1)],
    ),
    "a hold lost": (
        "DELETE FROM holds",
        [
            ("shop", DAY, "1 envelopes are counted as held, but 0 holds exist", 1, 0),
            ("", "", "1 bodies are kept", 0, 1),
            ("", "", "1 matching keys are kept", 0, 1),
            ("", "", "1 counters of waiting events", 0, 1),
        ],
    ),
    "a delivery lost": (
        "DELETE FROM deliveries",
        [
            ("shop", DAY, "1 envelopes are counted as pending, but 0 deliveries exist", 1, 0),
            ("", "", "1 bodies are kept", 0, 1),
        ],
    ),
    "a delivery doubled": (
        "INSERT INTO deliveries (id, line, lane, received_ms, due_ms) SELECT 999, line, lane, 0, 0 FROM deliveries",
        [
            ("shop", DAY, "2 deliveries belong to 1 envelopes", 1, 2),
            ("shop", DAY, "1 envelopes are counted as pending, but 2 deliveries exist", 1, 2),
        ],
    ),
    "a dead letter lost": (
        "DELETE FROM dead",
        [
            ("shop", DAY, "1 envelopes are counted as dead, but 0 dead letters exist", 1, 0),
            ("", "", "1 bodies are kept", 0, 1),
        ],
    ),
    "a body lost": (
        "DELETE FROM items WHERE id = (SELECT line FROM deliveries)",
        [("", "", "1 holds, deliveries or dead letters have lost their body", 0, 1)],
    ),
    "a body left behind": (
        "INSERT INTO items (id, sealed) SELECT 999, sealed FROM items LIMIT 1",
        [("", "", "1 bodies are kept that no hold, delivery or dead letter needs", 0, 1)],
    ),
    "a key left behind": (
        "INSERT INTO hold_keys (key, hold) SELECT key, 999 FROM hold_keys",
        [("", "", "1 matching keys are kept of holds that do not exist", 0, 1)],
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_the_audit_sees(new_place, name):
    """Every figure that can go wrong is reported, with both sides and a sentence, and nothing else is."""
    sql, expected = DAMAGES[name]
    filings = [direct("p"), waiting("w", "k"), Filing(envelope("sighted"), Apply()), Filing(envelope(), END)]
    async with new_place() as make:
        store = make()
        await store.open()
        await store.file(filings, NOW_MS)
        assert await store.audit() == []
        change(store, sql)
        found = await store.audit()
        await store.close()
    assert [(d.app, d.day, d.expected, d.found) for d in found] == [(a, d, e, f) for a, d, _, e, f in expected]
    for discrepancy, (_, _, words, _, _) in zip(found, expected, strict=True):
        assert words in discrepancy.what


async def test_the_audit_sees_a_hold_of_a_line_that_is_not_held(new_place):
    """For a store that keeps the rows of spent holds it is one of those, and the line's own hold is missing."""
    async with new_place() as make:
        store = make()
        await store.open()
        await store.file([waiting("w", "k"), Filing(envelope("sighted"), Apply())], NOW_MS)
        change(store, "UPDATE holds SET id = (SELECT id FROM ledger WHERE receipt = 'sighted')")
        found = " ".join(discrepancy.what for discrepancy in await store.audit())
        await store.close()
    assert "1 envelopes are counted as held, but 0 holds exist" in found
    assert "1 matching keys are kept" in found
    strict = isinstance(store, PostgresStore)
    assert ("1 holds exist of envelopes that the ledger has as applied" in found) == strict


async def test_a_store_of_a_newer_version_is_refused(new_place):
    """An older program never touches what it does not understand."""
    async with new_place() as make:
        store = make()
        await store.open()
        await store.close()
        change(store, "INSERT INTO migrations (number, name) VALUES (99, 'from_the_future')")
        with pytest.raises(StoreUnavailable, match="099_from_the_future"):
            await make().open()
        change(store, "DELETE FROM migrations WHERE number = 99")


async def test_no_name_is_too_long_or_too_strange(store):
    """What senders write into campaigns and versions is counted, and stops no batch."""
    strange = [
        "n\u00fcl\0l",
        "x" * 1024,
        "\U0001f680" * 1024,
        "a\x1fb",
        "'; DROP TABLE ledger; --",
        "{}",
        "NULL",
        "\\N",
    ]
    for name in strange:
        held = waiting(name[:9].replace("\0", ""), "k" + name, carried=Carried("ios", name, name, ""))
        hold = structs.replace(held.decision, media_source=name)
        await store.file([structs.replace(held, decision=hold)], NOW_MS)
    assert [row.n for row in await store.coverage()] == [1] * len(strange)
    assert [count.n for count in await store.hold_counts()] == [1] * len(strange)
    assert await standing(store) == {"held": len(strange)}
