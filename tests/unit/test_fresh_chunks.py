"""Chunks in memory: each is taken once, and no more is kept than there is room for."""

from __future__ import annotations

from flybridge.inbox.fresh import FreshChunks
from flybridge.records import Envelope, Media, Source


def envelopes(*bodies: bytes) -> list[Envelope]:
    """Return envelopes with these bodies."""
    return [Envelope("shop", Source.PUSH, Media.JSON, 1, body) for body in bodies]


def test_a_chunk_is_taken_once() -> None:
    """And one that is not there is none."""
    fresh, chunk = FreshChunks(), envelopes(b"a", b"b")
    fresh.keep("one", chunk)
    assert fresh.take("other") is None
    assert fresh.take("one") == chunk
    assert fresh.take("one") is None


def test_the_oldest_go_where_there_is_no_room() -> None:
    """What was taken makes room, and what is larger than all of it is not kept."""
    fresh = FreshChunks(max_bytes=10)
    for uid, body in (("a", b"1234"), ("b", b"123456")):
        fresh.keep(uid, envelopes(body))
    assert fresh.take("b") is not None
    fresh.keep("c", envelopes(b"123", b"123"))
    fresh.keep("d", envelopes(b"1"))
    assert [fresh.take(uid) is not None for uid in "acd"] == [False, True, True]
    fresh.keep("e", envelopes(b"12345678901"))
    assert fresh.take("e") is None
    fresh.keep("f", envelopes(b"1234567890"))
    assert fresh.take("f") is not None
