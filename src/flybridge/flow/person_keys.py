"""The matching keys of identifiers, and what is made of them: whom a message is about, and what it teaches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from flybridge.identity import IdKind, Keyring
from flybridge.mapping.to_amplitude.facts import Named
from flybridge.records import Person, Sighting

REMEMBERED: Final = 16_384


class PersonKeys:
    """Makes keys. They are remembered: those of a message are needed up to three times, and a person has several."""

    def __init__(self, keyring: Keyring) -> None:
        self.of = lru_cache(REMEMBERED)(keyring.keys)
        """A function from app, kind and value of an identifier to its keys, under every secret."""

    def person(self, app: str, ids: Iterable[Named], event_ms: int, also: Iterable[bytes] = ()) -> tuple[Person, ...]:
        # Under every secret, to find also what was filed under a former one.
        keys = dict.fromkeys([key for kind, value in ids if value for key in self.of(app, kind, value)])
        keys |= dict.fromkeys(also)
        return (Person(tuple(keys), event_ms),) if keys else ()

    def teach_number(self, app: str, ids: Mapping[IdKind, str], number: str, seen_ms: int) -> tuple[Sighting, ...]:
        """Return sightings that name no person but a number that Amplitude has for one."""
        return tuple(
            [
                Sighting(app, key, IdKind.AMPLITUDE_ID.word, seen_ms, device_id=number)
                for kind, value in ids.items()
                for key in self.of(app, kind, value)
            ]
        )

    def teach(
        self, app: str, ids: Mapping[IdKind, str], user_id: str | None, device_id: str | None, seen_ms: int
    ) -> tuple[Sighting, ...]:
        # Under every secret: what was held before the secret changed has keys of the former one only.
        taught = [
            Sighting(app, key, kind.word, seen_ms, user_id, device_id)
            for kind, value in ids.items()
            for key in self.of(app, kind, value)
        ]
        return tuple(taught)
