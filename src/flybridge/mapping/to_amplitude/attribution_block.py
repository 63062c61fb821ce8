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

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from flybridge.mapping.restrictions import ADVERTISING
from flybridge.mapping.table import Row, Section, with_prefix

IDENTIFY: Final = "$identify"
ABSENT: Final = "(none)"
UNSET: Final = "-"
SUFFIX: Final = "-identify"

FIRST_TOUCH: Final = (
    "media source", "campaign", "campaign id", "adset", "adset id", "ad", "ad id", "channel", "keywords", "site id",
    "partner", "touch type", "touch time", "install time",
)  # fmt: skip

_encode: Final = msgspec.json.Encoder().encode


class AttributionBlock:
    """Writes the `$identify` event of a conversion. `keys` are the user properties that conversions may set."""

    def __init__(self, prefix: str, keys: Sequence[str], rows: Iterable[Row]) -> None:
        placed = [(with_prefix(row.place[1], prefix), row) for row in rows if row.place[0] is Section.USER]
        shown = {key for key, row in placed if row.conversions_only or row.source in ADVERTISING}
        self._keys = tuple(key for key in keys if key in shown or key == f"{prefix}media source")
        self._initial = {
            f"{prefix}initial {name}": prefix + name for name in FIRST_TOUCH if prefix + name in self._keys
        }
        self._uninstalled = f"{prefix}uninstalled at"

    def write(self, properties: Mapping[str, Any], *, first: bool, time_ms: int, insert_id: str) -> bytes:
        """Return the event as JSON. `properties` are the user properties of the conversion; `first` is for installs."""
        operations: dict[str, dict[str, Any]] = {"$set": dict(properties)}
        if first:
            operations["$setOnce"] = self._first_touch(properties)
        absent = [key for key in (*self._keys, self._uninstalled) if key not in properties]
        operations["$unset"] = dict.fromkeys(absent, UNSET)
        return _event(operations, time_ms, insert_id)

    def write_past(
        self, properties: Mapping[str, Any], *, first: bool, newest: bool, time_ms: int, insert_id: str
    ) -> bytes:
        """Return the event for a conversion of long ago; empty if it has nothing to set.

        A later attribution may stand in Amplitude already. The present one is therefore set once at most, by the
        newest conversion of the history.
        """
        once = self._first_touch(properties) if first else {}
        if newest:
            once |= properties
        return _event({"$setOnce": once}, time_ms, insert_id) if once else b""

    def _first_touch(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        return {name: properties.get(key, ABSENT) for name, key in self._initial.items()}

    def uninstalled(self, when: str, *, time_ms: int, insert_id: str) -> bytes:
        """Return the event that notes an uninstall on the user. The next conversion removes it."""
        return _event({"$set": {self._uninstalled: when}}, time_ms, insert_id)


def _event(operations: Mapping[str, Mapping[str, Any]], time_ms: int, insert_id: str) -> bytes:
    return _encode(
        {
            "event_type": IDENTIFY,
            "time": time_ms,
            "insert_id": insert_id + SUFFIX,
            "user_properties": {name: values for name, values in operations.items() if values},
        }
    )
