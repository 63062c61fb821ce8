"""What the errors of PostgreSQL mean to an operator, and what to do."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from flybridge.errors import StoreUnavailable


def place_of(dsn: str) -> str:
    """Return the location of a database, without the password that an address may hold."""
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return "the address in [cluster] postgres"
    host = given.get("host") or given.get("hostaddr") or "the local socket"
    port = f":{given['port']}" if given.get("port") else ""
    name = given.get("dbname") or given.get("user") or "?"
    return f"the database {name} at {host}{port}"


READ_ONLY: Final = (
    "This server is a standby, or default_transaction_read_only is on: promote it, name the primary, or all of them, "
    "in [cluster] postgres, or set that off for the server, the database and the user."
)

# What the server says when it refuses a connection (in English unless it was configured otherwise), and the remedy.
# libpq returns no codes here.
REFUSALS: Final[tuple[tuple[str, str], ...]] = (
    ("password authentication failed", "The user or the password is wrong: correct [cluster] postgres."),
    ("no password supplied", "The server asks for a password: put it into [cluster] postgres."),
    ("no pg_hba.conf entry", "The server does not let this machine in: add it to the server's pg_hba.conf."),
    ("role", "The user does not exist: CREATE ROLE ... LOGIN, or correct [cluster] postgres."),
    ("database", "The database does not exist: CREATE DATABASE ..., or correct [cluster] postgres."),
    ("permission denied for database", "The user may not connect: GRANT CONNECT ON DATABASE ... TO the user."),
    ("session is read-only", READ_ONLY),
    ("too many clients", "The server has no connection left: raise its max_connections, or start fewer workers."),
    (
        "too many connections for",
        "Raise its CONNECTION LIMIT with ALTER ROLE or ALTER DATABASE, or start fewer workers.",
    ),
    ("remaining connection slots", "The server has no connection left: raise its max_connections."),
    ("not currently accepting connections", "Open it: ALTER DATABASE ... WITH ALLOW_CONNECTIONS true."),
    ("does not support SSL", "Set up TLS on the server, or correct sslmode in [cluster] postgres."),
    ("starting up", "The server is starting: it will be tried again."),
    ("not yet accepting connections", "The server is starting: it will be tried again."),
    ("in recovery mode", "The server is starting: it will be tried again."),
    ("shutting down", "The server is being stopped: start it again."),
    ("refused", "No server answers there: start it, or correct the host and port in [cluster] postgres."),
    ("timeout", "No server answers there: check the host, the port and the firewall."),
    ("translate host name", "There is no host of that name: correct [cluster] postgres."),
    ("resolve", "There is no host of that name: correct [cluster] postgres."),
)


def refusal(dsn: str, error: Exception) -> StoreUnavailable:
    """Return the error for a store that can't be opened, with a remedy."""
    where = place_of(dsn)
    if isinstance(error, psycopg.ProgrammingError) and not error.sqlstate:
        # Its own text repeats the address, with the password in it.
        return StoreUnavailable(
            "[cluster] postgres is not the address of a PostgreSQL database. Write postgresql://user:password@host/database."
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return StoreUnavailable(
            f"The user may not do that in {where}: {reason_of(error)}. Make it the owner of the database, or GRANT "
            "CREATE, USAGE ON SCHEMA public TO it."
        )
    if isinstance(error, psycopg.OperationalError):
        said = reason_of(error)
        remedy = _remedy(said) or "Is the server there?"
        return StoreUnavailable(f"The store can't be opened: {where}: {said}. {remedy}")
    return StoreUnavailable(f"The store can't be opened: {where}: {reason_of(error)}.")


def _remedy(said: str) -> str:
    return next((remedy for words, remedy in REFUSALS if _says(said, words)), "")


def _says(said: str, words: str) -> bool:
    if words in {"role", "database"}:
        return f'{words} "' in said and "does not exist" in said
    return words in said


def reason_of(error: Exception) -> str:
    """Return an error's text without the rows it quotes."""
    if "cannot exit pipeline mode" in str(error):  # what the client can't do with a connection that broke before
        return "the connection broke"
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (primary or (lines[0] if lines else type(error).__name__)).rstrip(".")


POOLER: Final = (
    "A pooler between flybridge and PostgreSQL has to keep sessions: pool_mode = session in PgBouncer, or name the "
    "server itself in [cluster] postgres."
)
RIGHTS: Final = (
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES and USAGE ON ALL SEQUENCES IN SCHEMA public, and TEMPORARY ON "
    "the DATABASE, TO the user in [cluster] postgres."
)
OTHER_TABLES: Final = (
    "The tables are not those of this version, as after the restore of an older backup: run `flybridge migrate`."
)

# What the server says when it refuses a statement, and the remedy. The first that fits counts.
STATEMENTS: Final[tuple[tuple[type[psycopg.Error], str, str], ...]] = (
    (errors.DiskFull, "", "Free space on PostgreSQL's disk."),
    (errors.ReadOnlySqlTransaction, "", READ_ONLY),
    (errors.InsufficientPrivilege, "", RIGHTS),
    (errors.LockNotAvailable, "", "Another session keeps a lock: look for a long transaction in pg_stat_activity."),
    (errors.UndefinedObject, "flybridge.shard", POOLER),
    (errors.InvalidSqlStatementName, "", POOLER),
    (errors.DuplicatePreparedStatement, "", POOLER),
    (errors.UndefinedTable, "pg_temp", POOLER),
    (errors.UndefinedTable, "", OTHER_TABLES),
    (errors.UndefinedColumn, "", OTHER_TABLES),
)


def unavailable(error: psycopg.Error) -> StoreUnavailable:
    """Return the error that the server does not answer, or refuses, with a remedy where one is known."""
    said = reason_of(error)
    known = (remedy for kind, words, remedy in STATEMENTS if isinstance(error, kind) and words in said)
    remedy = next(known, "") or _remedy(said)
    rest = f" {remedy}" if remedy else ""
    if error.sqlstate is None or error.sqlstate.startswith(("08", "57")):
        # Gone, or going: what it was asked to keep may be kept or not.
        return StoreUnavailable(f"The store did not answer: {said}.{rest}")
    return StoreUnavailable(f"The store did not commit: {said}. Nothing was changed.{rest}")
