"""What only the SQLite inbox promises: its file, its bounds, and what it does when the disk refuses."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from hashlib import sha256
from os import urandom
from pathlib import Path

import msgspec
import pytest

from flybridge.errors import InboxUnavailable, SealBroken
from flybridge.inbox.high_water import DAYS, HighWater
from flybridge.inbox.protocol import Depth
from flybridge.inbox.sqlite import CHUNK_BYTES, SCHEMA, SHRINK_BYTES, VERSION, SqliteInbox
from flybridge.records import Envelope, Media, Source
from flybridge.sealing import Seal

NOW_MS = 1_764_000_000_000
SEAL = Seal(b"the secret of the contract suite")


@pytest.fixture
async def inbox(tmp_path):
    """Return an inbox that lets 100 envelopes wait for the disk."""
    inbox = SqliteInbox(tmp_path / "inbox.db", SEAL, max_waiting=100)
    await inbox.open()
    yield inbox
    await inbox.close()


def envelope(body: bytes = b"{}") -> Envelope:
    """Build an envelope."""
    return Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, body)


@contextmanager
def full_disk(largest: int):
    """Let no file of this process grow beyond `largest` bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_refuses_and_recovers_by_itself(inbox, tmp_path):
    """Everybody in the failed group is told; once there is space, the next envelope is stored."""
    await inbox.accept(envelope(b"before"))
    with full_disk((tmp_path / "inbox.db-wal").stat().st_size + 4096):
        answers = await asyncio.gather(
            *(inbox.accept(envelope(urandom(100_000))) for _ in range(10)), return_exceptions=True
        )
    assert [InboxUnavailable] * 10 == [type(answer) for answer in answers]
    await inbox.accept(envelope(b"after"))
    leased = await inbox.lease(100, NOW_MS, 1000)
    assert [e.body for e in leased.envelopes] == [b"before", b"after"]
    assert await inbox.received() == {("shop", "2025-11-24"): 2}


async def test_what_waits_for_the_disk_is_bounded(inbox):
    """Beyond the bound callers are refused at once, and room is made by the flush."""
    answers = [inbox.accept(envelope()) for _ in range(130)]
    results = await asyncio.gather(*answers, return_exceptions=True)
    assert (results.count(None), sum(isinstance(r, InboxUnavailable) for r in results)) == (100, 30)
    await inbox.accept(envelope())


async def test_what_waits_for_the_disk_is_bounded_in_bytes(tmp_path):
    """A few huge bodies can't fill the memory either."""
    inbox = SqliteInbox(tmp_path / "inbox.db", SEAL, max_waiting_bytes=1000)
    await inbox.open()
    answers = [inbox.accept(envelope(b"x" * 600)) for _ in range(3)]
    results = await asyncio.gather(*answers, return_exceptions=True)
    await inbox.close()
    assert [None, None, InboxUnavailable] == [r and type(r) for r in results]


async def test_groups_are_capped(inbox):
    """A burst becomes several chunks, so that no lease is larger than a worker can hold."""
    await asyncio.gather(*(inbox.accept(envelope(urandom(CHUNK_BYTES))) for _ in range(4)))
    leased = await inbox.lease(1, NOW_MS, 1000)
    assert len(leased.envelopes) == 1


async def test_no_byte_of_a_body_is_readable_on_disk(inbox, tmp_path):
    """Neither the file nor its log hold the advertising id, before and after the acknowledgement."""
    await inbox.accept(envelope(b"38400000-8cf0-11bd-b23e-10b96e40000d"))
    contents = [path.read_bytes() for path in tmp_path.iterdir()]
    await inbox.ack(await inbox.lease(1, NOW_MS, 1000))
    contents += [path.read_bytes() for path in tmp_path.iterdir()]
    assert not any(b"38400000-8cf0" in content for content in contents)


async def test_the_oldest_is_found_in_whatever_order_it_came(inbox):
    """Two processes' clocks may differ: the earliest time of reception counts, not the first chunk's."""
    for received_ms in (NOW_MS + 5, NOW_MS + 3, NOW_MS + 4):
        await inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, received_ms, b"{}"))
    assert await inbox.depth(NOW_MS) == Depth(3, 0, NOW_MS + 3)


async def test_space_is_used_again(inbox, tmp_path):
    """A file through which ten times its size has gone is not ten times larger."""
    sizes = []
    for _ in range(10):
        for _ in range(4):
            await asyncio.gather(*(inbox.accept(envelope(urandom(50_000))) for _ in range(20)))
        while leased := await inbox.lease(1000, NOW_MS, 1000):
            await inbox.ack(leased)
        inbox._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sizes.append((tmp_path / "inbox.db").stat().st_size)
    assert sizes[-1] <= 2 * sizes[0]


async def test_a_backlog_that_is_worked_off_gives_its_space_back(inbox, tmp_path):
    """Once nothing waits, the file shrinks."""
    await asyncio.gather(*(inbox.accept(envelope(urandom(50_000))) for _ in range(100)))
    await asyncio.gather(*(inbox.accept(envelope(urandom(SHRINK_BYTES))) for _ in range(2)))
    inbox._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    full = (tmp_path / "inbox.db").stat().st_size
    while leased := await inbox.lease(1000, NOW_MS, 1000):
        await inbox.ack(leased)
    inbox._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (tmp_path / "inbox.db").stat().st_size < full / 10


async def test_another_secret_is_named_as_the_cause(inbox, tmp_path):
    """Whoever changed the secret reads what to do, and nothing is lost."""
    await inbox.accept(envelope(b"kept"))
    stranger = SqliteInbox(tmp_path / "inbox.db", Seal(b"another secret"))
    await stranger.open()
    with pytest.raises(SealBroken, match="former_secrets"):
        await stranger.lease(1, NOW_MS, 1000)
    await stranger.close()
    leased = await inbox.lease(1, NOW_MS + 1000, 1000)
    assert [e.body for e in leased.envelopes] == [b"kept"]


def drop_body(db: sqlite3.Connection) -> None:
    """Remove the body of the second chunk."""
    db.execute("DELETE FROM bodies WHERE id = 2")


def break_body(db: sqlite3.Connection) -> None:
    """Let the first page that continues the body of the second chunk name one beyond the end of the file."""
    size = db.execute("PRAGMA page_size").fetchone()[0]
    path = db.execute("PRAGMA database_list").fetchone()[2]
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    body = db.execute("SELECT body FROM bodies WHERE id = 2").fetchone()[0]
    content = Path(path).read_bytes()
    page = next(at for at in range(0, len(content), size) if content[at + 4 : at + size] in body)
    with Path(path).open("r+b") as file:
        file.seek(page)
        file.write(b"\x7f\xff\xff\xff")


@pytest.mark.parametrize("damage", [drop_body, break_body])
async def test_damage_to_the_file_under_one_chunk_does_not_hold_up_the_others(tmp_path, damage):
    """A page that can't be read costs only the chunk it belongs to, and that one is reported and kept."""
    first = SqliteInbox(tmp_path / "inbox.db", SEAL)
    await first.open()
    for body in (b"1", urandom(100_000), b"3"):
        await first.accept(envelope(body))
    await first.close()
    db = sqlite3.connect(tmp_path / "inbox.db", isolation_level=None)
    damage(db)
    db.close()
    inbox = SqliteInbox(tmp_path / "inbox.db", SEAL)
    await inbox.open()
    leased = await inbox.lease(10, NOW_MS, 1000)
    assert [e.body for e in leased.envelopes] == [b"1", b"3"]
    with pytest.raises(SealBroken, match=r"1 message of shop received on 2025-11-24 .* damaged .* from a copy"):
        await inbox.lease(10, NOW_MS, 1000)
    await inbox.ack(leased)
    assert await inbox.waiting() == {("shop", "2025-11-24"): 1}
    await inbox.close()


@pytest.mark.parametrize(
    "tally", [b"", b"\xc1", b"\x92\x01", b"\x91\x93\xa1a\xff"], ids=["empty", "unused", "cut", "bad"]
)
async def test_damage_to_what_a_chunk_counts_holds_up_nothing(tmp_path, tally):
    """Also where its body can't be opened either: then it is passed over as ever."""
    inbox = SqliteInbox(tmp_path / "inbox.db", SEAL)
    await inbox.open()
    for body in (b"1", b"2", b"3"):
        await inbox.accept(envelope(body))
    await inbox.close()  # what was in memory is not any more
    await inbox.open()
    with closing(sqlite3.connect(tmp_path / "inbox.db")) as db, db:
        db.execute("UPDATE chunks SET tally = ? WHERE id < 3", (tally,))
        db.execute("UPDATE bodies SET body = x'00' WHERE id = 2")
    assert sum((await inbox.waiting()).values()) == 3
    leased = await inbox.lease(10, NOW_MS, 60_000)
    assert [one.body for one in leased.envelopes] == [b"1", b"3"]
    await inbox.ack(leased)
    assert [one.tally for one in await inbox.damaged()] == [[("?", "?", 1)]]
    with pytest.raises(SealBroken):
        await inbox.lease(10, NOW_MS + 60_001, 60_000)
    await inbox.close()


async def test_a_file_of_a_newer_version_is_refused(inbox, tmp_path):
    """An older program never touches what it does not understand."""
    await inbox.close()
    db = sqlite3.connect(tmp_path / "inbox.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(InboxUnavailable, match="newer flybridge"):
        await SqliteInbox(tmp_path / "inbox.db", SEAL).open()


CHILD = """
import asyncio, os, signal, sys
from flybridge.inbox.protocol import Depth
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.sealing import Seal
from flybridge.records import Envelope, Media, Source

async def main():
    inbox = SqliteInbox(sys.argv[1], Seal(b"the secret of the contract suite"))
    await inbox.open()
    bodies = [b"%d" % n for n in range(300)]
    await asyncio.gather(*(inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, 0, body)) for body in bodies))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_was_accepted_survives_kill_9(tmp_path: Path):
    """A process that is killed the moment `accept` has returned leaves all of it behind."""
    child = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", CHILD, str(tmp_path / "inbox.db")], check=False
    )
    assert child.returncode == -signal.SIGKILL
    inbox = SqliteInbox(tmp_path / "inbox.db", SEAL)
    await inbox.open()
    got = []
    while leased := await inbox.lease(100, NOW_MS, 1000):
        got += [e.body for e in leased.envelopes]
    await inbox.close()
    assert [b"%d" % n for n in range(300)] == got


async def test_the_only_worker_takes_back_what_its_predecessor_had_leased(inbox):
    """A worker that was killed left leases behind; the next one need not wait for them to lapse."""
    await inbox.accept(envelope())
    first = await inbox.lease(10, NOW_MS, 60_000)
    assert await inbox.lease(10, NOW_MS, 60_000) is None
    await inbox.reclaim()
    again = await inbox.lease(10, NOW_MS, 60_000)
    assert [e.receipt for e in again.envelopes] == [e.receipt for e in first.envelopes]


FORMAT_1 = """
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, n INTEGER NOT NULL, tally BLOB NOT NULL,
    oldest_ms INTEGER NOT NULL, leased_until_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE received (
    app TEXT NOT NULL, day TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (app, day)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
"""


async def test_a_file_of_the_former_format_is_upgraded_with_what_waits_in_it(tmp_path):
    """Two processes may open it at the same time."""
    path = tmp_path / "inbox.db"
    with sqlite3.connect(path) as db:
        db.executescript(FORMAT_1)
        counts = msgspec.msgpack.encode([("shop", "2025-11-24", 1)])
        db.execute("INSERT INTO chunks (uid, n, tally, oldest_ms) VALUES ('u', 1, ?, ?)", (counts, NOW_MS))
        clear = msgspec.msgpack.encode([envelope(b"before")])
        db.execute("INSERT INTO bodies (id, body) VALUES (1, ?)", (SEAL.seal(clear),))
    first, second = SqliteInbox(path, SEAL), SqliteInbox(path, SEAL)
    await asyncio.gather(first.open(), second.open())
    await first.accept(envelope(b"after"))
    leased = await second.lease(10, NOW_MS, 1000)
    assert [e.body for e in leased.envelopes] == [b"before", b"after"]
    await second.ack(leased)
    await asyncio.gather(first.close(), second.close())


async def test_a_file_of_a_newer_format_is_refused_with_a_sentence(tmp_path):
    """A downgrade must not misread what a newer version wrote, and leaves the file as it is."""
    path = tmp_path / "inbox.db"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(InboxUnavailable, match=f"newer flybridge .format {VERSION + 1}, this is {VERSION}."):
        await SqliteInbox(path, SEAL).open()
    assert path.read_bytes()[100:] == before[100:]


def test_the_schema_has_the_version_it_was_given():
    """A change of the tables raises VERSION, so that the version before refuses the file."""
    assert (VERSION, sha256(SCHEMA.encode()).hexdigest()[:16]) == (2, "a157800741748128")


def copied(path: Path, to: Path, *suffixes: str) -> Path:
    """Copy an inbox that is in use, as the disk has it, with these files beside the database."""
    to.mkdir()
    for name in ("inbox.db", *(f"inbox.{suffix}" for suffix in suffixes)):
        (to / name).write_bytes((path / name).read_bytes())
    return to / "inbox.db"


async def test_what_is_lost_with_the_write_ahead_log_is_still_counted_as_received(inbox, tmp_path):
    """So that the account does not balance over messages that were answered 200."""
    await asyncio.gather(*(inbox.accept(envelope(b"%d" % n)) for n in range(7)))
    await inbox.accept(Envelope("game", Source.PUSH, Media.JSON, NOW_MS, b"{}"))
    both = {("shop", "2025-11-24"): 7, ("game", "2025-11-24"): 1}
    whole = SqliteInbox(copied(tmp_path, tmp_path / "whole", "db-wal", "mark"), SEAL)
    damaged = SqliteInbox(copied(tmp_path, tmp_path / "damaged", "mark"), SEAL)
    for copy, waiting in ((whole, both), (damaged, {})):
        await copy.open()
        assert await copy.received() == both
        assert await copy.waiting() == waiting
        await copy.accept(envelope(b"after"))
        assert (await copy.received())["shop", "2025-11-24"] == 8
        await copy.close()


@pytest.mark.parametrize("mark", [b"", b"\0", b"\0\0\0\0", bytes(range(100, 200)), b"x" * 10_000], ids=len)
async def test_a_damaged_mark_changes_nothing(tmp_path, mark):
    """It is written anew with the next message."""
    (tmp_path / "inbox.mark").write_bytes(mark)
    for n in (1, 2):
        inbox = SqliteInbox(tmp_path / "inbox.db", SEAL)
        await inbox.open()
        await inbox.accept(envelope())
        assert await inbox.received() == {("shop", "2025-11-24"): n}
        await inbox.close()


async def test_two_processes_raise_one_mark(tmp_path):
    """Whatever the order in which they commit."""
    first, second = (SqliteInbox(tmp_path / "inbox.db", SEAL) for _ in range(2))
    await first.open()
    await second.open()
    for _ in range(10):
        await asyncio.gather(*(inbox.accept(envelope()) for inbox in (first, second, second)))
    mark = HighWater(tmp_path / "inbox.mark")
    assert mark.open() == await first.received() == {("shop", "2025-11-24"): 30}
    mark.close()
    await asyncio.gather(first.close(), second.close())


def test_a_mark_keeps_the_newest_days(tmp_path):
    """It stays small enough to be written with every commit."""
    mark = HighWater(tmp_path / "inbox.mark")
    mark.open()
    for day in range(10, 31):
        mark.raise_to([("shop", f"2025-11-{day}", 5)])
        mark.raise_to([("shop", f"2025-11-{day}", 3)])
    mark.close()
    assert mark.open() == {("shop", f"2025-11-{day}"): 5 for day in range(31 - DAYS, 31)}
    mark.close()
