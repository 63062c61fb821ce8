"""Reports of the store as values: counters, ledger entries and lists. None of them identifies a person."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")


class Count(Struct, frozen=True):
    """A counter: envelopes of one app and day that stand at `outcome` for `reason`, from `source`."""

    app: str
    day: str
    source: str
    outcome: str
    reason: str
    n: int


class LedgerEntry(Struct, frozen=True):
    """One envelope's entry in the ledger. `digest` is `records.digest_of` its bytes."""

    receipt: str
    app: str
    source: str
    outcome: str
    reason: str
    insert_id: str
    received_ms: int
    changed_ms: int
    uncertain: int
    digest: bytes = b""


class Held(Struct, frozen=True):
    """One waiting event, without anything that identifies a person."""

    id: int
    receipt: str
    app: str
    event_type: str
    media_source: str
    key_kinds: tuple[str, ...]
    received_ms: int
    event_ms: int
    expires_ms: int


class HeldCount(Struct, frozen=True):
    """How many events wait, of one app, media source and set of key kinds, received in the hour from `hour_ms`."""

    app: str
    media_source: str
    key_kinds: tuple[str, ...]
    hour_ms: int
    n: int


class CoverageRow(Struct, frozen=True):
    """How many events of one cell carried exactly these kinds of key, and how many of them were installs.

    `day` is the UTC date of reception.
    """

    app: str
    day: str
    platform: str
    app_version: str
    media_source: str
    kinds: tuple[str, ...]
    n: int
    installs: int = 0


class SightedKind(Struct, frozen=True):
    """How many sightings Amplitude has sent of one app with one kind of identifier, and when the last was filed."""

    app: str
    kind: str
    n: int
    last_ms: int


class RestrictedCount(Struct, frozen=True):
    """How many events of one source and UTC day a policy changed, or kept back (`drop`)."""

    app: str
    day: str
    media_source: str
    policy: str
    events: int


class Happened(Struct, frozen=True):
    """What ledger rows of performance are of. `day` is a number of days since 1970 in the app's zone."""

    day: int
    kind: str
    event: str
    media_source: str


class OutcomeCount(Happened, frozen=True):
    """How many ledger rows stand at an outcome. `key_kinds` are those of what is held or has expired by itself."""

    outcome: str
    reason: str
    key_kinds: str
    n: int


class CountedOn(Happened, frozen=True):
    """What performance counts on one day: `n` after corrections of attribution, of `entered` rows of the ledger.

    `deleted` are those of the rows that are past their retention. `revenue` is in millionths of the app's currency,
    without the amounts of `not_converted` events.
    """

    n: int
    entered: int
    deleted: int
    revenue: int = 0
    not_converted: int = 0


class Outcomes(Struct, frozen=True):
    """What is counted on some days, and what became of it: both of one moment."""

    counted: list[CountedOn]
    outcomes: list[OutcomeCount]


class SentEvent(Happened, frozen=True):
    """One event that a vendor took, by its insert_id. `sent_ms` is when that was noted."""

    insert_id: str
    sent_ms: int


class EventOutcome(Happened, frozen=True):
    """What became of one event with an insert_id. `key_kinds` are those of what is held."""

    insert_id: str
    outcome: str
    reason: str
    key_kinds: str


UNEXPLAINED_EVENTS: Final = "unexplained"
"""The kind of day report that names events by their insert_id. All are dropped when a person is forgotten."""


class DayReport(Struct, frozen=True):
    """What was found about one day of an app. `kind` says what the body is, which is JSON."""

    app: str
    kind: str
    day: int
    made_ms: int
    body: bytes

    def read(self, kind: type[T]) -> T | None:
        """Return the body; None if this version can't read it."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except msgspec.DecodeError:
            return None


class Discrepancy(Struct, frozen=True):
    """Two figures that must be equal and are not. `what` is a sentence that names both."""

    app: str
    day: str
    what: str
    expected: int
    found: int
