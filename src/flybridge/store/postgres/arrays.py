"""Rows as columns: PostgreSQL takes a batch as one array per column, `unnest($1::bigint[], $2::bytea[])`.

The arrays are put together here in PostgreSQL's binary form: one join per column instead of one call per value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import pack
from typing import Any, Final

from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format

_NULL: Final = b"\xff\xff\xff\xff"
_NUL: Final = "\ufffd".encode()


class Array:
    """One column, encoded."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Int8s(Array):
    """A column of `bigint[]`."""


class Float8s(Array):
    """A column of `double precision[]`."""


class Texts(Array):
    """A column of `text[]`."""


class Byteas(Array):
    """A column of `bytea[]`."""


def _array(element_oid: int, parts: Sequence[bytes], n: int, has_null: bool) -> bytes:
    if not n:
        return pack(">iii", 0, 0, element_oid)
    return pack(">iiiii", 1, has_null, element_oid, n, 1) + b"".join(parts)


def _int8s(values: Sequence[Any]) -> Int8s:
    parts = [_NULL if value is None else pack(">iq", 8, value) for value in values]
    return Int8s(_array(20, parts, len(values), None in values))


def _float8s(values: Sequence[Any]) -> Float8s:
    parts = [_NULL if value is None else pack(">id", 8, value) for value in values]
    return Float8s(_array(701, parts, len(values), None in values))


def _texts(values: Sequence[Any]) -> Texts:
    # PostgreSQL's text has no NUL and no half of a surrogate pair; one such name must not stop its whole batch.
    encoded = [None if value is None else value.encode("utf-8", "replace").replace(b"\0", _NUL) for value in values]
    return Texts(_array(25, _sized(encoded), len(values), None in values))


def _byteas(values: Sequence[Any]) -> Byteas:
    return Byteas(_array(17, _sized(values), len(values), None in values))


def _sized(values: Iterable[bytes | None]) -> list[bytes]:
    parts = []
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts += (pack(">i", len(value)), value)
    return parts


ENCODERS: Final[dict[str, Callable[[Sequence[Any]], Array]]] = {
    "bigint": _int8s,
    "double precision": _float8s,
    "text": _texts,
    "bytea": _byteas,
}


def columns(types: Sequence[str], rows: Sequence[Sequence[object]]) -> list[Array]:
    """Turn rows into one array per column. There must be at least one row."""
    return [ENCODERS[kind](values) for kind, values in zip(types, zip(*rows, strict=True), strict=True)]


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Array) -> bytes:
        return obj.data


class _Int8sDumper(_ArrayDumper):
    oid = 1016


class _Float8sDumper(_ArrayDumper):
    oid = 1022


class _TextsDumper(_ArrayDumper):
    oid = 1009


class _ByteasDumper(_ArrayDumper):
    oid = 1001


def register(db: Connection[Any]) -> None:
    """Teach a connection to send arrays."""
    for kind, dumper in (
        (Int8s, _Int8sDumper),
        (Float8s, _Float8sDumper),
        (Texts, _TextsDumper),
        (Byteas, _ByteasDumper),
    ):
        db.adapters.register_dumper(kind, dumper)
