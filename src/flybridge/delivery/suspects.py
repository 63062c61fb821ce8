"""Items that a vendor refused alone: tell a bad item from a refused lane. Pure.

It is the item if another one, sent afterwards, is accepted and it is then refused a second time. It is the lane if
several are refused and nothing is accepted in between.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from flybridge.delivery.batching import Load
from flybridge.delivery.exchange import Halt

SUSPECTS: Final = 3  # items refused alone, with nothing accepted since, that prove the lane itself is refused
REMEMBERED: Final = 1_000  # items refused alone, over all rounds of work


class Suspect(Struct, frozen=True):
    """A load of one item that was refused, how, and the newest request of the lane at that time."""

    load: Load
    halt: Halt
    number: int


class Suspects:
    """Suspected items of one lane. Requests are identified by their number in the lane's sequence."""

    def __init__(self) -> None:
        self._waiting: list[Suspect] = []
        self._refused: dict[int, int] = {}  # items refused alone: the newest request of the lane at that time
        self._accepted = 0  # the newest request of which something was accepted

    @property
    def prove(self) -> bool:
        """Whether there are so many that the lane is refused."""
        return len(self._waiting) >= SUSPECTS

    def accepted(self, number: int) -> list[Load]:
        """Note that something of a request was accepted. Returns the loads to be tried a second time."""
        self._accepted = max(self._accepted, number)
        cleared = [suspect.load for suspect in self._waiting if suspect.number < number]
        self._waiting = [suspect for suspect in self._waiting if suspect.number >= number]
        return cleared

    def refused(self, load: Load, halt: Halt, newest: int) -> bool:
        """Note that an item was refused alone. True if it is the item: something was accepted since the first time."""
        item = load.items[0]
        before = self._refused.pop(item.id, None)
        if before is not None and before < self._accepted:
            return True
        while len(self._refused) >= REMEMBERED:
            self._refused.pop(next(iter(self._refused)))
        self._refused[item.id] = newest if before is None else before
        self._waiting.append(Suspect(load, halt, newest))
        return False

    def released(self) -> list[Suspect]:
        """Return and clear all suspects."""
        waiting, self._waiting = self._waiting, []
        return waiting
