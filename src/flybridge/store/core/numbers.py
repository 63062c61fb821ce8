"""Ids of counters and lanes by name, and names by id, remembered until they may be wrong."""

# ruff: noqa: S608 - the names are the schema's own
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from flybridge.store.core.tables import CounterKey
from flybridge.store.records import Lane

COUNTER: Final = "app, day, source, outcome, reason"
LANE: Final = "app, endpoint"


class KnownNumbers:
    """Ids that were read or made. `run` runs a statement; `parameter` is what stands before the number of one in it."""

    def __init__(self, run: Callable[[str, Sequence[object]], list[Any]], parameter: str) -> None:
        self._run_one, self._parameter = run, parameter
        self.forget_numbers()

    def forget_numbers(self) -> None:
        """Forget all: what was made was rolled back, or the server that took over may know less."""
        self._counters: dict[CounterKey, int] = {}
        self._counter_keys: dict[int, CounterKey] = {}
        self._lanes: dict[Lane, int] = {}
        self._lanes_by_number: dict[int, Lane] = {}

    def counter(self, counter_key: CounterKey) -> int:
        number = self._counters.get(counter_key)
        if number is None:
            number = self._counters[counter_key] = self._number("cells", COUNTER, counter_key)
        return number

    def counter_key(self, counter: int) -> CounterKey:
        found = self._counter_keys.get(counter)
        if found is None:
            rows = self._named("cells", COUNTER, counter)
            found = self._counter_keys[counter] = CounterKey(*(rows[0] if rows else [""] * 5))
        return found

    def lane(self, lane: Lane) -> int:
        number = self._lanes.get(lane)
        if number is None:
            number = self._lanes[lane] = self._number("lanes", LANE, (lane.app, lane.endpoint))
        return number

    def lane_of(self, number: int) -> Lane:
        found = self._lanes_by_number.get(number)
        if found is None:
            rows = self._named("lanes", LANE, number)
            # Without its row a lane is one that is not configured: what is in it is listed, and holds up no other.
            found = self._lanes_by_number[number] = Lane(*(rows[0] if rows else ("", f"{number}")))
        return found

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
