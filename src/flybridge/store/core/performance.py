"""Performance counters: what a batch of filings adds to days and to install-day cohorts.

A cell is one day of one row of dimensions, and counts what happened on that day. An installation is a row of its own,
under the keyed hash of its AppsFlyer id: it knows its cohort (the cell of its install) and what it did on which day, so
that the counters of the cohort can follow when the install comes late or another source turns out to be the right one.
The figures are the same in whatever order, and however often, the same messages are filed.

The attribution of an installation is decided by `_rank`: a received install before what its events tell, the earliest
install time, a source that is named before a restricted one before organic, the latest touch; else the greatest text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct, structs

from flybridge.identity.masking import masked
from flybridge.records import Dimensions, Filing, Performance, PerformanceKind
from flybridge.store.core.tables import Read, Tables, Write

LAST_OFFSET: Final = 90
"""The last day after the install that a cohort counts; the day of the install is 0."""

NO_CELL: Final = 0
"""The cell of an installation of which no message has told yet who brought it."""

NEVER: Final = -(2**31)
NO_KIND: Final = ""
BEGIN: Final = {PerformanceKind.INSTALL: 3, PerformanceKind.REINSTALL: 2, PerformanceKind.RE_ATTRIBUTION: 1}
"""Conversions that begin an installation, and which of them decides if they name the same time."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[int]).decode

Contribution = tuple[int, int]
"""Cell and offset of the install-day counters that an installation adds to."""


class Installation(Struct):
    """One installation, as this transaction has it. `days` is day -> events, revenue, events not converted.

    `paid_day` is the day of its first purchase. `before` is what the store has of it, None if it is new, and `stored`
    the row of that.
    """

    key: bytes
    cell: int
    day: int
    install_s: int
    touch_s: int
    paid_day: int
    reached: bool
    days: dict[int, tuple[int, int, int]]
    before: Installation | None = None
    stored: tuple[object, ...] = ()

    @classmethod
    def read(cls, row: Sequence[object]) -> Installation:
        """Read a row of `Read.INSTALLATIONS`."""
        key, cell, day, install_s, touch_s, paid_day, reached, packed = row
        flat = _decode(packed)  # type: ignore[arg-type]
        days = {
            day + flat[at]: (flat[at + 1], flat[at + 2], flat[at + 3])  # type: ignore[operator]
            for at in range(0, len(flat), 4)
        }
        before = cls(key, cell, day, install_s, touch_s, paid_day, bool(reached), days)  # type: ignore[arg-type]
        return structs.replace(before, days=days.copy(), before=before, stored=tuple(row))

    def row(self) -> tuple[object, ...]:
        """Return the row as it is written."""
        flat: list[int] = []
        for day, sums in sorted(self.days.items()):
            flat += (day - self.day, *sums)
        return (
            self.key, self.cell, self.day, self.install_s, self.touch_s, self.paid_day, int(self.reached),
            _encode(flat),
        )  # fmt: skip

    def contributions(self) -> dict[Contribution, list[int]]:
        """Return what it adds to its cohort: by offset, active (1), first purchase (1), events, revenue, unknown."""
        if self.cell == NO_CELL:
            return {}
        found: dict[Contribution, list[int]] = {}
        for day, (events, revenue, unknown) in self.days.items():
            offset = max(0, day - self.day)
            if offset > LAST_OFFSET:
                continue
            sums = found.setdefault((self.cell, offset), [1, 0, 0, 0, 0])
            sums[2] += events
            sums[3] += revenue
            sums[4] += unknown
        if self.paid_day != NEVER and (paid := max(0, self.paid_day - self.day)) <= LAST_OFFSET:
            found.setdefault((self.cell, paid), [1, 0, 0, 0, 0])[1] = 1
        return found


class PerformanceCounters:
    """What one batch adds to the performance counters: installations read once, counted in order, written once."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._installations: dict[bytes, Installation] = {}
        # n, revenue, not converted, reached, ledger rows entered
        self._cells: dict[int, list[int]] = {}

    def load(self, filings: Iterable[Filing], released: Iterable[bytes]) -> None:
        """Read the installations of these filings, and those among the keys of holds that were released."""
        keys = {key for filing in filings if filing.performance is not None for key in filing.performance.keys}
        keys.update(released)
        for row in self._tables.among(Read.INSTALLATIONS, sorted(keys)):
            known = Installation.read(row)
            self._installations[known.key] = known

    def reach(self, keys: Iterable[bytes]) -> None:
        """Note that events of the installations among these keys were given to a person in Amplitude."""
        for key in keys:
            if (known := self._installations.get(key)) is not None:
                known.reached = True

    def count(self, app: str, found: Performance) -> int | None:
        """Count what a filing adds. Returns the cell it is counted in, None if it was counted before."""
        found = _masked(found)
        installation = self._installation(found)
        if installation is not None:
            if not found.begins or not found.install_s:
                self._attribute(installation, app, found)
            elif not self._begin(app, installation, found, is_duplicate=False):
                return None
            self._act(installation, found)
        cell = self._tables.performance_cell(app, found.day, found.dimensions)
        sums = self._sums(cell)
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
        found = _masked(found)
        installation = self._installation(found)
        if installation is None or not self._begin(app, installation, found, is_duplicate=True):
            return None
        cell = self._tables.performance_cell(app, found.day, found.dimensions)
        self._act(installation, found)
        sums = self._sums(cell)
        sums[0] += 1
        sums[4] += 1
        return cell

    def write(self) -> None:
        """Write the installations that changed, and what their cohorts and the days gain."""
        cohorts: dict[Contribution, list[int]] = {}
        rows = []
        for installation in self._installations.values():
            row = installation.row()
            if row == installation.stored:
                continue
            rows.append(row)
            self._add(cohorts, installation, 1)
            if installation.before is not None:
                self._add(cohorts, installation.before, -1)
        write = self._tables.write
        write(Write.INSTALLATIONS, sorted(rows))
        write(
            Write.PERFORMANCE,
            [(cell, *sums, 0) for cell, sums in sorted(self._cells.items()) if any(sums)],
        )
        write(Write.COHORTS, [(*at, *sums) for at, sums in sorted(cohorts.items()) if any(sums)])

    def _add(self, cohorts: dict[Contribution, list[int]], state: Installation, sign: int) -> None:
        """Add what an installation contributes, or with `sign` -1 take it away."""
        for at, (active, payers, events, revenue, unknown) in state.contributions().items():
            total = cohorts.setdefault(at, [0, 0, 0, 0, 0])
            total[0] += sign * active
            total[1] += sign * payers
            total[2] += sign * events
            total[3] += sign * revenue
            total[4] += sign * unknown
        if state.reached and state.cell != NO_CELL:
            self._sums(state.cell)[3] += sign

    def _sums(self, cell: int) -> list[int]:
        return self._cells.setdefault(cell, [0, 0, 0, 0, 0])

    def _installation(self, found: Performance) -> Installation | None:
        """Return the installation of a message, made if it is new; None if it has none, or is too old to count."""
        for key in found.keys:
            if (known := self._installations.get(key)) is not None:
                return known
        if not found.keys or (found.install_s and found.day - found.install_day > LAST_OFFSET):
            return None
        day = found.install_day if found.install_s else found.day
        new = Installation(found.keys[0], NO_CELL, day, found.install_s, 0, NEVER, False, {})
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
            self._sums(cell)[0] -= 1
            self._sums(installation.cell)[0] += 1
        return not same and not (seen and is_duplicate)

    def _attribute(self, installation: Installation, app: str, found: Performance) -> bool:
        """Let what a message says decide about the attribution, if it ranks higher. Returns whether it did."""
        origin = found.origin
        if origin is None or not found.install_s:
            return False
        if installation.cell != NO_CELL:
            _, known = self._tables.performance_cell_of(installation.cell)
            if known == origin and installation.install_s == found.install_s:
                installation.touch_s = max(installation.touch_s, found.touch_s)
                return False
            if _rank(known, installation.install_s, installation.touch_s) >= _rank(
                origin, found.install_s, found.touch_s
            ):
                return False
        installation.cell = self._tables.performance_cell(app, found.install_day, origin)
        installation.day, installation.install_s = found.install_day, found.install_s
        installation.touch_s = found.touch_s
        return True

    def _kind(self, installation: Installation) -> str:
        return self._tables.performance_cell_of(installation.cell)[1].kind

    def _act(self, installation: Installation, found: Performance) -> None:
        """Note what the installation did on that day."""
        if found.day - installation.day > LAST_OFFSET:
            return
        in_app = found.dimensions.kind in (PerformanceKind.EVENT, PerformanceKind.RETARGETED_EVENT)
        events, revenue, unknown = installation.days.get(found.day, (0, 0, 0))
        installation.days[found.day] = (events + in_app, revenue + found.revenue, unknown + found.not_converted)
        if found.paid and (installation.paid_day == NEVER or found.day < installation.paid_day):
            installation.paid_day = found.day


def _masked(found: Performance) -> Performance:
    """Return it without identifiers of people in its labels."""
    dimensions = _masked_dimensions(found.dimensions)
    origin = None if found.origin is None else _masked_dimensions(found.origin)
    if dimensions == found.dimensions and origin == found.origin:
        return found
    return structs.replace(found, dimensions=dimensions, origin=origin)


@lru_cache(maxsize=8192)
def _masked_dimensions(dimensions: Dimensions) -> Dimensions:
    return Dimensions(*map(masked, dimensions))


def _rank(origin: Dimensions, install_s: int, touch_s: int) -> tuple[object, ...]:
    named = 0 if origin.media_source in ("", "organic") else 1 if origin.media_source == "restricted" else 2
    kind = BEGIN.get(origin.kind, 0)
    return (kind > 0, -install_s, kind, named, touch_s, origin)
