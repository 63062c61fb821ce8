"""A chunk: a group of envelopes as one blob, compressed and sealed in one go.

The messages of a group say much the same in the same words, so compressed they take a fraction of the room. That costs
one to four microseconds of processor time for a message of 2 KB, less than writing what is saved: on the disk once into
the log and once out of it, on a cluster to each of three servers.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import zstandard

from flybridge.errors import SealBroken
from flybridge.records import Envelope
from flybridge.sealing import Seal
from flybridge.system.counted import plural

LEVEL: Final = 1
NAMED: Final = 3
"""How many apps and days a report of unreadable chunks names."""

_decode: Final = msgspec.msgpack.Decoder(list[Envelope]).decode


class _Zstandard(threading.local):
    """The contexts of each thread: to make one takes longer than to use it for a few messages."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=LEVEL).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_zstandard: Final = _Zstandard()


def pack(seal: Seal, envelopes: Sequence[Envelope]) -> bytes:
    """Make a chunk. It is never larger than the envelopes in MessagePack and the seal."""
    clear = msgspec.msgpack.encode(envelopes)
    small = _zstandard.compress(clear)
    return seal.seal(small if len(small) < len(clear) else clear)


def unpack(seal: Seal, uid: str, chunk: bytes) -> list[Envelope]:
    """Return the envelopes of a chunk, compressed or not, with their receipts: the chunk's `uid` and their place in it.

    Raises `SealBroken` for what no secret opens, or is no chunk.
    """
    clear = seal.open(chunk)
    try:
        # No list in MessagePack begins as a frame of Zstandard does.
        found = _decode(_zstandard.decompress(clear) if clear.startswith(zstandard.FRAME_HEADER) else clear)
    # Damaged bytes may raise anything: beside errors of the two formats, UnicodeDecodeError for a text and MemoryError
    # for a frame that claims to be huge.
    except Exception as problem:
        raise SealBroken(f"The bytes are damaged ({problem}): restore the inbox from a copy.") from problem
    return numbered(uid, found)


def numbered(uid: str, envelopes: Iterable[Envelope]) -> list[Envelope]:
    """Return the envelopes of a chunk with their receipts."""
    return [
        # By position: names take msgspec much longer.
        Envelope(one.app, one.source, one.media, one.received_ms, one.body, f"{uid}.{place}", one.ordinal, one.newest)
        for place, one in enumerate(envelopes)
    ]


class UnreadableChunks:
    """Chunks that could not be opened, until they are reported.

    A lease passes over them, so that the others do not wait for them. They stay in the inbox, leased like any chunk,
    and are tried again when the lease lapses.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._problem: SealBroken | None = None

    def add(self, counts: Iterable[tuple[str, str, int]], problem: SealBroken) -> None:
        """Note one chunk by app, day of reception and number of its messages."""
        self._problem = problem
        for app, day, n in counts:
            self._counts[app, day] += n

    def report(self) -> None:
        """Raise `SealBroken` for all that was noted since the last time; it says whose messages wait, and why."""
        if self._problem is None:
            return
        counts, problem = self._counts, self._problem
        self._counts, self._problem = Counter(), None
        named = [f"{plural(n, 'message')} of {app} received on {day}" for (app, day), n in counts.most_common(NAMED)]
        if others := len(counts) - len(named):
            named.append(f"those of {others} more apps and days")
        raise SealBroken(
            f"{', '.join(named)} can't be read; they stay in the inbox and are tried again. {problem}"
        ) from problem
