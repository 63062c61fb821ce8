"""Which events a survey of files has met.

The rule is that of `store.core.occurrences`, without a store: an event is met again if another row had its millisecond,
or its ordinal, or if as many have happened within its second by the other way of counting.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Final

from flybridge.history.noted import NOTED, Noted, listed, transaction

Mark = tuple[bytes, int | None, int]
"""A content key, the millisecond within its second, and its ordinal: that of an event with a millisecond is 0."""

SCHEMA: Final = "CREATE TEMP TABLE surveyed (event INTEGER PRIMARY KEY) STRICT"
_MILLISECOND: Final = itemgetter(1)
_COUNTED: Final = -1
"""Stands for a millisecond where it is noted how many of a second are met."""


class SurveyedEvents:
    """The events that were met, by hashes, in a table that ends with the connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._db.execute(SCHEMA)
        self._new, self._noted = set[int](), Noted()
        self._has_milliseconds = False

    def are_met(self, marks: Sequence[Mark], others: Mapping[int, Mark]) -> list[bool]:
        """Note the events of rows. Return for each whether it was met before.

        `others` are, by the place of a row, a second mark: its local time means two moments.
        """
        hashes, new = list(map(hash, marks)), self._new
        once, known = set(hashes), self._written([*hashes, *map(hash, others.values())])
        is_usual = not others and not self._has_milliseconds and {None}.issuperset(map(_MILLISECOND, marks))
        if is_usual and len(once) == len(hashes) and not known and new.isdisjoint(once):
            new |= once
            found = [False] * len(hashes)
        else:
            found = [
                self._meet(mark, known) | (place in others and self._meet(others[place], known))
                for place, mark in enumerate(marks)
            ]
        if len(new) >= NOTED:
            with transaction(self._db):
                sql = "INSERT OR IGNORE INTO surveyed SELECT value FROM json_each(?)"
                self._db.execute(sql, (listed(sorted(new)),))
            self._noted.note(new)
            new.clear()
        return found

    def _meet(self, mark: Mark, known: set[int]) -> bool:
        """Note an event. Return whether it was met before; `known` are those of the table that have such marks."""
        key, ms, ordinal = mark
        event = hash(mark)
        is_met = event in self._new or event in known
        self._new.add(event)
        if ms is None:
            return is_met or (self._has_milliseconds and self._is_noted((key, _COUNTED, ordinal)))
        self._has_milliseconds = True
        if is_met:
            return True
        count = 1
        while self._is_noted((key, _COUNTED, count)):
            count += 1
        self._new.add(hash((key, _COUNTED, count)))
        return self._is_noted((key, None, count))

    def _is_noted(self, mark: Mark) -> bool:
        event = hash(mark)
        return event in self._new or bool(self._written([event]))

    def _written(self, events: Sequence[int]) -> set[int]:
        """Return those of the events that are in the table."""
        perhaps = self._noted.among(events)
        sql = "SELECT event FROM surveyed WHERE event IN (SELECT value FROM json_each(?))"
        return {event for (event,) in self._db.execute(sql, (listed(perhaps),))} if perhaps else set()
