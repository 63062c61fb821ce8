"""Sightings: which identities were seen with which key, and which holds a sighting releases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from msgspec import structs

from flybridge.errors import FlybridgeError, SealBroken
from flybridge.identity import OF_APPSFLYER, IdKind
from flybridge.identity.matching import Match, choose
from flybridge.records import Filing, Hold, OutcomeKind, Sighting
from flybridge.sealing import Seal
from flybridge.store.core.forgetting import reach
from flybridge.store.core.holding import Matched, WaitingHold, remove_holds, waiting
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.sealed import open_seen, pack_keys, seal_seen, seal_who
from flybridge.store.core.tables import Read, Rows, Write

SIGHTINGS_PER_KEY: Final = 8
"""Identities remembered per key, the newest. More than one means a shared device or a reused id."""

MERGED: Final = IdKind.AMPLITUDE_ID.value
"""The kind of sightings that name no person, but another number that Amplitude has for the same one."""

MOST_FOLLOWED: Final = 20
"""Installations, and devices without one, of merged users. Numbers that lead to more are not followed."""

AppKey = tuple[str, bytes]


def merged(sightings: Iterable[Sighting]) -> tuple[Sighting, ...]:
    """Return the newest sighting of every identity, newest first, at most `SIGHTINGS_PER_KEY` of them.

    The result does not depend on the order in which sightings arrive.
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


def _with(before: tuple[Sighting, ...], new: Sequence[Sighting]) -> tuple[Sighting, ...]:
    """Return `merged` of what was seen before and what is new; `before` itself if nothing is newer.

    Nearly always one identity is all that a key has shown, and then no ranking is needed.
    """
    latest = before[0] if before else new[0]
    if len(before) > 1:
        return merged((*before, *new))
    for one in new:
        if one.user_id != latest.user_id or one.device_id != latest.device_id:
            return merged((*before, *new))
        if one.seen_ms > latest.seen_ms:
            latest = one
    return before if before and latest is before[0] else (latest,)


def _as_of(seen: tuple[Sighting, ...], seen_ms: int) -> tuple[Sighting, ...]:
    """Return sightings with the time of the newest from its row: only that moves while one identity is seen again."""
    newest = seen[0]
    if newest.seen_ms == seen_ms:
        return seen
    newest = Sighting(newest.app, newest.key, newest.kind, seen_ms, newest.user_id, newest.device_id)
    return (newest, *seen[1:])


def _is_only_later(before: tuple[Sighting, ...], after: tuple[Sighting, ...]) -> bool:
    """Whether nothing has changed but the time of the newest sighting."""
    if len(before) != len(after) or before[1:] != after[1:]:
        return False
    old, new = before[0], after[0]
    return old.user_id == new.user_id and old.device_id == new.device_id and old.kind == new.kind


def _fitting(seen: Iterable[Sighting], *, of_appsflyer: bool) -> list[Sighting]:
    """Return the sightings that name a person as AppsFlyer does, or as Amplitude does."""
    return [one for one in seen if one.kind != MERGED and (one.kind in OF_APPSFLYER) == of_appsflyer]


class KnownPeople:
    """The sightings that some events need: read once, and not written."""

    def __init__(self, rows: Rows, seal: Seal) -> None:
        self._rows = rows
        self._seal = seal
        self._seen: dict[AppKey, tuple[Sighting, ...]] = {}
        self._loaded: set[bytes] = set()
        # What is sealed under a former secret is sealed again when it changes.
        self._formerly: set[AppKey] = set()
        self._followed: dict[AppKey, tuple[bytes, ...]] = {}

    def load(self, keys: Iterable[bytes]) -> None:
        """Read the sightings of these keys."""
        new = set(keys) - self._loaded
        self._loaded |= new
        for key, app, seen_ms, sealed in self._rows.among(Read.SIGHTINGS, new):
            # What does not open counts as not seen: the next sighting of this key takes its place.
            with suppress(SealBroken):
                if self._seal.rotates and not self._seal.is_current(sealed):
                    self._formerly.add((app, key))
                self._seen[app, key] = _as_of(open_seen(self._seal, sealed, app, key), seen_ms)

    def load_now(self, keys: Iterable[bytes]) -> bool:
        """Read the sightings of keys that only reading has shown. Return whether all has to be read again."""
        self.load(keys)
        return False

    def match(self, app: str, keys: Sequence[bytes], kinds: Sequence[str]) -> Match | None:
        """Return the identity that an event with these keys, of these kinds, belongs to, if any."""
        seen = [sighting for key in keys for sighting in self._seen.get((app, key), ())]
        if not any(sighting.kind == MERGED for sighting in seen):
            return choose(seen)
        # From here on the keys may be those of an event and of a postback alike.
        of_appsflyer = not OF_APPSFLYER.isdisjoint(kinds)
        match = choose(_fitting(seen, of_appsflyer=of_appsflyer))
        if match is not None:
            return match
        found = [one for key in self.followed(app, keys) for one in self._seen.get((app, key), ())]
        known = _fitting(found, of_appsflyer=of_appsflyer)
        if of_appsflyer:  # what is known of another device of the same user is no more exact than what is of the user
            known = [structs.replace(sighting, kind=IdKind.INSTALLED_BY_USER.value) for sighting in known]
        return choose(known)

    def followed(self, app: str, keys: Sequence[bytes]) -> tuple[bytes, ...]:
        """Return the keys of everyone whom Amplitude's numbers make the same as the owner of these; empty if nobody."""
        found: dict[bytes, None] = {}
        for key in keys:
            if any(sighting.kind == MERGED for sighting in self._seen.get((app, key), ())):
                if (app, key) not in self._followed:
                    self._followed[app, key] = self._reached(key)
                found |= dict.fromkeys(self._followed[app, key])
        return tuple(found)

    def _reached(self, key: bytes) -> tuple[bytes, ...]:
        more = True
        while more:
            try:
                _, keys, _ = reach(self._rows, [key], MOST_FOLLOWED)
            except FlybridgeError:
                return ()
            more = self.load_now(keys)
        self.load(keys)
        return tuple(sorted(keys))


class People(KnownPeople):
    """The sightings that one batch needs, with the batch's own added."""

    def __init__(self, ledger: LedgerWriter, seal: Seal) -> None:
        super().__init__(ledger.tables, seal)
        self._tables = ledger.tables

    def load_now(self, keys: Iterable[bytes]) -> bool:
        """Lock these keys and read their sightings. Return whether some were not locked before.

        Whoever looks for people under keys that no message of the batch has told locks them first: what another
        transaction is filing about them is read once it is committed, and sees what this one has filed.
        """
        new = self._tables.lock_also(keys)
        self._loaded -= new
        self.load(new)
        return bool(new)

    def add(self, sightings: Iterable[Sighting]) -> list[AppKey]:
        """Record sightings, whose keys must have been loaded. Returns those keys under which something may wait.

        Under a key that has shown a person nothing does: it would have been matched when it was filed.
        """
        by_key: dict[AppKey, list[Sighting]] = {}
        for sighting in sightings:
            if sighting.user_id is not None or sighting.device_id is not None:
                by_key.setdefault((sighting.app, sighting.key), []).append(sighting)
        rows, again, first = [], [], []
        for (app, key), new in by_key.items():
            before = self._seen.get((app, key), ())
            if not before or (before[0].kind == MERGED and all(one.kind == MERGED for one in before)):
                first.append((app, key))
            after = _with(before, new)
            if after == before:
                continue
            self._seen[app, key] = after
            if _is_only_later(before, after) and (app, key) not in self._formerly:
                again.append((after[0].seen_ms, key, app))
            else:
                rows.append((key, app, after[0].seen_ms, seal_seen(self._seal, after)))
        self._tables.write(Write.SIGHTINGS, rows)
        self._tables.write(Write.SEEN_AGAIN, again)
        return first


def are_matched(rows: Rows, seal: Seal, filings: Sequence[Filing]) -> list[bool]:
    """Implement `Store.are_matched`."""
    people = KnownPeople(rows, seal)
    people.load(key for filing in filings if isinstance(filing.decision, Hold) for key in filing.decision.keys)
    return [
        isinstance(hold := filing.decision, Hold)
        and people.match(filing.envelope.app, hold.keys, hold.key_kinds) is not None
        for filing in filings
    ]


def release(
    ledger: LedgerWriter, seal: Seal, people: People, sighted: list[AppKey], now_ms: int, *, by: Sequence[Filing]
) -> tuple[list[Matched], set[bytes]]:
    """Make pending the holds that wait for one of these keys and now have an identity. Returns them and their keys.

    `by` are the filings that have shown the keys. A hold whose window was over when the sighting was received is not
    released, even if `expire` has not ended it yet. Where the backend keeps released holds, their rows stay until then:
    each is on a page of its own, and a release would change them all.
    """
    earliest_ms = min((filing.envelope.received_ms for filing in by), default=now_ms)
    found = ledger.tables.among(Read.HOLDS_OF_KEYS, {key for _, key in sighted}, min(earliest_ms, now_ms))
    holds = waiting(ledger, _in_time(found, by, now_ms))
    keys = {hold.row_id: hold.keys for hold in holds}
    people.load(key for of_hold in keys.values() for key in of_hold)
    freed = []
    matched = []
    for hold in holds:
        app = ledger.tables.lane_of(hold.lane).app
        match = people.match(app, keys[hold.row_id], hold.key_kinds.split())
        if match is None:
            _wait_also(ledger, hold, people.followed(app, keys[hold.row_id]))
            continue
        ledger.move(hold.row_id, hold.counter, OutcomeKind.PENDING, reason_of(match), now_ms)
        freed.append(hold)
        matched.append(hold.sent_as(seal_who(seal, match.user_id, match.device_id)))
    if ledger.tables.keeps_released:
        ledger.waits_no_more(hold.counted for hold in freed)
    else:
        remove_holds(ledger, freed)
    return matched, {key for hold in freed for key in keys[hold.row_id]}


def _in_time(found: Sequence[tuple[bytes, int, int]], filings: Sequence[Filing], now_ms: int) -> set[int]:
    """Return the holds whose window was not over when a message of one of their keys was received.

    `found` are keys with their holds, and the ends of the windows of these.
    """
    if all(expires_ms > now_ms for _, _, expires_ms in found):
        return {hold for _, hold, _ in found}
    first: dict[bytes, int] = {}
    for filing in filings:
        # One from the future was received now: a clock is wrong.
        received_ms = min(filing.envelope.received_ms, now_ms)
        for key in (*(sighting.key for sighting in filing.sightings), *filing.numbers):
            first[key] = min(received_ms, first.get(key, received_ms))
    return {hold for key, hold, expires_ms in found if expires_ms > first.get(key, now_ms)}


def _wait_also(ledger: LedgerWriter, hold: WaitingHold, keys: Sequence[bytes]) -> None:
    """Let a hold wait under more keys."""
    before = hold.keys
    if more := [key for key in keys if key not in before]:
        ledger.tables.write(Write.HOLD_KEYS, [(key, hold.row_id) for key in more])
        ledger.tables.write(Write.KEYS_OF_HOLD, [(pack_keys((*before, *more)), hold.row_id)])


def reason_of(match: Match) -> str:
    """Return how a hold found its person: `matched`, or `conflict` if other sightings name another identity."""
    return "conflict" if match.conflict else "matched"
