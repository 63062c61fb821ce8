"""Export for tools of one's own: counters, cohorts, costs and the ledger, as Parquet files without an identifier.

Files are written beside their names first, and take them when they are whole: an export that breaks off leaves the
former one. Rows are read in pieces of a month, so that memory does not grow with the time that is exported. One export
at a time writes into a directory.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from flybridge.errors import FlybridgeError
from flybridge.insight.performance import AppScope
from flybridge.parquet import ParquetWriter
from flybridge.records import MICRO
from flybridge.store.performance import LABELS, CostSums, CurvePoint, Labels, Slice, Sums, date_of
from flybridge.store.protocol import Store

T = TypeVar("T")

PIECE_DAYS: Final = 31
EVER: Final = (0, 100_000)

_NAMED: Final = {
    "app": "text", "platform": "text", "kind": "text", "media_source": "text", "campaign": "text", "adset": "text",
    "ad": "text", "country": "text",
}  # fmt: skip
_SUMS: Final = {"events": "whole", "revenue": "number", "currency": "text", "not_converted": "whole"}

FILES: Final[Mapping[str, Mapping[str, str]]] = {
    "performance": {
        "date": "day", **_NAMED, "event": "text", "n": "whole", "revenue": "number", "currency": "text",
        "not_converted": "whole", "reached": "whole",
    },
    "cohorts": {"install_date": "day", "day": "whole", **_NAMED, "active": "whole", "payers": "whole", **_SUMS},
    "costs": {
        "date": "day", "app": "text", "platform": "text", "media_source": "text", "campaign": "text",
        "country": "text", "origin": "text", "currency": "text", "spend": "number", "clicks": "whole",
        "impressions": "whole",
    },
    "ledger": {
        "received": "time", "changed": "time", "app": "text", "source": "text", "outcome": "text", "reason": "text",
        "uncertain": "whole",
    },
}  # fmt: skip
"""The columns of each file and their types. What is not known is null, and so is a label that is not set."""


async def export(
    store: Store, scopes: Sequence[AppScope], directory: Path, *, days: tuple[int, int] = EVER
) -> dict[str, int]:
    """Write all files into a directory, which is made if it is not there. Returns how many rows each has.

    `days` are the first and last day of what is counted, in the zone of each app; the ledger is written whole. Raises
    `FlybridgeError` while another process exports into the directory.
    """
    parts = {name: directory / f".{name}.parquet.part" for name in FILES}
    rows = {
        "performance": lambda: _sums(store, scopes, days, store.performance, _performance),
        "cohorts": lambda: _sums(store, scopes, days, store.curves, _cohort),
        "costs": lambda: _sums(store, scopes, days, store.costs, _cost),
        "ledger": lambda: _ledger(store, scopes),
    }
    written: dict[str, int] = {}
    with _alone(directory):
        for name, columns in FILES.items():
            with ParquetWriter(parts[name], columns) as file:
                async for piece in rows[name]():
                    file.write(piece)
            written[name] = file.written
        for name, part in parts.items():
            part.replace(part.with_name(f"{name}.parquet"))
    return written


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Make a directory, and lock it, where its file system can, until the block is left or the process ends."""
    directory.mkdir(parents=True, exist_ok=True)
    place = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(place)
        sentence = f"Another export writes into {directory}: wait until it has ended, or name another directory."
        raise FlybridgeError(sentence) from None
    except OSError:  # some file systems of networks lock no directory
        pass
    try:
        yield
    finally:
        os.close(place)


Pieces = AsyncIterator[Iterable[Sequence[Any]]]


async def _pieces(store: Store, scope: AppScope, days: tuple[int, int]) -> AsyncIterator[Slice]:
    """Yield questions about a month each, as far as there is anything."""
    by_day = Slice(*days, scope.today, frozenset({"day"}), scope.name)
    known = {row.labels.day for row in await store.performance(by_day)}
    known |= {row.labels.day for row in await store.costs(by_day)}
    if known:
        for first in range(min(known), max(known) + 1, PIECE_DAYS):
            last = min(first + PIECE_DAYS - 1, max(known))
            yield Slice(first, last, scope.today, frozenset({*LABELS, "event"}), scope.name)


async def _sums(
    store: Store,
    scopes: Sequence[AppScope],
    days: tuple[int, int],
    read: Callable[[Slice], Awaitable[Sequence[T]]],
    plain: Callable[[AppScope, T], Sequence[Any]],
) -> Pieces:
    for scope in scopes:
        async for question in _pieces(store, scope, days):
            yield [plain(scope, row) for row in await read(question)]


def _performance(scope: AppScope, row: Sums) -> Sequence[Any]:
    return (
        date_of(row.labels.day), *_labels(row.labels, row.kind), row.event or None, row.n, row.revenue / MICRO,
        scope.currency, row.not_converted, row.reached,
    )  # fmt: skip


def _cohort(scope: AppScope, row: CurvePoint) -> Sequence[Any]:
    return (
        date_of(row.labels.day), row.offset, *_labels(row.labels, row.kind), row.active, row.payers, row.events,
        row.revenue / MICRO, scope.currency, row.not_converted,
    )  # fmt: skip


def _cost(scope: AppScope, row: CostSums) -> Sequence[Any]:
    return (
        date_of(row.labels.day), scope.name, scope.platform, row.labels.media_source, row.labels.campaign or None,
        row.labels.country or None, row.origin, row.currency, None if row.spend is None else row.spend / MICRO,
        row.clicks, row.impressions,
    )  # fmt: skip


async def _ledger(store: Store, scopes: Sequence[AppScope]) -> Pieces:
    for scope in scopes:
        async for entry in store.ledger(app=scope.name):
            yield [
                (
                    entry.received_ms, entry.changed_ms, entry.app, entry.source, entry.outcome, entry.reason or None,
                    entry.uncertain,
                )
            ]  # fmt: skip


def _labels(labels: Labels, kind: str) -> tuple[str | None, ...]:
    return (
        labels.app, labels.platform or None, kind, labels.media_source or None, labels.campaign or None,
        labels.adset or None, labels.ad or None, labels.country or None,
    )  # fmt: skip
