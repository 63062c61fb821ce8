"""Costs as anybody can write them: a CSV file of spend, clicks and impressions by day, source, campaign and country.

    date,media_source,campaign,country,spend,currency,clicks,impressions
    2026-01-31,Facebook Ads,Spring,DE,120.50,EUR,310,20400

Only `date`, `media_source` and one figure are needed. An empty figure, `N/A` or `-` is not known, which is not 0. Rows
about the same are added up.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

from msgspec import Struct

from flybridge.insight.metrics import MICRO
from flybridge.store.performance import CostRow, by_place, country_label, day_number, label, source_label

COLUMNS: Final = ("date", "media_source", "campaign", "country", "spend", "currency", "clicks", "impressions")
NEEDED: Final = ("date", "media_source")
FIGURES: Final = ("spend", "clicks", "impressions")
UNKNOWN: Final = frozenset({"", "n/a", "na", "null", "none", "-"})
LARGEST: Final = 1e9


class BadCost(Struct, frozen=True):
    """A line that can't be read, and why. Line 1 is the header."""

    line: int
    problem: str


class CostFile(Struct, frozen=True):
    """What a file says about one app: its rows, and its lines that can't be read."""

    rows: list[CostRow]
    bad: list[BadCost]

    @property
    def days(self) -> tuple[int, int]:
        """The first and last day; there must be a row."""
        days = [row.day for row in self.rows]
        return min(days), max(days)


def read_costs(lines: Iterable[str], app: str, currency: str) -> CostFile:
    """Read the lines of a CSV file. `currency` is that of rows which name none."""
    reader = csv.reader(lines)
    header = [name.strip().lower().removeprefix("\ufeff").replace(" ", "_") for name in next(reader, [])]
    if problem := _header_problem(header):
        return CostFile([], [BadCost(1, problem)])
    rows: list[CostRow] = []
    bad: list[BadCost] = []
    for values in reader:
        if not any(value.strip() for value in values):
            continue
        try:
            rows.append(_row(dict(zip(header, (value.strip() for value in values), strict=False)), app, currency))
        except ValueError as problem:
            bad.append(BadCost(reader.line_num, str(problem)))
    return CostFile(list(by_place(rows).values()), bad)


def _header_problem(header: list[str]) -> str:
    missing = [name for name in NEEDED if name not in header]
    if missing:
        return f"The first line has no column {' and no column '.join(missing)}. Write {','.join(COLUMNS)}."
    if not any(name in header for name in FIGURES):
        return f"The first line has none of the columns {', '.join(FIGURES)}."
    unknown = [name for name in header if name and name not in COLUMNS]
    return f"There is no column {unknown[0]!r}. Write {','.join(COLUMNS)}." if unknown else ""


def _row(values: Mapping[str, str], app: str, currency: str) -> CostRow:
    try:
        day = day_number(date.fromisoformat(values.get("date", "")))
    except ValueError:
        raise ValueError("The date is none: write it as 2026-01-31.") from None
    source = source_label(values.get("media_source", ""))
    if not source:
        raise ValueError("The media_source is empty: write it as AppsFlyer does.")
    code = values.get("currency", "").upper() or currency
    if len(code) != 3 or not code.isascii() or not code.isalpha():
        raise ValueError("The currency is no code of three letters, such as USD.")
    country = values.get("country", "")
    if country.lower() not in UNKNOWN and not country_label(country):
        raise ValueError("The country is no code of two letters, such as DE.")
    spend = _figure(values, "spend")
    return CostRow(
        app,
        day,
        source,
        label(values.get("campaign")),
        country_label(country),
        code,
        None if spend is None else round(spend * MICRO),
        _whole(values, "clicks"),
        _whole(values, "impressions"),
    )


def _figure(values: Mapping[str, str], name: str) -> float | None:
    text = values.get(name, "")
    if text.lower() in UNKNOWN:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= LARGEST or "_" in text:
        raise ValueError(f"The {name} is no number from 0 to {LARGEST:.0f} with a point: 1234.56.")
    return number


def _whole(values: Mapping[str, str], name: str) -> int | None:
    number = _figure(values, name)
    if number is not None and number != int(number):
        raise ValueError(f"The {name} is no whole number.")
    return None if number is None else int(number)
