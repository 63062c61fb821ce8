"""The backends of a configuration: inbox, store, transport and data lock, as context managers.

Only the package `service` names concrete backend classes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from flybridge.clock import Clock, SystemClock
from flybridge.config.settings import Config
from flybridge.delivery.exchange import Download, Transport
from flybridge.errors import ConfigError, FlybridgeError, SealBroken
from flybridge.inbox.protocol import Inbox
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.insight.standstill import clear_refused_start, note_refused_start
from flybridge.sealing import Seal
from flybridge.service.data_lock import WorkerId, data_lock, shared_worker
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.protocol import Store
from flybridge.store.server_clock import ServerClock
from flybridge.store.sqlite.store import SqliteCohorts, SqliteStore

if TYPE_CHECKING:
    from flybridge.store.postgres.store import PostgresCohorts, PostgresStore

AUTO_BYTES: Final = 16 * 2**30
"""The bound that a stream without `cluster.max_bytes` gets, if the servers have room for it."""
CONNECTIONS: Final = 2_000
"""More than all lanes together have in flight, so that no lane waits for another lane's connection."""


def open_store(config: Config, *, checks_seal: bool = True) -> Store:
    """Build the store: SQLite, or PostgreSQL with `cluster`. Without `checks_seal` it opens with any secret."""
    seal, cells, keeps = Seal(*config.secrets), config.insight.max_cells, config.retention.message_hours > 0
    if config.cluster is not None:
        build = _postgres()[0]
        return build(config.cluster.postgres.reveal(), seal, cells, checks_seal=checks_seal, keeps_messages=keeps)
    return SqliteStore(config.data_dir / "store.db", seal, cells, checks_seal=checks_seal, keeps_messages=keeps)


def _postgres() -> tuple[type[PostgresStore], type[PostgresCohorts]]:
    try:
        from flybridge.store.postgres.store import PostgresCohorts, PostgresStore  # noqa: PLC0415 - psycopg is an extra
    except ImportError:
        raise ConfigError(
            "cluster.postgres", "the client of PostgreSQL is not installed.", "pip install 'flybridge[cluster]'."
        ) from None
    return PostgresStore, PostgresCohorts


class _Closes(Protocol):
    async def close(self) -> None: ...


class _Opens(_Closes, Protocol):
    async def open(self) -> None: ...


T = TypeVar("T", bound=_Opens)
C = TypeVar("C", bound=_Closes)


@asynccontextmanager
async def _closing(one: C) -> AsyncIterator[C]:
    try:
        yield one
    finally:
        await one.close()


@asynccontextmanager
async def _opened(one: T) -> AsyncIterator[T]:
    await one.open()
    async with _closing(one):
        yield one


def opened_transport(timeout_s: float = 30.0) -> AbstractAsyncContextManager[Transport]:
    """Build the HTTP transport; close it on exit."""
    from flybridge.delivery.transport import HttpTransport  # noqa: PLC0415 - most commands send nothing

    return _closing(HttpTransport(timeout_s=timeout_s, trust_env=True, connections=CONNECTIONS))


def local_transport(most_bytes: int) -> Transport:
    """Build an HTTP transport to servers of this machine, whatever proxy there is, for answers of so many bytes."""
    from flybridge.delivery.transport import HttpTransport  # noqa: PLC0415

    return HttpTransport(max_response_bytes=most_bytes)


def opened_download() -> AbstractAsyncContextManager[Download]:
    """Build what reads large answers in pieces; close it on exit."""
    from flybridge.delivery.transport import HttpDownload  # noqa: PLC0415 - most commands ask for nothing

    return _closing(HttpDownload(trust_env=True))


def opened_inbox(config: Config) -> AbstractAsyncContextManager[Inbox]:
    """Open the inbox, which is SQLite, or NATS with `cluster`; close it on exit."""
    seal, cluster = Seal(*config.secrets), config.cluster
    if cluster is None:
        return _opened(SqliteInbox(config.data_dir / "inbox.db", seal, max_waiting=config.server.max_pending))
    from flybridge.inbox.nats.inbox import JetStreamInbox  # noqa: PLC0415 - of a cluster alone
    from flybridge.inbox.nats.link import StreamSettings  # noqa: PLC0415

    settings = StreamSettings(
        cluster.stream, cluster.replicas, cluster.max_age_hours * 3600, cluster.max_bytes, AUTO_BYTES
    )
    inbox = JetStreamInbox(
        [server.reveal() for server in cluster.nats],
        seal,
        settings,
        max_waiting=config.server.max_pending,
        max_body_bytes=config.server.max_body_bytes,
    )
    return _opened(inbox)


def opened_store(config: Config) -> AbstractAsyncContextManager[Store]:
    """Open the store; close it on exit."""
    return _opened(open_store(config))


@asynccontextmanager
async def checked_store(config: Config, role: str, clock: Clock) -> AsyncIterator[Store]:
    """Open the store for a process with this role. A refused secret is noted there, for the processes that run.

    Raises `SealBroken` if the configured secrets are not those of the store.
    """
    store = open_store(config)
    try:
        await store.open()
    except SealBroken:
        with suppress(FlybridgeError):
            async with _opened(open_store(config, checks_seal=False)) as unchecked:
                await note_refused_start(unchecked, role, clock.now_ms())
        raise
    try:
        await clear_refused_start(store, role)
        yield store
    finally:
        await store.close()


def opened_cohorts(config: Config) -> AbstractAsyncContextManager[CohortStore]:
    """Open the cohort store, in the same database as the store; close it on exit. Safe beside a running server."""
    seal, cluster = Seal(*config.secrets), config.cluster
    if cluster is not None:
        return _opened(_postgres()[1](cluster.postgres.reveal(), seal))
    return _opened(SqliteCohorts(config.data_dir / "store.db", seal))


async def shared_clock(config: Config) -> Clock:
    """Return the clock by which leases end that processes have from each other: in a cluster that of PostgreSQL."""
    clock = ServerClock(SystemClock())
    if config.cluster is not None:
        async with opened_store(config) as store:
            await clock.measure(store)
    return clock


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[tuple[Inbox, Store]]:
    """Open inbox and store; close them on exit. Safe beside a running server."""
    async with opened_inbox(config) as inbox, opened_store(config) as store:
        yield inbox, store


@contextmanager
def worker_id_of(config: Config) -> Iterator[WorkerId]:
    """Yield the id of this worker. An embedded process holds the data lock until exit."""
    if config.cluster is not None:
        yield shared_worker()
        return
    with data_lock(config.data_dir) as worker:
        yield worker
