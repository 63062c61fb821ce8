"""A clock that follows the sandbox's, for a flybridge that plays with it: three days pass there, three days pass here.

`now_ms` may be asked any number of times: it adds an offset to the machine's clock, and only the offset is fetched.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import aiohttp
import msgspec

from flybridge.errors import FlybridgeError

REFRESH_S: Final = 0.2


class RemoteClock:
    """The machine's clock with an offset. Never goes back, even if the offset does."""

    def __init__(self) -> None:
        self._offset_ms = 0
        self._last_ms = 0

    def now_ms(self) -> int:
        """Return the followed clock's time in milliseconds, as it was known at the last refresh."""
        self._last_ms = max(self._last_ms, time.time_ns() // 1_000_000 + self._offset_ms)
        return self._last_ms

    async def sleep(self, seconds: float) -> None:
        """Wait that many real seconds: who is moved forward does not sleep less."""
        await asyncio.sleep(seconds)

    def adjust(self, now_ms: int) -> None:
        """Take over what the followed clock says now."""
        self._offset_ms = now_ms - time.time_ns() // 1_000_000


@asynccontextmanager
async def following(origin: str, refresh_s: float = REFRESH_S) -> AsyncIterator[RemoteClock]:
    """Return a clock that follows the sandbox at `origin` for as long as the context lasts.

    Raises `FlybridgeError` when the sandbox does not tell the time at first; later it goes on with what it knows.
    """
    clock = RemoteClock()
    address = origin.rstrip("/") + "/sandbox/clock"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        try:
            await _refresh(clock, session, address)
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError) as problem:
            raise FlybridgeError(f"{address} does not tell the time: {problem}. Is the sandbox running?") from problem
        task = asyncio.create_task(_follow(clock, session, address, refresh_s))
        try:
            yield clock
        finally:
            task.cancel()


async def _follow(clock: RemoteClock, session: aiohttp.ClientSession, address: str, refresh_s: float) -> None:
    while True:
        await asyncio.sleep(refresh_s)
        with suppress(aiohttp.ClientError, TimeoutError, msgspec.MsgspecError):
            await _refresh(clock, session, address)


async def _refresh(clock: RemoteClock, session: aiohttp.ClientSession, address: str) -> None:
    async with session.get(address) as response:
        response.raise_for_status()
        clock.adjust(msgspec.json.decode(await response.read(), type=dict[str, int])["now_ms"])
