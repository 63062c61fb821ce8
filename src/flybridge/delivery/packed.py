"""Answers that a gateway compresses although none was asked for: gzip of one or several members, or zlib.

What only says that it is compressed is left as it is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})
"""Names of the codings that are read (RFC 9110, section 8.4.1)."""
GZIP: Final = b"\x1f\x8b"
ZLIB: Final = frozenset({b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"})
MAGIC_BYTES: Final = 2

# How much of a compressed answer is inflated at a time: what comes before a broken place is read.
INFLATED_BYTES: Final = 256


def is_packed(coding: str) -> bool:
    """Whether an answer with this `Content-Encoding` says that it is compressed in a way that is read."""
    return coding.strip().lower() in CODINGS


def inflated(body: bytes, most: int) -> bytes:
    """Inflate a whole body; as far as it can be read, and up to a size."""
    unpacker = _unpacker()
    found = bytearray()
    try:
        for start in range(0, len(body), INFLATED_BYTES):
            found += unpacker.decompress(body[start : start + INFLATED_BYTES], most - len(found))
            if len(found) >= most:
                break
    except zlib.error:
        pass
    return bytes(found) or body


class Unpacked:
    """Inflates a body piece by piece, in parts of a bounded size."""

    def __init__(self, part_bytes: int) -> None:
        self._part_bytes = part_bytes
        self._unpacker = _unpacker()
        self._head: bytes | None = b""
        self._is_plain = False

    def parts(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece holds. Raises `zlib.error` if it is broken."""
        if self._head is not None:
            self._head += piece
            if len(self._head) < MAGIC_BYTES:
                return
            piece, self._head = self._head, None
            self._is_plain = not (piece.startswith(GZIP) or piece[:MAGIC_BYTES] in ZLIB)
        if self._is_plain:
            yield piece
            return
        full = False  # a full part: zlib may hold more output although it has consumed all input
        while piece or full:
            if self._unpacker.eof:
                self._unpacker = _unpacker()
            part = self._unpacker.decompress(piece, self._part_bytes)
            piece = self._unpacker.unconsumed_tail or self._unpacker.unused_data
            full = len(part) == self._part_bytes and not self._unpacker.eof
            if part:
                yield part

    def end(self) -> Iterator[bytes]:
        """Yield what is left. Raises `zlib.error` if the body is not whole."""
        if self._head:
            yield self._head
        elif self._head is None and not self._is_plain and not self._unpacker.eof:
            raise zlib.error("its compressed data breaks off")


def _unpacker() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its first bytes
