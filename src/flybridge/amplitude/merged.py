"""Merges: two of Amplitude's own numbers that turned out to be one user's.

Who used an app without a name has a number (`amplitude_id`); when they log in as somebody who is known already, it is
merged into the known one. Exports of merged users hold both numbers a line, as JSON from buckets and as columns from
warehouses; an event that merges holds the other one in its `data`.

https://amplitude.com/docs/data/destination-catalog/amazon-s3 ("Merged Amplitude IDs file and data format"),
https://amplitude.com/docs/data/destination-catalog/snowflake ("Merged User table schema"),
https://amplitude.com/docs/data/sources/instrument-track-unique-users (read 2026-11-27).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from flybridge.amplitude.stream import number_of, time_ms

AMPLITUDE_ID: Final = "amplitude_id"
MERGED_ID: Final = "merged_amplitude_id"
PLACES: Final = ("data", "event_properties")
"""Objects of an event that may hold the number it was merged with."""
TIMES: Final = ("merge_server_time", "merge_event_time", "merge_time", "event_time", "client_event_time")


class Merge(Struct, frozen=True):
    """Two numbers of one user. `seen_ms` is when they were merged; None without a time."""

    one: str
    other: str
    seen_ms: int | None


def merges(message: Any) -> Iterator[Merge]:
    """Yield every merge in a decoded message: an object with two numbers, or a list of such."""
    if isinstance(message, Mapping):
        if (merge := _merge(message)) is not None:
            yield merge
    elif isinstance(message, Sequence) and not isinstance(message, str):
        for part in message:
            yield from merges(part)


def is_merge(columns: Sequence[str]) -> bool:
    """Whether these are the columns of an export of merged users."""
    return {AMPLITUDE_ID, MERGED_ID} <= set(columns)


def _merge(message: Mapping[str, Any]) -> Merge | None:
    merged = message.get(MERGED_ID)
    if merged is None:
        for place in PLACES:
            if isinstance(inner := message.get(place), Mapping) and (merged := inner.get(MERGED_ID)) is not None:
                break
        else:
            return None
    one, other = number_of(message.get(AMPLITUDE_ID)), number_of(merged)
    if one is None or other is None or one == other:
        return None
    times = (time_ms(message.get(name)) for name in TIMES)
    return Merge(one, other, next((ms for ms in times if ms is not None), None))
