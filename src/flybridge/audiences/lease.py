"""The lease of a running audience: short, and renewed while the run goes on.

When a process is killed, its lease lapses after a minute and another process continues. A running process renews three
times a minute, and before each request and each piece of a file. If it loses the lease all the same (the store did not
answer for a minute, the process was suspended, the clock was wrong), it notices at its next step and ends. A request
sent by then may be repeated by the new owner, which is harmless: adding and removing are idempotent at AppsFlyer, and
what a former owner settles changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from flybridge.clock import Clock
from flybridge.errors import FlybridgeError
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.audiences.records import Claim

LEASE_MS: Final = 60_000
"""How long a lease lasts without renewal."""

RENEW_S: Final = LEASE_MS / 3_000
"""How often it is renewed: two renewals may fail before it lapses."""

TAKE_OVER_MS: Final = 600_000
"""How long the lease lasts while a snapshot is applied.

Applying a first snapshot of millions locks the rows of its audience for minutes; a renewal would wait behind that lock.
"""


class LeaseLost(Exception):
    """Another process runs the audience now."""


class AudienceLease:
    """Renews a claim."""

    def __init__(self, store: CohortStore, clock: Clock, claim: Claim) -> None:
        self._store = store
        self._clock = clock
        self._claim = claim
        self._lost = False
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[asyncio.Task[None]]:
        """Renew the claim, by a task, until the block is left; it lapses then, unless it is finished."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield renewing
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    def check(self) -> None:
        """Raise `LeaseLost` if the lease is known to be lost."""
        if self._lost:
            raise LeaseLost

    async def confirm(self) -> None:
        """Renew now. Raises `LeaseLost` if another process has the audience, or `StoreUnavailable`."""
        async with self._one_at_a_time:
            await self._extend(LEASE_MS)

    @asynccontextmanager
    async def taking_over(self) -> AsyncIterator[None]:
        """Extend the lease for as long as applying a snapshot may take; shorten it again on exit."""
        async with self._one_at_a_time:
            await self._extend(TAKE_OVER_MS)
            try:
                yield
            finally:
                with suppress(FlybridgeError, LeaseLost):  # the next step notices
                    await self._extend(LEASE_MS)

    async def _renew(self) -> None:
        while not self._lost:
            await self._clock.sleep(RENEW_S)
            with suppress(FlybridgeError, LeaseLost):  # retried; a lost lease is remembered
                await self.confirm()

    async def _extend(self, lease_ms: int) -> None:
        self.check()
        self._lost = not await self._store.renew(self._claim, self._clock.now_ms(), lease_ms)
        self.check()
