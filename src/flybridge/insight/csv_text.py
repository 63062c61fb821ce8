"""Figures and names as CSV that spreadsheets open, without a formula in it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO
from typing import Final

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes as the beginning of a formula, the full-width signs in East Asian versions."""

BYTE_ORDER_MARK: Final = "\ufeff"
"""What a file begins with, so that spreadsheets on Windows read it as UTF-8 and show `Köln` as it is."""


def csv_line(values: Iterable[object], end: str = "\r\n") -> str:
    """Return one line. A text that a spreadsheet would take as a formula begins with an apostrophe."""
    out = StringIO()
    csv.writer(out, lineterminator=end).writerow([_cell(value) for value in values])
    return out.getvalue()


def csv_text(rows: Iterable[Iterable[object]], end: str = "\r\n") -> str:
    """Return the lines of these rows, the heads first. What is None is empty."""
    return "".join(csv_line(row, end) for row in rows)


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
