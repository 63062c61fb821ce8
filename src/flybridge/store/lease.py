"""Leases of what one process does at a time: short, and renewed while the work goes on.

When a process is killed, its lease lapses after a minute and another process continues. A running process renews three
times a minute. If it loses the lease all the same (the store did not answer for a minute, the process was suspended,
the clock was wrong), it notices at its next renewal, and ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from flybridge.clock import Clock
from flybridge.errors import FlybridgeError

T = TypeVar("T")

LEASE_MS: Final = 60_000
"""How long a lease lasts without renewal."""

RENEW_S: Final = LEASE_MS / 3_000
"""How often it is renewed: two renewals may fail before it lapses."""

Extend = Callable[[int], Awaitable[bool]]
"""Takes or renews a lease in the store for so many milliseconds. Returns False if another process has it."""


class LeaseLost(Exception):
    """Another process has the lease now."""


class Lease:
    """Renews what `extend` takes."""

    def __init__(self, extend: Extend, clock: Clock) -> None:
        self._extend_by = extend
        self._clock = clock
        self._lost = False
        self._one_at_a_time = asyncio.Lock()

    async def take(self) -> bool:
        """Take the lease. Returns False while another process has it."""
        return await self._extend_by(LEASE_MS)

    async def give_back(self) -> None:
        """Let another process take it now, and not when it lapses."""
        with suppress(FlybridgeError):  # else it lapses
            await self._extend_by(0)

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[asyncio.Task[None]]:
        """Renew the lease, by a task that ends if it is lost, until the block is left."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield renewing
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work`, and renew the lease meanwhile. Raises `LeaseLost`, and breaks the work off, if it is lost."""
        running = asyncio.create_task(work)
        try:
            async with self.renewed() as renewing:
                await asyncio.wait({running, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise LeaseLost
            return running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def check(self) -> None:
        """Raise `LeaseLost` if the lease is known to be lost."""
        if self._lost:
            raise LeaseLost

    async def confirm(self) -> None:
        """Renew now. Raises `LeaseLost` if another process has the lease, or `StoreUnavailable`."""
        async with self._one_at_a_time:
            await self._extend(LEASE_MS)

    @asynccontextmanager
    async def extended(self, lease_ms: int) -> AsyncIterator[None]:
        """Extend the lease for as long as the block may take, without renewals; shorten it again on exit."""
        async with self._one_at_a_time:
            await self._extend(lease_ms)
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
        self._lost = not await self._extend_by(lease_ms)
        self.check()
