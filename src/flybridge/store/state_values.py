"""Named values that a process has written for others, read so that a damaged one stops nothing.

It counts as one that is not there: who writes it writes it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
