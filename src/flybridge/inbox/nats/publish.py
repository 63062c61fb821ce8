"""Making envelopes durable on JetStream: grouped, pipelined, and counted in the same step.

Each of a few slots has one group of envelopes in flight; what arrives meanwhile forms the next group, so the busier
it is, the larger the groups. A group is published as one atomic batch: the slot's running tally, and a sealed chunk
for each app and day. Either all of it is stored, or none.

An answer that was lost is asked for by publishing the same batch again. It can't be stored twice: its chunks carry a
`Nats-Msg-Id`, and beyond JetStream's window for these its tally names the sequence number it expects to replace. Where
one of the two is refused, the tally that is stored says whether it came with one of these tries. A slot whose last
batch has an unknown end is never used again, so that its tally, stored or not, agrees with its chunks.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict, deque
from itertools import count
from secrets import token_hex
from time import monotonic
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.errors import InboxUnavailable
from flybridge.inbox.chunk import pack
from flybridge.inbox.nats.link import FULL, NO_LEADER, JetStreamRefusal, Link, chunk_subject
from flybridge.records import Envelope, content_key, day_of
from flybridge.sealing import Seal

SLOTS: Final = 4
CHUNK_ENVELOPES: Final = 512
ENVELOPE_OVERHEAD_BYTES: Final = 128
HEADER_BYTES: Final = 1024
TALLY_ENTRIES: Final = 64
ATTEMPT_S: Final = 1.5
KNOWN: Final = frozenset({10071, 10158, 10201})  # wrong last sequence, message id known: perhaps of an earlier try
OLDEST: Final = "Flybridge-Oldest-Ms"
NO_ANSWER: Final = "no answer"
NO_CONNECTION: Final = "no connection"
REMEDIES: Final = {NO_ANSWER: NO_LEADER, NO_CONNECTION: "Start its servers, or correct cluster.nats."}
OTHERWISE: Final = (
    "Restart flybridge, which sets the stream up anew; if that does not help, see whether the servers' disks are full."
)

Tally = Counter[tuple[str, str]]
Message = tuple[str, bytes, dict[str, str]]


class WaitingEnvelope(Struct, frozen=True):
    """One envelope and who waits for it. `due` is when it is refused, in seconds of the loop's clock."""

    envelope: Envelope
    future: asyncio.Future[None]
    due: float
    cost: int


class PublishSlot:
    """One publisher's place: at most one batch in flight, and the tally of all it has stored."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tally: Tally = Counter()
        self.sequence = 0


class Publisher:
    """Takes envelopes and publishes them. `max_waiting` and `max_waiting_bytes` bound what waits for the servers."""

    def __init__(self, link: Link, seal: Seal, *, max_waiting: int, max_waiting_bytes: int) -> None:
        self._link = link
        self._seal = seal
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._queue: deque[WaitingEnvelope] = deque()
        self._arrived = asyncio.Event()
        self._waiting = 0
        self._waiting_bytes = 0
        self._open = False
        self._trouble = ""
        self._process = token_hex(8)
        self._numbers = count(1)

    def start(self) -> None:
        """Begin to publish, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._room = self._link.client.max_payload - HEADER_BYTES
        self._tasks = [asyncio.create_task(self._publish_forever(), name=f"inbox-slot-{n}") for n in range(SLOTS)]
        self._open = True

    async def close(self) -> None:
        """Publish what was accepted, or refuse it, and stop."""
        self._open = False
        self._arrived.set()
        await asyncio.gather(*self._tasks)

    @property
    def largest_body(self) -> int:
        """Return how many bytes a body may have, so that its chunk is a message the servers take."""
        return self._room - 4 * ENVELOPE_OVERHEAD_BYTES

    def too_large(self, body: int) -> InboxUnavailable:
        """Say that NATS does not take so much in one message."""
        return InboxUnavailable(
            f"A message of {body} bytes is more than NATS at {self._link.hosts} takes ({self.largest_body}). "
            "Raise max_payload of its servers, or lower server.max_body_bytes."
        )

    def accept(self, envelope: Envelope) -> asyncio.Future[None]:
        """Queue one envelope for the next group."""
        future = asyncio.get_running_loop().create_future()
        cost = len(envelope.body) + 3 * len(envelope.app.encode()) + ENVELOPE_OVERHEAD_BYTES
        if refusal := self._refusal(cost):
            future.set_exception(refusal)
            return future
        self._waiting += 1
        self._waiting_bytes += cost
        self._queue.append(WaitingEnvelope(envelope, future, self._loop.time() + self._link.settings.deadline_s, cost))
        self._arrived.set()
        return future

    def _refusal(self, cost: int) -> InboxUnavailable | None:
        if not self._open:
            return InboxUnavailable("The inbox is closed: the server is stopping. Try again later.")
        if cost > self._room:
            return self.too_large(cost)
        if self._trouble and self._waiting >= SLOTS:  # a few go on trying; the others need not wait to hear the same
            return InboxUnavailable(self._trouble)
        if self._waiting >= self._max_waiting or self._waiting_bytes >= self._max_waiting_bytes:
            return InboxUnavailable(f"{self._waiting} envelopes wait for NATS already. Try again later.", 1)
        return None

    async def _publish_forever(self) -> None:
        slot = self._fresh_slot()
        while group := await self._next_group():
            failure: InboxUnavailable | None = None
            try:
                slot = await self._publish(slot, group)
                self._trouble = ""
            except InboxUnavailable as problem:
                failure, slot, self._trouble = problem, self._fresh_slot(), str(problem)
            except Exception as fault:  # whatever it is, those who wait must be told and the next group tried
                failure, slot = InboxUnavailable(f"The inbox failed: {fault!r}."), self._fresh_slot()
            self._answer(group, failure)

    def _fresh_slot(self) -> PublishSlot:
        return PublishSlot(f"{self._process}-{next(self._numbers)}")

    async def _next_group(self) -> list[WaitingEnvelope]:
        while not self._queue:
            if not self._open:
                return []
            self._arrived.clear()
            await self._arrived.wait()
        group, size = [self._queue.popleft()], 0
        size = group[0].cost
        while self._queue and len(group) < CHUNK_ENVELOPES and size + self._queue[0].cost <= self._room:
            group.append(self._queue.popleft())
            size += group[-1].cost
        return group

    async def _publish(self, slot: PublishSlot, group: list[WaitingEnvelope]) -> PublishSlot:
        """Store a group. Returns the slot to go on with. Raises `InboxUnavailable` if it was refused or is unknown."""
        from nats.errors import NoRespondersError  # noqa: PLC0415

        by_day: dict[tuple[str, str], list[Envelope]] = defaultdict(list)
        for entry in group:
            by_day[entry.envelope.app, day_of(entry.envelope.received_ms)].append(entry.envelope)
        chunks = [self._chunk(app, day, envelopes) for (app, day), envelopes in by_day.items()]
        counted = Counter({key: len(envelopes) for key, envelopes in by_day.items()})
        tally = slot.tally + counted
        begun_s = monotonic()
        due, batches, reason = group[0].due, set[str](), NO_ANSWER
        while self._loop.time() < due:
            if not self._link.up:
                reason = NO_CONNECTION
                await asyncio.sleep(0.05)
                continue
            batches.add(batch := token_hex(16))
            try:
                slot.sequence = await self._attempt(batch, [self._tally(slot, tally), *chunks], due) - len(chunks)
            except JetStreamRefusal as refused:
                if refused.code in FULL:
                    raise InboxUnavailable(self._link.sentence(refused)) from None
                sequence, stored_by = await self._stored(slot) if refused.code in KNOWN else (slot.sequence, "")
                if stored_by not in batches:
                    reason = refused.description
                    if sequence != slot.sequence:
                        # Nothing else changes this tally: the stream was deleted, or restored from a backup.
                        slot, tally = self._fresh_slot(), counted
                    else:
                        await asyncio.sleep(0.05)
                    continue
                slot.sequence = sequence
            except TimeoutError as problem:
                self._link.errors.check_permitted(begun_s)
                if isinstance(problem.__cause__, NoRespondersError):
                    await self._link.check_stream()
                reason = NO_ANSWER
                await asyncio.sleep(0.05)
                continue
            slot.tally = tally
            return slot if len(tally) < TALLY_ENTRIES else self._fresh_slot()
        remedy = REMEDIES.get(reason, OTHERWISE)
        raise InboxUnavailable(f"NATS at {self._link.hosts} did not confirm in time: {reason}. {remedy}")

    async def _stored(self, slot: PublishSlot) -> tuple[int, str]:
        """Return where the slot's tally is stored, 0 if it is not, and the batch that it came with.

        That JetStream knows an id already is no proof: it may have been on its way, and got lost, with a leader.
        """
        found = await self._link.message(subject=self._tally_subject(slot))
        if found is None:
            return 0, ""
        return found.seq or 0, (found.headers or {}).get("Nats-Batch-Id", "")

    def _chunk(self, app: str, day: str, envelopes: list[Envelope]) -> Message:
        body = pack(self._seal, envelopes)
        # The hash of content and of the seal's nonce: the same for each try of this reception, and another one for
        # the same content received again, which is to be stored, and counted as a duplicate by the store.
        headers = {
            "Nats-Msg-Id": content_key(body).hex(),
            OLDEST: str(min(envelope.received_ms for envelope in envelopes)),
        }
        return chunk_subject(self._link.settings.stream, app, day, len(envelopes)), body, headers

    def _tally(self, slot: PublishSlot, tally: Tally) -> Message:
        headers = {
            "Nats-Rollup": "sub",
            "Nats-TTL": "never",
            "Nats-Expected-Last-Subject-Sequence": str(slot.sequence),
        }
        body = msgspec.msgpack.encode([(app, day, n) for (app, day), n in tally.items()])
        return self._tally_subject(slot), body, headers

    def _tally_subject(self, slot: PublishSlot) -> str:
        return f"{self._link.settings.stream}.tally.{slot.name}"

    async def _attempt(self, batch: str, messages: list[Message], due: float) -> int:
        """Publish one atomic batch; give the sequence number of its last message.

        Raises `JetStreamRefusal` where nothing was stored by this attempt, and `TimeoutError` where that is not known.
        """
        from nats.errors import Error  # noqa: PLC0415

        client = self._link.client
        try:
            for number, (subject, body, headers) in enumerate(messages, 1):
                marked = {**headers, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
                if number < len(messages):
                    await client.publish(subject, body, headers=marked)
            marked["Nats-Batch-Commit"] = "1"
            timeout_s = max(0.1, min(ATTEMPT_S, due - self._loop.time()))
            reply = await client.request(subject, body, headers=marked, timeout=timeout_s)
        except (Error, OSError) as problem:
            raise TimeoutError from problem
        answer: dict[str, Any] = json.loads(reply.data)
        if error := answer.get("error"):
            raise JetStreamRefusal(error.get("err_code", 0), error.get("description", "no reason given"))
        return int(answer["seq"])

    def _answer(self, group: list[WaitingEnvelope], failure: InboxUnavailable | None) -> None:
        for entry in group:
            self._waiting -= 1
            self._waiting_bytes -= entry.cost
            if entry.future.done():  # its caller went away
                continue
            if failure is None:
                entry.future.set_result(None)
            else:
                entry.future.set_exception(failure)
