"""No counter and no listing of the store names a person, whatever macros put into its labels."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from filings import DAY, LANE, NOW_MS, TODAY, envelope, item, key

from flybridge.records import Carried, Dimensions, Filing, Hold, Performance, Restricted
from flybridge.sealing import Seal
from flybridge.store.migrate import apply_postgres, apply_sqlite, scripts
from flybridge.store.performance import LABELS, CostRow, Slice
from flybridge.store.postgres.connection import connect
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.sqlite.store import SqliteStore

SEAL = Seal(b"the secret of the contract suite")
GAID = "38400000-8cf0-11bd-b23e-10b96e40000d"
MAIL = "ada@example.com"
PHONE = "+14155552671"
ALL = Slice(0, 50_000, TODAY + 1, frozenset({*LABELS, "event"}))
PERSONAL = (GAID, MAIL, PHONE)


def filed(personal: str, **fields) -> Filing:
    """File an event that holds an identifier wherever one can get."""
    of = f"x {personal}"
    hold = Hold(item(of), (key(personal),), ("idfa",), NOW_MS, NOW_MS + 1000, media_source=of)
    performance = Performance(Dimensions("event", *[of] * 7), TODAY, 1_000_000)
    restricted = Restricted("redact", of, DAY)
    return Filing(
        envelope(), hold, performance=performance, carried=Carried(of, of, of, "idfa"), restricted=restricted, **fields
    )


async def shown(store) -> str:
    """Return everything that a store lists in the clear."""
    found = [await store.performance(ALL), await store.restricted(), await store.costs(ALL)]
    found += [await store.coverage(), await store.covered(since_day="")]
    found += [await store.holds(), await store.hold_counts(), await store.counts()]
    return repr(found)


@pytest.mark.parametrize("personal", [*PERSONAL, GAID.upper(), GAID.replace("-", ""), "ada%40example.com"])
async def test_labels_are_masked_before_they_are_stored(store, personal):
    """And the same things are counted together."""
    await store.file([filed(personal), filed(personal)], NOW_MS)
    assert personal not in await shown(store)
    assert [row.n for row in await store.performance(ALL)] == [2]
    assert [row.events for row in await store.restricted()] == [2]
    await store.expire_now([held.id for held in await store.holds()], NOW_MS)
    assert await store.hold_counts() == []


async def test_costs_are_masked_and_added_up(store):
    """Campaigns that become the same are one, and find the events of those campaigns."""
    rows = [CostRow("shop", TODAY, "tiktok", f"x {name}", "DE", "USD", 5, 1) for name in (GAID, GAID.upper(), "plain")]
    await store.replace_costs(
        "shop", "csv", [*rows, CostRow("shop", TODAY, MAIL, "", "DE", "USD", 2)], days=(TODAY, TODAY)
    )
    found = await store.costs(ALL)
    assert GAID not in repr(found).lower()
    assert MAIL not in repr(found)
    assert sorted((row.labels.media_source, row.labels.campaign, row.spend, row.clicks) for row in found) == [
        ("[email]", "", 2, None),
        ("tiktok", "x [id]", 10, 2),
        ("tiktok", "x plain", 5, 1),
    ]


SOURCES = (GAID, GAID.upper(), "plain")
CLEAR = [
    ("rollups", "app, event_day, kind, event, media_source, campaign, country, platform, n, revenue, cost",
     [("shop", DAY, "restricted", "redact", source, "", "", "", 2, 0.0, 0.0) for source in SOURCES]),
    ("coverage", "day, app, platform, app_version, media_source, kinds, n",
     [(DAY, "shop", platform, "1", MAIL, "idfa", 3) for platform in (f"a {GAID}", f"a {GAID.upper()}")]),
]  # fmt: skip


def _before(name: str):
    known = scripts("sqlite" if name == "sqlite" else "postgres")
    return [one for one in known if one.number < next(s.number for s in known if s.name == "masked_labels")]


async def test_what_an_embedded_store_has_is_masked_when_it_is_opened(tmp_path):
    """Its counters add up, and neither the file nor its log holds what was there."""
    path = tmp_path / "store.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    apply_sqlite(db, _before("sqlite"))
    _fill(lambda sql, row: db.execute(sql.replace("%s", "?"), row))
    db.close()
    assert GAID.encode() in path.read_bytes()
    store = SqliteStore(path, SEAL)
    await store.open()
    await _is_masked(store)
    await store.close()
    kept = b"".join(one.read_bytes() for one in tmp_path.iterdir()).lower()
    assert GAID.encode() not in kept
    assert MAIL.encode() not in kept


@pytest.mark.service
async def test_what_a_database_has_is_masked_when_it_is_opened(new_database):
    """As in the embedded store."""
    async with new_database(template="template0") as dsn:
        with connect(dsn) as db:
            apply_postgres(db, _before("postgres"))
        with psycopg.connect(dsn) as plain:
            _fill(plain.execute)
        store = PostgresStore(dsn, SEAL)
        await store.open()
        await _is_masked(store)
        await store.close()


def _fill(run) -> None:
    for table, columns, rows in CLEAR:
        for row in rows:
            run(f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * len(row))})", row)
    run("INSERT INTO lanes (id, app, endpoint) VALUES (%s, %s, %s)", (1, "shop", LANE.endpoint))
    for media_source, n in ((GAID, 1), (f"{GAID.upper()}", 4)):
        row = (1, media_source, "idfa", NOW_MS // 3_600_000, n)
        run("INSERT INTO hold_counts (lane, media_source, key_kinds, hour, n) VALUES (%s, %s, %s, %s, %s)", row)


async def _is_masked(store) -> None:
    found = await shown(store)
    assert GAID not in found.lower()
    assert MAIL not in found
    assert [(row.media_source, row.events) for row in await store.restricted()] == [("[id]", 4), ("plain", 2)]
    assert [(row.platform, row.media_source, row.n) for row in await store.coverage()] == [("a [id]", "[email]", 6)]
    assert [(row.media_source, row.n) for row in await store.hold_counts()] == [("[id]", 5)]
