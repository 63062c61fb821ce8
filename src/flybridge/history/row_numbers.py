"""Which rows of a file were picked: a bit for each row, so that millions of them need no memory to speak of."""

from __future__ import annotations

from collections.abc import Iterable


class RowNumbers:
    """A set of the numbers of rows of one file, counted from 0 or 1."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._n = 0

    def update(self, numbers: Iterable[int]) -> None:
        """Add numbers. Those that are there already stay."""
        bits = self._bits
        for number in numbers:
            place, mark = number >> 3, 1 << (number & 7)
            if place >= len(bits):
                bits.extend(bytes(place + 1 - len(bits)))
            if not bits[place] & mark:
                bits[place] |= mark
                self._n += 1

    def __contains__(self, number: int) -> bool:
        place = number >> 3
        return place < len(self._bits) and bool(self._bits[place] & 1 << (number & 7))

    def __len__(self) -> int:
        return self._n
