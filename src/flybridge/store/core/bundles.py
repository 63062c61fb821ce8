"""Bundles: what is leased as it is filed, in one row for all that a lane takes of a batch.

Most events are accepted by the vendor within a moment of being filed. In `items` and `deliveries` each of them would be
written, leased and deleted for itself. A bundle has the sealed content of one lane and batch under the lease that they
share: what is delivered leaves it, and the last of them takes it along. Whatever else happens to one of them first
unpacks the bundle into rows of their own, and goes on as with any delivery. To unpack takes no secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import accumulate
from typing import Final, NamedTuple

import msgspec

from flybridge.records import OutcomeKind
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.tables import Read, Rows, Write
from flybridge.store.records import Capacity, DeliveryState, Lane, Settlement

Line = tuple[int, int, int, int]
"""Ledger row, counter, time of reception, and length of the sealed content."""

_text: Final = msgspec.json.Encoder().encode
_lines: Final = msgspec.json.Decoder(list[Line]).decode
_numbers: Final = msgspec.json.Decoder(list[int]).decode


class Bundled(NamedTuple):
    """An event in flight in a bundle, for whoever looks at it."""

    row_id: int
    endpoint: str
    due_ms: int
    received_ms: int
    sealed: bytes


class Bundling:
    """The bundles of one batch, by lane."""

    def __init__(self) -> None:
        self._lines: dict[Lane, list[Line]] = {}
        self._sealed: dict[Lane, list[bytes]] = {}

    def add(self, lane: Lane, row_id: int, counter: int, received_ms: int, sealed: bytes) -> None:
        """Add an event that is pending."""
        self._lines.setdefault(lane, []).append((row_id, counter, received_ms, len(sealed)))
        self._sealed.setdefault(lane, []).append(sealed)

    def write(self, ledger: LedgerWriter, capacity: Mapping[Lane, Capacity], now_ms: int) -> None:
        """Write a row for each lane."""
        rows = []
        for lane, lines in self._lines.items():
            in_flight, lease = sorted([line[0] for line in lines]), capacity[lane]
            place = (in_flight[0], in_flight[-1], ledger.tables.lane(lane), lease.owner, lease.until_ms, now_ms)
            lists = (_text(in_flight).decode(), _text(lines).decode())
            rows.append((*place, len(lines), *lists, b"".join(self._sealed[lane])))
        ledger.tables.write(Write.BUNDLES, sorted(rows))


def settle_delivered(
    ledger: LedgerWriter, settlements: Sequence[Settlement], owner: str, now_ms: int
) -> Sequence[Settlement]:
    """Settle what was delivered of `owner`'s bundles, and unpack those of which anything else is said.

    Returns the settlements that are left, of deliveries with rows of their own.
    """
    first: dict[int, Settlement] = {}
    for settlement in settlements:
        first.setdefault(settlement.id, settlement)
    unpacked: list[int] = []
    gone: list[tuple[int]] = []
    fewer: list[tuple[int, str, int]] = []
    settled: set[int] = set()
    for number, in_flight, lines in _around(ledger, owner, first.keys()):
        ended = in_flight & first.keys()
        if not all(_is_delivered(first[row_id]) for row_id in ended):
            unpacked.append(number)
            continue
        for row_id, counter, *_ in lines:
            if row_id in ended:
                ledger.move(row_id, counter, OutcomeKind.DELIVERED, None, now_ms)
        settled |= ended
        if left := sorted(in_flight - ended):
            fewer.append((len(left), _text(left).decode(), number))
        else:
            gone.append((number,))
    ledger.tables.write(Write.FEWER_IN_FLIGHT, fewer)
    ledger.tables.write(Write.DROP_BUNDLES, gone)
    _unpack(ledger, unpacked)
    return [one for one in settlements if one.id not in settled or one is not first[one.id]]


def _is_delivered(settlement: Settlement) -> bool:
    return settlement.state == DeliveryState.DELIVERED and not settlement.attempts and not settlement.uncertain


def unpack_owned(ledger: LedgerWriter, ids: Iterable[int], owner: str) -> None:
    """Unpack `owner`'s bundles that have one of these in flight."""
    _unpack(ledger, [number for number, *_ in _around(ledger, owner, set(ids))])


def unpack_with(ledger: LedgerWriter, rows: Set[int]) -> None:
    """Unpack the bundles that have the content of one of these ledger rows, in flight or not, whoever has leased them.

    What is not in flight any more is erased by that.
    """
    known = ledger.tables.read(Read.BUNDLES) if rows else ()
    _unpack(ledger, [number for number, _, lines in known if not rows.isdisjoint([line[0] for line in _lines(lines)])])


def unpack_leased_by(ledger: LedgerWriter, owner: str) -> None:
    """Unpack all bundles of an owner."""
    _unpack(ledger, [number for (number,) in ledger.tables.read(Read.BUNDLES_LEASED_BY, owner)])


def unpack_lapsed(ledger: LedgerWriter, now_ms: int, latest_ms: int) -> None:
    """Unpack bundles whose lease was over at `now_ms`, or ends after the latest time at which one can."""
    _unpack(ledger, [number for (number,) in ledger.tables.read(Read.BUNDLES_LAPSED, now_ms, latest_ms)])


def bundled(db: Rows, lane: Lane) -> list[Bundled]:
    """Return what is in flight in a lane's bundles, in the order of filing."""
    return _bundled(db.read(Read.BUNDLES_OF_LANE, lane.app, lane.endpoint))


def bundled_row(db: Rows, row_id: int) -> Bundled | None:
    """Return the event of a ledger row if it is in flight in a bundle, else None."""
    return next((one for one in _bundled(db.read(Read.BUNDLES_AROUND, row_id)) if one.row_id == row_id), None)


def _around(ledger: LedgerWriter, owner: str, ids: Set[int]) -> list[tuple[int, set[int], list[Line]]]:
    """Return the number, the rows in flight and the lines of `owner`'s bundles that have one of these in flight."""
    found = ledger.tables.read(Read.BUNDLES_OWNED, owner, min(ids), max(ids)) if ids else ()
    read = [(number, set(_numbers(in_flight)), _lines(lines)) for number, in_flight, lines in found]
    return [one for one in read if not one[1].isdisjoint(ids)]


def _unpack(ledger: LedgerWriter, numbers: Sequence[int]) -> None:
    """Write what is in flight as rows of its own, under the same lease."""
    items, deliveries = [], []
    for lane, owner, until_ms, due_ms, *lists in ledger.tables.among(Read.BUNDLE_CONTENT, numbers):
        for row_id, received_ms, sealed in _contents(*lists):
            items.append((row_id, sealed))
            deliveries.append((row_id, row_id, lane, received_ms, due_ms, None, owner, until_ms))
    ledger.tables.write(Write.ITEMS, items)
    ledger.tables.write(Write.DELIVERIES, deliveries)
    ledger.tables.write(Write.DROP_BUNDLES, [(number,) for number in numbers])


def _contents(in_flight: str, lines: str, packed: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield ledger row, time of reception and sealed content of what is in flight."""
    there = set(_numbers(in_flight))
    read = _lines(lines)
    ends = accumulate(line[3] for line in read)
    for (row_id, _, received_ms, length), end in zip(read, ends, strict=True):
        if row_id in there:
            yield row_id, received_ms, packed[end - length : end]


def _bundled(bundles: Iterable[tuple[str, int, str, str, bytes]]) -> list[Bundled]:
    return [
        Bundled(row_id, endpoint, due_ms, received_ms, sealed)
        for endpoint, due_ms, in_flight, lines, packed in bundles
        for row_id, received_ms, sealed in _contents(in_flight, lines, packed)
    ]
