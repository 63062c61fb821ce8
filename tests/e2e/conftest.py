"""Benches on both stores, in which differences are planted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from planting import Bench, opened_bench

from flybridge.config.settings import Config
from flybridge.sealing import Seal
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.protocol import Store
from flybridge.store.sqlite.store import SqliteStore

NewBench = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.service)])
def new_bench(request: pytest.FixtureRequest, tmp_path: Path) -> NewBench:
    """Return a function that opens a bench with its settings, on one of the stores."""
    if request.param == "sqlite":
        return lambda **settings: opened_bench(
            tmp_path, lambda config: SqliteStore(tmp_path / "store.db", Seal(*config.secrets)), settings
        )
    new_database = request.getfixturevalue("new_database")

    @asynccontextmanager
    async def on_postgres(**settings: str) -> AsyncIterator[Bench]:
        async with new_database() as dsn:

            def new_store(config: Config) -> Store:
                return PostgresStore(dsn, Seal(*config.secrets))

            async with opened_bench(tmp_path, new_store, settings) as bench:
                yield bench

    return on_postgres


@pytest.fixture
async def bench(new_bench: NewBench) -> AsyncIterator[Bench]:
    """Return a bench whose zones are all UTC."""
    async with new_bench() as one:
        yield one
