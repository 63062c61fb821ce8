"""Backends under contract. A further backend is a further parameter and a branch in `open_inbox` or `open_store`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from flybridge.inbox.protocol import Inbox
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.privacy import Seal
from flybridge.store.protocol import Store
from flybridge.store.sqlite import SqliteStore

SEAL = Seal(b"the secret of the contract suite")

OpenInbox = Callable[[], Awaitable[Inbox]]
OpenStore = Callable[[], Awaitable[Store]]


@pytest.fixture(params=["sqlite"])
async def open_inbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenInbox]:
    """Give a function that opens the one log of this test once more, as another process would."""
    opened: list[Inbox] = []

    async def open_once_more() -> Inbox:
        inbox = {"sqlite": lambda: SqliteInbox(tmp_path / "inbox.db", SEAL)}[request.param]()
        await inbox.open()
        opened.append(inbox)
        return inbox

    yield open_once_more
    for inbox in opened:
        await inbox.close()


@pytest.fixture
async def inbox(open_inbox: OpenInbox) -> Inbox:
    """Give an empty inbox."""
    return await open_inbox()


@pytest.fixture(params=["sqlite"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Give a function that opens the one store of this test once more; its account must add up in the end."""
    opened: list[Store] = []

    async def open_once_more() -> Store:
        store = {"sqlite": lambda: SqliteStore(tmp_path / "store.db", SEAL)}[request.param]()
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
    """Give an empty store."""
    return await open_store()
