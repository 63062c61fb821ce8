"""The user properties of a conversion as one block, so that no source stands beside another's campaign.

Amplitude keeps each user property until it is set again: an attribution that has no campaign would leave the one
before in place. A conversion therefore comes with an `$identify` event that sets what the attribution has (`$set`) and
removes what it lacks (`$unset`). An install also writes the same facts once and for all (`$setOnce`) under
`[AppsFlyer] initial ...`: where the user first came from, whatever brings them back. There the words `(none)` stand for
what is absent, because otherwise a later install would fill the gap with a campaign of its own.

`$identify` events do not count as event volume, and HTTP V2 takes them beside others
(https://amplitude.com/docs/apis/analytics/http-v2, https://amplitude.com/docs/apis/analytics/identify, both read
2026-11-27).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from flybridge.mapping.restrictions import ADVERTISING
from flybridge.mapping.table import Row, Section, with_prefix
from flybridge.mapping.to_amplitude.sections import object_of

ABSENT: Final = "(none)"
UNSET: Final = "-"
SUFFIX: Final = b"-identify"

FIRST_TOUCH: Final = (
    "media source", "campaign", "campaign id", "adset", "adset id", "ad", "ad id", "channel", "keywords", "site id",
    "partner", "touch type", "touch time", "install time",
)  # fmt: skip

MAX_REMEMBERED: Final = 4096
NOTHING: Final = b"{}"

_encode: Final = msgspec.json.Encoder().encode


class AttributionBlock:
    """Writes the `$identify` event of a conversion.

    `possible` are the user properties that conversions may set, and `keys` those that the present ones may: fewer, if
    their source is restricted. The properties of one conversion are given as their values in the order of `keys`, and
    as JSON.
    """

    def __init__(self, prefix: str, possible: Sequence[str], keys: Sequence[str], rows: Iterable[Row]) -> None:
        placed = [(with_prefix(row.place[1], prefix), row) for row in rows if row.place[0] is Section.USER]
        shown = {key for key, row in placed if row.conversions_only or row.source in ADVERTISING}
        shown.add(f"{prefix}media source")
        self._keys = tuple(keys)
        self._uninstalled = f"{prefix}uninstalled at"
        slots: dict[str, int | None] = dict.fromkeys([*[key for key in possible if key in shown], self._uninstalled])
        slots |= {key: slot for slot, key in enumerate(keys) if key in slots}
        self._slots = slots
        self._filled = tuple(slot for slot in slots.values() if slot is not None)
        first = [name for name in FIRST_TOUCH if prefix + name in slots]
        self._first_keys = [f"{prefix}initial {name}" for name in first]
        self._first_slots = tuple(slots[prefix + name] for name in first)
        self._first = object_of(self._first_keys)
        # Conversions lack one of a few combinations of properties.
        self._unset: dict[tuple[bool, ...], bytes] = {}

    def write(self, values: Sequence[Any], properties: bytes, *, first: bool, time_ms: int, insert_id: str) -> bytes:
        """Return the event as JSON. `first` is for installs."""
        once = _encode(self._first(*self._first_touch(values))) if first else NOTHING
        return _event(
            time_ms, insert_id, (b"$set", properties), (b"$setOnce", once), (b"$unset", self._lacking(values))
        )

    def write_past(self, values: Sequence[Any], *, first: bool, newest: bool, time_ms: int, insert_id: str) -> bytes:
        """Return the event for a conversion of long ago; empty if it has nothing to set.

        A later attribution may stand in Amplitude already. The present one is therefore set once at most, by the
        newest conversion of the history.
        """
        once = dict(zip(self._first_keys, self._first_touch(values), strict=True)) if first else {}
        if newest:
            once |= {key: value for key, value in zip(self._keys, values, strict=True) if value is not None}
        return _event(time_ms, insert_id, (b"$setOnce", _encode(once))) if once else b""

    def uninstalled(self, when: str, *, time_ms: int, insert_id: str) -> bytes:
        """Return the event that notes an uninstall on the user. The next conversion removes it."""
        return _event(time_ms, insert_id, (b"$set", _encode({self._uninstalled: when})))

    def _first_touch(self, values: Sequence[Any]) -> list[Any]:
        return [ABSENT if slot is None or values[slot] is None else values[slot] for slot in self._first_slots]

    def _lacking(self, values: Sequence[Any]) -> bytes:
        lacking = tuple([values[slot] is None for slot in self._filled])
        unset = self._unset.get(lacking)
        if unset is None:
            absent = [key for key, slot in self._slots.items() if slot is None or values[slot] is None]
            unset = _encode(dict.fromkeys(absent, UNSET))
            if len(self._unset) >= MAX_REMEMBERED:
                self._unset.clear()
            self._unset[lacking] = unset
        return unset


def _event(time_ms: int, insert_id: str, *operations: tuple[bytes, bytes]) -> bytes:
    written = b",".join([b'"%b":%b' % operation for operation in operations if operation[1] != NOTHING])
    return b'{"event_type":"$identify","time":%d,"insert_id":"%b%b","user_properties":{%b}}' % (
        time_ms,
        insert_id.encode(),
        SUFFIX,
        written,
    )
