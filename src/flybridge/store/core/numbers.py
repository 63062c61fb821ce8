"""Ids of counters and lanes by name, and names by id, remembered until they may be wrong."""

# ruff: noqa: S608 - the names are the schema's own
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

from flybridge.store.core.tables import CounterKey
from flybridge.store.records import Lane

COUNTER: Final = "app, day, source, outcome, reason"
LANE: Final = "app, endpoint"


class KnownNumbers:
    """Ids that were read or made. `run` runs a statement; `parameter` is what stands before the number of one in it."""

    def __init__(self, run: Callable[[str, Sequence[object]], list[Any]], parameter: str) -> None:
        self._run_one, self._parameter = run, parameter
        self.counter = cache(self._counter)
        self.counter_key = cache(self._counter_key)
        self.lane = cache(self._lane)
        self.lane_of = cache(self._lane_of)

    def forget_numbers(self) -> None:
        """Forget all: what was made was rolled back, or the server that took over may know less."""
        for known in (self.counter, self.counter_key, self.lane, self.lane_of):
            known.cache_clear()

    def _counter(self, counter_key: CounterKey) -> int:
        return self._number("cells", COUNTER, counter_key)

    def _counter_key(self, counter: int) -> CounterKey:
        rows = self._named("cells", COUNTER, counter)
        return CounterKey(*(rows[0] if rows else [""] * 5))

    def _lane(self, lane: Lane) -> int:
        return self._number("lanes", LANE, (lane.app, lane.endpoint))

    def _lane_of(self, number: int) -> Lane:
        rows = self._named("lanes", LANE, number)
        # Without its row a lane is one that is not configured: what is in it is listed, and holds up no other.
        return Lane(*(rows[0] if rows else ("", f"{number}")))

    def _number(self, table: str, columns: str, name: Sequence[str]) -> int:
        """Return the id of a name; make the row if it is new."""
        given = [f"{self._parameter}{at}" for at, _ in enumerate(name, 1)]
        same = " AND ".join(f"{column} = {one}" for column, one in zip(columns.split(", "), given, strict=True))
        find = f"SELECT id FROM {table} WHERE {same}"
        make = f"INSERT INTO {table} ({columns}) VALUES ({', '.join(given)}) ON CONFLICT DO NOTHING RETURNING id"
        # Another process may make it in between.
        rows = self._run_one(find, name) or self._run_one(make, name) or self._run_one(find, name)
        return int(rows[0][0])

    def _named(self, table: str, columns: str, number: int) -> list[Any]:
        return self._run_one(f"SELECT {columns} FROM {table} WHERE id = {self._parameter}1", (number,))
