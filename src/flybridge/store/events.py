"""Events of the ledger as values, for finding one and telling what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from flybridge.records import DeadLetter
from flybridge.store.figures import Held

MOST_ATTEMPTS: Final = 100
"""So many attempts of one event are kept, the newest: a lane may be probed for days with the same event."""


class EventFilter(Struct, frozen=True, kw_only=True):
    """Which events are looked for; what is empty does not matter. Times are those of reception."""

    app: str = ""
    source: str = ""
    outcome: str = ""
    reason: str = ""
    event: str = ""
    media_source: str = ""
    insert_id: str = ""
    since_ms: int = 0
    until_ms: int = 0


class EventRow(Struct, frozen=True):
    """One event. `kind`, `event`, `media_source`, `campaign` and `country` are empty where nothing is counted of it."""

    id: int
    app: str
    source: str
    outcome: str
    reason: str
    insert_id: str
    received_ms: int
    changed_ms: int
    uncertain: int
    kind: str = ""
    event: str = ""
    media_source: str = ""
    campaign: str = ""
    country: str = ""


class EventPage(Struct, frozen=True):
    """Events, newest first. `read` rows of the ledger were looked through, down to the id `following`.

    `following` is where to go on; 0 where nothing older is left.
    """

    rows: Sequence[EventRow]
    read: int
    following: int


class EventAttempt(Struct, frozen=True):
    """An attempt to deliver that was not accepted.

    `status` 0: there was no answer. `words` is what the vendor said, or why there was no answer; it may be empty.
    """

    endpoint: str
    at_ms: int
    status: int
    reason: str
    words: str
    delivery: int


class EventDelivery(Struct, frozen=True):
    """How an event waits to be sent."""

    endpoint: str
    due_ms: int
    leased: bool
    tries: int
    uncertain: int


class EventItem(Struct, frozen=True):
    """What is kept of an event to be sent: the item, and for whom. `is_sealed`: it can't be opened."""

    body: bytes = b""
    event_type: str = ""
    user_id: str | None = None
    device_id: str | None = None
    is_sealed: bool = False


class EventMessage(Struct, frozen=True):
    """The message that an event came in. `is_sealed`: it can't be opened."""

    media: str = ""
    body: bytes = b""
    is_sealed: bool = False


class EventStory(Struct, frozen=True):
    """All that the store knows of one event. `attempts` are those that were not accepted, oldest first."""

    row: EventRow
    held: Held | None = None
    delivery: EventDelivery | None = None
    dead: DeadLetter | None = None
    item: EventItem | None = None
    message: EventMessage | None = None
    attempts: Sequence[EventAttempt] = ()
