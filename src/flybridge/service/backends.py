"""The backends of a configuration: which inbox, store, transport and data lock it means; each opened and closed.

Only this module and `service` name concrete classes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Final, Protocol, TypeVar

from flybridge.config.settings import Config
from flybridge.delivery.exchange import Transport
from flybridge.delivery.transport import HttpTransport
from flybridge.errors import ConfigError
from flybridge.inbox.nats.inbox import JetStreamInbox
from flybridge.inbox.nats.link import StreamSettings
from flybridge.inbox.protocol import Inbox
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.sealing import Seal
from flybridge.service.data_lock import Owner, claimed, one_of_many
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.protocol import Store
from flybridge.store.sqlite.cohorts import SqliteCohorts
from flybridge.store.sqlite.store import SqliteStore

CONNECTIONS: Final = 2_000
"""More than all lanes have in flight: what waits for a connection would wait behind another lane's."""


def open_inbox(config: Config) -> Inbox:
    """Choose the inbox."""
    seal, cluster = Seal(*config.secrets), config.cluster
    if cluster is None:
        return SqliteInbox(config.data_dir / "inbox.db", seal, max_waiting=config.server.max_pending)
    settings = StreamSettings(cluster.stream, cluster.replicas, cluster.max_age_hours * 3600, cluster.max_bytes)
    return JetStreamInbox(
        [server.reveal() for server in cluster.nats],
        seal,
        settings,
        max_waiting=config.server.max_pending,
        max_body_bytes=config.server.max_body_bytes,
    )


def open_store(config: Config) -> Store:
    """Choose the store."""
    if config.cluster is not None:
        return _postgres()[0](config.cluster.postgres.reveal(), Seal(*config.secrets))
    return SqliteStore(config.data_dir / "store.db", Seal(*config.secrets))


def _postgres() -> tuple[Callable[[str, Seal], Store], Callable[[str, Seal], CohortStore]]:
    try:
        from flybridge.store.postgres.cohorts import PostgresCohorts  # noqa: PLC0415
        from flybridge.store.postgres.store import PostgresStore  # noqa: PLC0415 - psycopg is an extra
    except ImportError:
        raise ConfigError(
            "cluster.postgres", "the client of PostgreSQL is not installed.", "pip install 'flybridge[cluster]'."
        ) from None
    return PostgresStore, PostgresCohorts


def open_transport(timeout_s: float = 30.0) -> Transport:
    """Choose the door outward."""
    return HttpTransport(timeout_s=timeout_s, trust_env=True, connections=CONNECTIONS)


def open_cohorts(config: Config) -> CohortStore:
    """Choose the store of cohorts: the same as that of everything else."""
    if config.cluster is not None:
        return _postgres()[1](config.cluster.postgres.reveal(), Seal(*config.secrets))
    return SqliteCohorts(config.data_dir / "store.db", Seal(*config.secrets))


class _Opens(Protocol):
    async def open(self) -> None: ...
    async def close(self) -> None: ...


T = TypeVar("T", bound=_Opens)


@asynccontextmanager
async def _opened(one: T) -> AsyncIterator[T]:
    await one.open()
    try:
        yield one
    finally:
        await one.close()


def opened_inbox(config: Config) -> AbstractAsyncContextManager[Inbox]:
    """Open the inbox, and close it whatever happens."""
    return _opened(open_inbox(config))


def opened_store(config: Config) -> AbstractAsyncContextManager[Store]:
    """Open the store, and close it whatever happens."""
    return _opened(open_store(config))


def opened_cohorts(config: Config) -> AbstractAsyncContextManager[CohortStore]:
    """Open the store of cohorts, and close it whatever happens. May be used beside a running server."""
    return _opened(open_cohorts(config))


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[tuple[Inbox, Store]]:
    """Open inbox and store, and close them whatever happens. May be used beside a running server."""
    async with opened_inbox(config) as inbox, opened_store(config) as store:
        yield inbox, store


@contextmanager
def owner_of(config: Config) -> Iterator[Owner]:
    """Say in whose name this process works: alone on its directory, or as one of many on shared servers."""
    if config.cluster is not None:
        yield one_of_many()
        return
    with claimed(config.data_dir) as owner:
        yield owner
