"""Texts of statements that are alike but for their columns, in PostgreSQL's words, as in `store.core.writes`.

Columns stand in the order of the parameters, each with its type unless that is `bigint`: `id, sealed bytea`.
"""

# ruff: noqa: S608 - the names are the schema's own
from __future__ import annotations


def inserted(table: str, columns: str, rest: str = "") -> str:
    """Return the statement that adds rows. `rest` says in which order, and what becomes of one that is there."""
    return f"INSERT INTO {table} ({_names(columns)}) SELECT * FROM {_rows(columns)} {rest}"


def replaced(table: str, key: str, columns: str) -> str:
    """Return the statement that adds rows in place of those with the same key."""
    values = ", ".join(f"{name} = excluded.{name}" for name in _names(columns).split(", "))
    return inserted(table, f"{key}, {columns}", f"{_in_order(key)} ON CONFLICT ({_names(key)}) DO UPDATE SET {values}")


def counted(table: str, key: str, sums: str, *, at: str = "", latest: str = "") -> str:
    """Return the statement that adds to counters, each connection to those of its `:shard`.

    `at` is the index of the key, if it is not one of its columns and the shard; `latest` a column that is no sum.
    """
    added = [f"{name} = {table}.{name} + excluded.{name}" for name in sums.split(", ")]
    added += [f"{latest} = greatest({table}.{latest}, excluded.{latest})"] if latest else []
    columns = ", ".join(filter(None, (key, sums, latest)))
    return f"""INSERT INTO {table} ({_names(columns)}, shard) SELECT *, :shard FROM {_rows(columns)} {_in_order(key)}
               ON CONFLICT {at or f"({_names(key)}, shard)"} DO UPDATE SET {", ".join(added)}"""


def changed(table: str, columns: str, key: str) -> str:
    """Return the statement that gives columns other values, in the rows with a key."""
    values = ", ".join(f"{name} = new.{name}" for name in _names(columns).split(", "))
    return f"UPDATE {table} SET {values} FROM {_rows(f'{columns}, {key}')} WHERE {_same(table, key, 'new')}"


def deleted(table: str, key: str) -> str:
    """Return the statement that deletes the rows with a key of several columns."""
    return f"DELETE FROM {table} USING {_rows(key, 'old')} WHERE {_same(table, key, 'old')}"


def _names(columns: str) -> str:
    return ", ".join(column.split()[0] for column in columns.split(", "))


def _rows(columns: str, name: str = "new") -> str:
    types = [" ".join(column.split()[1:]) or "bigint" for column in columns.split(", ")]
    arrays = ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(types, 1))
    return f"unnest({arrays}) AS {name} ({_names(columns)})"


def _in_order(key: str) -> str:
    """Return the order in which rows are locked, so that no two transactions wait for each other in a circle."""
    return f"ORDER BY {', '.join(str(at) for at, _ in enumerate(key.split(', '), 1))}"


def _same(table: str, key: str, given: str) -> str:
    return " AND ".join(f"{table}.{name} = {given}.{name}" for name in _names(key).split(", "))
