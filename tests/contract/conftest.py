"""Backends under contract. A further one is a parameter and a branch in `open_inbox`, for a store in `new_place`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from secrets import token_hex

import pytest
import pytest_asyncio
from nats import connect

from flybridge.errors import FlybridgeError
from flybridge.inbox.nats.inbox import JetStreamInbox
from flybridge.inbox.nats.link import StreamSettings
from flybridge.inbox.protocol import Inbox
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.sealing import Seal
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.audiences.records import Target
from flybridge.store.postgres.store import PostgresCohorts, PostgresStore
from flybridge.store.protocol import Store
from flybridge.store.sqlite.store import SqliteCohorts, SqliteStore
from flybridge.testing.nats import NatsCluster, binary

SEAL = Seal(b"the secret of the contract suite")
ACK_WAIT_S = 3.0
"""How long the leases of a process that is gone hold on a shared log."""

NewInbox = Callable[..., Inbox]
OpenInbox = Callable[..., Awaitable[Inbox]]
OpenCohorts = Callable[[], Awaitable[CohortStore]]
OpenStore = Callable[[], Awaitable[Store]]
NewPlace = Callable[[], AbstractAsyncContextManager[Callable[[], Store]]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nats_servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsCluster]:
    """Return three NATS servers that all tests share."""
    try:
        binary()
    except FlybridgeError as missing:
        pytest.skip(str(missing))
    # By default a server takes three quarters of what is free on the disk at its start for the sum of the bounds of all
    # streams: how full a machine is would decide whether the last tests can change theirs.
    async with NatsCluster(tmp_path_factory.mktemp("nats"), max_file_store="1TB") as cluster:
        yield cluster


@pytest.fixture
async def nats(nats_servers: NatsCluster) -> AsyncIterator[NatsCluster]:
    """Return the servers without a stream; those of the test are deleted: each costs its servers time, also idle."""
    yield nats_servers
    client = await connect(nats_servers.urls[0])
    for stream in await client.jetstream().streams_info():
        await client.jetstream().delete_stream(stream.config.name)
    await client.close()


@pytest.fixture(params=["sqlite", pytest.param("jetstream", marks=pytest.mark.service)])
def new_inbox(request: pytest.FixtureRequest, tmp_path: Path) -> NewInbox:
    """Return a function that makes an inbox on the one log of this test, with another seal if it is given one."""
    if request.param == "sqlite":
        return lambda seal=SEAL: SqliteInbox(tmp_path / "inbox.db", seal)
    servers = request.getfixturevalue("nats").urls
    settings = StreamSettings(stream=f"test-{token_hex(4)}", ack_wait_s=ACK_WAIT_S)
    return lambda seal=SEAL: JetStreamInbox(servers, seal, settings)


@pytest.fixture
async def open_inbox(new_inbox: NewInbox) -> AsyncIterator[OpenInbox]:
    """Return a function that opens the one log of this test once more, as another process would."""
    opened: list[Inbox] = []

    async def open_once_more(seal: Seal = SEAL) -> Inbox:
        inbox = new_inbox(seal)
        await inbox.open()
        opened.append(inbox)
        return inbox

    yield open_once_more
    for inbox in opened:
        await inbox.close()


@pytest.fixture
def gone(request: pytest.FixtureRequest) -> Callable[[], Awaitable[None]]:
    """Return a function that waits until a shared log misses a process that is gone; a file needs no such time."""
    shared = request.node.callspec.params["new_inbox"] != "sqlite"
    return lambda: asyncio.sleep(ACK_WAIT_S * 1.2 if shared else 0)


@pytest.fixture
async def inbox(open_inbox: OpenInbox) -> Inbox:
    """Return an empty inbox."""
    return await open_inbox()


@pytest.fixture
async def open_store(new_place: NewPlace) -> AsyncIterator[OpenStore]:
    """Return a function that opens the one store of this test once more; its account must add up in the end."""
    opened: list[Store] = []
    async with new_place() as make:

        async def open_once_more() -> Store:
            store = make()
            await store.open()
            opened.append(store)
            return store

        yield open_once_more
        for store in opened:
            discrepancies = await store.audit()
            await store.close()
            assert discrepancies == []


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    """Return an empty store."""
    return await open_store()


@pytest.fixture
async def open_cohorts(open_store: OpenStore) -> AsyncIterator[OpenCohorts]:
    """Return a function that opens the cohorts of this test's store once more; their counters must agree in the end."""
    opened: list[CohortStore] = []
    store = await open_store()

    async def open_once_more() -> CohortStore:
        cohorts: CohortStore
        if isinstance(store, PostgresStore):
            cohorts = PostgresCohorts(store._place, store._seal)
        else:
            assert isinstance(store, SqliteStore)
            cohorts = SqliteCohorts(store._place, store._seal)
        await cohorts.open()
        opened.append(cohorts)
        return cohorts

    yield open_once_more
    for cohorts in opened:
        wrong = await cohorts.audit()
        await cohorts.close()
        assert wrong == []


@pytest.fixture
async def cohorts(open_cohorts: OpenCohorts) -> CohortStore:
    """Return cohorts with one audience, `shop/spenders`, of which nothing is known yet."""
    cohorts = await open_cohorts()
    await cohorts.keep([Target("shop", "spenders", "c1", b"key")])
    return cohorts
