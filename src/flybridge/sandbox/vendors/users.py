"""The users of a project in the sandbox's Amplitude: who they are, their properties, their place, their revenue.

- An event with a user id that is not known makes a new user; a device without a user id is a user of its own until an
  event joins the two.
- `$identify` changes user properties and is no event. Beside operations, keys that are none are ignored (the page says
  that the two can't be mixed, and not what becomes of it).
- A user's properties are changed 1,800 times an hour at most; what is more is dropped, without a word.
- Texts longer than 1,024 characters are cut.
- Setting one of country, region, city and DMA resets the other three.
- An event with `$skip_user_properties_sync` leaves the properties and the place of its user as they are.
- Revenue adds up the amounts as they are, whatever their currency.

https://amplitude.com/docs/data/sources/instrument-track-unique-users,
https://amplitude.com/docs/apis/analytics/identify,
https://amplitude.com/docs/data/understand-ip-address-and-location,
https://amplitude.com/docs/data/data-backfill,
https://amplitude.com/docs/data/currency-conversion, https://amplitude.com/docs/faq/limits (read 2026-11-29).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

from msgspec import Struct

from flybridge.records import HOUR_MS
from flybridge.sandbox.vendors.kept import cut
from flybridge.sandbox.vendors.validation import UploadedEvent

LOCATION: Final = ("country", "region", "city", "dma")
UPDATES: Final = 1_800
"""How often the properties of a user are changed in an hour."""


class User(Struct, gc=False):
    """One user. `devices` are those that were seen with the user id; `events` and `revenue` are sums."""

    user_id: str | None
    devices: set[str]
    properties: dict[str, Any]
    location: tuple[str | None, str | None, str | None, str | None] = (None, None, None, None)
    events: int = 0
    revenue: float = 0.0


class ProjectUsers:
    """The users of one project, by user id and by device."""

    def __init__(self) -> None:
        self._by_user_id: dict[str, User] = {}
        self._by_device: dict[str, User] = {}
        self._updates: dict[int, tuple[int, int]] = {}  # of each user: in which hour, and how many

    def __len__(self) -> int:
        """Return the number of users. A device whose user is known is none of its own."""
        return len(self._by_user_id) + sum(user.user_id is None for user in self._by_device.values())

    def __iter__(self) -> Iterator[User]:
        """Yield the users, those with a user id first."""
        yield from self._by_user_id.values()
        yield from (user for user in self._by_device.values() if user.user_id is None)

    def find(self, user_id: str | None, device_id: str | None) -> User:
        """Return the user of these ids, a new one if none is known."""
        if user_id is None:
            device_id = device_id or ""
            if (user := self._by_device.get(device_id)) is None:
                user = self._by_device[device_id] = User(None, {device_id}, {})
            return user
        if (user := self._by_user_id.get(user_id)) is None:
            user = self._by_user_id[user_id] = User(user_id, set(), {})
        if device_id is not None:
            before = self._by_device.get(device_id)
            if before is not None and before.user_id is None:
                # What the device did before it had a user id is the user's.
                user.properties = {**before.properties, **user.properties}
                user.events += before.events
                user.revenue += before.revenue
            user.devices.add(device_id)
            self._by_device[device_id] = user
        return user

    def record(self, event: UploadedEvent, revenue: float | None, now_ms: int) -> None:
        """Let an event change its user."""
        user = self.find(event.user_id, event.device_id)
        user.events += 1
        user.revenue += revenue or 0.0
        if event.skips_user_properties:
            return
        place = (event.country, event.region, event.city, event.dma)
        if any(place):
            user.location = place
        if event.user_properties and self._may_update(user, now_ms):
            user.properties.update(cut(event.user_properties))

    def identify(
        self, user_id: str | None, device_id: str | None, operations: Mapping[str, Any] | None, now_ms: int
    ) -> None:
        """Apply the operations of an Identify call. Without any, its keys are set."""
        user = self.find(user_id, device_id)
        if not operations or not self._may_update(user, now_ms):
            return
        properties, operations = user.properties, cut(dict(operations))
        named = {name: given for name, given in operations.items() if name.startswith("$")}
        for name, given in (named or {"$set": operations}).items():
            if name == "$clearAll":
                properties.clear()
            elif isinstance(given, Mapping):
                _apply(properties, name, given)

    def _may_update(self, user: User, now_ms: int) -> bool:
        hour = now_ms // HOUR_MS
        before, count = self._updates.get(id(user), (hour, 0))
        self._updates[id(user)] = (hour, count + 1 if before == hour else 1)
        return before != hour or count < UPDATES


def amplitude_id(project: str, name: str) -> int:
    """Return Amplitude's own number of the user of this user id or, without one, device id."""
    return int.from_bytes(blake2b(f"{project} {name}".encode("utf-8", "surrogatepass"), digest_size=5).digest())


def _apply(properties: dict[str, Any], operation: str, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        before = properties.get(name)
        several = [] if before is None else before if isinstance(before, list) else [before]
        values = value if isinstance(value, list) else [value]
        match operation:
            case "$set":
                properties[name] = value
            case "$setOnce":
                properties.setdefault(name, value)
            case "$unset":
                properties.pop(name, None)
            case "$add" if isinstance(value, int | float):
                properties[name] = (before if isinstance(before, int | float) else 0) + value
            case "$append":
                properties[name] = [*several, *values]
            case "$prepend":
                properties[name] = [*values, *several]
            case "$postInsert":
                properties[name] = [*several, *(one for one in values if one not in several)]
            case "$preInsert":
                properties[name] = [*(one for one in values if one not in several), *several]
            case "$remove" if before is not None:
                properties[name] = [one for one in several if one not in values]
            case _:
                pass
