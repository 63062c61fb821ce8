"""The records that flybridge keeps: envelopes, the decisions on them, and deliveries.

They hold no references to themselves, so the garbage collector is told to ignore them (`gc=False`).

All times are integer milliseconds since the Unix epoch, UTC, and end in `_ms`. A `day` is the UTC date of
an envelope's reception as `YYYY-MM-DD`; accounting is per app and day.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from msgspec import Struct

# Copying a hasher is cheaper than configuring a new one.
_HASHER: Final = blake2b(digest_size=16)
_length: Final = struct.Struct(">I").pack

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
MICRO: Final = 1_000_000
"""Money is counted in millionths of its currency."""


class Word(StrEnum):
    """An enum of words whose text and hash are cheap. `Enum.value` and `Enum.__hash__` are functions in Python."""

    __hash__ = str.__hash__

    word: str

    def __init__(self, word: str) -> None:
        self.word = word


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()


def day_of(time_ms: int) -> str:
    """Return the UTC date of a time in milliseconds, as `YYYY-MM-DD`."""
    return _day(time_ms // DAY_MS)


def clock_time(time_ms: int) -> str:
    """Return a time in milliseconds to the second, for people: `YYYY-MM-DD HH:MM:SS` in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def utc_time(time_ms: int) -> str:
    """Return a time in milliseconds to the second, for programs: `YYYY-MM-DDTHH:MM:SSZ`."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Source(Word):
    """The intake that an envelope came through."""

    PUSH = "push"
    FILE = "file"
    PULL = "pull"
    LOCKER = "locker"
    STREAM = "stream"
    COHORT = "cohort"
    SIGHTINGS = "sightings"


class Media(Word):
    """How an envelope's bytes are to be read."""

    JSON = "json"
    QUERY = "query"
    ROW = "row"  # a row of a file that can't be read, with what is known of it, as JSON


class Envelope(Struct, frozen=True, array_like=True, gc=False):
    """Raw bytes received once.

    `receipt` names this reception: the inbox gives it, it stays the same when the envelope is leased
    again, and the store refuses to file it twice. It is empty until the inbox has stored the envelope.
    `ordinal` is 1, 2, ... for a row of a file or report: which of the rows it is that are the same event to the second.
    `newest` marks the last conversion of its person among imported files.
    """

    app: str
    source: Source
    media: Media
    received_ms: int
    body: bytes
    receipt: str = ""
    ordinal: int = 0
    newest: bool = False


class OutcomeKind(Word):
    """The state of an envelope. Every envelope is in exactly one of these, and they add up to `received`."""

    DUPLICATE = "duplicate"  # the same content was filed before, within the dedup window
    FILTERED = "filtered"  # the configuration leaves it out
    REFUSED = "refused"  # a rule forbids sending it (no usable id, restricted source, consent)
    APPLIED = "applied"  # it changed what flybridge knows (sighting, cohort) and asks for no delivery
    HELD = "held"  # waits for a sighting of its user
    EXPIRED = "expired"  # waited for the whole window
    PENDING = "pending"  # a delivery is due or in flight
    DELIVERED = "delivered"
    DEAD = "dead"  # kept as a dead letter, can be replayed
    FORGOTTEN = "forgotten"  # removed on request of the person


class Deliver(Struct, frozen=True, tag=True, gc=False):
    """Send `body` (one item, JSON, without identity) through `endpoint` of the app.

    An item for Amplitude's HTTP V2 may be several events, one JSON object a line, which go out together and in order.

    `insert_id` is the content hash that the vendor deduplicates by; `user_id` and `device_id` are Amplitude's
    and are put into the item when the request is built, so that a hold and a delivery keep the same bytes.
    Of an item for AppsFlyer, `device_id` is the AppsFlyer id.
    """

    endpoint: str
    insert_id: str
    event_type: str
    body: bytes
    user_id: str | None = None
    device_id: str | None = None


CUSTOM_DATA_WITHOUT_ID: Final = "custom_data_without_id"
"""Stands among the `key_kinds` of a hold whose message has custom data, but no id under the configured keys."""


class Hold(Struct, frozen=True, tag=True, gc=False):
    """Keep `item` until one of `keys` is sighted, or until `expires_ms`.

    `event_ms` orders the release of one person's events; `media_source` and `key_kinds` are shown in lists of holds.
    With a `fallback_user_id` the item is sent under that id when its window is over.
    `unmet`: if no key matches, and the window is over when the hold is filed, the item is filtered for this reason
    instead of expired: it was not meant to wait.
    """

    item: Deliver
    keys: tuple[bytes, ...]
    key_kinds: tuple[str, ...]
    event_ms: int
    expires_ms: int
    media_source: str = ""
    fallback_user_id: str | None = None
    unmet: str = ""


class Filter(Struct, frozen=True, tag=True, gc=False):
    """Left out because the configuration says so."""

    reason: str


class Refuse(Struct, frozen=True, tag=True, gc=False):
    """Not sent because a rule forbids it. `reason` is a code from the docs' list of reasons."""

    reason: str


class Apply(Struct, frozen=True, tag=True, gc=False):
    """Nothing to send: the sightings (or members) of this envelope are its whole effect."""

    reason: str = "sighting"


class Dead(Struct, frozen=True, tag=True, gc=False):
    """Can't be processed. `stage` is `decode`, `map` or `deliver`; `remedy` says what would help."""

    stage: str
    reason: str
    detail: str
    remedy: str


Decision = Deliver | Hold | Filter | Refuse | Apply | Dead


class Sighting(Struct, frozen=True, gc=False):
    """Evidence that an Amplitude user or device owns an identifier. `key` is the identifier's keyed hash."""

    app: str
    key: bytes
    kind: str
    seen_ms: int
    user_id: str | None = None
    device_id: str | None = None


class Restricted(Struct, frozen=True, gc=False):
    """One event of whose source a policy changed what is sent, for the counters of restrictions."""

    policy: str
    media_source: str
    day: str


class Dimensions(NamedTuple):
    """What performance is counted by. None of these identifies a person.

    `kind` is one of `PerformanceKind`; `event` is the name of an in-app event, empty for conversions.
    """

    kind: str
    event: str
    media_source: str
    campaign: str
    adset: str
    ad: str
    country: str
    platform: str


class PerformanceKind:
    """Kinds of what performance counts."""

    INSTALL: Final = "install"
    REINSTALL: Final = "reinstall"
    RE_ENGAGEMENT: Final = "re-engagement"
    RE_ATTRIBUTION: Final = "re-attribution"
    EVENT: Final = "event"
    RETARGETED_EVENT: Final = "retargeted-event"  # attributed to a retargeting campaign
    SECONDARY: Final = "secondary"  # the copy of an event that is not the primary attribution
    BLOCKED: Final = "blocked"  # what AppsFlyer blocked as fraud
    SKADNETWORK: Final = "skadnetwork"  # an install that SKAdNetwork reports, without a person
    UNSEEN: Final = "unseen"  # the cohort of installations whose install was never received


class Performance(Struct, frozen=True, gc=False):
    """What one postback adds to the performance counters. A `day` is a number of days since 1970, in the app's zone.

    `revenue` is in millionths of the app's currency; `not_converted` says that there is an amount in another currency
    without a rate, and `paid` that something was bought, in any currency. `keys` are the matching keys of the
    installation, the current secret's first. `begins` says that this is the conversion that began the installation.
    `origin` is what the installation is counted by: that of the conversion, or as far as an event of an installation
    tells it; None if it does not. `install_s` is when the app was installed, in seconds since 1970 (0: not said), and
    `touch_s` when the ad was touched that it is attributed to.
    """

    dimensions: Dimensions
    day: int
    revenue: int = 0
    not_converted: bool = False
    paid: bool = False
    keys: tuple[bytes, ...] = ()
    begins: bool = False
    origin: Dimensions | None = None
    install_day: int = 0
    install_s: int = 0
    touch_s: int = 0


class Carried(Struct, frozen=True, gc=False):
    """By what one event could be matched, for the coverage counters.

    `kinds` are the kinds of matching key on it (`identity.IdKind` values), and `amplitude_user_id` and
    `amplitude_device_id` where the event named its user itself; sorted, joined by a space. `is_install`: it is one.
    """

    platform: str
    app_version: str
    media_source: str
    kinds: str
    is_install: bool = False


class Person(Struct, frozen=True, gc=False):
    """A person that a message is about: all matching keys, the most stable first, and the time (0: unknown)."""

    keys: tuple[bytes, ...]
    event_ms: int = 0


class Member(Struct, frozen=True, gc=False):
    """One person of a cohort, and what an audience may list them by.

    `persons` are the keyed hashes of who it is, under the current secret first, and `marks` those of the identifier;
    `identifier` is that in the clear, to be sealed. Without `told` the message says nothing about identifiers, and
    the known one stays. `lack` says why there is none (`store.audiences.records.Lack`); `who` is the person's name in
    Amplitude, kept sealed while something is lacking. `extra` is what goes to the additional-identifiers API: hashes,
    as JSON. `anonymous` are the keys by which the person was known before there was a user id.
    """

    persons: tuple[bytes, ...]
    marks: tuple[bytes, ...] = ()
    kind: str = ""
    identifier: str = ""
    told: bool = True
    lack: int = 0
    who: str = ""
    extra: bytes = b""
    anonymous: tuple[bytes, ...] = ()


class MemberChange(Struct, frozen=True, gc=False):
    """What a message says about one member of an audience: in it or not, as computed at `said_ms`.

    `title` is the cohort's name in Amplitude, if the message says it.
    """

    app: str
    audience: str
    said_ms: int
    wanted: bool
    member: Member
    title: str = ""


class Shown(Struct, frozen=True, gc=False):
    """An event that a vendor shows as arrived: its name and time, and in lower case the ids that it is known by."""

    event_type: str
    time_ms: int
    ids: frozenset[str]


class Filing(Struct, frozen=True, gc=False):
    """All that one envelope leads to, filed in one transaction.

    `key` is the content identity: while it is remembered (until `key_until_ms`) a second filing with the same
    key is a duplicate and has no effect but to be counted. None means: never a duplicate.
    With `key_ms` or `ordinal` the key names a second in which the same may have happened several times: `key_ms` is the
    millisecond in it, and where the message reports none `ordinal` is 1, 2, ... among the equal rows of its file.
    `digest` is that of the bytes as they came: who has a message can ask the ledger what became of it.
    `replayed` marks a dead letter processed again: it is not received anew, and its key does not stop it.
    `persons` are those the message is about: by these a person is forgotten, and stays forgotten. `mentions` are the
    matching keys of everything in an unreadable message that may be an identifier.
    `restricted` counts that a policy changed what is sent of its source.
    `performance` is what it adds to the performance counters, whatever the decision.
    `remarks` are codes of what was noticed on the way (`late`, `trimmed`), for the metrics.
    `shown` is an attribution event of the app that Amplitude shows as arrived.
    `members` are the cohort members it names, per audience that follows the cohort.
    `numbers` are the matching keys of Amplitude's own numbers of its users, by which merged users are found.
    `other_key` is the content identity by the other moment that a local time may mean: an hour of it occurs twice when
    clocks are set back. `key` is that of the earlier moment.
    """

    envelope: Envelope
    decision: Decision
    key: bytes | None = None
    key_until_ms: int = 0
    sightings: tuple[Sighting, ...] = ()
    performance: Performance | None = None
    replayed: bool = False
    digest: bytes = b""
    carried: Carried | None = None
    persons: tuple[Person, ...] = ()
    restricted: Restricted | None = None
    remarks: tuple[str, ...] = ()
    members: tuple[MemberChange, ...] = ()
    key_ms: int | None = None
    ordinal: int = 0
    mentions: tuple[bytes, ...] = ()
    shown: Shown | None = None
    numbers: tuple[bytes, ...] = ()
    other_key: bytes | None = None


class Delivery(Struct, frozen=True, gc=False):
    """One leased item on its way out. `tries` counts sends that had an answer or may have been applied.

    `uncertain` counts how often it was in flight when a process died: the vendor may have it already.
    `split` asks to be sent on its own, because a request that held it was too large. `age_ms` is how long ago its
    message had been received when it was leased.
    """

    id: int
    app: str
    endpoint: str
    insert_id: str
    event_type: str
    body: bytes
    user_id: str | None
    device_id: str | None
    tries: int
    uncertain: int
    split: bool
    received_ms: int
    age_ms: int = 0


class DeadLetter(Struct, frozen=True):
    """What could not be processed or delivered, with all that a person needs to decide.

    `body` is the original bytes (stage decode, map) or the item (stage deliver); `version` is flybridge's. `ordinal`
    and `newest` are the envelope's. With `is_sealed` the content can't be opened, and the body is empty.
    """

    id: int
    receipt: str
    app: str
    source: str
    media: str
    stage: str
    reason: str
    detail: str
    remedy: str
    body: bytes
    version: str
    received_ms: int
    died_ms: int
    ordinal: int = 0
    newest: bool = False
    is_sealed: bool = False

    @property
    def envelope(self) -> Envelope:
        """The envelope it came in, if it failed before it was an item."""
        return Envelope(
            self.app,
            Source(self.source),
            Media(self.media),
            self.received_ms,
            self.body,
            self.receipt,
            self.ordinal,
            self.newest,
        )


def digest_of(app: str, body: bytes) -> bytes:
    """Return the digest of a message as it came, 16 bytes."""
    return content_key(app.encode(), body)


def content_key(*parts: bytes) -> bytes:
    """Hash parts to a 16-byte identity. Parts are length-prefixed, so that ("a", "bc") is not ("ab", "c")."""
    hasher = _HASHER.copy()
    for part in parts:
        hasher.update(_length(len(part)))
        hasher.update(part)
    return hasher.digest()
