"""Handing out chunks of the stream: pulled one by one or in bulk, kept while they are worked on, acknowledged.

JetStream gives a chunk again when nothing was heard of it for `ack_wait_s`. While a lease holds, its chunks are
renewed several times in that span; so a lease may be long, and the chunks of a worker that died are soon free.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from flybridge.errors import InboxUnavailable, SealBroken
from flybridge.inbox.chunk import UnreadableChunks, unpack
from flybridge.inbox.nats.link import CONSUMER, Link, chunk_of
from flybridge.inbox.protocol import CLOCK_STEP_MS, Leased
from flybridge.records import Envelope
from flybridge.sealing import Seal

if TYPE_CHECKING:
    from nats.aio.msg import Msg

PATIENCE_S: Final = 0.25
"""How long a lease waits for the first chunk: a server of the cluster may be that much behind another one."""
RETURN_S: Final = 2.0
"""How long at most what was just given back takes to be given again."""
WAIT_S: Final = 5.0
FAILED_ROUNDS: Final = 6
"""A chunk that could not be opened is known as such until it has not come for so many times `ack_wait_s`."""
PULL_BYTES: Final = 4 * 2**20
NS: Final = 10**9
ACKS_IN_FLIGHT: Final = 64
DONE: Final = b"+ACK"
GIVE_BACK: Final = b"-NAK"
RENEW: Final = b"+WPI"


class Chunk(Struct, frozen=True):
    """One delivery of one chunk. `from_ms` and `until_ms` are by the caller's clock, `until_s` by the monotonic one."""

    reply: str
    sequence: int
    n: int
    from_ms: int
    until_ms: int
    until_s: float

    def lapsed(self, now_ms: int) -> bool:
        """Whether the lease is over, also if it began before the clock was set back."""
        return self.until_ms <= now_ms or self.from_ms > now_ms + CLOCK_STEP_MS


class Leases:
    """The chunks in this process's hands."""

    def __init__(self, link: Link, seal: Seal) -> None:
        self._link = link
        self._seal = seal
        self._held: dict[int, Chunk] = {}
        self._ready: list[tuple[float, Msg]] = []
        self._unreadable = UnreadableChunks()
        self._failed: dict[int, tuple[int, float]] = {}

    def start(self) -> None:
        """Begin to renew leases, on the running event loop."""
        self._acks = asyncio.Semaphore(ACKS_IN_FLIGHT)
        self._renewing = asyncio.create_task(self._renew_forever(), name="inbox-renew")

    async def close(self) -> None:
        """Stop renewing, and give back what nobody has leased. Leases stay until they lapse."""
        self._renewing.cancel()
        await asyncio.gather(self._renewing, return_exceptions=True)
        for _, message in self._ready:
            await self._tell(message.reply, GIVE_BACK)
        self._ready.clear()

    def held(self, now_ms: int) -> tuple[int, int, int]:
        """Return the envelopes leased here, and the chunks leased here, all and those that have lapsed."""
        live = [chunk for chunk in self._held.values() if not chunk.lapsed(now_ms)]
        return sum(chunk.n for chunk in live), len(live), len(self._held) - len(live) + len(self._ready)

    async def lease(self, limit: int, now_ms: int, lease_ms: int) -> Leased | None:
        """Lease whole chunks until they hold at least `limit` envelopes; None when none wait."""
        self._unreadable.report()
        lapsed = [chunk for chunk in self._held.values() if chunk.lapsed(now_ms)]
        for chunk in lapsed:
            del self._held[chunk.sequence]
            await self._tell(chunk.reply, GIVE_BACK)
        messages = await self._gather(limit, RETURN_S if lapsed else PATIENCE_S)
        until_s = time.monotonic() + lease_ms / 1000
        # What can't be opened comes again when the servers miss it, and before anything else: go on until then.
        again_s = time.monotonic() + self._link.settings.ack_wait_s / 2
        while messages:
            if leased := self._opened(messages, now_ms, now_ms + lease_ms, until_s):
                return leased
            if time.monotonic() > again_s:
                break
            messages = await self._gather(limit, PATIENCE_S)
        self._unreadable.report()
        return None

    async def _gather(self, limit: int, patience_s: float) -> list[Msg]:
        """Pull chunks until they hold at least `limit` envelopes, or none waits."""
        messages = await self._take() or await self._pull(1, patience_s)
        n, largest = sum(map(_size, messages)), max(map(_size, messages), default=1)
        while messages and n < limit:
            # Chunks differ in size, so ask for no more than would fill the lease if all were like the largest.
            more = await self._pull(-(-(limit - n) // largest), None)
            if not more:
                break
            messages += more
            n, largest = n + sum(map(_size, more)), max(largest, *map(_size, more))
        return messages

    async def ack(self, leased: Leased) -> None:
        """Have the servers confirm that the chunks are done.

        Raises `InboxUnavailable` if they don't, which is harmless: the chunks are given again, and the store knows
        their receipts.
        """
        chunks: Sequence[Chunk] = leased.token
        for chunk in chunks:
            self._held.pop(chunk.sequence, None)
        await asyncio.gather(*(self._ack(chunk.reply) for chunk in chunks))

    async def wait(self, timeout_s: float) -> None:
        """Return when a chunk is there, or after the timeout. The chunk is kept for the next lease."""
        due = time.monotonic() + timeout_s
        while not self._ready and (left_s := due - time.monotonic()) > 0:
            came = await self._pull(1, min(left_s, WAIT_S))
            self._ready += [(time.monotonic(), message) for message in came]

    # --- from messages to envelopes

    def _opened(self, messages: list[Msg], now_ms: int, until_ms: int, until_s: float) -> Leased | None:
        chunks: list[Chunk] = []
        envelopes: list[Envelope] = []
        leases = 0
        for message in messages:
            try:
                found = unpack(self._seal, (message.headers or {}).get("Nats-Msg-Id", ""), message.data)
            except SealBroken as problem:
                self._unreadable.add([_named(message)], problem)
                self._failed[message.metadata.sequence.stream] = (_size(message), time.monotonic())
                continue
            leases = max(leases, message.metadata.num_delivered - 1)
            chunk = Chunk(message.reply, message.metadata.sequence.stream, len(found), now_ms, until_ms, until_s)
            self._held[chunk.sequence] = chunk
            chunks.append(chunk)
            envelopes += found
        return Leased(tuple(chunks), envelopes, leases) if chunks else None

    def unreadable(self) -> dict[int, int]:
        """Return chunks that this process could not open lately, as sequence numbers with numbers of envelopes."""
        since_s = time.monotonic() - FAILED_ROUNDS * self._link.settings.ack_wait_s
        self._failed = {sequence: known for sequence, known in self._failed.items() if known[1] > since_s}
        return {sequence: n for sequence, (n, _) in self._failed.items()}

    # --- pulling

    async def _take(self) -> list[Msg]:
        """What `wait` has found, unless it has lain so long that the servers may have given it to another one."""
        ready, self._ready = self._ready, []
        fresh_s = time.monotonic() - self._link.settings.ack_wait_s / 2
        return [message for came_s, message in ready if came_s > fresh_s]

    async def _pull(self, batch: int, expires_s: float | None) -> list[Msg]:
        """Ask for up to `batch` chunks: those that are there, or (with `expires_s`) wait for the first ones."""
        # By hand: `fetch` of nats-py can't bound the bytes of a pull, nor ask for several chunks without waiting;
        # it takes a consumer that is deleted meanwhile for an empty one, and gives nothing back when cancelled.
        if not self._link.up:
            raise InboxUnavailable(f"There is no connection to NATS at {self._link.hosts}.")
        came = await self._link.client.subscribe(self._link.client.new_inbox())
        messages: list[Msg] = []
        owed = batch
        is_there, begun_s = True, time.monotonic()
        try:
            await self._request(came.subject, batch, expires_s)
            async with asyncio.timeout((expires_s or 0) + 2):
                while is_there and len(messages) < owed:
                    message = await came.next_msg(None)
                    if message.reply:
                        messages.append(message)
                    elif is_there := not _gone(message):
                        owed = _owed(message, batch, len(messages))
        except TimeoutError:  # the question or its end was lost with a server: what came is good
            self._link.errors.check_permitted(begun_s)
        except BaseException:
            for message in messages:
                await self._tell(message.reply, GIVE_BACK)
            raise
        finally:
            with suppress(*_away()):
                await came.unsubscribe()
        if not is_there:
            await self._link.consumer()
            await asyncio.sleep(PATIENCE_S)  # it may have no leader yet, and is asked again at once
        return messages

    async def _request(self, inbox: str, batch: int, expires_s: float | None) -> None:
        stream, client = self._link.settings.stream, self._link.client
        how: dict[str, Any] = {"no_wait": True} if expires_s is None else {"expires": int(expires_s * NS)}
        question = {"batch": batch, "max_bytes": max(PULL_BYTES, 2 * client.max_payload), **how}
        await client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{CONSUMER}", json.dumps(question).encode(), reply=inbox
        )

    # --- keeping and ending

    async def _renew_forever(self) -> None:
        """Renew what is leased. A lease that its owner forgot is renewed until its time is over, and not longer."""
        while True:
            await asyncio.sleep(self._link.settings.ack_wait_s / 4)
            now_s = time.monotonic()
            for chunk in list(self._held.values()):
                if chunk.until_s <= now_s:
                    del self._held[chunk.sequence]
                else:
                    await self._tell(chunk.reply, RENEW)

    async def _tell(self, reply: str, word: bytes) -> None:
        with suppress(*_away()):  # the servers find out by themselves, after `ack_wait_s`
            await self._link.client.publish(reply, word)

    async def _ack(self, reply: str) -> None:
        # By hand, because `ack_sync` of nats-py refuses a chunk that was given back or acknowledged already, and a late
        # acknowledgement is to count; and it would hold each chunk's bytes as long as its lease.
        due = time.monotonic() + self._link.settings.deadline_s
        async with self._acks:
            while True:
                try:
                    await self._link.client.request(reply, DONE, timeout=1)
                except _away():
                    self._link.errors.check_permitted(due - self._link.settings.deadline_s)
                    if time.monotonic() > due:
                        raise InboxUnavailable(
                            f"NATS at {self._link.hosts} does not confirm that messages are done. They come again, "
                            "and are recognised."
                        ) from None
                    await asyncio.sleep(0.1)
                else:
                    return


def _gone(status: Msg) -> bool:
    """Whether a status says that there is no consumer: it was deleted, or has no leader at present."""
    headers = status.headers or {}
    return headers.get("Status") == "503" or (
        headers.get("Status") == "409" and "Deleted" in headers.get("Description", "")
    )


def _owed(status: Msg, batch: int, came: int) -> int:
    """Read a status: nothing there, time over, enough bytes, a server going away. Return how many chunks come in all.

    A status may overtake chunks of its pull; where it does, it says how many of the pull will not come.
    """
    headers = status.headers or {}
    if headers.get("Status") == "100":
        return batch
    pending = headers.get("Nats-Pending-Messages")
    return came if pending is None else max(came, batch - int(pending))


def _away() -> tuple[type[Exception], ...]:
    """Return what the client raises when a server, or the way to it, is lost."""
    from nats.errors import Error  # noqa: PLC0415 - part of the extra `cluster`

    return (Error, OSError, TimeoutError)


def _size(message: Msg) -> int:
    """Return the number of envelopes in a chunk, 1 if its name does not say."""
    return max(1, _named(message)[2])


def _named(message: Msg) -> tuple[str, str, int]:
    """Return app, day and number of envelopes of a chunk; its subject and 1 if that does not say."""
    try:
        return chunk_of(message.subject)
    except ValueError:
        return message.subject, "an unknown day", 1
