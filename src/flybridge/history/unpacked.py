"""The bytes of compressed files, up to where a file is cut off or damaged.

Python's own reader of gzip gives none of the bytes that it had read together with the damage: a file whose download was
broken off would lose the last rows that are whole.
"""

from __future__ import annotations

import io
import zlib
from typing import IO, Any, Final, cast

from flybridge.errors import FlybridgeError

CHUNK: Final = 1 << 16
BUFFER: Final = 1 << 18
LOOKED_AT: Final = 512
MOST: Final = 3
"""How often a file may be compressed."""
GZIP: Final = b"\x1f\x8b"
_UNREAD: Final = (
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!", "RAR"),
)
_TAR: Final = (257, b"ustar")


class Gunzipped(io.RawIOBase):
    """The content of one or several members of gzip. Raises what is wrong after all bytes before it were given."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._left = b""
        self._is_inside = self._is_read = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            self._left = self._left or self._file.read(CHUNK)
            if not self._left and self._is_inside:
                raise EOFError("its compressed data breaks off")
            if not self._left:
                return 0
            if not self._is_inside:
                self._left = self._left.lstrip(b"\0")  # what fills up a block of a disk
                if not self._left:
                    continue
                if self._is_read and not GZIP.startswith(self._left[:2]):
                    raise EOFError("what follows its compressed data is not compressed")
            self._is_inside = True
            data = self._member.decompress(self._left, len(buffer))
            self._left = self._member.unconsumed_tail or self._member.unused_data
            if self._member.eof:
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
                self._is_inside, self._is_read = False, True
            if data:
                buffer[: len(data)] = data
                return len(data)


def unpacked(file: IO[bytes], name: str) -> IO[bytes]:
    """Return what a file holds, compressed with gzip or not. Raises `FlybridgeError` if it is packed in another way.

    `file` has a method `peek`, as files opened by Python have.
    """
    for _ in range(MOST):
        if not _beginning(file).startswith(GZIP):
            break
        file = cast("IO[bytes]", io.BufferedReader(Gunzipped(file), BUFFER))
    beginning = _beginning(file)
    kind = next((kind for mark, kind in _UNREAD if beginning.startswith(mark)), "")
    if not kind and beginning[_TAR[0] :].startswith(_TAR[1]):
        kind = "tar"
    if kind:
        raise FlybridgeError(f"{name} is packed with {kind}, which is not read: unpack it, or use gzip or zip.")
    return file


def _beginning(file: IO[bytes]) -> bytes:
    return cast("bytes", cast("Any", file).peek(LOOKED_AT)[:LOOKED_AT])
