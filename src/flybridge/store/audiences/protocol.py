"""The store of audiences: the members Amplitude wants, the devices AppsFlyer has accepted, and the difference.

There is no queue. Members are wanted or not, devices are listed or not, and the work is what differs. Guarantees that
every backend keeps and `tests/contract/test_cohort_store.py` checks:

1. Of the statements about one person the newest counts, in whatever order they arrive and however often: the later
   `said_ms` wins, and of two at the same time the one that takes out. A snapshot speaks about everyone as of its
   `said_ms`, and wins a tie.
2. A snapshot takes effect as a whole or not at all: one that breaks off while it is staged changes nothing.
3. A device is listed or not, or it is *not known*, from before a request is sent until its answer is settled. What is
   not known is sent again: adding and removing are idempotent at AppsFlyer, so a lost answer costs one request.
4. A device that two people share is wanted as long as one of them is.
5. One owner at a time runs an audience. A settlement of a former owner changes nothing.
6. Identifiers are sealed. They are erased when AppsFlyer does not have the device (any more) and no member wants it.
7. Counters move in the transaction of the rows they count; `audit` compares them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from flybridge.records import DAY_MS, Member
from flybridge.sealing import Seal
from flybridge.store.audiences import audience
from flybridge.store.audiences.records import (
    NEVER_MS,
    Action,
    Applied,
    Claim,
    Device,
    LackingMember,
    Run,
    Standing,
    Target,
)
from flybridge.store.audiences.snapshot import Snapshot
from flybridge.store.core.tables import Changes, Read, Rows, Write

T = TypeVar("T")


class CohortStore(ABC):
    """The verbs. Each is one transaction, and raises `StoreUnavailable` when the store refuses.

    All methods are called from the event loop that called `open`. A verb runs a decision of `store.audiences.audience`;
    how a transaction runs is the backend's.
    """

    def __init__(self, place: str | Path, seal: Seal) -> None:
        self._place = place
        self._seal = seal
        self._stages: dict[int, Snapshot] = {}
        self._open = False

    @abstractmethod
    async def _connect(self) -> None:
        """Apply pending migrations and open connections."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Finish what runs and close the connections."""

    @abstractmethod
    async def _write(self, verb: Callable[[Changes], T]) -> T:
        """Run `verb` in a transaction that writes."""

    @abstractmethod
    async def _read(self, query: Callable[[Rows], T]) -> T:
        """Run `query` in one read transaction."""

    @abstractmethod
    async def _bulk(self, work: Callable[[], T]) -> T:
        """Run long work on a connection of its own."""

    @abstractmethod
    def _snapshot(self, claim: Claim) -> Snapshot:
        """Begin to stage a snapshot."""

    async def open(self) -> None:
        """Open the store and apply pending migrations."""
        await self._connect()
        self._open = True

    async def close(self) -> None:
        """Finish what runs and close. What is staged is discarded."""
        if not self._open:
            return
        self._open = False
        for stage in self._stages.values():
            await asyncio.to_thread(stage.close)
        self._stages.clear()
        await self._disconnect()

    async def keep(self, targets: Sequence[Target]) -> None:
        """Register configured audiences. With another import key one is empty at AppsFlyer, and all is to be sent."""
        for one in targets:
            await self._write(lambda db: audience.keep(db, one))  # noqa: B023 - awaited here

    async def drop(self, app: str, name: str) -> bool:
        """Erase an audience that is not followed any more. False if there is none. AppsFlyer's stays as it is."""
        return await self._write(lambda db: audience.drop(db, app, name))

    async def due(self, now_ms: int) -> Sequence[Standing]:
        """Return the audiences whose time has come and that no process runs, longest due first."""
        return await self._read(lambda db: audience.standings(db, Read.DUE_AUDIENCES, now_ms))

    async def standings(self, now_ms: int) -> Sequence[Standing]:
        """Return all audiences."""
        return await self._read(lambda db: audience.standings(db, Read.STANDINGS, now_ms))

    async def claim(
        self, app: str, name: str, owner: str, now_ms: int, lease_ms: int, *, due: bool = False
    ) -> Claim | None:
        """Claim an audience to run it. None if there is none of that name, or another process has it.

        With `due` also None if its time has not come: another process has run it since it was seen to be due.
        """
        claim = await self._write(
            lambda db: audience.claim(db, app, name, owner, now_ms=now_ms, lease_ms=lease_ms, due=due)
        )
        if claim is not None:
            await self.unstage(claim)
        return claim

    async def renew(self, claim: Claim, now_ms: int, lease_ms: int) -> bool:
        """Extend a claim. False if it has lapsed and was taken, or was given back."""
        lease = (now_ms + lease_ms, claim.id, claim.owner)
        return await self._write(lambda db: db.count(Write.RENEW, [lease])) > 0

    async def stage(self, claim: Claim, members: Sequence[Member]) -> None:
        """Stage a part of a snapshot. It has no effect yet."""

        def load() -> None:
            if claim.id not in self._stages:
                self._stages[claim.id] = self._snapshot(claim)
            self._stages[claim.id].load(members)

        await self._bulk(load)

    @abstractmethod
    async def unstage(self, claim: Claim) -> None:
        """Discard what was staged."""

    async def apply(self, claim: Claim, said_ms: int, max_shrink: float | None, *, dry: bool = False) -> Applied:
        """Make what was staged the truth as of `said_ms`, in one transaction. Nothing is staged any more.

        - If more than the share `max_shrink` of the members would leave, nothing is changed but `held`.
        - With `dry` nothing is changed; the result says what would be.

        Raises `StoreUnavailable` if the claim was lost.
        """
        if claim.id not in self._stages:
            await self.stage(claim, ())
        stage = self._stages[claim.id]
        try:
            return await self._bulk(lambda: stage.apply(claim, said_ms, max_shrink, dry=dry))
        finally:
            await self.unstage(claim)

    async def changes(self, claim: Claim, action: Action, limit: int, after: bytes) -> Sequence[Device]:
        """Return devices to add (or remove), in the order of their marks, those after `after`.

        Durably before they are returned they are *not known*: the caller may send them. A device whose identifier can't
        be opened is left out; one to be added counts as refused.
        """
        return await self._write(lambda db: audience.changes(db, self._seal, claim, action, limit=limit, after=after))

    async def settle(
        self, claim: Claim, action: Action, marks: Sequence[bytes], now_ms: int, *, refused: bool = False
    ) -> int:
        """Record that AppsFlyer has done as asked, or refuses these devices for good. Returns how many took effect."""
        return await self._write(lambda db: audience.settle(db, claim, action, marks, now_ms=now_ms, refused=refused))

    async def empty(self, claim: Claim) -> None:
        """Record that all devices of the audience are *not known*: it is about to be overwritten."""
        await self._write(lambda db: audience.empty(db, claim))

    async def extras(self, claim: Claim, limit: int, after: bytes, now_ms: int) -> Sequence[Device]:
        """Return devices about which something is to be sent to the additional-identifiers API.

        They are added `EXTRAS_WAIT_MS` after AppsFlyer took the device for the first time, and taken back at once.
        """
        return await self._read(
            lambda db: audience.extras(db, self._seal, claim, limit=limit, after=after, now_ms=now_ms)
        )

    async def settle_extras(self, claim: Claim, devices: Sequence[Device], now_ms: int) -> None:
        """Record that these were sent, unless they have changed meanwhile.

        What was added is sent once more after `EXTRAS_WAIT_MS`, and then erased; what was taken back is erased.
        """
        await self._write(lambda db: audience.settle_extras(db, self._seal, claim, devices, now_ms))

    async def extras_due(self, claim: Claim) -> int:
        """Return when the next additional identifiers are to be sent, `NEVER_MS` without any."""
        ((due_ms,),) = await self._read(lambda db: db.read(Read.EXTRAS_DUE, claim.id))
        return due_ms or NEVER_MS

    async def keep_import_key(self, app: str, name: str, import_key: str) -> None:
        """Keep the import key of an audience that flybridge has created in AppsFlyer, sealed."""
        sealed = self._seal.seal(import_key.encode())
        await self._write(lambda db: db.write(Write.IMPORT_KEY, [(sealed, app, name)]))

    async def import_keys(self) -> Mapping[tuple[str, str], str]:
        """Return the import keys that are kept, by app and name. One that does not open is left out."""
        rows = await self._read(lambda db: db.read(Read.IMPORT_KEYS))
        opened = {(app, name): self._seal.opened(sealed) for app, name, sealed in rows}
        return {name: key.decode() for name, key in opened.items() if key is not None}

    async def learn(self, claim: Claim, *, max_devices: int = 0, title: str = "") -> None:
        """Remember AppsFlyer's limit of devices in one request, or the cohort's name."""
        await self._write(lambda db: db.write(Write.LEARN, [(max_devices, title, claim.id)]))

    async def requested(self, claim: Claim, request_id: str, now_ms: int) -> None:
        """Remember a download for the next run to go on with; with an empty id, that it is used up."""
        asked = (request_id, now_ms, claim.id, claim.owner)
        await self._write(lambda db: db.write(Write.REQUESTED, [asked]))

    async def finish(self, claim: Claim, run: Run, *, next_ms: int, tries: int, recorded: bool = True) -> None:
        """Return a claim and, if `recorded`, write the run."""
        await self._write(lambda db: audience.finish(db, claim, run, next_ms=next_ms, tries=tries, recorded=recorded))

    async def history(
        self, app: str | None = None, name: str | None = None, limit: int = 100
    ) -> Sequence[tuple[str, str, Run]]:
        """Return runs, newest first: app, name and run."""
        rows = await self._read(lambda db: db.read(Read.RUNS, app, name, limit))
        return [(app, name, audience.unpack(packed)) for app, name, packed in rows]

    async def lacking(self, app: str, name: str, limit: int) -> Sequence[LackingMember]:
        """Return members without an identifier that may be sent."""
        return await self._read(lambda db: list(audience.lacking(db, self._seal, app, name, limit)))

    async def prune(self, now_ms: int) -> int:
        """Delete runs, and members who are out, after 30 days. What was said before that is no news from then on."""
        until_ms, gone = now_ms - audience.KEPT_DAYS * DAY_MS, 0
        for (number,) in await self._read(lambda db: db.read(Read.AUDIENCE_IDS)):
            gone += await self._write(lambda db: audience.prune(db, number, until_ms))  # noqa: B023 - awaited here
        return gone

    async def audit(self) -> Sequence[str]:
        """Compare the counters with the rows they count. Returns a sentence for each that does not agree."""
        return await self._read(audience.audit)
