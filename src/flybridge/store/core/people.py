"""Sightings: who was seen with which key, and which waiting events that releases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flybridge.matching import Match, choose
from flybridge.records import OutcomeKind, Sighting
from flybridge.sealing import Seal
from flybridge.store.core.holding import Matched, remove_holds, waiting
from flybridge.store.core.ledger import Book
from flybridge.store.core.sealed import open_seen, seal_seen, seal_who
from flybridge.store.core.tables import Read, Write

SIGHTINGS_PER_KEY: Final = 8
"""Identities remembered per key, the newest. More than one means a shared device or a reused id."""

AppKey = tuple[str, bytes]


def merged(sightings: Iterable[Sighting]) -> tuple[Sighting, ...]:
    """Keep the newest sighting of every identity, newest first, at most `SIGHTINGS_PER_KEY` of them.

    Whatever the order in which sightings come, the same ones are kept.
    """
    newest: dict[tuple[str | None, str | None], Sighting] = {}
    for sighting in sightings:
        who = (sighting.user_id, sighting.device_id)
        if who != (None, None) and (who not in newest or newest[who].seen_ms < sighting.seen_ms):
            newest[who] = sighting
    if len(newest) == 1:
        return tuple(newest.values())
    ranked = sorted(newest.values(), key=lambda s: (-s.seen_ms, s.user_id or "", s.device_id or ""))
    return tuple(ranked[:SIGHTINGS_PER_KEY])


class People:
    """The sightings that one batch needs, read once, with its own added."""

    def __init__(self, book: Book, seal: Seal) -> None:
        self._book = book
        self._seal = seal
        self._seen: dict[AppKey, tuple[Sighting, ...]] = {}
        self._loaded: set[bytes] = set()

    def load(self, keys: Iterable[bytes]) -> None:
        """Read what is known of these keys."""
        new = set(keys) - self._loaded
        self._loaded |= new
        for key, app, sealed in self._book.tables.among(Read.SIGHTINGS, new):
            self._seen[app, key] = open_seen(self._seal, sealed, app, key)

    def add(self, sightings: Iterable[Sighting]) -> list[AppKey]:
        """Record sightings; give those of their keys that nobody was known by. Their keys must have been loaded.

        Under a key that somebody is known by nothing waits: it would have been matched when it was filed.
        """
        by_key: dict[AppKey, list[Sighting]] = {}
        for sighting in sightings:
            if sighting.user_id is not None or sighting.device_id is not None:
                by_key.setdefault((sighting.app, sighting.key), []).append(sighting)
        rows, first = [], []
        for (app, key), new in by_key.items():
            before = self._seen.get((app, key), ())
            if not before:
                first.append((app, key))
            after = merged((*before, *new))
            if after != before:
                self._seen[app, key] = after
                rows.append((key, app, after[0].seen_ms, seal_seen(self._seal, after)))
        self._book.tables.write(Write.SIGHTINGS, rows)
        return first

    def match(self, app: str, keys: Iterable[bytes]) -> Match | None:
        """Decide who an event with these keys belongs to."""
        return choose(sighting for key in keys for sighting in self._seen.get((app, key), ()))


def release(book: Book, seal: Seal, people: People, sighted: list[AppKey], now_ms: int) -> list[Matched]:
    """Take out the holds that wait for one of these keys, as pending lines with an identity.

    A hold whose window is over is not released, even if `expire` has not come round to it yet. Where the backend keeps
    spent holds, their rows stay till then: each is on a page of its own, and a release would change them all.
    """
    found = book.tables.among(Read.HOLDS_OF_KEYS, {key for _, key in sighted}, now_ms)
    holds = waiting(book, (hold for (hold,) in found))
    keys = {hold.line: hold.keys for hold in holds}
    people.load(key for of_hold in keys.values() for key in of_hold)
    freed = []
    matched = []
    for hold in holds:
        match = people.match(book.tables.lane_of(hold.lane).app, keys[hold.line])
        if match is None:
            continue
        book.move(hold.line, hold.cell, OutcomeKind.PENDING, reason_of(match), now_ms)
        freed.append(hold)
        matched.append(hold.sent_as(seal_who(seal, match.user_id, match.device_id)))
    if book.tables.keeps_spent:
        book.waits_no_more(hold.counted for hold in freed)
    else:
        remove_holds(book, freed)
    return matched


def reason_of(match: Match) -> str:
    """Name how a hold found its person: `matched`, or `conflict` if other sightings name somebody else."""
    return "conflict" if match.conflict else "matched"
