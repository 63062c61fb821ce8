"""Occurrences: how often the same thing has happened within the second that a content key names.

Some sources report milliseconds: a new one is a new occurrence. Some report whole seconds: only how many equal rows are
in a file tells those apart. One event may come from both, in any order, so that the number of occurrences is that
of milliseconds or that of ordinals, whichever is greater:

    state before                message           outcome
    no occurrence               .100              new
    .100                        .100              duplicate: the same millisecond
    .100                        .950              new
    .100 .950                   ordinals 1, 2     duplicates: the rows of a file that has the same two
    .100 .950, ordinals 1 2     ordinal 3         new
    .100 .950, ordinals 1 2 3   .400              duplicate: the third row
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Final

import msgspec

ONE: Final = frozenset({-1})

_encode: Final = msgspec.msgpack.Encoder().encode


def mark_of(key_ms: int | None, ordinal: int) -> int:
    """Return what an occurrence is noted as: its millisecond, or its ordinal as a negative number."""
    return -ordinal if key_ms is None else key_ms


def count_of(marks: Set[int]) -> int:
    """Return how many occurrences marks stand for."""
    exact = sum(mark >= 0 for mark in marks)
    return max(exact, len(marks) - exact)


class Occurrences:
    """The occurrences of one content key, by the marks of `mark_of`."""

    def __init__(self, marks: Iterable[int] = ()) -> None:
        self._marks = set(marks)

    def take(self, key_ms: int | None, ordinal: int) -> bool:
        """Note an occurrence. Returns whether it is a new one."""
        mark = mark_of(key_ms, ordinal)
        if mark in self._marks:
            return False
        if not self._marks:
            self._marks.add(mark)
            return True
        before = count_of(self._marks)
        self._marks.add(mark)
        return count_of(self._marks) > before

    @property
    def marks(self) -> Set[int]:
        """The marks of what has happened."""
        return self._marks

    def packed(self) -> bytes | None:
        """Return them as the store keeps them; None for the first ordinal alone, which needs no room."""
        if self._marks == ONE:
            return None
        return _encode(sorted(self._marks) if len(self._marks) > 1 else [*self._marks])
