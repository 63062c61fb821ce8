"""What only the SQLite store promises: what its file hides, and how it takes a full disk."""

from __future__ import annotations

import resource
import sqlite3
from contextlib import closing

import pytest
from filings import LATER_MS, NOW_MS, WINDOW_MS, direct, envelope, key, lease, names, sighting, standing, waiting

from empty_stores import write_empty_store
from flybridge.errors import StoreUnavailable
from flybridge.records import DAY_MS, Apply, Dead, Deliver, Filing, Hold
from flybridge.sealing import Seal
from flybridge.store.core.holding import RELEASED_AT_ONCE
from flybridge.store.records import Retention, Settlement
from flybridge.store.sqlite.store import SqliteStore

SEAL = Seal(b"the secret of the contract suite")
END = Dead("map", "no_event_time", "The postback has no event_time.", "Select event_time.")


@pytest.fixture
async def store(tmp_path):
    """Return a store in `store.db`."""
    store = SqliteStore(tmp_path / "store.db", SEAL)
    await store.open()
    yield store
    await store.close()


async def test_no_identifier_is_readable_on_disk(store, tmp_path):
    """Bodies, users, devices and details of holds, deliveries, sightings and dead letters are all sealed."""
    secrets = {name: f"secret-{name}-38400000" for name in ("body", "user", "device", "detail", "raw")}
    body = secrets["body"].encode()
    item = Deliver("http_v2", "id", "install", body, secrets["user"], secrets["device"])
    await store.file(
        [
            Filing(envelope(), item),
            Filing(envelope(), Hold(item, (key("k"),), ("idfa",), 0, NOW_MS + 99)),
            Filing(envelope(), Hold(item, (key("seen"),), ("idfa",), 0, NOW_MS + 99)),
            Filing(envelope(), Apply(), sightings=(sighting("seen", secrets["user"], secrets["device"]),)),
            Filing(envelope(body=secrets["raw"].encode()), Dead("map", "r", secrets["detail"], "remedy")),
        ],
        NOW_MS,
    )
    await store.file([Filing(envelope(), Apply(), sightings=(sighting("k", secrets["user"], None),))], NOW_MS)
    leased = await lease(store)
    await store.settle([Settlement(leased[0].id, "dead", detail=secrets["detail"])], "worker", NOW_MS)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"install" in content  # the reading is right: event types are not sealed
    assert [name for name, secret in secrets.items() if secret.encode() in content] == []


async def test_what_is_delivered_or_expired_leaves_no_body(store, tmp_path):
    """Erasing is deleting: not even the sealed bytes remain as a row."""
    await store.file([direct("a"), waiting("w", "k", expires_ms=NOW_MS + 1)], NOW_MS)
    (delivery,) = await lease(store)
    await store.settle([Settlement(delivery.id, "delivered")], "worker", NOW_MS)
    await store.expire(NOW_MS + 1)
    db = sqlite3.connect(tmp_path / "store.db")
    tables = ("items", "deliveries", "holds", "hold_keys")
    assert [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables] == [0, 0, 0, 0]
    db.close()


async def test_what_was_matched_is_cleared_away_when_its_window_is_over(store, tmp_path):
    """The rows of a spent hold stay till then, hold no counter and match nobody, and outlive even their line."""
    await store.file([waiting("w", "k", expires_ms=NOW_MS + DAY_MS), waiting("x", "y", expires_ms=LATER_MS)], NOW_MS)
    await store.file([Filing(envelope(), Apply(), sightings=(sighting("k"),))], NOW_MS)
    (delivery,) = await lease(store)
    await store.settle([Settlement(delivery.id, "delivered")], "worker", NOW_MS)
    await store.file([Filing(envelope(), Apply(), sightings=(sighting("k", seen_ms=NOW_MS + 1),))], NOW_MS)
    assert await lease(store) == []
    assert sum(count.n for count in await store.hold_counts()) == 1
    await store.prune(NOW_MS + DAY_MS - 1, Retention(ledger_days=0, dead_days=1))
    assert await store.expire(NOW_MS + DAY_MS) == 1
    assert await store.audit() == []
    db = sqlite3.connect(tmp_path / "store.db")
    assert [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("holds", "hold_keys")] == [0, 0]
    db.close()


async def test_many_spent_holds_are_cleared_away_in_parts(store, tmp_path):
    """One step stops when it has cleared enough, and the next one goes on: nobody waits for all of them."""
    n = RELEASED_AT_ONCE + 10
    await store.file([waiting(str(i), "k", expires_ms=LATER_MS) for i in range(n)], NOW_MS)
    await store.file([Filing(envelope(), Apply(), sightings=(sighting("k"),))], NOW_MS)
    await store.file([waiting("w", "other", expires_ms=LATER_MS)], NOW_MS)
    assert [await store.expire(LATER_MS, limit) for limit in (RELEASED_AT_ONCE, 100)] == [0, 1]
    db = sqlite3.connect(tmp_path / "store.db")
    assert [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("holds", "hold_keys")] == [0, 0]
    db.close()


async def test_ending_some_holds_reads_none_of_the_others(store):
    """After a long pause all of them are over: the work of a step is that of what it ends."""
    work = 0

    def working() -> int:
        nonlocal work
        work += 1
        return 0

    async def ended(behind: int) -> int:
        nonlocal work
        await store.file([waiting(f"{behind}-{n}", f"{behind}-{n}") for n in range(behind)], NOW_MS)
        work = 0
        assert await store.expire(NOW_MS + WINDOW_MS, 10) == 10
        return work

    store._tables.db.set_progress_handler(working, 10)
    few, many = await ended(20), await ended(2_000)
    assert many < 1.5 * few


async def test_a_full_disk_changes_nothing_and_passes(store, tmp_path):
    """The verb says so, what was filed stays, and the next one works once there is space."""
    await store.file([direct("before", receipt="before")], NOW_MS)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = (tmp_path / "store.db-wal").stat().st_size + 8192
    big = Deliver("http_v2", "id-big", "install", b"x" * 1_000_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        with pytest.raises(StoreUnavailable, match="Nothing was changed"):
            await store.file([direct("no", receipt="no", key=key("c")), Filing(envelope("big"), big)], NOW_MS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await standing(store) == {"pending": 1}
    assert (await store.file([direct("no", receipt="no", key=key("c"))], NOW_MS)).repeated == 0
    assert await names(store) == ["before", "no"]
    assert await store.audit() == []


async def test_a_full_disk_is_named_with_what_to_do(store):
    """Other faults ask for no space."""
    db = store._tables.db
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages + 2}")
    big = Deliver("http_v2", "id-big", "install", b"x" * 1_000_000)
    with pytest.raises(StoreUnavailable) as full:
        await store.file([Filing(envelope("big"), big)], NOW_MS)
    assert str(full.value).endswith("is full. Nothing was changed. Free space on its disk.")
    db.execute("PRAGMA max_page_count = 1000000")
    db.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable) as other:
        await store.file([Filing(envelope("big"), big)], NOW_MS)
    assert str(other.value).endswith("Nothing was changed.")
    db.execute("PRAGMA query_only = OFF")


async def test_a_path_that_can_not_be_opened_is_named(tmp_path):
    """The sentence says which file."""
    with pytest.raises(StoreUnavailable, match=str(tmp_path)):
        await SqliteStore(tmp_path, SEAL).open()


async def test_cost_does_not_grow_with_what_waits(store, tmp_path):
    """Every statement of filing, matching, leasing, settling, rescue and expiry finds its rows by index."""
    spoken: set[str] = set()
    store._tables.db.set_trace_callback(spoken.add)
    await store.file([direct("a", key=key("a")), direct("b"), waiting("w", "k"), waiting("x", "y")], NOW_MS)
    await store.file([Filing(envelope(), Apply(), sightings=(sighting("k"),)), Filing(envelope(), END)], NOW_MS)
    first, second, third = await lease(store)
    await store.begin([first.id], "worker")
    await store.settle([Settlement(first.id, "delivered"), Settlement(second.id, "dead")], "worker", NOW_MS)
    await store.settle([Settlement(third.id, "due", due_ms=NOW_MS)], "worker", NOW_MS)
    await lease(store)
    await store.rescue(NOW_MS + 60_000)
    await store.expire(NOW_MS * 2)
    await store.redeliver([letter.id for letter in await store.dead()], NOW_MS)
    store._tables.db.set_trace_callback(None)
    large = ("ledger", "deliveries", "holds", "hold_keys", "items", "seen", "sightings", "dead")
    db = sqlite3.connect(tmp_path / "store.db")
    plans = {
        sql: [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
        for sql in spoken
        if sql.lstrip().startswith(("SELECT", "UPDATE", "DELETE"))
    }
    db.close()
    assert len(plans) > 20
    scans = {
        sql: plan for sql, plan in plans.items() for step in plan if step.startswith(tuple(f"SCAN {t}" for t in large))
    }
    assert scans == {}


async def test_the_empty_store_that_tests_copy_is_one_as_it_is_made(tmp_path):
    """Table by table, but for what a secret is recognised by."""
    dumps = []
    for path in (tmp_path / "made.db", write_empty_store(tmp_path / "copied.db")):
        store = SqliteStore(path, SEAL)
        await store.open()
        assert await store.audit() == []
        await store.close()
        assert path.stat().st_mode & 0o777 == 0o600
        with closing(sqlite3.connect(path)) as db:
            dumps.append([line for line in db.iterdump() if 'INTO "state"' not in line])
    assert dumps[0] == dumps[1]
    assert len(dumps[0]) > 50
