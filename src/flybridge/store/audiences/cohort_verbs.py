"""The verbs of audiences that are the same for all backends."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from flybridge.errors import SealBroken
from flybridge.records import Member
from flybridge.sealing import Seal
from flybridge.store.audiences.audience import Lease
from flybridge.store.audiences.protocol import Action, Applied, Claim, Device, Run

T = TypeVar("T")
Db = TypeVar("Db")
Db_contra = TypeVar("Db_contra", contravariant=True)


class Snapshot(Protocol):
    """One snapshot being staged. Its methods are called one after the other, from any thread."""

    def load(self, members: Sequence[Member]) -> None:
        """Stage a part of it."""
        ...

    def apply(self, claim: Claim, said_ms: int, max_shrink: float | None, *, dry: bool = False) -> Applied:
        """Compare it with the members and take it over."""
        ...

    def close(self) -> None:
        """Discard it."""
        ...


class Statements(Protocol[Db_contra]):
    """A backend's verbs on a connection, each in the transaction it is called in."""

    def drop(self, db: Db_contra, app: str, name: str, /) -> bool: ...
    def claim(self, db: Db_contra, app: str, name: str, lease: Lease, /) -> Claim | None: ...
    def changes(
        self, db: Db_contra, seal: Seal, claim: Claim, action: Action, /, *, limit: int, after: bytes
    ) -> list[Device]: ...
    def settle(
        self, db: Db_contra, claim: Claim, action: Action, marks: Sequence[bytes], /, *, now_ms: int, refused: bool
    ) -> int: ...
    def empty(self, db: Db_contra, claim: Claim, /) -> None: ...
    def extras(
        self, db: Db_contra, seal: Seal, claim: Claim, /, *, limit: int, after: bytes, now_ms: int
    ) -> list[Device]: ...
    def settle_extras(
        self, db: Db_contra, seal: Seal, claim: Claim, devices: Sequence[Device], now_ms: int, /
    ) -> None: ...
    def extras_due(self, db: Db_contra, claim: Claim, /) -> int: ...
    def keep_import_key(self, db: Db_contra, app: str, name: str, sealed: bytes, /) -> None: ...
    def import_keys(self, db: Db_contra, /) -> list[tuple[str, str, bytes]]: ...
    def finish(self, db: Db_contra, claim: Claim, run: Run, /, *, next_ms: int, tries: int, recorded: bool) -> None: ...


class CohortVerbs(ABC, Generic[Db]):
    """Base class of the audience stores: the verbs of `store.audiences.protocol.CohortStore`."""

    def __init__(self, statements: Statements[Db], seal: Seal) -> None:
        self._statements = statements
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
    async def _write(self, verb: Callable[[Db], T]) -> T:
        """Run `verb` in a transaction that writes."""

    @abstractmethod
    async def _read(self, query: Callable[[Db], T]) -> T:
        """Run `query` in one read transaction."""

    @abstractmethod
    async def _bulk(self, work: Callable[[], T]) -> T:
        """Run long work on a connection of its own."""

    @abstractmethod
    def _snapshot(self, claim: Claim) -> Snapshot:
        """Begin to stage a snapshot."""

    @abstractmethod
    async def unstage(self, claim: Claim) -> None:
        """Implement `CohortStore.unstage`."""

    async def open(self) -> None:
        await self._connect()
        self._open = True

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        for stage in self._stages.values():
            await asyncio.to_thread(stage.close)
        self._stages.clear()
        await self._disconnect()

    async def drop(self, app: str, name: str) -> bool:
        return await self._write(lambda db: self._statements.drop(db, app, name))

    async def claim(
        self, app: str, name: str, owner: str, now_ms: int, lease_ms: int, *, due: bool = False
    ) -> Claim | None:
        lease = Lease(owner, now_ms, lease_ms, due)
        claim = await self._write(lambda db: self._statements.claim(db, app, name, lease))
        if claim is not None:
            await self.unstage(claim)
        return claim

    async def stage(self, claim: Claim, members: Sequence[Member]) -> None:
        def load() -> None:
            if claim.id not in self._stages:
                self._stages[claim.id] = self._snapshot(claim)
            self._stages[claim.id].load(members)

        await self._bulk(load)

    async def apply(self, claim: Claim, said_ms: int, max_shrink: float | None, *, dry: bool = False) -> Applied:
        if claim.id not in self._stages:
            await self.stage(claim, ())
        stage = self._stages[claim.id]
        try:
            return await self._bulk(lambda: stage.apply(claim, said_ms, max_shrink, dry=dry))
        finally:
            await self.unstage(claim)

    async def changes(self, claim: Claim, action: Action, limit: int, after: bytes) -> Sequence[Device]:
        changes = self._statements.changes
        return await self._write(lambda db: changes(db, self._seal, claim, action, limit=limit, after=after))

    async def settle(
        self, claim: Claim, action: Action, marks: Sequence[bytes], now_ms: int, *, refused: bool = False
    ) -> int:
        settle = self._statements.settle
        return await self._write(lambda db: settle(db, claim, action, marks, now_ms=now_ms, refused=refused))

    async def empty(self, claim: Claim) -> None:
        await self._write(lambda db: self._statements.empty(db, claim))

    async def extras(self, claim: Claim, limit: int, after: bytes, now_ms: int) -> Sequence[Device]:
        extras = self._statements.extras
        return await self._read(lambda db: extras(db, self._seal, claim, limit=limit, after=after, now_ms=now_ms))

    async def settle_extras(self, claim: Claim, devices: Sequence[Device], now_ms: int) -> None:
        await self._write(lambda db: self._statements.settle_extras(db, self._seal, claim, devices, now_ms))

    async def extras_due(self, claim: Claim) -> int:
        return await self._read(lambda db: self._statements.extras_due(db, claim))

    async def keep_import_key(self, app: str, name: str, import_key: str) -> None:
        sealed = self._seal.seal(import_key.encode())
        await self._write(lambda db: self._statements.keep_import_key(db, app, name, sealed))

    async def import_keys(self) -> Mapping[tuple[str, str], str]:
        found = {}
        for app, name, sealed in await self._read(self._statements.import_keys):
            with suppress(SealBroken):
                found[app, name] = self._seal.open(sealed).decode()
        return found

    async def finish(self, claim: Claim, run: Run, *, next_ms: int, tries: int, recorded: bool = True) -> None:
        finish = self._statements.finish
        await self._write(lambda db: finish(db, claim, run, next_ms=next_ms, tries=tries, recorded=recorded))
