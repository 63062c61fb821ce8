"""Rows of ad revenue whose amount AppsFlyer has changed since they were read.

AppsFlyer writes the ad revenue of a day again, as another version. A row of it with another amount is not the event
that was sent, and Amplitude can neither change that nor take it back: both would count. How often and by how much
AppsFlyer changes amounts is not documented, and neither is a way to tell a row from its former self. So the files of
the earlier version are compared: a row that was there with another amount, and with the same of all else that tells
rows apart, is left out and counted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from typing import Final

from flybridge.appsflyer.raw_report import Report, report_named
from flybridge.history.equal_rows import BETWEEN, IDENTITY
from flybridge.history.files import RawFile
from flybridge.history.locker_folders import unversioned, version_of
from flybridge.history.progress import Progress
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import UTC_TIMES, RawRow, Zone
from flybridge.history.take import pages_beside

AMOUNT: Final = ("event_revenue", "event_revenue_currency")
_OTHERS: Final = (
    "media_source",
    "campaign",
    "monetization_network",
    "mediation_network",
    "ad_unit",
    "placement",
    "segment",
)
_SAME: Final = tuple(name for name in IDENTITY if name not in AMOUNT) + _OTHERS


class FormerRows:
    """The rows of an earlier version of a folder. They are kept in a file of this machine, and not in memory."""

    def __init__(self, progress: Progress, place: str) -> None:
        self._progress, self._place = progress, unversioned(place)

    async def read(self, files: Sequence[RawFile], zone: Zone | None = UTC_TIMES) -> None:
        """Read the rows of files of one version or more. Raises `FlybridgeError` for one that can't be read."""
        for _, version in groupby(sorted(files, key=_version), key=_version):
            parts = list(version)
            # The amount that was taken is that of the version in which a row was first.
            async for page in self._pages(parts, zone):
                new = [row for row in page if not self._progress.is_reported(self._row(row))]
                self._progress.note_reported(map(self._row_and_amount, new))
            async for page in self._pages(parts, zone):
                self._progress.note_reported(map(self._row, page))

    @staticmethod
    async def _pages(files: Sequence[RawFile], zone: Zone | None) -> AsyncIterator[list[dict[str, str]]]:
        for file in files:
            rows = (row.fields for row in RawRows(file, zone, report_named(file.name)) if isinstance(row, RawRow))
            async for page in pages_beside(rows):
                yield page

    def has_other_amount(self, row: RawRow) -> bool:
        """Whether a row was there with another amount."""
        if row.report is not Report.AD_REVENUE or not self._progress.is_reported(self._row(row.fields)):
            return False
        return not self._progress.is_reported(self._row_and_amount(row.fields))

    def _row(self, fields: Mapping[str, str]) -> bytes:
        return self._hash(fields, _SAME)

    def _row_and_amount(self, fields: Mapping[str, str]) -> bytes:
        return self._hash(fields, (*_SAME, *AMOUNT))

    def _hash(self, fields: Mapping[str, str], names: Iterable[str]) -> bytes:
        text = BETWEEN.join([self._place, *(fields.get(name, "") for name in names)])
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _version(file: RawFile) -> int:
    return version_of(file.name.rpartition("/")[0])
