"""Performance counters: what a batch of filings adds to days and to install-day cohorts.

A cell is one day of one row of dimensions, and counts what happened on that day. An installation is a row of its own,
under the keyed hash of its AppsFlyer id: it knows its cohort (the cell of its install) and what it did on which day, so
that the counters of the cohort can follow when the install comes late or another source turns out to be the right one.
The figures are the same in whatever order, and however often, the same messages are filed.

The attribution of an installation is decided by `_rank`: a received install before what its events tell, the earliest
install time, a source that is named before a restricted one before organic, the latest touch; else the greatest text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from flybridge.records import Dead, Dimensions, Filing, Performance, PerformanceKind
from flybridge.store.core.performance_cells import without_ids
from flybridge.store.core.tables import Read, Tables, Write

LAST_OFFSET: Final = 90
"""The last day after the install that a cohort counts; the day of the install is 0."""

NO_CELL: Final = 0
"""The cell of an installation of which no message has named the source yet."""

NEVER: Final = -(2**31)
NO_KIND: Final = ""
BEGIN: Final = {PerformanceKind.INSTALL: 3, PerformanceKind.REINSTALL: 2, PerformanceKind.RE_ATTRIBUTION: 1}
"""Conversions that begin an installation, and which of them decides if they name the same time."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[int]).decode

MOST_SUM: Final = 2**53
"""No day of an installation has more micros of revenue than this."""

Contribution = tuple[int, int]
"""Cell and offset of the install-day counters that an installation adds to."""


def _days(packed: bytes) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Yield the days of an installation as offsets with their sums. Damaged bytes have none: it begins anew."""
    with suppress(msgspec.DecodeError):
        flat = _decode(packed)
        if len(flat) % 4 == 0 and all(abs(value) < MOST_SUM for value in flat):
            yield from ((flat[at], (flat[at + 1], flat[at + 2], flat[at + 3])) for at in range(0, len(flat), 4))


class Installation(Struct):
    """One installation, as this transaction has it. `days` is day -> events, revenue, events not converted.

    `paid_day` is the day of its first purchase. `changed`: it is not as the store has it.
    """

    key: bytes
    cell: int
    day: int
    install_s: int
    touch_s: int
    paid_day: int
    reached: bool
    days: dict[int, tuple[int, int, int]]
    changed: bool = False

    @classmethod
    def read(cls, row: Sequence[object]) -> Installation:
        """Read a row of `Read.INSTALLATIONS`."""
        key, cell, day, install_s, touch_s, paid_day, reached, packed = row
        days = {day + offset: sums for offset, sums in _days(packed)}  # type: ignore[operator, arg-type]
        return cls(key, cell, day, install_s, touch_s, paid_day, bool(reached), days)  # type: ignore[arg-type]

    def row(self) -> tuple[object, ...]:
        """Return the row as it is written."""
        flat: list[int] = []
        for day, sums in sorted(self.days.items()):
            flat += (day - self.day, *sums)
        return (
            self.key, self.cell, self.day, self.install_s, self.touch_s, self.paid_day, int(self.reached),
            _encode(flat),
        )  # fmt: skip

    def offset(self, day: int) -> int:
        """Return how many days a day is after the install, 0 for one that is before."""
        return max(0, day - self.day)

    def is_active(self, offset: int) -> bool:
        """Whether it did anything so many days after the install."""
        if offset:
            return self.day + offset in self.days
        return any(day <= self.day for day in self.days)

    def contributions(self) -> dict[Contribution, list[int]]:
        """Return what it adds to its cohort: by offset, active (1), first purchase (1), events, revenue, unknown."""
        if self.cell == NO_CELL:
            return {}
        found: dict[Contribution, list[int]] = {}
        for day, (events, revenue, unknown) in self.days.items():
            offset = self.offset(day)
            if offset > LAST_OFFSET:
                continue
            sums = found.setdefault((self.cell, offset), [1, 0, 0, 0, 0])
            sums[2] += events
            sums[3] += revenue
            sums[4] += unknown
        if self.paid_day != NEVER and (paid := self.offset(self.paid_day)) <= LAST_OFFSET:
            found.setdefault((self.cell, paid), [1, 0, 0, 0, 0])[1] = 1
        return found


class PerformanceCounters:
    """What one batch adds to the performance counters: installations read once, counted in order, written once."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._installations: dict[bytes, Installation] = {}
        self._prepared: dict[int, tuple[Performance, int]] = {}
        # n, revenue, not converted, reached, ledger rows entered
        self._cells: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
        # active, first purchases, events, revenue, not converted
        self._cohorts: defaultdict[Contribution, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])

    def load(self, filings: Iterable[Filing], released: Iterable[bytes]) -> None:
        """Read the installations of these filings, and those among the keys of holds that were released."""
        keys = {key for filing in filings if filing.performance is not None for key in filing.performance.keys}
        keys.update(released)
        for row in self._tables.among(Read.INSTALLATIONS, sorted(keys)):
            known = Installation.read(row)
            self._installations[known.key] = known

    def prepare(self, filings: Iterable[tuple[int, Filing]]) -> None:
        """Find or make the cells that these filings will be counted in, those of their installations included.

        What the second message of a new installation tells of it is not known yet, and found when it is needed.
        """
        names: list[tuple[str, int, Dimensions]] = []
        counted: list[tuple[int, Performance]] = []
        origins: list[tuple[str, int, Dimensions]] = []
        begun: set[bytes] = set()
        for row_id, filing in filings:
            if filing.performance is None or isinstance(filing.decision, Dead):
                continue
            found, app = filing.performance, filing.envelope.app
            counted.append((row_id, found))
            names.append((app, found.day, found.dimensions))
            if found.origin is None or not found.install_s or not begun.isdisjoint(found.keys):
                continue
            begun.update(found.keys)
            known = [self._installations[key] for key in found.keys if key in self._installations]
            if not known or known[0].cell == NO_CELL:
                origins.append((app, found.install_day, found.origin))
        cells = self._tables.performance_cells(names + origins)
        self._prepared = {row_id: (found, cell) for (row_id, found), cell in zip(counted, cells, strict=False)}

    def reach(self, keys: Iterable[bytes]) -> None:
        """Note that events of the installations among these keys were given to a person in Amplitude."""
        for key in keys:
            if (known := self._installations.get(key)) is not None and not known.reached:
                known.reached = known.changed = True
                if known.cell != NO_CELL:
                    self._cells[known.cell][3] += 1

    def count(self, app: str, row_id: int) -> int | None:
        """Count what a prepared filing adds. Returns the cell it is counted in, None if it was counted before."""
        found, cell = self._prepared[row_id]
        installation = self._installation(found)
        if installation is not None:
            if not found.begins or not found.install_s:
                self._attribute(installation, app, found)
            elif not self._begin(app, installation, found, is_duplicate=False):
                return None
            self._act(installation, found)
        sums = self._cells[cell]
        sums[0] += 1
        sums[1] += found.revenue
        sums[2] += found.not_converted
        sums[4] += 1
        return cell

    def correct(self, app: str, found: Performance) -> int | None:
        """Look at a duplicate: a conversion may be attributed to another source now, or not be counted yet.

        Returns the cell it is counted in, None if nothing is counted.
        """
        if not found.begins or not found.install_s:
            return None
        installation = self._installation(found)
        if installation is None or not self._begin(app, installation, found, is_duplicate=True):
            return None
        cell = self._tables.performance_cell(app, found.day, found.dimensions)
        self._act(installation, found)
        sums = self._cells[cell]
        sums[0] += 1
        sums[4] += 1
        return cell

    def write(self) -> None:
        """Write the installations that changed, and what their cohorts and the days gain."""
        write = self._tables.write
        write(Write.INSTALLATIONS, sorted(one.row() for one in self._installations.values() if one.changed))
        write(
            Write.PERFORMANCE,
            [(cell, *sums, 0) for cell, sums in sorted(self._cells.items()) if any(sums)],
        )
        write(Write.COHORTS, [(*at, *sums) for at, sums in sorted(self._cohorts.items()) if any(sums)])

    def _count_in(self, installation: Installation, sign: int) -> None:
        """Add all that an installation counts for to its cohort, or take it out."""
        for at, sums in installation.contributions().items():
            total = self._cohorts[at]
            for number, value in enumerate(sums):
                total[number] += sign * value
        if installation.reached and installation.cell != NO_CELL:
            self._cells[installation.cell][3] += sign

    def _installation(self, found: Performance) -> Installation | None:
        """Return the installation of a message, made if it is new; None if it has none, or is too old to count."""
        for key in found.keys:
            if (known := self._installations.get(key)) is not None:
                return known
        if not found.keys or (found.install_s and found.day - found.install_day > LAST_OFFSET):
            return None
        day = found.install_day if found.install_s else found.day
        new = Installation(found.keys[0], NO_CELL, day, found.install_s, 0, NEVER, False, {}, changed=True)
        self._installations[new.key] = new
        return new

    def _begin(self, app: str, installation: Installation, found: Performance, *, is_duplicate: bool) -> bool:
        """Take a conversion that begins an installation. Returns whether it is one more, and none known already."""
        kind = NO_KIND if installation.cell == NO_CELL else self._kind(installation)
        seen = kind in BEGIN
        same = kind == found.dimensions.kind and installation.install_s == found.install_s
        cell, old = installation.cell, installation.install_s
        changed = self._attribute(installation, app, found)
        if same and changed and installation.cell != cell and old == installation.install_s:
            self._cells[cell][0] -= 1
            self._cells[installation.cell][0] += 1
        return not same and not (seen and is_duplicate)

    def _attribute(self, installation: Installation, app: str, found: Performance) -> bool:
        """Let what a message says decide about the attribution, if it ranks higher. Returns whether it did."""
        origin = found.origin
        if origin is None or not found.install_s:
            return False
        if installation.cell != NO_CELL:
            _, known = self._tables.performance_cell_of(installation.cell)
            if known == origin and installation.install_s == found.install_s:
                if found.touch_s > installation.touch_s:
                    installation.touch_s, installation.changed = found.touch_s, True
                return False
            if known.kind in BEGIN and origin.kind not in BEGIN:
                return False  # a received install ranks before what events tell
            origin = without_ids(origin)
            if _rank(known, installation.install_s, installation.touch_s) >= _rank(
                origin, found.install_s, found.touch_s
            ):
                return False
        self._count_in(installation, -1)
        installation.cell = self._tables.performance_cell(app, found.install_day, origin)
        installation.day, installation.install_s = found.install_day, found.install_s
        installation.touch_s, installation.changed = found.touch_s, True
        self._count_in(installation, 1)
        return True

    def _kind(self, installation: Installation) -> str:
        return self._tables.performance_cell_of(installation.cell)[1].kind

    def _act(self, installation: Installation, found: Performance) -> None:
        """Note what the installation did on that day, and count it in its cohort."""
        day = found.day
        offset = installation.offset(day)
        if offset > LAST_OFFSET:
            return
        in_app = found.dimensions.kind in (PerformanceKind.EVENT, PerformanceKind.RETARGETED_EVENT)
        before = installation.days.get(day)
        if before is not None and not (in_app or found.revenue or found.not_converted or found.paid):
            return
        installation.changed = True
        is_first = before is None and not installation.is_active(offset)
        events, revenue, unknown = before or (0, 0, 0)
        installation.days[day] = (events + in_app, revenue + found.revenue, unknown + found.not_converted)
        paid = installation.paid_day
        if found.paid and (paid == NEVER or day < paid):
            installation.paid_day = day
        if installation.cell == NO_CELL:
            return
        sums = self._cohorts[installation.cell, offset]
        sums[0] += is_first
        sums[2] += in_app
        sums[3] += found.revenue
        sums[4] += found.not_converted
        if installation.paid_day != paid:
            sums[1] += 1
            if paid != NEVER and (earlier := installation.offset(paid)) <= LAST_OFFSET:
                self._cohorts[installation.cell, earlier][1] -= 1


def _rank(origin: Dimensions, install_s: int, touch_s: int) -> tuple[object, ...]:
    named = 0 if origin.media_source in ("", "organic") else 1 if origin.media_source == "restricted" else 2
    kind = BEGIN.get(origin.kind, 0)
    return (kind > 0, -install_s, kind, named, touch_s, origin)
