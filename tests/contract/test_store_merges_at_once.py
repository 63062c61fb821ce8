"""What every store guarantees about messages of one person that several workers file at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import combinations
from threading import Lock, get_ident
from time import sleep

import psycopg
import pytest
from filings import lease
from test_store_merges import appsflyer_id, event, file, install, merge, named, nameless, sent

from flybridge.records import Source
from flybridge.store import protocol
from flybridge.store.postgres.store import PostgresStore

Build = Callable[[int], tuple[Source, dict]]

WAITING = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"


class Meeting:
    """Lets nobody commit before each of so many has decided, or waits for another."""

    def __init__(self, dsn: str, expected: int) -> None:
        self._db = psycopg.connect(dsn, autocommit=True)
        self._expected = expected
        self._decided: set[int] = set()
        self._guard = Lock()

    def decide(self, *arguments: object, **named: object) -> object:
        """File as the store does, then wait for the others."""
        filed = self._file(*arguments, **named)
        self._decided.add(get_ident())
        while True:
            with self._guard:
                row = self._db.execute(WAITING).fetchone()
            if len(self._decided) + row[0] >= self._expected:
                return filed
            sleep(0.002)

    def __enter__(self) -> Meeting:
        self._file, protocol.file = protocol.file, self.decide
        return self

    def __exit__(self, *failure: object) -> None:
        protocol.file = self._file
        self._db.close()


async def file_at_once(stores, *messages: tuple[Source, dict]) -> None:
    """File a message each in transactions none of which sees what another has not committed."""
    filing = [file(store, message) for store, message in zip(stores, messages, strict=False)]
    if not isinstance(stores[0], PostgresStore):  # it has one writer
        await asyncio.gather(*filing)
        return
    with Meeting(stores[0]._place, len(messages)):
        await asyncio.gather(*filing)


@pytest.fixture
async def stores(open_store):
    """Return four workers' stores on one place."""
    return [await open_store() for _ in range(4)]


def held(n: int) -> tuple[Source, dict]:
    """Build a postback that waits for the user of its installation."""
    source, postback = install(n)
    return source, postback | {"custom_data": None}


def numbered(n: int) -> tuple[Source, dict]:
    """Build a message that names the user of an installation by number alone."""
    return Source.SIGHTINGS, {"amplitude_id": 5_000_000 + n, "user_properties": {"appsflyer_id": appsflyer_id(n)}}


def seen(n: int) -> tuple[Source, dict]:
    """Build an event that names the user of an installation."""
    properties = {"user_properties": {"appsflyer_id": appsflyer_id(n)}}
    return event(n, device_id=f"tablet-{n:04}R", user_id=f"user-{n:04}", event_type="View", **properties)


def of_user(n: int) -> tuple[Source, dict]:
    """Build an event that goes to AppsFlyer, of a user who is known."""
    return event(n, device_id=f"phone-{n:04}R", user_id=f"user-{n:04}", amplitude_id=5_000_000 + n)


async def file_in_all_ways(stores, messages: tuple[Build, ...], together: int) -> int:
    """File the messages of one person after another, other ones of them at the same moment. Return how many persons."""
    cases = list(combinations(messages, min(together, len(messages))))
    for n, last in enumerate(cases):
        for build in messages:
            if build not in last:
                await file(stores[0], build(n))
        await file_at_once(stores, *(build(n) for build in last))
    return len(cases)


@pytest.mark.parametrize("together", [2, 3, 4])
@pytest.mark.parametrize(
    "messages", [(nameless, named, install, merge), (of_user, install), (nameless, merge, of_user, install)]
)
async def test_an_event_finds_the_installation_of_its_user(stores, messages: tuple[Build, ...], together):
    """Whichever of the messages that it takes are filed at the same moment."""
    cases = await file_in_all_ways(stores, messages, together)
    events = sum(build in (nameless, of_user) for build in messages)
    assert await sent(stores[0]) == sorted([appsflyer_id(n) for n in range(cases)] * events)
    assert await stores[0].holds() == []


@pytest.mark.parametrize("together", [2, 3, 4])
@pytest.mark.parametrize("messages", [(held, numbered, named, merge), (held, seen)])
async def test_a_postback_finds_the_user_of_its_installation(stores, messages: tuple[Build, ...], together):
    """And the other way."""
    cases = await file_in_all_ways(stores, messages, together)
    assert sorted(one.user_id for one in await lease(stores[0])) == [f"user-{n:04}" for n in range(cases)]
    assert await stores[0].holds() == []
