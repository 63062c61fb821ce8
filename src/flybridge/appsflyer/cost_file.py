"""Files of AppsFlyer's Cost ETL: spend, clicks and impressions by day, source, campaign and country, in a bucket.

https://support.appsflyer.com/hc/en-us/articles/360008849238 (read 2026-11-27). A day's files are written up to four
times, each time with that day, the six days before, and again days 14, 29 and 88 before it: what was written last about
a day is right. A report of a dimension (`geo`, `channel`) leaves out sources that do not give the dimension; `summary`
has all. Files are Parquet, in `cost_etl/v1/dt=2026-01-31/b=4/geo/` with a `_SUCCESS` once a batch is whole, or in
`t=cost_etl_geo/dt=2026-01-31/v=3/` where Data Locker writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import PurePath
from typing import Any, Final

from msgspec import Struct

from flybridge.appsflyer.report import SpendRow, figure_in, stated

REPORTS: Final = ("geo", "summary", "channel")
"""The reports that can be read, the best first: of one day and source, rows of the first that has any count."""
COLUMNS: Final = (
    "app_id", "date", "media_source", "campaign", "geo", "cost", "currency", "impressions", "clicks",
    "reported_impressions", "reported_clicks",
)  # fmt: skip

_REPORT: Final = re.compile(r"(?:t=)?(?:cost_etl_)?(geo|summary|channel)")
_DAY: Final = re.compile(r"dt=([0-9]{4}-[0-9]{2}-[0-9]{2})")
_BATCH: Final = re.compile(r"(?:b|v|version)=([0-9]{1,6})")


class CostFilePlace(Struct, frozen=True, order=True):
    """What the path of a file says: when it was written, as which batch of that day, and which report it is."""

    written: date
    batch: int
    report: str


class CostFileRow(SpendRow, frozen=True):
    """One row of a file."""

    app_id: str
    currency: str


def place(path: PurePath) -> CostFilePlace | None:
    """Return what a path says; None if it is that of no file of these reports."""
    report, written, batch = "", None, None
    for part in path.parts[:-1]:
        if found := _REPORT.fullmatch(part):
            report = found[1]
        elif found := _DAY.fullmatch(part):
            written = date.fromisoformat(found[1])
        elif found := _BATCH.fullmatch(part):
            batch = int(found[1])
    if path.suffix != ".parquet" or not report or written is None or batch is None:
        return None
    return CostFilePlace(written, batch, report)


def read_row(values: Mapping[str, Any]) -> CostFileRow:
    """Read one row by the names of its columns. Raises `ValueError` with a sentence."""
    source = _text(values.get("media_source"))
    if not source:
        raise ValueError("A row names no media_source.")
    impressions, clicks = _whole(values, "impressions"), _whole(values, "clicks")
    return CostFileRow(
        _day(values.get("date")),
        source,
        _text(values.get("campaign")),
        _text(values.get("geo")),
        impressions if impressions is not None else _whole(values, "reported_impressions"),
        clicks if clicks is not None else _whole(values, "reported_clicks"),
        _number(values, "cost"),
        _text(values.get("app_id")),
        _text(values.get("currency")).upper(),
    )


def newest(files: Iterable[tuple[CostFilePlace, list[CostFileRow]]]) -> list[CostFileRow]:
    """Return what was written last about each app, day and source, by the best report that has it.

    A later batch of a report replaces an earlier one as a whole: a source that it no longer names has no cost on that
    day. Reports have batches of their own where Data Locker writes them, one a while before another. One that was
    written more than a day before another one is not written any more.
    """
    read = [(at, row) for at, rows in files for row in rows]
    batches: dict[tuple[str, str, date], tuple[date, int]] = {}
    for at, row in read:
        of, batch = (at.report, row.app_id, row.day), (at.written, at.batch)
        batches[of] = max(batches.get(of, batch), batch)
    written: dict[tuple[str, date], date] = {}
    for (_, app_id, day), (on, _) in batches.items():
        written[app_id, day] = max(written.get((app_id, day), on), on)
    read = [
        (at, row)
        for at, row in read
        if (at.written, at.batch) == batches[at.report, row.app_id, row.day]
        and at.written >= written[row.app_id, row.day] - timedelta(days=1)
    ]
    best: dict[tuple[str, date, str], tuple[date, int]] = {}
    for at, row in read:
        name, rank = (row.app_id, row.day, row.media_source), (at.written, -REPORTS.index(at.report))
        best[name] = max(best.get(name, rank), rank)
    return [
        row
        for at, row in read
        if best[row.app_id, row.day, row.media_source] == (at.written, -REPORTS.index(at.report))
    ]


def _text(value: Any) -> str:
    return stated(value) if isinstance(value, str) else ""


def _day(value: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        raise ValueError(f"A row's date can't be read: {str(value)[:20]!r}.") from None


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    if value is None:
        return None
    try:
        number = figure_in(str(value))
    except ValueError:
        number = -1.0
    if number is not None and number < 0:
        raise ValueError(f"A row's {name} is not a number.")
    return number


def _whole(values: Mapping[str, Any], name: str) -> int | None:
    number = _number(values, name)
    return None if number is None else round(number)
