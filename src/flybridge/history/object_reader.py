"""Read an object of object storage in pieces, and say in a line what a store answers.

An object may be written anew while it is read: AppsFlyer does so with files of a Data Locker. Pieces of two contents
joined would be rows that never were, so each piece is compared with the ETag of the first.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from flybridge.clock import Clock
from flybridge.errors import FlybridgeError

FAILED_MS: Final = 60_000
"""After so long no further file is tried: each of a Data Locker's thousands would take as long again."""
_QUERY: Final = re.compile(r"(https?://[^\s?]+)\?\S+")
_PATH: Final = re.compile(r"(https?://[^\s/]+)/\S*")
_NO_CREDENTIALS: Final = re.compile(r"169\.254\.169\.254|metadata|credential|access.?key|token", re.IGNORECASE)


class ObjectStoreFails(FlybridgeError):
    """An object store does not answer, or fails, after all tries of its client."""


class ObjectReader(io.RawIOBase):
    """An object, read in pieces of one and the same content."""

    def __init__(self, bucket: Any, key: str, name: str) -> None:
        import obstore  # noqa: PLC0415 - an extra

        self._bucket, self._key, self._name = bucket, key, name
        with self._answered():
            meta = obstore.head(bucket, key)
        self._size, self._etag, self._at = meta["size"], etag_of(meta), 0

    @contextmanager
    def _answered(self) -> Iterator[None]:
        import obstore  # noqa: PLC0415 - an extra

        try:
            yield
        except obstore.exceptions.GenericError as problem:
            raise ObjectStoreFails(f"{self._name} can't be read: {first_line(problem)}.") from problem

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        import obstore  # noqa: PLC0415 - an extra

        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        with self._answered():
            answer = obstore.get(self._bucket, self._key, options={"range": (self._at, end)})
            if etag_of(answer.meta) != self._etag:
                raise FlybridgeError(f"{self._name} was written anew while it was read: read it again.")
            read = memoryview(answer.bytes())
        buffer[: len(read)] = read
        self._at += len(read)
        return len(read)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        return self._at


class StoreWatch:
    """How long an object store has failed, without a file that was read in between."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._begun_ms, self._failed_ms = clock, 0, 0

    def begin(self) -> None:
        """Note that files begin to be read."""
        self._begun_ms = self._clock.now_ms()

    def is_over(self, problem: FlybridgeError | None) -> bool:
        """Note how that ended. Return whether the rest of the files had better be read later."""
        spent_ms = self._clock.now_ms() - self._begun_ms
        self._failed_ms = self._failed_ms + spent_ms if isinstance(problem, ObjectStoreFails) else 0
        return self._failed_ms >= FAILED_MS


def etag_of(meta: Any) -> str:
    """Return the ETag of an object; empty if it has none."""
    # One and the same server writes an ETag with quotes or without, by request.
    return (meta.get("e_tag") or "").removeprefix("W/").strip('"')


def first_line(problem: Exception) -> str:
    """Return the beginning of what an exception says: those of obstore are followed by pages of its state.

    Addresses are shown without their queries.
    """
    line = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
    return _QUERY.sub(r"\1", line)[:300].rstrip(".")


def said_by_store(problem: Exception) -> str:
    """Return what an object store said, or what its words mean."""
    said = first_line(problem)
    if isinstance(problem, FileNotFoundError):
        return "there is no such object or bucket"
    if "configured region" in said:
        return f"the bucket is in another region: set AWS_REGION to its own ({said})"
    # What files are called says nothing of credentials; the host that was asked for them does.
    if _NO_CREDENTIALS.search(_PATH.sub(r"\1", said)):
        return f"no credentials that are valid were found where the cloud's own tools look for them ({said})"
    return said
