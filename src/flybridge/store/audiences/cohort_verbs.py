"""The verbs of cohorts that are the same for all backends: what a verb is made of is in the backend's own module."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from flybridge.records import Member
from flybridge.sealing import Seal
from flybridge.store.audiences.audience import Lease
from flybridge.store.audiences.protocol import Action, Applied, Claim, Device, Run

T = TypeVar("T")
Db = TypeVar("Db")
Db_contra = TypeVar("Db_contra", contravariant=True)


class Snapshot(Protocol):
    """One snapshot on its way. Its methods are called one after the other, from any thread."""

    def load(self, members: Sequence[Member]) -> None:
        """Put a part of it aside."""
        ...

    def apply(self, claim: Claim, said_ms: int, max_shrink: float | None, *, dry: bool = False) -> Applied:
        """Make it the truth."""
        ...

    def close(self) -> None:
        """Throw everything away."""
        ...


class Statements(Protocol[Db_contra]):
    """What a backend's module does on a connection, each in the transaction it is called in."""

    def drop(self, db: Db_contra, app: str, name: str, /) -> bool:
        """Erase an audience."""
        ...

    def claim(self, db: Db_contra, app: str, name: str, lease: Lease, /) -> Claim | None:
        """Take an audience."""
        ...

    def changes(
        self, db: Db_contra, seal: Seal, claim: Claim, action: Action, /, *, limit: int, after: bytes
    ) -> list[Device]:
        """Return devices to add or remove, which are not known from then on."""
        ...

    def settle(self, db: Db_contra, claim: Claim, action: Action, marks: Sequence[bytes], refused: bool, /) -> int:
        """Record an answer."""
        ...

    def empty(self, db: Db_contra, claim: Claim, /) -> None:
        """Record that no device is known."""
        ...

    def extras(self, db: Db_contra, seal: Seal, claim: Claim, limit: int, after: bytes, /) -> list[Device]:
        """Return devices about which something is to be told."""
        ...

    def settle_extras(self, db: Db_contra, seal: Seal, claim: Claim, devices: Sequence[Device], /) -> None:
        """Erase what has been told."""
        ...

    def finish(self, db: Db_contra, claim: Claim, run: Run, /, *, next_ms: int, tries: int, recorded: bool) -> None:
        """Return a claim."""
        ...


class CohortVerbs(ABC, Generic[Db]):
    """Those verbs of `store.audiences.protocol.CohortStore`, which describes them and their guarantees."""

    def __init__(self, statements: Statements[Db], seal: Seal) -> None:
        self._statements = statements
        self._seal = seal
        self._stages: dict[int, Snapshot] = {}
        self._open = False

    @abstractmethod
    async def _connect(self) -> None:
        """Apply pending migrations, and make what verbs run on."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Finish what runs, and end it."""

    @abstractmethod
    async def _write(self, verb: Callable[[Db], T]) -> T:
        """Run a function in a transaction that writes."""

    @abstractmethod
    async def _read(self, look: Callable[[Db], T]) -> T:
        """Run a function that reads; all it reads is of the same moment."""

    @abstractmethod
    async def _bulk(self, work: Callable[[], T]) -> T:
        """Run what takes long on a connection of its own."""

    @abstractmethod
    def _snapshot(self, claim: Claim) -> Snapshot:
        """Begin to put a snapshot aside."""

    @abstractmethod
    async def unstage(self, claim: Claim) -> None:
        """Throw away what was put aside."""

    async def open(self) -> None:
        """Open, and apply pending migrations. Ten processes may do so at once."""
        await self._connect()
        self._open = True

    async def close(self) -> None:
        """Finish what runs and close; what is staged is thrown away."""
        if not self._open:
            return
        self._open = False
        for stage in self._stages.values():
            await asyncio.to_thread(stage.close)
        self._stages.clear()
        await self._disconnect()

    async def drop(self, app: str, name: str) -> bool:
        """Erase an audience that is not followed any more."""
        return await self._write(lambda db: self._statements.drop(db, app, name))

    async def claim(
        self, app: str, name: str, owner: str, now_ms: int, lease_ms: int, *, due: bool = False
    ) -> Claim | None:
        """Take an audience to run it."""
        lease = Lease(owner, now_ms, lease_ms, due)
        claim = await self._write(lambda db: self._statements.claim(db, app, name, lease))
        if claim is not None:
            await self.unstage(claim)
        return claim

    async def stage(self, claim: Claim, members: Sequence[Member]) -> None:
        """Put a part of a snapshot aside."""

        def load() -> None:
            if claim.id not in self._stages:
                self._stages[claim.id] = self._snapshot(claim)
            self._stages[claim.id].load(members)

        await self._bulk(load)

    async def apply(self, claim: Claim, said_ms: int, max_shrink: float | None, *, dry: bool = False) -> Applied:
        """Make what was put aside the truth as of `said_ms`."""
        if claim.id not in self._stages:
            await self.stage(claim, ())
        stage = self._stages[claim.id]
        try:
            return await self._bulk(lambda: stage.apply(claim, said_ms, max_shrink, dry=dry))
        finally:
            await self.unstage(claim)

    async def changes(self, claim: Claim, action: Action, limit: int, after: bytes) -> Sequence[Device]:
        """Return devices to add or remove; durably before that they are not known."""
        changes = self._statements.changes
        return await self._write(lambda db: changes(db, self._seal, claim, action, limit=limit, after=after))

    async def settle(self, claim: Claim, action: Action, marks: Sequence[bytes], *, refused: bool = False) -> int:
        """Record that AppsFlyer has done as asked, or refuses these devices for good."""
        return await self._write(lambda db: self._statements.settle(db, claim, action, marks, refused))

    async def empty(self, claim: Claim) -> None:
        """Record that all devices are not known."""
        await self._write(lambda db: self._statements.empty(db, claim))

    async def extras(self, claim: Claim, limit: int, after: bytes) -> Sequence[Device]:
        """Return devices about which the additional-identifiers API is to be told something."""
        return await self._read(lambda db: self._statements.extras(db, self._seal, claim, limit, after))

    async def settle_extras(self, claim: Claim, devices: Sequence[Device]) -> None:
        """Erase what the additional-identifiers API knows now."""
        await self._write(lambda db: self._statements.settle_extras(db, self._seal, claim, devices))

    async def finish(self, claim: Claim, run: Run, *, next_ms: int, tries: int, recorded: bool = True) -> None:
        """Return a claim, and write the run down."""
        finish = self._statements.finish
        await self._write(lambda db: finish(db, claim, run, next_ms=next_ms, tries=tries, recorded=recorded))
