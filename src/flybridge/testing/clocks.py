"""Clocks for tests and the demo: moved by hand, without waits, and following the sandbox.

All keep the contract of `flybridge.clock.Clock`.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import msgspec

from flybridge.delivery.transport import HttpTransport
from flybridge.errors import FlybridgeError
from flybridge.sandbox.client import SandboxClient
from flybridge.sandbox.clock import milliseconds_forward

REFRESH_S: Final = 0.2


class ManualClock:
    """A clock that stands still until it is moved. A `sleep` ends when the clock has been moved past its end.

    `asleep` is set whenever a `sleep` begins.
    """

    def __init__(self, start_ms: int = 1_767_225_600_000) -> None:
        self.asleep = asyncio.Event()
        self._now_ms = start_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def now_ms(self) -> int:
        """Return the clock's time in milliseconds."""
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved that far."""
        self.asleep.set()
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now_ms + round(seconds * 1000), self._count, waking))
        await waking

    def advance(self, seconds: float) -> None:
        """Move forward and wake the sleepers whose time has come. To be called from their event loop."""
        self._now_ms += milliseconds_forward(seconds)
        while self._sleepers and self._sleepers[0][0] <= self._now_ms:
            waking = heapq.heappop(self._sleepers)[2]
            if not waking.done():
                waking.set_result(None)

    def set_back(self, seconds: float) -> None:
        """Set the time back, as an operator or NTP does with a machine's clock. Sleepers wake when they would have."""
        self._now_ms -= round(seconds * 1000)
        self._sleepers = [(at_ms - round(seconds * 1000), count, waking) for at_ms, count, waking in self._sleepers]


class JumpingClock(ManualClock):
    """A clock that a `sleep` moves forward at once. `slept` holds the seconds; a sleep of `endless_s` never ends."""

    def __init__(self, start_ms: int = 1_767_225_600_000, endless_s: Collection[float] = ()) -> None:
        super().__init__(start_ms)
        self.slept: list[float] = []
        self._endless_s = endless_s

    async def sleep(self, seconds: float) -> None:
        """Move forward by that many seconds."""
        if seconds in self._endless_s:
            await asyncio.Event().wait()
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)


class RemoteClock:
    """The machine's clock with an offset that follows another clock. Never goes back, even if the offset does."""

    def __init__(self) -> None:
        self._offset_ms = 0
        self._last_ms = 0

    def now_ms(self) -> int:
        """Return the followed clock's time in milliseconds, as it was known at the last refresh."""
        self._last_ms = max(self._last_ms, time.time_ns() // 1_000_000 + self._offset_ms)
        return self._last_ms

    async def sleep(self, seconds: float) -> None:
        """Wait that many real seconds: a move forward does not shorten it."""
        await asyncio.sleep(seconds)

    def adjust(self, now_ms: int) -> None:
        """Take over what the followed clock says now."""
        self._offset_ms = now_ms - time.time_ns() // 1_000_000


@asynccontextmanager
async def following(origin: str, refresh_s: float = REFRESH_S) -> AsyncIterator[RemoteClock]:
    """Yield a clock that follows the sandbox at `origin`, by an offset that is fetched every `refresh_s` seconds.

    Raises `FlybridgeError` if the first fetch fails; after that the last known offset stays.
    """
    clock = RemoteClock()
    async with AsyncExitStack() as stack:
        transport = HttpTransport(timeout_s=5.0)
        stack.push_async_callback(transport.close)
        sandbox = SandboxClient(transport, origin.rstrip("/"))
        try:
            clock.adjust(await sandbox.now_ms())
        except (FlybridgeError, msgspec.MsgspecError) as problem:
            where = f"{sandbox.origin}/sandbox/clock"
            raise FlybridgeError(f"{where} does not tell the time: {problem}. Is the sandbox running?") from problem
        task = asyncio.create_task(_follow(clock, sandbox, refresh_s))
        stack.callback(task.cancel)
        yield clock


async def _follow(clock: RemoteClock, sandbox: SandboxClient, refresh_s: float) -> None:
    while True:
        await asyncio.sleep(refresh_s)
        with suppress(FlybridgeError, msgspec.MsgspecError):
            clock.adjust(await sandbox.now_ms())
