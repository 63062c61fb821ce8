"""Section writers: rows that fill one section of an event, which is then written as JSON.

Most messages fill the same seventy targets from the same fields. A writer therefore reads all fields of its rows in one
call; only those that need converting, or of which another field takes the place, are looked at one by one. A struct
writes the section, because it leaves out what is absent by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.appsflyer.fields import KINDS, NAMES, Flag, Postback, Text
from flybridge.mapping.passed import find
from flybridge.mapping.table import Converter, Row, flag, text

_encode: Final = msgspec.json.Encoder().encode


def object_of(keys: Sequence[str]) -> type[Struct]:
    """Return a class whose instances, made of values by position, are written as a JSON object with these keys.

    What is None is not written.
    """
    slots = [(f"slot_{slot}", Any, msgspec.field(default=None, name=key)) for slot, key in enumerate(keys)]
    return msgspec.defstruct("Section", slots, omit_defaults=True, gc=False)


class SectionWriter:
    """One section of an event. `keys` are the targets in order; of several rows for one the first value wins.

    `before` and `after` are keys whose values the caller gives. They are placed before and after those of the rows, and
    replace a row with the same key.
    """

    def __init__(
        self, placed: Sequence[tuple[str, Row]], *, before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> None:
        """Prepare rows, each with its key."""
        rows: dict[str, list[Row]] = {}
        for key, row in placed:
            if key not in before and key not in after:
                rows.setdefault(key, []).append(row)
        # Targets of fields stand before those that only the configuration names.
        read = [key for key, of_key in rows.items() if any(row.source in NAMES for row in of_key)]
        looked_up = [key for key in rows if key not in read]
        self.keys = (*before, *read, *looked_up, *after)
        self._absent = (None,) * len(looked_up)
        self._fields = _getter([next(row.source for row in rows[key] if row.source in NAMES) for key in read])
        self._converted: list[tuple[int, Converter]] = []
        self._others: list[tuple[int, Callable[[Postback], Any], Converter]] = []
        self._sought: list[tuple[int, Sequence[Row]]] = []
        for slot, key in enumerate((*read, *looked_up), len(before)):
            first, *others = rows[key]
            if not all(row.source in NAMES for row in rows[key]):
                self._sought.append((slot, rows[key]))
                continue
            if not _is_kept(first):
                self._converted.append((slot, first.convert))
            self._others += [(slot, attrgetter(row.source), row.convert) for row in others]
        self.section = object_of(self.keys)

    def values(
        self, postback: Postback, value: Any, before: Sequence[object] = (), after: Sequence[object] = ()
    ) -> list[Any]:
        """Return the values of the section, one for each of `keys`. `value` is the event's value, parsed."""
        values = [*before, *self._fields(postback), *self._absent, *after]
        for slot, convert in self._converted:
            if (found := values[slot]) is not None:
                values[slot] = convert(found)
        for slot, get, convert in self._others:
            if values[slot] is None and (found := get(postback)) is not None:
                values[slot] = convert(found)
        for slot, rows in self._sought:
            values[slot] = _first(rows, postback, value)
        return values

    def write(self, values: Sequence[Any]) -> bytes:
        """Write the section as JSON, without what is absent."""
        return _encode(self.section(*values))

    def as_dict(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return the section by key, without what is absent."""
        return {key: value for key, value in zip(self.keys, values, strict=True) if value is not None}


def _getter(names: Sequence[str]) -> Callable[[Postback], Sequence[Any]]:
    """Return a function that reads the fields of a postback. `attrgetter` gives a tuple for two names or more."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda postback: [getattr(postback, name) for name in names]


def _first(rows: Sequence[Row], postback: Postback, value: Any) -> Any:
    """Return the first value that one of the rows has."""
    for row in rows:
        raw = find(postback, value, row.source)
        if raw is not None and (found := row.convert(raw)) is not None:
            return found
    return None


def _is_kept(row: Row) -> bool:
    """Whether the value of a row needs no converting, because the field is of that type already."""
    kind = KINDS.get(row.source)
    return (kind == Text and row.convert is text) or (kind == Flag and row.convert is flag)
