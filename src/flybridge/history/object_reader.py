"""Read an object of object storage in pieces, and say in a line what a store answers."""

from __future__ import annotations

import io
import re
from typing import Any, Final

_NO_CREDENTIALS: Final = re.compile(r"169\.254\.169\.254|metadata|credential|access.?key|token", re.IGNORECASE)


class ObjectReader(io.RawIOBase):
    """An object, read in pieces."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = bytes(self._reader.read(len(buffer)))
        buffer[: len(read)] = read
        return len(read)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())


def first_line(problem: Exception) -> str:
    """Return the beginning of what an exception says."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:300].rstrip(".")


def said_by_store(problem: Exception) -> str:
    """Return what an object store said, or what its words mean."""
    said = first_line(problem)
    if isinstance(problem, FileNotFoundError):
        return "there is no such object or bucket"
    if _NO_CREDENTIALS.search(said):
        return f"no credentials that are valid were found where the cloud's own tools look for them ({said})"
    return said
