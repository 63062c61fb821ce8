"""A mapping as a table: rows of source, target and converter, and their printouts.

A row names functions, not strings that name functions. The same rows are compiled (`mapping.to_amplitude.sections`),
explained for one message in the console, and printed as the reference page. Of several rows with one target, the
first that gives a value wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from math import isfinite
from typing import Any, Final

from msgspec import Struct

from flybridge.amplitude.event import MAX_INTEGER, MAX_TEXT
from flybridge.appsflyer.postback_time import time_ms
from flybridge.system.yes_or_no import yes_or_no

# `2026-01-31 23:59:59` and the same with milliseconds.
USUAL_LENGTHS: Final = (19, 23)
FIRST_YEAR, LAST_YEAR = 2008, 2099

_read: Final = datetime.fromisoformat

Converter = Callable[[Any], Any]

PREFIX: Final = "[AppsFlyer] "


class Section(StrEnum):
    """The part of an Amplitude event that holds a target."""

    TOP = ""
    EVENT = "event_properties"
    USER = "user_properties"


class Row(Struct, frozen=True):
    """One field to carry over. `doc` is the vendor's page about it; `note` is for the reader.

    `conversions_only` rows apply to installs, reinstalls, re-engagements and re-attributions.
    """

    source: str
    target: str
    convert: Converter
    doc: str
    note: str = ""
    conversions_only: bool = False

    @property
    def place(self) -> tuple[Section, str]:
        """The section of the target, and the key in it."""
        head, _, key = self.target.partition(".")
        for section in (Section.EVENT, Section.USER):
            if head == section.value:
                return section, key
        return Section.TOP, self.target


class Derived(Struct, frozen=True):
    """A target that is decided from several fields by a rule. `note` states the rule."""

    sources: tuple[str, ...]
    target: str
    doc: str
    note: str


class Explained(Struct, frozen=True):
    """One line of an explanation. Personal ids are masked in `raw` and `value`."""

    source: str
    raw: Any
    target: str
    value: Any
    note: str


# Converters: a value of a postback, never None, to a value for Amplitude; None leaves the target out.


def text(value: Any) -> str | None:
    """Text as it is."""
    return value if isinstance(value, str) else plain(value)


def plain(value: Any) -> str | None:
    """Text of anything: whole numbers without a fraction, flags as `true` and `false`."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case int() | float():
            return str(value)
        case _:
            return None


def as_is(value: Any) -> Any:
    """Text, number or flag as it is; nothing else."""
    match value:
        case str():
            return value[:MAX_TEXT] or None
        case int() if not -MAX_INTEGER <= value <= MAX_INTEGER:
            return None
        case float() if not isfinite(value):
            return None
        case bool() | int() | float():
            return value
        case _:
            return None


def money(value: Any) -> float | None:
    """An amount, in whatever currency the row says. Zero is an amount; nothing is not."""
    try:
        amount = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return amount if -1e15 <= amount <= 1e15 else None


def integer(value: Any) -> int | None:
    """A whole number."""
    if type(value) is int and -1e15 <= value <= 1e15:
        return value
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if -1e15 <= number <= 1e15 and number.is_integer() else None


def flag(value: Any) -> bool | None:
    """True or false."""
    return yes_or_no(value)


def moment(value: str) -> str | None:
    """A time as `YYYY-MM-DDTHH:MM:SS`, UTC: Amplitude compares times as text."""
    if len(value) in USUAL_LENGTHS:
        try:
            read = _read(value)
        except ValueError:
            read = None
        if read is not None and read.tzinfo is None:
            return f"{value[:10]}T{value[11:19]}" if FIRST_YEAR <= read.year <= LAST_YEAR else None
    ms = time_ms(value)
    return None if ms is None else moment_of(ms)


def moment_of(ms: int) -> str:
    """Return milliseconds since 1970 as `YYYY-MM-DDTHH:MM:SS`, UTC."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=4096)
def brand(value: str) -> str | None:
    """The part before the colons of `samsung::SM-G991B`."""
    head, colons, _ = value.partition("::")
    return head or None if colons else None


@lru_cache(maxsize=4096)
def model(value: str) -> str | None:
    """The part after the colons of `samsung::SM-G991B`, or all of it."""
    return value.rpartition("::")[2] or None


def with_prefix(name: str, prefix: str) -> str:
    """Replace the table's prefix by the configured one."""
    return prefix + name.removeprefix(PREFIX) if name.startswith(PREFIX) else name


def explain_rows(
    rows: Iterable[Row], find: Callable[[str], Any], personal: frozenset[str], prefix: str
) -> Iterable[Explained]:
    """Yield what each row makes of its source, if that is present. `find` returns a source's raw value."""
    filled: set[str] = set()
    for row in rows:
        raw = find(row.source)
        if raw is None:
            continue
        value, note = row.convert(raw), row.note
        target = f"{row.place[0]}.{with_prefix(row.place[1], prefix)}" if row.place[0] else row.target
        if value is not None and target in filled:
            value, note = None, "An earlier row has filled this target."
        elif value is not None:
            filled.add(target)
        if row.source.partition(".")[0] in personal:
            raw, value = mask(raw), mask(value)
        yield Explained(row.source, raw, target, value, note)


def mask(value: Any) -> Any:
    """Return the beginning of a personal id: enough to compare two, too little to use one."""
    if value is None:
        return None
    shown = str(value)
    return shown[:4] + "…" if len(shown) > 8 else "…"
