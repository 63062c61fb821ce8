"""Named values that a process has written for others, read so that a damaged one stops nothing.

It counts as one that is not there: who writes it writes it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

T = TypeVar("T")


def readable(states: Iterable[tuple[str, bytes]], read: Callable[[bytes], T]) -> dict[str, T]:
    """Return what `read` makes of each value, by name, without those that it can't read."""
    found: dict[str, T] = {}
    for name, value in states:
        with suppress(msgspec.DecodeError, ValueError):
            found[name] = read(value)
    return found


def with_times(
    states: Sequence[tuple[str, bytes]], ending: str, read: Callable[[bytes], T]
) -> dict[str, tuple[T, int]]:
    """Return what `read` makes of each value, with the time that stands apart under its name and `ending`; else 0."""
    times = readable(((name.removesuffix(ending), value) for name, value in states if name.endswith(ending)), int)
    values = readable(((name, value) for name, value in states if not name.endswith(ending)), read)
    return {name: (value, times.get(name, 0)) for name, value in values.items()}
