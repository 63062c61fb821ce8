"""Rows as columns: PostgreSQL takes a batch as one array per column, `unnest($1::bigint[], $2::bytea[])`.

The arrays are put together here in PostgreSQL's binary form: one join per column instead of one call per value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import pack
from typing import Any, ClassVar, Final

from psycopg import Connection
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

_NULL: Final = b"\xff\xff\xff\xff"
_NUL: Final = "\ufffd".encode()


class Array:
    """One column, encoded. `oid` is the number of its type, `element` that of the type of its values."""

    oid: ClassVar[int]
    element: ClassVar[int]

    def __init__(self, values: Sequence[Any]) -> None:
        head = pack(">iiiii", 1, None in values, self.element, len(values), 1)
        self.data = head + b"".join(self._parts(values))

    def _parts(self, values: Sequence[Any]) -> Sequence[bytes]:
        parts = []
        for value in values:
            if value is None:
                parts.append(_NULL)
            else:
                parts += (pack(">i", len(value)), value)
        return parts


class Int8s(Array):
    """A column of `bigint[]`."""

    oid, element = 1016, 20

    def _parts(self, values: Sequence[Any]) -> Sequence[bytes]:
        return [_NULL if value is None else pack(">iq", 8, value) for value in values]


class Texts(Array):
    """A column of `text[]`."""

    oid, element = 1009, 25

    def _parts(self, values: Sequence[Any]) -> Sequence[bytes]:
        # PostgreSQL's text has no NUL and no half of a surrogate pair; one such name must not stop its whole batch.
        return super()._parts(
            [None if value is None else value.encode("utf-8", "replace").replace(b"\0", _NUL) for value in values]
        )


class Byteas(Array):
    """A column of `bytea[]`."""

    oid, element = 1001, 17


ENCODERS: Final[Mapping[str, type[Array]]] = {"bigint": Int8s, "text": Texts, "bytea": Byteas}


def columns(types: Sequence[str], rows: Sequence[Sequence[object]]) -> list[Array]:
    """Turn rows into one array per column. There must be at least one row."""
    return [ENCODERS[kind](values) for kind, values in zip(types, zip(*rows, strict=True), strict=True)]


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def __init__(self, cls: type[Array], context: AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        self.oid = cls.oid

    def dump(self, obj: Array) -> bytes:
        return obj.data


def register(db: Connection[Any]) -> None:
    """Teach a connection to send arrays."""
    for kind in ENCODERS.values():
        db.adapters.register_dumper(kind, _ArrayDumper)
