"""The way to the NATS servers: one connection, the stream and its consumer, and what the servers say, as sentences.

The stream keeps two kinds of messages, and `inbox.nats.inbox` says why:

    <stream>.chunk.<app>.<day>.<n>   n sealed envelopes of one app and day of reception; gone when acknowledged
    <stream>.tally.<slot>            how many envelopes one publisher has stored so far, by app and day; kept
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, unquote

from msgspec import Struct

from flybridge.errors import InboxUnavailable
from flybridge.inbox.nats.client import ServerErrors, new_client
from flybridge.inbox.protocol import Room

if TYPE_CHECKING:
    from nats.js import JetStreamContext
    from nats.js.api import ConsumerInfo, RawStreamMsg, StreamConfig, StreamInfo
    from nats.js.errors import APIError

T = TypeVar("T")

CONSUMER: Final = "work"
FORMAT: Final = 1
"""The format of chunks and tallies, noted in the stream. A stream of a newer format is refused."""
FORMAT_KEY: Final = "flybridge-format"
SMALLEST_BYTES: Final = 256 * 2**20
MAX_LEASED_CHUNKS: Final = 1000
DEDUP_S: Final = 120.0
ASK_S: Final = 2.0

# Codes of nats-server 2.15 (its errors.json, read 2026-11-24).
NO_STREAM: Final = 10059
NO_CONSUMER: Final = 10014
NAME_IN_USE: Final = 10058  # by a stream with other settings
NOT_FOUND: Final = frozenset({10037, 10043, NO_STREAM})  # message, sequence, stream
NO_MESSAGE: Final = "no message found"  # why a message was not deleted: another process has done so meanwhile
TOO_LARGE: Final = 10054  # a message, for the stream's `max_msg_size`
OVER_BOUND: Final = 10077  # of the stream, which the description names
FULL: Final = frozenset({10002, 10023, 10028, 10047, TOO_LARGE, OVER_BOUND, 10122})
TOO_FEW_SERVERS: Final = frozenset({10005, 10074})
NOT_ENABLED: Final = frozenset({10039, 10076})
NOT_READY: Final = frozenset({10008, 10009})  # temporarily unavailable, cluster without a leader


NO_LEADER: Final = (
    "Most of its servers are away, or at their storage limit (max_file_store, or the disk): start them, or raise it."
)


class StreamSettings(Struct, frozen=True):
    """How the stream is made. `max_age_s` and `max_bytes` 0: no bound but the servers' own.

    With `max_bytes` 0 and `auto_bytes` a stream without a bound gets one: 0.8 of `auto_bytes`, or of the largest half,
    quarter, ... of it that the servers have room for.

    `ack_wait_s` is how long the chunks of a worker that died stay leased; one that lives renews its leases.
    A message is refused when the servers have not confirmed it after `deadline_s`.
    """

    stream: str = "flybridge"
    replicas: int = 3
    max_age_s: float = 0.0
    max_bytes: int = 0
    auto_bytes: int = 0
    ack_wait_s: float = 10.0
    deadline_s: float = 8.0


class JetStreamRefusal(Exception):
    """JetStream said no; `code` is its error code."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


def chunk_subject(stream: str, app: str, day: str, n: int) -> str:
    """Name a chunk by what it holds, so that the servers can count what waits without reading it."""
    return f"{stream}.chunk.{quote(app, safe='').replace('.', '%2E')}.{day}.{n}"


def chunk_of(subject: str) -> tuple[str, str, int]:
    """Return app, day and number of envelopes from a chunk's name."""
    app, day, n = subject.split(".")[-3:]
    return unquote(app), day, int(n)


def host_of(server: str) -> str:
    """Return host and port of an address, never a part of its password, however that is written.

    A password may hold characters such as `#`, `/` or `@` that end it for a parser of addresses.
    """
    rest = server.partition("://")[2] if "://" in server else server
    return re.split(r"[/?#]", rest.rpartition("@")[2])[0] or "?"


class Link:
    """One connection to any of the servers. Reconnects by itself, for ever."""

    def __init__(self, servers: Sequence[str], settings: StreamSettings) -> None:
        self.settings = settings
        self._servers = list(servers)
        self.hosts = ", ".join(sorted({host_of(server) for server in servers}))
        """Where the servers are, without user and password."""
        self.errors = ServerErrors(self.hosts)

    async def open(self) -> None:
        """Connect, and make or update stream and consumer. Raises `InboxUnavailable`, with what to do."""
        self.client = new_client()
        connecting = asyncio.create_task(self._connect())
        denied = asyncio.create_task(self.errors.denied.wait())
        try:
            await asyncio.wait(
                {connecting, denied}, timeout=self.settings.deadline_s, return_when=asyncio.FIRST_COMPLETED
            )
            if self.errors.denied.is_set():
                raise InboxUnavailable(
                    f"NATS at {self.hosts} refuses the user or password. Correct the addresses in cluster.nats."
                )
            if not connecting.done() or connecting.exception() is not None:
                raise self.errors.unreachable()
            await self._prepare()
        except BaseException:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            await self.close()
            raise
        finally:
            denied.cancel()

    async def close(self) -> None:
        """Close the connection, sending what is on its way."""
        with suppress(Exception):  # whatever state a failed connection is in, it ends here
            await asyncio.wait_for(self.client.flush(), 1) if self.client.is_connected else None
        with suppress(Exception):
            await self.client.close()

    @property
    def up(self) -> bool:
        """Whether there is a connection at this moment."""
        return self.client.is_connected

    async def consumer(self) -> ConsumerInfo:
        """Return how the consumer stands. One that was deleted is made again: it gives all that waits."""
        try:
            return await self._call(lambda api: api.consumer_info(self.settings.stream, CONSUMER))
        except JetStreamRefusal as refused:
            if refused.code != NO_CONSUMER:
                raise InboxUnavailable(self.sentence(refused)) from None
        return await self._consumer()

    async def check_stream(self) -> None:
        """Raise `InboxUnavailable` if the servers answer that there is no such stream."""
        from nats.errors import Error  # noqa: PLC0415
        from nats.js.errors import APIError  # noqa: PLC0415

        try:
            await self.client.jetstream(timeout=ASK_S).stream_info(self.settings.stream)
        except APIError as error:
            if error.err_code == NO_STREAM:
                raise InboxUnavailable(self.sentence(_refused(error))) from None
        except (Error, OSError, TimeoutError):
            return

    async def message(self, **which: Any) -> RawStreamMsg | None:
        """Read one message from the stream's leader, None if there is none. What it has is agreed upon."""
        return await self._if_there(lambda api: api.get_msg(self.settings.stream, **which))

    async def delete(self, sequence: int) -> None:
        """Delete one message from the stream. One that is gone is no error."""
        await self._if_there(lambda api: api.delete_msg(self.settings.stream, sequence))

    async def subjects(self, kind: str) -> dict[str, int]:
        """Return the subjects of a kind that hold messages, and how many. The stream's leader answers, page by page."""
        found: dict[str, int] = {}
        while True:
            page = await self._ask(partial(self._page, kind, len(found)))
            subjects = page["state"].get("subjects") or {}
            found |= subjects
            if not subjects or len(found) >= page.get("total", 0):
                return found

    async def _page(self, kind: str, offset: int, _: JetStreamContext) -> dict[str, Any]:
        from nats.js.errors import APIError  # noqa: PLC0415

        # By hand, because `stream_info` of nats-py asks for the first page only.
        stream = self.settings.stream
        question = {"subjects_filter": f"{stream}.{kind}.>", "offset": offset}
        reply = await self.client.request(f"$JS.API.STREAM.INFO.{stream}", json.dumps(question).encode(), timeout=ASK_S)
        page: dict[str, Any] = json.loads(reply.data)
        if error := page.get("error"):
            raise APIError.from_error(error)
        return page

    async def put(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Store one message, confirmed. Raises `InboxUnavailable`; then it may be there all the same."""
        from nats.errors import Error  # noqa: PLC0415
        from nats.js.errors import APIError  # noqa: PLC0415

        try:
            await self.client.jetstream().publish(subject, body, timeout=self.settings.deadline_s, headers=headers)
        except APIError as error:
            raise InboxUnavailable(self.sentence(_refused(error))) from None
        except (Error, OSError) as problem:
            raise InboxUnavailable(f"NATS at {self.hosts} did not confirm: {problem}. Try again.") from None

    async def _if_there(self, call: Callable[[JetStreamContext], Awaitable[T]]) -> T | None:
        """Call JetStream's API. Returns None if there is no such message or stream."""
        try:
            return await self._call(call)
        except JetStreamRefusal as refused:
            if refused.code in NOT_FOUND or refused.description == NO_MESSAGE:
                return None
            raise InboxUnavailable(self.sentence(refused)) from None

    async def _ask(self, call: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        try:
            return await self._call(call)
        except JetStreamRefusal as refused:
            raise InboxUnavailable(self.sentence(refused)) from None

    async def _call(self, call: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        """Call JetStream's API, again while no server answers. Raises `JetStreamRefusal`, or `InboxUnavailable`."""
        from nats.errors import Error  # noqa: PLC0415
        from nats.js.errors import APIError  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        begun_s, due = monotonic(), loop.time() + self.settings.deadline_s
        api = self.client.jetstream(timeout=ASK_S)
        while True:
            problem = "JetStream does not answer: its servers are away, or it is not enabled on them."
            try:
                return await call(api)
            except APIError as error:
                refused = _refused(error)
                if refused.code in NOT_ENABLED:
                    raise InboxUnavailable(self.sentence(refused)) from None
                if refused.code in NOT_READY:
                    problem = f"JetStream is not ready: {refused.description}. {NO_LEADER}"
                elif refused.code:  # none: there was nobody to answer
                    raise refused from None
            except (Error, OSError, TimeoutError):
                self.errors.check_permitted(begun_s)
            if loop.time() > due:
                raise InboxUnavailable(f"NATS at {self.hosts}: {problem}")
            await asyncio.sleep(0.1)

    def sentence(self, refused: JetStreamRefusal) -> str:
        """Return what JetStream's refusal means and what to do."""
        stream, replicas = self.settings.stream, self.settings.replicas
        if refused.code == NO_STREAM:
            return (
                f"The stream {stream} does not exist on NATS at {self.hosts}: it was deleted with all that waited in "
                "it, or these are other servers. `flybridge migrate` makes it again."
            )
        if refused.code == TOO_LARGE:
            return f"A message is larger than max_msg_size of the stream {stream} allows. Raise it."
        if refused.code == OVER_BOUND and "messages" in refused.description:
            return (
                f"The stream {stream} is full: {refused.description}. Start workers, or take the limit max_msgs off "
                "the stream, which was set there by hand."
            )
        if refused.code in NOT_ENABLED:
            return f"JetStream is not enabled on NATS at {self.hosts}. Give its servers a `jetstream` section."
        if refused.code in TOO_FEW_SERVERS:
            return (
                f"NATS at {self.hosts} has too few servers for {replicas} copies: {refused.description}. "
                "Start more, or lower cluster.replicas."
            )
        if refused.code in FULL:
            return (
                f"The stream {stream} is full: {refused.description}. Start workers, or raise cluster.max_bytes or "
                "the servers' own limit."
            )
        return f"JetStream refuses: {refused.description} (code {refused.code})."

    async def _connect(self) -> None:
        await self.client.connect(
            servers=self._servers,
            name="flybridge",
            connect_timeout=2,
            reconnect_time_wait=0.2,  # type: ignore[arg-type] # seconds, and a fraction works
            max_reconnect_attempts=-1,
            ping_interval=5,
            max_outstanding_pings=2,
            pending_size=16 * 2**20,
            error_cb=self.errors.hear,
        )

    async def _prepare(self) -> None:
        await self._ask(lambda api: api.account_info())
        await self._stream()
        await self._consumer()

    async def _consumer(self) -> ConsumerInfo:
        return await self._ask(
            lambda api: api.add_consumer(
                self.settings.stream,
                name=CONSUMER,
                durable_name=CONSUMER,
                filter_subject=f"{self.settings.stream}.chunk.>",
                ack_wait=self.settings.ack_wait_s,
                max_deliver=-1,
                max_ack_pending=MAX_LEASED_CHUNKS,
            )
        )

    async def _stream(self) -> None:
        """Make the stream; of one that is there, change what can be changed and refuse what can't."""
        name = self.settings.stream
        while True:
            info = await self._if_there(lambda api: api.stream_info(name))
            try:
                made = await (self._changed(info) if info else self._new())
                break
            except JetStreamRefusal as refused:
                # Of processes that start at once, one makes the stream, with a bound by the room that it found. The
                # others find less room, and are refused.
                if info or refused.code != NAME_IN_USE:
                    raise InboxUnavailable(self.sentence(refused)) from None
                await asyncio.sleep(0.1)
        if not made.allow_atomic:
            raise InboxUnavailable(f"NATS at {self.hosts} is too old: the inbox needs nats-server 2.12 or newer.")

    async def _new(self) -> StreamConfig:
        wanted = self._wanted()
        return await self._made(lambda api, **bound: api.add_stream(**(wanted | bound)), self._candidate())

    async def _changed(self, info: StreamInfo) -> StreamConfig:
        name, wanted, auto = self.settings.stream, self._wanted(), self._candidate()
        found = info.config
        written = int((found.metadata or {}).get(FORMAT_KEY, "1"))
        if written > FORMAT:
            raise InboxUnavailable(
                f"The stream {name} was written by a newer flybridge (format {written}, this is {FORMAT}). "
                "Install that version again."
            )
        if found.sealed:
            raise InboxUnavailable(
                f"The stream {name} is sealed, and takes and gives nothing, which can't be changed. Choose another "
                "name in cluster.stream, or delete that stream."
            )
        for key in ("retention", "storage"):
            if getattr(found, key) != wanted[key]:
                raise InboxUnavailable(
                    f"There is a stream {name} whose {key} is {getattr(found, key)}, and it has to be "
                    f"{wanted[key]}, which can't be changed. Choose another name in cluster.stream, or delete that "
                    "stream."
                )
        # Servers add metadata of their own.
        wanted["metadata"] = {**(found.metadata or {}), **wanted["metadata"]}
        if auto and (found.max_bytes or 0) > 0:
            wanted["max_bytes"], auto = found.max_bytes, 0
        if not auto and all(getattr(found, key) == value for key, value in wanted.items()):
            return found
        return await self._made(
            lambda api, **bound: api.update_stream(found, **(wanted | bound)), auto, info.state.bytes
        )

    def _candidate(self) -> int:
        """Return the room from which the bound of the stream is found. 0 if the settings state it."""
        return 0 if self.settings.max_bytes else self.settings.auto_bytes

    async def _made(self, make: Callable[..., Awaitable[StreamInfo]], candidate: int, used: int = 0) -> StreamConfig:
        """Create or update the stream. With a `candidate` it gets a bound that the servers have room for.

        Raises `JetStreamRefusal`.
        """
        while candidate >= max(SMALLEST_BYTES, 2 * used):
            bound = candidate * 4 // 5
            try:
                return (await self._call(partial(make, max_bytes=bound))).config
            except JetStreamRefusal as refused:
                if refused.code not in FULL | TOO_FEW_SERVERS:
                    raise
            candidate //= 2
        return (await self._call(make)).config

    async def room(self) -> Room:
        """Return how full the stream is, its bound, and the limit of its account, which counts every copy."""
        info = await self._ask(lambda api: api.stream_info(self.settings.stream))
        account = await self._ask(lambda api: api.account_info())
        limit = max(0, account.limits.max_storage or 0)
        copies = info.config.num_replicas or 1
        return Room(info.state.bytes, max(0, info.config.max_bytes or 0), limit // copies)

    def _wanted(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "name": settings.stream,
            "subjects": [f"{settings.stream}.chunk.>", f"{settings.stream}.tally.>"],
            "retention": "workqueue",
            "storage": "file",
            "discard": "new",
            "num_replicas": settings.replicas,
            "max_age": settings.max_age_s,
            "max_bytes": settings.max_bytes or -1,
            "max_msgs_per_subject": -1,  # it would drop the older of two chunks of equal size, whatever `discard` says
            "no_ack": False,
            "duplicate_window": min(DEDUP_S, settings.max_age_s) if settings.max_age_s else DEDUP_S,
            "allow_atomic": True,
            "allow_rollup_hdrs": True,
            "allow_msg_ttl": True,
            "metadata": {FORMAT_KEY: str(FORMAT)},
        }


def _refused(error: APIError) -> JetStreamRefusal:
    return JetStreamRefusal(error.err_code or 0, error.description or "no reason given")
