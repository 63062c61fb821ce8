"""Search for identifiers that are stored in the clear.

The search reads every byte of every file of the data directory, logs and left-over pages of databases included, and
every value of every row besides, because a database may cut a value in two. What it finds is never repeated.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

PIECE_BYTES: Final = 8 * 2**20
OVERLAP_BYTES: Final = 1024
SQLITE: Final = b"SQLite format 3\0"
_HEX: Final = rb"[0-9A-Fa-f]"
_UUID: Final = rb"(?<![0-9A-Fa-f])(?!0{8}-)" + _HEX + rb"{8}(?:-" + _HEX + rb"{4}){3}-" + _HEX + rb"{12}(?![0-9A-Fa-f])"
PATTERNS: Final = (
    ("a UUID, as advertising and vendor ids are", re.compile(_UUID)),
    ("an AppsFlyer id", re.compile(rb"(?<!\d)\d{13}-\d{7,19}(?!\d)")),
)

Named = tuple[str, re.Pattern[bytes]]


class Find(Struct, frozen=True):
    """Where an identifier is stored in the clear: a byte of a file, or a column of a table. Never the identifier."""

    file: str
    where: str
    what: str


def search(directory: Path, ids: Sequence[str] = ()) -> list[Find]:
    """Search all files below a directory for what looks like an identifier, and for these `ids`, in any case."""
    exact = [re.compile(re.escape(value.encode()), re.IGNORECASE) for value in ids]
    named = [*PATTERNS, *((f"id {number} of those given", pattern) for number, pattern in enumerate(exact, 1))]
    found: list[Find] = []
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = str(path.relative_to(directory))
        with suppress(FileNotFoundError):  # the service deletes what it has read, also while it is looked at
            found += (Find(name, f"byte {offset}", what) for offset, what in _in_bytes(path, named))
            found += (Find(name, place, what) for place, what in _in_rows(path, named))
    return found


def _in_bytes(path: Path, named: Sequence[Named]) -> Iterator[tuple[int, str]]:
    """Yield matches by offset. Pieces overlap; what begins in the overlap is found in the next piece."""
    start, before = 0, b""
    with path.open("rb") as file:
        while True:
            new = file.read(PIECE_BYTES)
            piece = before + new
            last = len(new) < PIECE_BYTES
            end = len(piece) if last else len(piece) - OVERLAP_BYTES
            for what, pattern in named:
                for match in pattern.finditer(piece):
                    if match.start() < end:
                        yield start + match.start(), what
            if last:
                return
            before, start = piece[end:], start + end


def _in_rows(path: Path, named: Sequence[Named]) -> Iterator[tuple[str, str]]:
    """Yield matches by table and column, if the file is a database."""
    with path.open("rb") as file:
        if file.read(len(SQLITE)) != SQLITE:
            return
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    db.text_factory = bytes
    try:
        tables = [name.decode() for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            rows = db.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - a name out of the file's own schema
            columns = [column[0] for column in rows.description]
            found = {
                (column, what)
                for row in rows
                for column, value in zip(columns, row, strict=True)
                if isinstance(value, bytes)
                for what, pattern in named
                if pattern.search(value)
            }
            yield from ((f"table {table}, column {column}", what) for column, what in sorted(found))
    finally:
        db.close()
