"""Occurrences in an hour of local time that occurs twice, because clocks are set back.

A message that reports UTC says in which of the two an event happened. One that reports local time does not: it is an
occurrence in either of them. What has happened in the same second of both is counted together, and is the greatest of

    what is known of the first hour, and of the second, added up (as `occurrences` counts each)
    the equal rows of a file of whole seconds that may mean either
    for each millisecond what is known of it in the two hours, or the equal rows that may mean either, at most two

so that two pushes, one in each hour, are the two equal rows of a file, in any order.

Both are remembered under the content key of the first hour. Under that of the second there is only a reference to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from flybridge.store.core.occurrences import ONE, Occurrences, count_of, mark_of


class Both(Struct, frozen=True, tag=1):
    """What the store keeps of the two hours. `either` has pairs of a mark and an ordinal."""

    first: list[int]
    second: list[int]
    either: list[tuple[int, int]]


class Reference(Struct, frozen=True, tag=2):
    """What the store keeps under the key of the second hour: the key of the first."""

    first: bytes

    def packed(self) -> bytes:
        """Return it as the store keeps it."""
        return _encode(self)


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[int] | Both | Reference).decode


class DoubledHour:
    """The occurrences in the same second of both hours."""

    def __init__(self, first: Iterable[int] = (), second: Iterable[int] = (), either: Iterable[tuple[int, int]] = ()):
        self._marks = set(first), set(second)
        self._either = set(either)

    def add_second(self, marks: Iterable[int]) -> None:
        """Add what was remembered of the second hour alone."""
        self._marks[True].update(marks)

    def take(self, key_ms: int | None, ordinal: int, *, is_second: bool) -> bool:
        """Note an occurrence of which the hour is known. Returns whether it is a new one."""
        before = self._count()
        self._marks[is_second].add(mark_of(key_ms, ordinal or 1))
        return self._count() > before

    def take_either(self, key_ms: int | None, ordinal: int) -> bool:
        """Note an occurrence of which the hour is not known. Returns whether it is a new one."""
        before = self._count()
        ordinal = ordinal or 1
        self._either.add((mark_of(key_ms, ordinal), ordinal))
        return self._count() > before

    def _count(self) -> int:
        in_seconds = sum(mark < 0 for mark, _ in self._either)
        rows = Counter(mark for mark, _ in self._either if mark >= 0)
        known = Counter(mark for marks in self._marks for mark in marks if mark >= 0)
        by_millisecond = sum(max(known[ms], min(rows[ms], 2)) for ms in rows.keys() | known.keys())
        return max(sum(map(count_of, self._marks)), in_seconds, by_millisecond)

    def packed(self) -> bytes:
        """Return them as the store keeps them."""
        first, second = map(sorted, self._marks)
        return _encode(Both(first, second, sorted(self._either)))


def unpacked(packed: bytes | None) -> Occurrences | DoubledHour | Reference:
    """Return what the store has kept. None is also what was remembered before occurrences were distinguished.

    Of damaged bytes only that it happened is known.
    """
    if packed is not None:
        with suppress(msgspec.DecodeError):
            match _decode(packed):
                case Both(first, second, either):
                    return DoubledHour(first, second, either)
                case Reference() as reference:
                    return reference
                case marks:
                    return Occurrences(marks)
    return Occurrences(ONE)
