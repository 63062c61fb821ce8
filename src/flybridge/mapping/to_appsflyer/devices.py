"""Identifiers of a device in other places than their own parameters: in the name of an event, a product, a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from flybridge.mapping.personal import LAST, MIN_TELLING, names_a_device, without_ids
from flybridge.mapping.to_appsflyer import rows as table

OF_A_PERSON: Final = frozenset({*table.WITHHELD_AS, *(row.target for row in table.IDS), "idfv", "app_set_id"})
"""Parameters in which identifiers belong."""


def repeats_a_device(body: bytes, dropped: Sequence[str], found: Mapping[str, Any], devices: Sequence[bytes]) -> bool:
    """Whether an item has one of the device's identifiers elsewhere than in its own parameter."""
    lower, n = body.lower(), 0
    for device in devices:
        n += lower.count(device[-LAST:])
    return n > 0 and n > sum(
        name in found and name not in dropped and len(found[name]) >= MIN_TELLING for name in table.WITHHELD_AS
    )


def without_devices(event_name: str, found: dict[str, Any], devices: Sequence[bytes], notes: list[str]) -> str:
    """Leave out the parameters that contain an identifier of the device, and return the event's name without any."""
    for name in [name for name in found if name not in OF_A_PERSON and names_a_device(found[name], devices)]:
        del found[name]
        notes.append(f"The parameter {name} contains a device identifier and was left out.")
    if not names_a_device(event_name, devices):
        return event_name
    notes.append("The event's name contains a device identifier, in whose place [id] is sent.")
    return without_ids(event_name, devices)
