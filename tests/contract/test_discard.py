"""Messages that can't be opened are given up by an operator, and the account says so."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from flybridge.flow import Flow
from flybridge.identity import Keyring
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.insight.account import read_account
from flybridge.operations.replay import damaged, discard, replay
from flybridge.records import Envelope, Filing, Filter, Media, Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

SEAL = Seal(b"a secret for tests only")
NOW_MS = 1_767_225_600_000


async def test_damaged_chunks_become_dead_letters_and_the_account_stays_balanced(tmp_path):
    """Once, however often it is asked for; what can be opened goes on."""
    path = tmp_path / "inbox.db"
    inbox, store = SqliteInbox(path, SEAL), SqliteStore(tmp_path / "store.db", SEAL)
    await inbox.open()
    await store.open()
    try:
        for n in range(3):  # each in a chunk of its own
            await inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS + n * 86_400_000, b"{}"))
        assert await damaged(inbox) == {}
        with sqlite3.connect(path) as db:
            db.execute("UPDATE bodies SET body = zeroblob(length(body)) WHERE id = 1")
            db.execute("DELETE FROM bodies WHERE id = 2")
        assert await damaged(inbox) == {("shop", "2026-01-01"): 1, ("shop", "2026-01-02"): 1}
        account, _ = await read_account(inbox, store, audit=True)
        assert account.balanced
        found = await inbox.damaged()
        assert await discard(inbox, store, NOW_MS) == 2
        assert await discard(inbox, store, NOW_MS) == 0
        account, counts = await read_account(inbox, store, audit=True)
        assert account.balanced
        assert [(one.outcome, one.reason, one.n) for one in counts] == [("dead", "damaged", 1)] * 2
        letters = await store.dead(reason="damaged")
        assert len(letters) == 2
        flow = Flow({}, Keyring(b"a secret for tests only"))
        replayed = await replay(store, flow, [letter.id for letter in letters], NOW_MS)
        assert (replayed.processed, replayed.redelivered) == (0, 0)  # there is nothing to be processed
        assert await store.dead(reason="damaged") == letters
        leased = await inbox.lease(10, NOW_MS, 1000)
        assert leased is not None
        (left,) = leased.envelopes
        await store.file([Filing(left, Filter("not_chosen"))], NOW_MS)
        await inbox.ack(leased)
        await inbox.drop(found[0])  # one that is gone is no error
        account, _ = await read_account(inbox, store, audit=True)
        assert account.balanced
        assert (await inbox.depth(NOW_MS)).waiting == 0
    finally:
        await store.close()
        await inbox.close()


async def test_a_crash_between_the_dead_letters_and_the_inbox_counts_none_twice(tmp_path):
    """They are filed under the same receipts again."""
    path = tmp_path / "inbox.db"
    inbox, store = SqliteInbox(path, SEAL), SqliteStore(tmp_path / "store.db", SEAL)
    await inbox.open()
    await store.open()
    try:
        await inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, b"{}"))
        with sqlite3.connect(path) as db:
            db.execute("DELETE FROM bodies")
        drop, inbox.drop = inbox.drop, _killed  # type: ignore[method-assign]
        with suppress(SystemExit):
            await discard(inbox, store, NOW_MS)
        inbox.drop = drop  # type: ignore[method-assign]
        assert await discard(inbox, store, NOW_MS) == 1
        _, counts = await read_account(inbox, store, audit=True)
        assert [(one.outcome, one.n) for one in counts] == [("dead", 1)]
    finally:
        await store.close()
        await inbox.close()


async def _killed(_: object) -> None:
    raise SystemExit
