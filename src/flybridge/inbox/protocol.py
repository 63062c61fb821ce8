"""The inbox: the durable log in front of everything.

Guarantees every backend keeps, and `tests/contract/test_inbox.py` checks:

1. When `accept` returns, the envelope survives `kill -9` and loss of power.
2. An envelope is leased until its lease is acknowledged or lapses; a lapsed lease is given again, with the
   same receipts, to the next caller. An acknowledged envelope is never given again. A lease that began later than now,
   because the clock was set back, has lapsed.
3. A late acknowledgement by a former owner is harmless.
4. Envelopes are leased roughly in the order in which they were accepted.
5. `received` counts what was accepted, per app and day, in the same transaction that made it durable; it is
   independent of the store's counters, which is what makes comparing the two a check.
6. A chunk that can't be opened (another secret, damaged bytes) is passed over, reported by `lease`, counted by `depth`,
   kept, and tried again when its lease lapses. It delays no other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from flybridge.records import Envelope

CLOCK_STEP_MS: Final = 5_000
"""A lease that began more than this after now was made before the clock was set back."""


class Leased(Struct, frozen=True):
    """Envelopes leased together. `token` belongs to the backend and goes back with `ack`.

    `leases` is how often one of their chunks was leased before without being acknowledged.
    """

    token: Any
    envelopes: Sequence[Envelope]
    leases: int = 0


class Depth(Struct, frozen=True):
    """How many envelopes wait. `waiting` includes the others. `oldest_ms` is 0 when empty.

    `unreadable` are those in chunks that could not be opened when they were leased last. A backend on other machines
    may know only some of them.
    """

    waiting: int
    leased: int
    oldest_ms: int
    unreadable: int = 0


class Damaged(Struct, frozen=True):
    """A chunk that can't be opened. `tally` counts its envelopes by (app, day); `token` belongs to the backend."""

    name: str
    tally: Sequence[tuple[str, str, int]]
    token: Any


class Room(Struct, frozen=True):
    """How many bytes are used, how many may be, and the limit of the disk or servers below that. 0: none is known."""

    used: int
    bound: int
    limit: int


class Inbox(Protocol):
    """A durable log that accepts, leases and acknowledges envelopes."""

    async def open(self) -> None:
        """Open or create the log; recover what a crash left behind."""
        ...

    async def close(self) -> None:
        """Flush what was accepted and close."""
        ...

    def accept(self, envelope: Envelope) -> Awaitable[None]:
        """Make one envelope durable. Raises `errors.InboxUnavailable` and then nothing was promised.

        On one machine nothing was stored then. A log on other machines may have stored it, with only the answer lost:
        it is then received, given and counted as any other, and the sender's repeat is a duplicate.

        Many callers share one flush to disk, so callers should not wait for each other.
        """
        ...

    async def lease(self, limit: int, now_ms: int, lease_ms: int) -> Leased | None:
        """Lease about `limit` envelopes (whole groups, so it may be a few more), None when none wait.

        Raises `errors.SealBroken` for what the lease, or the one before it, passed over because it can't be opened.
        """
        ...

    async def ack(self, leased: Leased) -> None:
        """The store has filed them: forget them."""
        ...

    async def reclaim(self) -> None:
        """Take back every lease at once. Only for who knows that nobody else works: a log with one worker.

        A log shared by many workers lets leases lapse instead, and does nothing here.
        """
        ...

    async def wait(self, timeout_s: float) -> None:
        """Return when something was accepted, or after the timeout; may return early for no reason."""
        ...

    async def damaged(self) -> Sequence[Damaged]:
        """Return the chunks that can't be opened now, by trying all that wait."""
        ...

    async def drop(self, damaged: Damaged) -> None:
        """Forget a chunk that can't be opened, once it is accounted for elsewhere."""
        ...

    async def depth(self, now_ms: int) -> Depth:
        """Count what waits."""
        ...

    async def oldest_ms(self) -> int | None:
        """Return when the oldest envelope was received that is not acknowledged; None if there is none.

        Chunks that could not be opened do not count: they may stay for ever.
        """
        ...

    async def room(self) -> Room:
        """Measure the room for what waits."""
        ...

    async def received(self) -> Mapping[tuple[str, str], int]:
        """Count all accepted envelopes since the beginning, by (app, day)."""
        ...

    async def waiting(self) -> Mapping[tuple[str, str], int]:
        """Count envelopes not yet acknowledged, by (app, day)."""
        ...
