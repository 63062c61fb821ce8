"""Costs as anybody can write them: a CSV file of spend, clicks and impressions by day, source, campaign and country.

    date,media_source,campaign,country,spend,currency,clicks,impressions
    2026-01-31,Facebook Ads,Spring,DE,120.50,EUR,310,20400

Only `date`, `media_source` and one figure are needed. What is empty, `N/A` or `-` is not known, of figures not 0. Rows
about the same are added up.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.report import LARGEST, figure_in, stated
from flybridge.records import MICRO
from flybridge.store.performance import CostRow, country_label, day_number, label, source_label

COLUMNS: Final = ("date", "media_source", "campaign", "country", "spend", "currency", "clicks", "impressions")
NEEDED: Final = ("date", "media_source")
FIGURES: Final = ("spend", "clicks", "impressions")
SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What spreadsheets write between columns where a comma begins the fraction of an amount, or is asked to be none."""
FIRST: Final = day_number(date(2008, 1, 1))
NO_CSV: Final = "The line is not CSV: look for a quote that is not closed: {}."


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


def read_costs(lines: Iterable[str], app: str, currency: str, last: date = date.max) -> CostFile:
    """Read the lines of a CSV file. `currency` is that of rows which name none, and `last` the last day of which there
    can be costs: a file replaces what was known from its first day to its last.
    """
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip().lower().removeprefix("\ufeff").replace(" ", "_") for name in next(reader, [])]
        problem = _header_problem(header)
    except csv.Error as error:
        problem = NO_CSV.format(error)
    if problem:
        return CostFile([], [BadCost(1, problem)])
    places: dict[tuple[object, ...], CostRow] = {}
    bad: list[BadCost] = []
    while True:
        try:
            values = [value.strip() for value in next(reader)]
            if any(values):
                _add(places, _row(_named(header, values), app, currency, last))
        except StopIteration:
            break
        except (csv.Error, ValueError) as error:
            bad.append(BadCost(reader.line_num, NO_CSV.format(error) if isinstance(error, csv.Error) else str(error)))
    return CostFile(list(places.values()), bad)


def _add(places: dict[tuple[object, ...], CostRow], row: CostRow) -> None:
    """Add a row to those about the same. Raises `ValueError`."""
    total = places[row.place].plus(row) if row.place in places else row
    for name, most in (("spend", LARGEST * MICRO), ("clicks", LARGEST), ("impressions", LARGEST)):
        if (getattr(total, name) or 0) > most:
            raise ValueError(f"The {name} of these lines about the same adds up to more than {LARGEST:.0f}.")
    places[row.place] = total


def _header_problem(header: list[str]) -> str:
    if len(header) == 1 and (other := next((sign for sign in SEPARATORS if sign in header[0]), None)) is not None:
        return f"The columns are separated by {SEPARATORS[other]}: write commas, and amounts as 1234.50."
    missing = [name for name in NEEDED if name not in header]
    if missing:
        return f"The first line has no column {' and no column '.join(missing)}. Write {','.join(COLUMNS)}."
    if twice := [name for name in COLUMNS if header.count(name) > 1]:
        return f"The first line has the column {twice[0]} twice."
    if not any(name in header for name in FIGURES):
        return f"The first line has none of the columns {', '.join(FIGURES)}."
    unknown = [name for name in header if name and name not in COLUMNS]
    return f"There is no column {unknown[0]!r}. Write {','.join(COLUMNS)}." if unknown else ""


def _named(header: list[str], values: list[str]) -> Mapping[str, str]:
    """Return values by their columns, those empty that say that they are not known."""
    if any(values[len(header) :]):
        raise ValueError(
            f"The line has {len(values)} values for {len(header)} columns: put one with a comma in quotes."
        )
    found = dict(zip(header, values, strict=False))
    if len(values) < len(header) and not any(name in found for name in FIGURES):
        raise ValueError(f"The line ends before {' or '.join(name for name in FIGURES if name in header)}.")
    return {name: stated(value) for name, value in found.items()}


def _row(values: Mapping[str, str], app: str, currency: str, last: date) -> CostRow:
    try:
        day = day_number(date.fromisoformat(values.get("date", "")))
    except ValueError:
        day = -1
    if day < 0:
        raise ValueError("The date can't be read: write it as 2026-01-31.")
    if not FIRST <= day <= day_number(last):
        raise ValueError("The date is in the future, or before there were apps: look at its year.")
    source = source_label(values.get("media_source", ""))
    if not source:
        raise ValueError("The media_source is empty: write it as AppsFlyer does.")
    code = values.get("currency", "").upper() or currency
    if len(code) != 3 or not code.isascii() or not code.isalpha():
        raise ValueError("The currency is not a code of three letters, such as USD.")
    country = values.get("country", "")
    if country and not country_label(country):
        raise ValueError("The country is not a code of two letters, such as DE.")
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
    try:
        number = figure_in(values.get(name, ""))
    except ValueError:
        number = -1.0
    if number is not None and number < 0:
        raise ValueError(f"The {name} is not a number from 0 to {LARGEST:.0f} with a point: 1234.56.")
    return number


def _whole(values: Mapping[str, str], name: str) -> int | None:
    number = _figure(values, name)
    if number is not None and number != int(number):
        raise ValueError(f"The {name} is not a whole number.")
    return None if number is None else int(number)
