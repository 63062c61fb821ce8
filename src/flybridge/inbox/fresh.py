"""Chunks that this process has just made durable, kept in memory until they are leased.

Nearly every chunk is leased by the process that wrote it, within moments. It then need not be read, opened, unpacked
and decoded again. What is not here (any more) is read from the inbox as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Final

from flybridge.records import Envelope

FRESH_BYTES: Final = 16 * 2**20
"""How much is kept, in bytes of bodies. In a backlog the oldest go, and are read from the inbox."""


class FreshChunks:
    """Chunks by their uid. Any thread may put them in and take them out."""

    def __init__(self, max_bytes: int = FRESH_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._chunks: dict[str, tuple[Sequence[Envelope], int]] = {}
        self._lock = Lock()

    def keep(self, uid: str, envelopes: Sequence[Envelope]) -> None:
        """Keep the envelopes of a chunk, in their order, as far as there is room."""
        size = sum([len(envelope.body) for envelope in envelopes])
        with self._lock:
            self._chunks[uid] = (envelopes, size)
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._bytes -= self._chunks.pop(next(iter(self._chunks)))[1]

    def take(self, uid: str) -> Sequence[Envelope] | None:
        """Return the envelopes of a chunk once; None if they are not kept."""
        with self._lock:
            envelopes, size = self._chunks.pop(uid, (None, 0))
            self._bytes -= size
        return envelopes
