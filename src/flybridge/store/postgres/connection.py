"""Connections to PostgreSQL: how they are made, and their settings."""

from __future__ import annotations

import logging
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from flybridge.errors import StoreUnavailable
from flybridge.store.migrate import apply_postgres, scripts
from flybridge.store.postgres.arrays import register
from flybridge.store.postgres.refusals import place_of, refusal

Db = psycopg.Connection[tuple[Any, ...]]

# It warns of what follows an error in a pipeline. The error itself is raised, and handled or reported.
logging.getLogger("psycopg").setLevel(logging.ERROR)

OLDEST: Final = 140_000
SHARDS: Final = 32

# Numbers of advisory locks, which are a database's own.
GATE: Final = 0x666C7962  # shared by transactions that write; exclusive for those that must be alone
SHARD_LOCKS: Final = 0x666C7963
TASK_LOCKS: Final = 0x666C7964

CONNECT: Final[dict[str, Any]] = {
    "application_name": "flybridge",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "target_session_attrs": "read-write",
}

# What a connection that vanishes without a word has locked must not stay locked for the two hours that TCP would wait.
# Limits of a role's or database's own are taken off: a migration or an audit takes as long as it takes, and a process
# may have nothing to do for a while. `transaction_timeout` is there since PostgreSQL 17. A commit returns when it is on
# the disk, whatever the server was set to: the inbox forgets then what was filed.
LOCK_MS: Final = 30_000
SESSION: Final = f"""
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
    SET idle_in_transaction_session_timeout = '60s'; SET lock_timeout = {LOCK_MS}; SET jit = off;
    SET statement_timeout = 0; SET idle_session_timeout = 0;
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout';
    SELECT set_config(name, 'on', false) FROM pg_settings
    WHERE name = 'synchronous_commit' AND setting = 'off'"""  # noqa: S608

# Every statement of a transaction that writes finds its rows by index, whatever the statistics of a table say that was
# empty a minute ago: the cost of a batch does not grow with what is stored. So a plan is made once.
WRITER: Final = """
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
    SET plan_cache_mode = force_generic_plan"""

CLAIM_SHARD: Final = """
    SELECT set_config('flybridge.shard', coalesce((
      SELECT n FROM generate_series(1, $2::integer) AS n WHERE pg_try_advisory_lock($1::integer, n) LIMIT 1
    ), pg_backend_pid() % $2::integer + 1)::text, false)"""


def connect(dsn: str) -> Db:
    """Connect, with defaults for what the address does not say. Raises psycopg's errors."""
    given = conninfo_to_dict(dsn)
    settings = {name: value for name, value in CONNECT.items() if name not in given}
    db = psycopg.connect(dsn, **settings, cursor_factory=psycopg.RawCursor)
    register(db)
    db.autocommit = True
    db.execute(SESSION)
    return db


def connect_writer(dsn: str, *, counts: bool = True) -> Db:
    """Connect for transactions that write. With `counts` the connection has a shard of the counters to itself."""
    db = connect(dsn)
    db.execute(WRITER)
    if counts:
        db.execute(CLAIM_SHARD, (SHARD_LOCKS, SHARDS))
    db.autocommit = False
    db.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    return db


def connect_reader(dsn: str) -> Db:
    """Connect for reports: all that one reads is of the same moment."""
    db = connect(dsn)
    db.autocommit = False
    db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    db.read_only = True
    return db


def checked(db: Db) -> None:
    """Raise `StoreUnavailable` for a server that is too old, or a database that does not store Unicode."""
    if db.info.server_version < OLDEST:
        raise StoreUnavailable(
            f"{place_of(db.info.dsn)} is PostgreSQL {db.info.server_version // 10_000}. Use 14 or newer."
        )
    row = db.execute("SELECT current_setting('server_encoding')").fetchone()
    if row is None or row[0] != "UTF8":
        raise StoreUnavailable(
            f"The database at {place_of(db.info.dsn)} does not hold Unicode. Make one: CREATE DATABASE flybridge "
            "ENCODING 'UTF8' TEMPLATE template0."
        )


def prepare(dsn: str) -> None:
    """Apply pending migrations. Any number of processes may do so at once. Raises `StoreUnavailable`."""
    try:
        with connect(dsn) as db:
            checked(db)
            apply_postgres(db, scripts("postgres"))
    except psycopg.Error as error:
        raise refusal(dsn, error) from None
