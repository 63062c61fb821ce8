"""What every command prints by: sentences, tables and JSON.

Names of media sources, campaigns and events are anybody's text. It is printed as it is: brackets are no markup, and
control, bidirectional and invisible characters are written as escapes, so that no text can move the cursor, forge a
line or change its own order.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from textwrap import wrap
from typing import Any, Final

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from flybridge.records import clock_time
from flybridge.system.counted import span

console: Final = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)

GAP: Final = "  "
BARS: Final = "▁▂▃▄▅▆▇█"
NOT_SET: Final = "(not set)"

# C0, DEL and C1; soft hyphen; bidirectional marks, overrides and isolates; line and paragraph separators; zero-width
# characters but the two joiners that words and emoji need; surrogates, which no terminal can be sent; tags.
_HIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)


def visible(text: str) -> str:
    """Return the text with an escape in place of each character that is not seen, such as ESC or a line break."""
    return _HIDDEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def say(text: str, style: str = "") -> None:
    """Print a sentence on standard output."""
    console.print(Text(visible(text)), style=style)


def complain(text: str) -> None:
    """Print a sentence on standard error. Line breaks in it are kept: some faults come as a list."""
    sys.stderr.write("\n".join(visible(line) for line in text.split("\n")) + "\n")


def print_json(value: Any) -> None:
    """Print JSON, indented. Characters that a terminal would obey are escaped as JSON allows."""
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()
    # Its line breaks are the indentation; those within values are escaped already.
    sys.stdout.write("\n".join(_HIDDEN.sub(_escape_json, line) for line in text.split("\n")) + "\n")


def _escape_json(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def show(rows: Sequence[Mapping[str, Any]], title: str, nothing: str, as_json: bool) -> None:
    """Print rows, as JSON or as a table."""
    if as_json:
        print_json(rows)
    else:
        print_rows(title, rows, nothing)


def print_rows(title: str, rows: Sequence[Mapping[str, Any]], nothing: str, *, right: Collection[str] = ()) -> None:
    """Print rows as a table whose columns are the first row's keys, the most important first.

    What does not fit into the width of the terminal stands below its row. Into a file or a pipe everything fits,
    unless COLUMNS says how wide it is. Columns of numbers, and those named by `right`, end at the right.
    """
    if not rows:
        say(nothing)
        return
    keys = list(rows[0])
    cells = [{key: visible(shown(key, row.get(key))) for key in keys} for row in rows]
    widths = {key: max(cell_len(label(key)), *(cell_len(row[key]) for row in cells)) for key in keys}
    beside = _fitting(widths, width())
    numeric = {key for key in keys if isinstance(rows[0][key], int | float) and not isinstance(rows[0][key], bool)}
    numeric.update(right)
    console.print(Text(visible(title)), style="italic")
    console.print(Text(_line({key: label(key) for key in beside}, widths, numeric)), style="bold")
    for row in cells:
        console.print(Text(_line({key: row[key] for key in beside}, widths, numeric)))
        for key in keys:
            if key not in beside and row[key]:
                for line in wrap(f"{label(key)}: {row[key]}", max(width() - 6, 20), subsequent_indent="  "):
                    console.print(Text(f"    {line}"))


def blocks(rows: Sequence[Mapping[str, str]], labels: int, room: int) -> list[list[str]]:
    """Return the columns of tables that fit into a width one below the other, each with the labels of its rows.

    One table if it fits, or if the labels leave no room for a figure.
    """
    columns = list(rows[0]) if rows else []
    widths = {name: max(cell_len(name), *(cell_len(row.get(name, "")) for row in rows)) for name in columns}
    heads, figures = columns[:labels], columns[labels:]
    taken = sum(widths[name] + len(GAP) for name in heads)
    if not heads or any(taken + widths[name] > room for name in figures):
        return [columns]
    blocks: list[list[str]] = []
    left = 0
    for name in figures:
        if widths[name] > left:
            blocks.append(heads.copy())
            left = room - taken
        blocks[-1].append(name)
        left -= widths[name] + len(GAP)
    return blocks or [columns]


def _fitting(widths: Mapping[str, int], room: int) -> list[str]:
    """Return which columns stand side by side: the first one, and each that still has room, in order."""
    beside: list[str] = []
    taken = 0
    for key, wide in widths.items():
        if not beside or taken + len(GAP) + wide <= room:
            beside.append(key)
            taken += wide + (len(GAP) if taken else 0)
    return beside


def _line(cells: Mapping[str, str], widths: Mapping[str, int], right: set[str]) -> str:
    padded = []
    for key, text in cells.items():
        space = " " * (widths[key] - cell_len(text))
        padded.append(space + text if key in right else text + space)
    return GAP.join(padded).rstrip()


def width() -> int:
    """Return how many columns there are to print on."""
    if (columns := os.environ.get("COLUMNS", "")).isdecimal():
        return int(columns)
    return console.width if sys.stdout.isatty() else 100_000


def label(key: str) -> str:
    """Return the heading of a column: the key without its unit, in words."""
    return key.removesuffix("_s").removesuffix("_ms").replace("_", " ")


def shown(key: str, value: Any) -> str:
    """Return how a value reads in a table. Keys that end in `_s` hold seconds; in `_ms`, a moment."""
    if key.endswith("_s") and isinstance(value, int):
        return span(1000 * value)
    if key.endswith("_ms") and isinstance(value, int):
        return clock_time(value)
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def name_shown(value: Any) -> str:
    """Return the name of a group, or that it has none."""
    return NOT_SET if value is None else str(value)


def sparkline(numbers: Sequence[float]) -> str:
    """Return a bar for each number, the highest as high as a line."""
    most = max(numbers, default=0)
    return "".join(BARS[round(number / most * (len(BARS) - 1))] if most else BARS[0] for number in numbers)
