"""Base class of the audience stores: each verb runs a decision of `store.audiences.audience` in a transaction."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from flybridge.records import DAY_MS, Member
from flybridge.sealing import Seal
from flybridge.store.audiences import audience
from flybridge.store.audiences.protocol import Action, Applied, Claim, Device, LackingMember, Run, Standing, Target
from flybridge.store.core.tables import Changes, Read, Rows, Write

T = TypeVar("T")


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


class CohortVerbs(ABC):
    """The verbs of `store.audiences.protocol.CohortStore`."""

    def __init__(self, seal: Seal) -> None:
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

    async def keep(self, targets: Sequence[Target]) -> None:
        for one in targets:
            await self._write(lambda db: audience.keep(db, one))  # noqa: B023 - awaited here

    async def drop(self, app: str, name: str) -> bool:
        return await self._write(lambda db: audience.drop(db, app, name))

    async def due(self, now_ms: int) -> Sequence[Standing]:
        return await self._read(lambda db: audience.standings(db, Read.DUE_AUDIENCES, now_ms))

    async def standings(self, now_ms: int) -> Sequence[Standing]:
        return await self._read(lambda db: audience.standings(db, Read.STANDINGS, now_ms))

    async def claim(
        self, app: str, name: str, owner: str, now_ms: int, lease_ms: int, *, due: bool = False
    ) -> Claim | None:
        claim = await self._write(
            lambda db: audience.claim(db, app, name, owner, now_ms=now_ms, lease_ms=lease_ms, due=due)
        )
        if claim is not None:
            await self.unstage(claim)
        return claim

    async def renew(self, claim: Claim, now_ms: int, lease_ms: int) -> bool:
        lease = (now_ms + lease_ms, claim.id, claim.owner)
        return await self._write(lambda db: db.count(Write.RENEW, [lease])) > 0

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
        return await self._write(lambda db: audience.changes(db, self._seal, claim, action, limit=limit, after=after))

    async def settle(
        self, claim: Claim, action: Action, marks: Sequence[bytes], now_ms: int, *, refused: bool = False
    ) -> int:
        return await self._write(lambda db: audience.settle(db, claim, action, marks, now_ms=now_ms, refused=refused))

    async def empty(self, claim: Claim) -> None:
        await self._write(lambda db: audience.empty(db, claim))

    async def extras(self, claim: Claim, limit: int, after: bytes, now_ms: int) -> Sequence[Device]:
        return await self._read(
            lambda db: audience.extras(db, self._seal, claim, limit=limit, after=after, now_ms=now_ms)
        )

    async def settle_extras(self, claim: Claim, devices: Sequence[Device], now_ms: int) -> None:
        await self._write(lambda db: audience.settle_extras(db, self._seal, claim, devices, now_ms))

    async def extras_due(self, claim: Claim) -> int:
        return await self._read(lambda db: audience.extras_due(db, claim))

    async def keep_import_key(self, app: str, name: str, import_key: str) -> None:
        sealed = self._seal.seal(import_key.encode())
        await self._write(lambda db: db.write(Write.IMPORT_KEY, [(sealed, app, name)]))

    async def import_keys(self) -> Mapping[tuple[str, str], str]:
        return await self._read(lambda db: audience.import_keys(db, self._seal))

    async def learn(self, claim: Claim, *, max_devices: int = 0, title: str = "") -> None:
        await self._write(lambda db: db.write(Write.LEARN, [(max_devices, title, claim.id)]))

    async def requested(self, claim: Claim, request_id: str, now_ms: int) -> None:
        asked = (request_id, now_ms, claim.id, claim.owner)
        await self._write(lambda db: db.write(Write.REQUESTED, [asked]))

    async def finish(self, claim: Claim, run: Run, *, next_ms: int, tries: int, recorded: bool = True) -> None:
        await self._write(lambda db: audience.finish(db, claim, run, next_ms=next_ms, tries=tries, recorded=recorded))

    async def history(
        self, app: str | None = None, name: str | None = None, limit: int = 100
    ) -> Sequence[tuple[str, str, Run]]:
        return await self._read(lambda db: audience.history(db, app, name, limit))

    async def lacking(self, app: str, name: str, limit: int) -> Sequence[LackingMember]:
        return await self._read(lambda db: audience.lacking(db, self._seal, app, name, limit))

    async def prune(self, now_ms: int) -> int:
        until_ms, gone = now_ms - audience.KEPT_DAYS * DAY_MS, 0
        for (number,) in await self._read(lambda db: db.read(Read.AUDIENCE_IDS)):
            gone += await self._write(lambda db: audience.prune(db, number, until_ms))  # noqa: B023 - awaited here
        return gone

    async def audit(self) -> Sequence[str]:
        return await self._read(audience.audit)
