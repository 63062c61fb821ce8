"""The high-water mark of an inbox file: how much was received, noted outside the database.

A database whose write-ahead log is deleted loses what was committed last, and with it the count of what was received,
so the account would still balance. The mark lies in a file of its own; when the inbox is opened, counts below it are
raised, and the account shows what is missing.

The mark is written after each commit and not flushed: it survives the end of the process, and after a loss of power it
may lag behind, which is harmless.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec

from flybridge.system.private_files import private_file

DAYS: Final = 8
"""How many days are kept, the newest ones."""

Counts = Mapping[tuple[str, str], int]

_decode: Final = msgspec.msgpack.Decoder(list[tuple[str, str, int]]).decode


class HighWater:
    """The mark of one inbox. Several processes may raise it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def open(self) -> Counts:
        """Open or create the file. Returns the counts by app and day; none from a damaged file."""
        private_file(self._path)
        self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        return self._read()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def raise_to(self, counts: Iterable[tuple[str, str, int]]) -> None:
        """Raise the counts that are below these."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            known = dict(self._read())
            for app, day, n in counts:
                known[app, day] = max(n, known.get((app, day), 0))
            newest = sorted({day for _, day in known})[-DAYS:]
            clear = msgspec.msgpack.encode([(app, day, n) for (app, day), n in known.items() if day in newest])
            data = crc32(clear).to_bytes(4) + clear
            os.pwrite(self._file, data, 0)
            os.ftruncate(self._file, len(data))
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _read(self) -> Counts:
        data = os.pread(self._file, os.fstat(self._file).st_size, 0)
        if crc32(data[4:]).to_bytes(4) != data[:4]:
            return {}
        try:
            return {(app, day): n for app, day, n in _decode(data[4:])}
        except msgspec.DecodeError:
            return {}
