"""The doctor finds what is wrong, and says where an identifier lies without repeating it."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from uuid import uuid4

import pytest

from flybridge.inbox.protocol import Depth, Room
from flybridge.insight.account import Account
from flybridge.insight.unwritten import Unwritten
from flybridge.operations.clear_ids import OVERLAP_BYTES, PIECE_BYTES, Find, search
from flybridge.operations.doctor import balanced, readable, resolvable, roomy, writable, written
from flybridge.store.figures import Discrepancy

IDFA = "3F2504E0-4F89-41D3-9A0C-0305E82C3301"
APPSFLYER_ID = "1767225600000-395333685396563426"


def test_ids_are_found_wherever_they_are(tmp_path):
    """At the first byte, between others, and in a file of a directory below."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.db").write_bytes(b"\0\1" + IDFA.encode() + b"\0" + IDFA.lower().encode())
    (tmp_path / "deep" / "b.log").write_bytes(APPSFLYER_ID.encode())
    found = search(tmp_path)
    assert [(find.file, find.where) for find in found] == [
        ("a.db", "byte 2"),
        ("a.db", "byte 39"),
        ("deep/b.log", "byte 0"),
    ]
    assert not any(secret in str(found) for secret in (IDFA, IDFA.lower(), APPSFLYER_ID))


@pytest.mark.parametrize("offset", [-40, -20, -1, 0, 1, -OVERLAP_BYTES - 10, -OVERLAP_BYTES, OVERLAP_BYTES])
def test_an_id_across_two_pieces_is_found_once(tmp_path, offset):
    """Files are read in pieces; none hides an id at its edge."""
    at = PIECE_BYTES + offset
    (tmp_path / "big").write_bytes(b"\0" * at + IDFA.encode() + b"\0" * 100)
    assert search(tmp_path) == [Find("big", f"byte {at}", "a UUID, as advertising and vendor ids are")]


def test_what_only_looks_like_an_id_is_none(tmp_path):
    """Zeros, hexadecimal without dashes, times and too long numbers."""
    text = f"00000000-0000-0000-0000-000000000000 worker-{uuid4().hex} 1767225600000 11767225600000-1234567 2026-11-24"
    (tmp_path / "a").write_text(text)
    assert search(tmp_path) == []


class BusyDirectory(type(Path())):
    """A directory in which a file is deleted after it was listed, as the service deletes reports that it has read."""

    def rglob(self, pattern):
        """Yield what is there, and delete one of it."""
        yield from super().rglob(pattern)
        (self / "b").unlink()


def test_a_file_that_is_deleted_meanwhile_is_passed_over(tmp_path):
    """The others are searched."""
    for name in "abc":
        (tmp_path / name).write_text(IDFA)
    assert [find.file for find in search(BusyDirectory(tmp_path))] == ["a", "c"]


def test_an_id_can_be_asked_for_in_any_case(tmp_path):
    """A customer user id has no shape; it is named by its place in the question."""
    (tmp_path / "a").write_text("... Ada@Example.com ...")
    assert search(tmp_path, ["bob", "ada@example.com"]) == [Find("a", "byte 4", "id 2 of those given")]


def test_a_value_that_a_database_cuts_in_two_is_found(tmp_path):
    """A long row goes on in pages elsewhere, and an id may begin in one and end in the other."""
    db = sqlite3.connect(tmp_path / "a.db")
    db.execute("PRAGMA page_size = 512")
    db.execute("CREATE TABLE t (body BLOB)")
    bodies = [b"x" * n + IDFA.encode() + b"y" * 3000 for n in range(400, 520, 4)]
    db.executemany("INSERT INTO t VALUES (?)", [(body,) for body in bodies])
    db.commit()
    db.close()
    found = search(tmp_path)
    assert sum(find.where.startswith("byte") for find in found) < len(bodies)
    assert [find.where for find in found if not find.where.startswith("byte")] == ["table t, column body"]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Free space on its disk."),
        (errno.EDQUOT, "Free space on its disk."),
        (errno.EACCES, "Give it to flybridge's user."),
        (errno.EROFS, "Give it to flybridge's user."),
    ],
)
def test_a_directory_that_can_not_be_written_has_its_own_remedy(tmp_path, monkeypatch, number, remedy):
    """Another owner makes no room on a full disk."""

    def refuse(**_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("flybridge.operations.doctor.TemporaryFile", refuse)
    found = writable(tmp_path)
    assert not found.ok
    assert found.detail == f"{tmp_path} can't be written: {os.strerror(number)}. {remedy}"


def test_a_store_that_takes_nothing_is_wrong():
    """By what a worker has noted: the doctor itself may have room for what it writes."""
    (found,) = written(Unwritten("The disk is full."))
    assert (found.ok, found.detail.endswith("nothing is filed or sent: The disk is full.")) == (False, True)
    assert written(Unwritten()) == written(Unwritten(silent_ms=1)) == []


def test_the_directory_and_the_account(tmp_path):
    """Each says what is wrong."""
    assert writable(tmp_path / "new").ok
    (tmp_path / "file").write_text("")
    assert not writable(tmp_path / "file").ok
    assert balanced(Account([], {}, [])).ok
    wrong = balanced(Account([], {}, [Discrepancy("shop", "2026-11-24", "What.", 1, 2)]))
    assert (wrong.ok, "1 figures" in wrong.detail) == (False, True)


async def test_hosts_are_looked_up_once_each():
    """An address on this machine is there; one that can't be is not."""
    checks = await resolvable(["http://127.0.0.1:1/a", "http://127.0.0.1:2/b", "http://nowhere.invalid"])
    assert [(check.what, check.ok) for check in checks] == [("127.0.0.1", True), ("nowhere.invalid", False)]


def test_messages_that_cannot_be_opened_are_a_fault_with_a_remedy():
    """Their number is named, and where their secret belongs."""
    assert readable(Depth(5, 1, 7)).ok
    check = readable(Depth(5, 1, 7, 3))
    assert not check.ok
    assert "3 of 5" in check.detail
    assert "former_secrets" in check.detail


@pytest.mark.parametrize(
    ("room", "ok", "says"),
    [
        (Room(1, 100, 0), True, "uses"),
        (Room(1, 0, 100), True, "uses"),
        (Room(1, 50, 100), True, "uses"),
        (Room(90, 100, 0), False, "503"),
        (Room(90, 0, 100), False, "503"),
        (Room(1, 100, 100), False, "cluster.max_bytes"),
        (Room(1, 200, 100), False, "cluster.max_bytes"),
        (Room(1, 0, 0), False, "cluster.max_bytes"),
    ],
)
def test_an_inbox_needs_room_and_a_bound_below_the_limit(room, ok, says):
    """At the limit of NATS servers nothing can be acknowledged."""
    check = roomy(room)
    assert check.ok is ok
    assert says in check.detail
