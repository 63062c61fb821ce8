"""The right to run an audience, for as long as it is run: a short lease, renewed while the work goes on.

A process that is killed says nothing any more, and a minute later another one goes on. One that lives renews three
times a minute, whatever it waits for, and before each request and each piece of a file. Whoever loses the lease all
the same (a store that did not answer for a minute, a process that stood still, a clock that is wrong) notices at its
next step at the latest and ends there. A request it has sent by then may be sent again by the other: adding and
removing are idempotent at AppsFlyer, what a former owner settles changes nothing, and audiences converge by what
differs, so a repeat is harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Final, Self

from flybridge.clock import Clock
from flybridge.errors import FlybridgeError
from flybridge.store.audiences.protocol import Claim, CohortStore

LEASE_MS: Final = 60_000
"""So long an audience is one runner's without a word."""

RENEW_S: Final = LEASE_MS / 3_000
"""So often a word is given: two may fail to arrive before the lease lapses."""

TAKE_OVER_MS: Final = 600_000
"""So long it is one runner's while a snapshot is taken over.

A first snapshot of millions holds the rows of its audience for minutes. A renewal would wait behind them, and so would
every other process that tries to claim it.
"""


class Lost(Exception):
    """Somebody else runs the audience now."""


class Tenure:
    """Holds a claim until the block is left."""

    def __init__(self, store: CohortStore, clock: Clock, claim: Claim) -> None:
        self._store = store
        self._clock = clock
        self._claim = claim
        self._lost = False
        self._one_at_a_time = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to renew."""
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Renew no more; the claim lapses unless it is given back."""
        assert self._renewing is not None
        self._renewing.cancel()
        await asyncio.gather(self._renewing, return_exceptions=True)

    def check(self) -> None:
        """Raise `Lost` if it is known that somebody else has the audience."""
        if self._lost:
            raise Lost

    async def confirm(self) -> None:
        """Renew now. Raises `Lost` if somebody else has the audience, `StoreUnavailable` if nobody can say."""
        async with self._one_at_a_time:
            await self._extend(LEASE_MS)

    @asynccontextmanager
    async def taking_over(self) -> AsyncIterator[None]:
        """Hold the audience without a word for as long as taking over a snapshot may last; then as ever."""
        async with self._one_at_a_time:
            await self._extend(TAKE_OVER_MS)
            try:
                yield
            finally:
                with suppress(FlybridgeError, Lost):  # the next step notices
                    await self._extend(LEASE_MS)

    async def _renew(self) -> None:
        while not self._lost:
            await self._clock.sleep(RENEW_S)
            with suppress(FlybridgeError, Lost):  # tried again; what is lost is remembered
                await self.confirm()

    async def _extend(self, lease_ms: int) -> None:
        self.check()
        self._lost = not await self._store.renew(self._claim, self._clock.now_ms(), lease_ms)
        self.check()
