"""The inbox for many machines: a NATS JetStream stream, copied to a majority of servers before intake answers.

Envelopes are grouped into sealed chunks (`inbox.nats.publish`), workers share one durable pull consumer
(`inbox.nats.lease`), and a chunk is gone from all servers when it is acknowledged.

What was ever received is counted where it is made durable: each atomic batch replaces its publisher's tally, so no
crash can come between a chunk and its count. What waits is counted by the servers: a chunk's subject says for which
app and day it holds how many envelopes. Neither reads a body, and neither knows of the store.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from flybridge.errors import SealBroken
from flybridge.inbox.chunk import unpack
from flybridge.inbox.nats.lease import Leases
from flybridge.inbox.nats.link import Link, StreamSettings, chunk_of
from flybridge.inbox.nats.publish import OLDEST, Publisher
from flybridge.inbox.protocol import Damaged, Depth, Inbox, Leased, Room
from flybridge.records import Envelope
from flybridge.sealing import Seal

if TYPE_CHECKING:
    from nats.js.api import RawStreamMsg

READS_IN_FLIGHT: Final = 32
CARRIED_ENTRIES: Final = 1000
SETTLE_S: Final = 0.01
SETTLE_TIMES: Final = 50

_tally: Final = msgspec.msgpack.Decoder(list[tuple[str, str, int]]).decode


class JetStreamInbox(Inbox):
    """An inbox in one JetStream stream. `servers` are `nats://` addresses; they may hold a password.

    `max_waiting` and `max_waiting_bytes` bound what waits in memory to be confirmed by the servers. All methods are
    called from the event loop that called `open`, which refuses servers that would not take a body of
    `max_body_bytes`.
    """

    def __init__(
        self,
        servers: Sequence[str],
        seal: Seal,
        settings: StreamSettings | None = None,
        *,
        max_waiting: int = 20_000,
        max_waiting_bytes: int = 128 * 2**20,
        max_body_bytes: int = 0,
    ) -> None:
        self._stream = (settings or StreamSettings()).stream
        self._link = Link(servers, settings or StreamSettings())
        self._publisher = Publisher(self._link, seal, max_waiting=max_waiting, max_waiting_bytes=max_waiting_bytes)
        self._leases = Leases(self._link, seal)
        self._max_body_bytes = max_body_bytes
        self._seal = seal
        self._first: tuple[int, int, dict[int, int]] = (-1, 0, {})
        self._passed = 0  # up to this sequence number no chunk can be opened
        self._open = False

    async def open(self) -> None:
        """Connect, and make or update the stream. Raises `InboxUnavailable` with what to do."""
        await self._link.open()
        self._publisher.start()
        self._leases.start()
        self._open = True
        if self._max_body_bytes > self._publisher.largest_body:
            problem = self._publisher.too_large(self._max_body_bytes)
            await self.close()
            raise problem

    async def close(self) -> None:
        """Publish what was accepted, and close the connection. Leases stay until the servers miss their renewal."""
        if not self._open:
            return
        self._open = False
        await self._publisher.close()
        await self._leases.close()
        await self._link.close()

    def accept(self, envelope: Envelope) -> asyncio.Future[None]:
        """Queue one envelope for the next group.

        The future fails with `InboxUnavailable` if the servers refused it, or did not confirm it in time. In the second
        case it may be there all the same: its sender's repeat is then a duplicate, and counted as one.
        """
        return self._publisher.accept(envelope)

    async def lease(self, limit: int, now_ms: int, lease_ms: int) -> Leased | None:
        return await self._leases.lease(limit, now_ms, lease_ms)

    async def ack(self, leased: Leased) -> None:
        """Forget the chunks; returns when the servers have confirmed it."""
        await self._leases.ack(leased)

    async def reclaim(self) -> None:
        """Do nothing: other workers may be alive. What a dead one had is given again after `ack_wait_s`."""

    async def wait(self, timeout_s: float) -> None:
        """Return when something waits that nobody has leased, whoever accepted it, or after the timeout."""
        await self._leases.wait(timeout_s)

    async def depth(self, now_ms: int) -> Depth:
        """Count what waits.

        What other processes have leased is told by JetStream in chunks, and counted here as chunks of middle size.
        `oldest_ms` is that of the first chunk in the stream.
        """
        chunks = await self._link.subjects("chunk")
        waiting = sum(chunk_of(subject)[2] * times for subject, times in chunks.items())
        if not waiting:
            return Depth(0, 0, 0)
        info = await self._link.consumer()
        own, live, idle = self._leases.held(now_ms)
        others = max(0, (info.num_ack_pending or 0) - live - idle)
        floor = info.ack_floor.stream_seq if info.ack_floor else 0
        leased = own + round(others * waiting / sum(chunks.values()))
        oldest_ms, unreadable = await self._oldest(floor)
        # A chunk that no worker can open is never acknowledged, so sooner or later the first one in the stream is such
        # a chunk: a process that leases nothing knows it, too.
        return Depth(waiting, min(leased, waiting), oldest_ms, sum((self._leases.unreadable() | unreadable).values()))

    async def damaged(self) -> Sequence[Damaged]:
        found, sequence = [], 1
        while message := await self._link.message(seq=sequence, subject=f"{self._stream}.chunk.>", next=True):
            if not self._opens(message):
                name = (message.headers or {}).get("Nats-Msg-Id", f"{message.seq}")
                found.append(Damaged(name, [chunk_of(message.subject or "")], message.seq or 0))
            sequence = (message.seq or sequence) + 1
        return found

    async def drop(self, damaged: Damaged) -> None:
        await self._link.delete(damaged.token)

    async def oldest_ms(self) -> int | None:
        """Read the first chunk in the stream that can be opened. Those of several intakes may differ by seconds."""
        if self._passed:
            last = await self._link.message(seq=self._passed)
            if last is None or self._opens(last):  # it was given up, or the stream was made anew and counts from 1
                self._passed = 0
        subject = f"{self._stream}.chunk.>"
        while message := await self._link.message(seq=self._passed + 1, subject=subject, next=True):
            if self._opens(message):
                return int((message.headers or {}).get(OLDEST, 0))
            self._passed = message.seq or self._passed + 1
        return None

    async def room(self) -> Room:
        return await self._link.room()

    async def received(self) -> Mapping[tuple[str, str], int]:
        turn = asyncio.Semaphore(READS_IN_FLIGHT)

        async def read(subject: str) -> list[tuple[str, str, int]]:
            async with turn:
                message = await self._link.message(subject=subject)
            return _tally(message.data) if message and message.data else []

        counter: Counter[tuple[str, str]] = Counter()
        for entries in await asyncio.gather(*(read(subject) for subject in await self._link.subjects("tally"))):
            for app, day, n in entries:
                counter[app, day] += n
        return counter

    async def carry(self, received: Mapping[tuple[str, str], int]) -> None:
        """Count what another inbox had received, as moved here. Replaces what was carried here before."""
        entries = [(app, day, n) for (app, day), n in sorted(received.items())]
        for number, start in enumerate(range(0, len(entries), CARRIED_ENTRIES), 1):
            body = msgspec.msgpack.encode(entries[start : start + CARRIED_ENTRIES])
            await self._link.put(
                f"{self._stream}.tally.moved-{number}", body, {"Nats-Rollup": "sub", "Nats-TTL": "never"}
            )

    async def waiting(self) -> Mapping[tuple[str, str], int]:
        """Count envelopes not yet acknowledged, by (app, day).

        The stream forgets a chunk a moment after its consumer has; the two are read until they agree, or, while much
        is going on, for half a second.
        """
        for _ in range(SETTLE_TIMES):
            info = await self._link.consumer()
            chunks = await self._link.subjects("chunk")
            if sum(chunks.values()) == (info.num_pending or 0) + (info.num_ack_pending or 0):
                break
            await asyncio.sleep(SETTLE_S)
        counter: Counter[tuple[str, str]] = Counter()
        for subject, times in chunks.items():
            app, day, n = chunk_of(subject)
            counter[app, day] += n * times
        return counter

    async def _oldest(self, floor: int) -> tuple[int, dict[int, int]]:
        """Return the time of the first chunk after `floor`, and that chunk if it can't be opened.

        Up to `floor` all is acknowledged. The chunk is read once for each floor.
        """
        if self._first[0] != floor:
            message = await self._link.message(seq=floor + 1, subject=f"{self._stream}.chunk.>", next=True)
            if message is None or not (oldest_ms := (message.headers or {}).get(OLDEST)):
                return 0, {}
            unreadable = {} if self._opens(message) else {message.seq or 0: chunk_of(message.subject or "")[2]}
            self._first = (floor, int(oldest_ms), unreadable)
        return self._first[1:]

    def _opens(self, message: RawStreamMsg) -> bool:
        """Whether a chunk can be opened."""
        try:
            unpack(self._seal, "", message.data or b"")
        except SealBroken:
            return False
        return True
