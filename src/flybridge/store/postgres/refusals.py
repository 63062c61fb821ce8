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


# What the server says when it refuses a connection (in English unless it was configured otherwise), and the remedy.
# libpq returns no codes here.
REFUSALS: Final[tuple[tuple[str, str], ...]] = (
    ("password authentication failed", "The user or the password is wrong: correct [cluster] postgres."),
    ("no password supplied", "The server asks for a password: put it into [cluster] postgres."),
    ("no pg_hba.conf entry", "The server does not let this machine in: add it to the server's pg_hba.conf."),
    ("role", "The user does not exist: CREATE ROLE ... LOGIN, or correct [cluster] postgres."),
    ("database", "The database does not exist: CREATE DATABASE ..., or correct [cluster] postgres."),
    ("permission denied for database", "The user may not connect: GRANT CONNECT ON DATABASE ... TO the user."),
    ("session is read-only", "This server is a standby: name the primary, or all of them, in [cluster] postgres."),
    ("too many clients", "The server has no connection left: raise its max_connections, or start fewer workers."),
    ("remaining connection slots", "The server has no connection left: raise its max_connections."),
    ("starting up", "The server is starting: it will be tried again."),
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
        for words, remedy in REFUSALS:
            if _says(said, words):
                return StoreUnavailable(f"The store can't be opened: {where}: {said}. {remedy}")
        return StoreUnavailable(f"The store can't be opened: {where}: {said}. Is the server there?")
    return StoreUnavailable(f"The store can't be opened: {where}: {reason_of(error)}.")


def _says(said: str, words: str) -> bool:
    if words in {"role", "database"}:
        return f'{words} "' in said and "does not exist" in said
    return words in said


def reason_of(error: Exception) -> str:
    """Return an error's text without the rows it quotes."""
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (primary or (lines[0] if lines else type(error).__name__)).rstrip(".")


def unavailable(error: psycopg.Error) -> StoreUnavailable:
    """Return the error that the server does not answer, or refuses."""
    gone = error.sqlstate is None or error.sqlstate.startswith(("08", "57"))
    if gone:  # or going: what it was asked to keep may be kept or not
        return StoreUnavailable(f"The store did not answer: {reason_of(error)}.")
    room = " Free space on PostgreSQL's disk." if isinstance(error, errors.DiskFull) else ""
    return StoreUnavailable(f"The store did not commit: {reason_of(error)}. Nothing was changed.{room}")
