"""The audit trail on every store: it only grows, and shows what was done to it."""

from __future__ import annotations

import asyncio
import sqlite3

import psycopg
import pytest
from filings import NOW_MS
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flybridge.sealing import Seal
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.trail import Deed, TrailRow

DEED = Deed(actor="ann", address="10.0.0.7", action="release", target="hold 7", detail="1 event", outcome="done")


def execute(store, sql: str, *, triggers: bool = True) -> None:
    """Change the table behind the store's back, also without the triggers that keep honest people from it."""
    if isinstance(store, PostgresStore):
        with psycopg.connect(store._place) as db:
            if not triggers:
                db.execute("SET LOCAL session_replication_role = replica")
            db.execute(sql)
    else:
        with sqlite3.connect(store._place) as db:
            if not triggers:
                db.execute("DROP TRIGGER audit_trail_keeps_rows")
                db.execute("DROP TRIGGER audit_trail_keeps_all")
            db.execute(sql)


async def test_rows_are_numbered_and_come_newest_first(store):
    """Each row has what was given; pages go on where the one before ended."""
    assert await store.trail() == []
    assert await store.trail_fault() == ""
    for n in range(5):
        row = await store.record(structs.replace(DEED, detail=f"{n} events"), NOW_MS + n)
        assert (row.number, row.at_ms, row.actor, row.detail) == (n + 1, NOW_MS + n, "ann", f"{n} events")
    assert [row.number for row in await store.trail(limit=2)] == [5, 4]
    assert [row.number for row in await store.trail(before=4, limit=100)] == [3, 2, 1]
    assert await store.trail_fault() == ""


async def test_processes_that_record_at_once_make_one_chain(store, open_store):
    """No number is given twice and none is left out, whoever is faster."""
    other = await open_store()
    await asyncio.gather(*(one.record(DEED, NOW_MS) for one in [store, other] * 20))
    assert [row.number for row in await store.trail(limit=100)] == list(range(40, 0, -1))
    assert await store.trail_fault() == ""


@pytest.mark.parametrize(
    "sql",
    ["UPDATE audit_trail SET actor = 'bob'", "DELETE FROM audit_trail", "DELETE FROM audit_trail WHERE number = 1"],
)
async def test_the_database_itself_refuses_to_change_rows(store, sql):
    """Rows are only added."""
    await store.record(DEED, NOW_MS)
    with pytest.raises((sqlite3.Error, psycopg.Error), match="only added"):
        execute(store, sql)
    assert len(await store.trail()) == 1


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("UPDATE audit_trail SET actor = 'bob' WHERE number = 2", "Row 2 of the audit trail is not as it was written."),
        ("UPDATE audit_trail SET at_ms = at_ms + 1 WHERE number = 3", "Row 3 of the audit trail is not as it was"),
        ("UPDATE audit_trail SET outcome = 'failed' WHERE number = 1", "Row 1 of the audit trail is not as it was"),
        ("DELETE FROM audit_trail WHERE number = 2", "Row 2 of the audit trail is missing."),
        ("DELETE FROM audit_trail WHERE number = 1", "Row 1 of the audit trail is missing."),
        (
            "UPDATE audit_trail SET chain = (SELECT chain FROM audit_trail t WHERE t.number = 1) WHERE number = 2",
            "Row 2 of the audit trail is not as it was written.",
        ),
    ],
)
async def test_what_was_done_to_the_trail_shows(store, sql, sentence):
    """One who may drop triggers changes, removes or forges a row: the check names it."""
    for _ in range(4):
        await store.record(DEED, NOW_MS)
    execute(store, sql, triggers=False)
    assert (await store.trail_fault()).startswith(sentence)


@pytest.mark.parametrize("text", ["\0", "\ud800", "x" * 10_000, "<script>\x1b[31m\u202e", "", "ä" * 600])
async def test_any_text_is_recorded_and_still_fits_its_chain(store, text):
    """What a database can't hold is replaced before it is signed."""
    await store.record(Deed(actor=text, action=text, outcome="done", target=text, detail=text, address=text), NOW_MS)
    assert await store.trail_fault() == ""


TEXTS = st.text(max_size=20)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=2, max_size=2, unique=True), st.binary(max_size=32))
def test_different_rows_have_different_chains(pair, before):
    """No text can be moved from one field to another."""
    seal = Seal(b"secret of the tests")
    rows = [TrailRow(1, NOW_MS, actor, "", action, target, "", "", b"") for actor, action, target in pair]
    assert seal.sign(rows[0].signed_part(before)) != seal.sign(rows[1].signed_part(before))


def test_a_former_secret_still_verifies():
    """The secret can be changed without the trail becoming doubtful."""
    signature = Seal(b"the former secret").sign(b"row")
    assert Seal(b"the new secret", b"the former secret").signed(b"row", signature)
    assert not Seal(b"the new secret").signed(b"row", signature)
