"""What the verbs of the store take and return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct

from flybridge.records import HOUR_MS, Delivery, Word

LONGEST_LEASE_MS: Final = HOUR_MS
"""No worker leases for longer."""


class Lane(Struct, frozen=True, order=True):
    """The deliveries of one app through one endpoint: they share credentials, limits and a circuit."""

    app: str
    endpoint: str


class Capacity(Struct, frozen=True):
    """Capacity for more at a worker: how many deliveries of a lane it sends at once, and until when it leases them.

    `begins`: it records of each that it is about to be sent.
    """

    lane: Lane
    n: int
    owner: str
    until_ms: int
    begins: bool = False


NONE_RELATED: Final[Mapping[bytes, int]] = {}


class WaitedForInstallation(NamedTuple):
    """When an event for AppsFlyer happened, was received, and found its installation after it had waited."""

    app: str
    event_ms: int
    received_ms: int
    found_ms: int


class Filed(Struct, frozen=True):
    """The result of `file`: envelopes by outcome (`records.OutcomeKind`), and holds that found their person.

    `leased` are the deliveries that there was room for, in the order in which they were filed. `related` are keys that
    turned out to be of forgotten people, and since when these are. `waited` are the events for AppsFlyer among those
    that had waited.
    """

    outcomes: Mapping[str, int]
    matched: int = 0
    repeated: int = 0  # receipts that were known already: filed before a crash, not filed again
    leased: Sequence[Delivery] = ()
    related: Mapping[bytes, int] = NONE_RELATED
    waited: Sequence[WaitedForInstallation] = ()


class AttemptRecord(Struct, frozen=True, gc=False):
    """An attempt to deliver that was not accepted. `status` 0: there was no answer. `words` is what the vendor said."""

    at_ms: int
    status: int
    reason: str
    words: str = ""


class DeliveryState(Word):
    """What becomes of a delivery after an answer."""

    DELIVERED = "delivered"
    DUE = "due"  # again, at a time
    DEAD = "dead"  # a dead letter, with stage `deliver`
    PARKED = "parked"  # waits for an operator's decision; counted as dead with reason `uncertain`


class Settlement(Struct, frozen=True, gc=False):
    """The result of one leased delivery. `attempts` are those that were not accepted."""

    id: int
    state: DeliveryState
    due_ms: int = 0
    tries: int = 0
    split: bool = False
    reason: str = ""
    detail: str = ""
    remedy: str = ""
    uncertain: int = 0  # added to the delivery's own count
    attempts: tuple[AttemptRecord, ...] = ()


class Settled(Struct, frozen=True):
    """How many settlements took effect, and how many were of a former owner and did not."""

    settled: int
    stale: int = 0


class Rescued(Struct, frozen=True):
    """The result of `rescue`: leases that lapsed before sending (returned) and in flight (uncertain or parked)."""

    returned: int = 0
    uncertain: int = 0
    parked: int = 0


class Released(Struct, frozen=True):
    """The result of `release`, as ids of holds.

    `nameless` still wait, because they have no user or device to be delivered to; `gone` do not wait (any more).
    """

    released: Sequence[int] = ()
    nameless: Sequence[int] = ()
    gone: Sequence[int] = ()


class Queued(Struct, frozen=True):
    """A delivery that waits in a lane. `id` is that of its ledger row, and of the dead letter it may become."""

    id: int
    event_type: str
    due_ms: int
    leased: bool
    tries: int
    uncertain: int
    received_ms: int


class UncertainCount(Struct, frozen=True):
    """Messages of one outcome that a vendor may have got more than once: `n` of them, by `times` sends."""

    app: str
    outcome: str
    n: int
    times: int


class LaneDepth(Struct, frozen=True):
    """The deliveries of a lane: `due` now, `later` (waiting for a retry), `leased`; `oldest_ms` is of what is due."""

    lane: Lane
    due: int
    later: int
    leased: int
    oldest_ms: int

    @property
    def waiting(self) -> int:
        """How many there are in all."""
        return self.due + self.later + self.leased


class Retention(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long data is kept."""

    ledger_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    """Days that the row of a settled message stays in the ledger. Counters are not pruned."""
    dead_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    """Days that a dead letter can be inspected and replayed. Then its content is erased."""
    dedup_days: Annotated[int, Meta(ge=1, le=365)] = 7
    """Days within which a repeated in-app event is recognised. Amplitude itself recognises repeats for seven days.
    Conversions are recognised for 90."""
    history_days: Annotated[int, Meta(ge=7, le=3650)] = 400
    """Days within which an event is recognised that was read from files, the Pull API or Data Locker, however it comes
    again. Amplitude forgets after seven days, and nothing can be deleted there."""
    installation_days: Annotated[int, Meta(ge=91, le=3650)] = 400
    """Days after its install that an installation is remembered, by a hash of its AppsFlyer id. Its cohort is
    complete after 90; until it is forgotten, an install that comes again in a file is not counted twice."""
    message_hours: Annotated[float, Meta(ge=0, le=720)] = 0.0
    """Hours that a message is kept as AppsFlyer or Amplitude sent it, encrypted, also after it is delivered: the page
    of an event then shows it mapped field by field, to the role `operate`. Of rows read from files and reports, and of
    messages about several people or none, nothing is kept. 0: content is erased as soon as it is not needed."""
