"""Lines of CSV files that spreadsheets open without running anything."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO
from typing import Final

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes as the beginning of a formula."""


def csv_line(values: Iterable[object]) -> str:
    """Return one line. A text that a spreadsheet would take as a formula begins with an apostrophe."""
    out = StringIO()
    csv.writer(out).writerow([_cell(value) for value in values])
    return out.getvalue()


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return the lines of these rows, the heads first. What is None is empty."""
    return "".join(map(csv_line, rows))


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
