"""The values of a JSON file that is no JSON lines: the members of an array, or objects written over several lines.

The file is read in pieces, and only the value that is being read is kept, up to a size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Final

PIECE_BYTES: Final = 65_536
_MARK: Final = re.compile(rb'["\[\]{},]')
_IN_STRING: Final = re.compile(rb'["\\]')
_OPENED: Final = b"[{"
_CLOSED: Final = b"]}"


class JsonValues:
    """Iterates over the values of a file, each with the line where it begins; None for one of more than `most` bytes.

    `first` is what was read of the file before, from its line `number` on. The members of an array that nothing
    encloses are values of their own. `is_cut` says afterwards whether the file ended in the midst of one.
    """

    def __init__(self, file: IO[bytes], first: bytes, number: int, most: int) -> None:
        self.is_cut = False
        self.line = number
        self._file, self._first, self._most = file, first, most
        self._depth = 0
        self._in_string = self._in_array = self._is_escaped = False
        self._value = bytearray()
        self._is_long = False
        self._begun = number

    def __iter__(self) -> Iterator[tuple[int, bytes | None]]:
        piece = self._first
        while piece:
            yield from self._split(piece)
            self.line += piece.endswith(b"\n")
            piece = self._file.readline(PIECE_BYTES)
        self.is_cut = self._depth > 0

    def _split(self, piece: bytes) -> Iterator[tuple[int, bytes | None]]:
        """Yield the values that a piece of one line ends."""
        at, start = 0, 0
        if self._is_escaped:
            at, self._is_escaped = 1, False
        while True:
            found = (_IN_STRING if self._in_string else _MARK).search(piece, at)
            if found is None:
                break
            mark, at = found[0], found.end()
            if mark == b"\\":
                self._is_escaped = at == len(piece)
                at += 1
            elif mark == b'"':
                self._in_string = not self._in_string
            elif mark in _OPENED:
                if not self._depth:
                    self._in_array = mark == b"["
                    start = at if self._in_array else found.start()
                    self._begin()
                self._depth += 1
            elif mark in _CLOSED and self._depth:
                self._depth -= 1
                if not self._depth:
                    self._keep(piece[start : found.start() if self._in_array else at])
                    yield from self._end()
            elif mark == b"," and self._depth == 1 and self._in_array:
                self._keep(piece[start : found.start()])
                yield from self._end()
                start = at
        if self._depth:
            self._keep(piece[start:])

    def _begin(self) -> None:
        self._value.clear()
        self._is_long = False

    def _keep(self, part: bytes) -> None:
        if not self._value:
            part = part.lstrip()
            self._begun = self.line
        if len(self._value) + len(part) > self._most:
            self._is_long = True
            part = part[:1]  # so that the value is known to have begun
            if self._value:
                return
        self._value += part

    def _end(self) -> Iterator[tuple[int, bytes | None]]:
        if self._value:
            yield self._begun, None if self._is_long else bytes(self._value.rstrip())
        self._begin()
