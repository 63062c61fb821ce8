"""Rows of a survey that are counted together, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import cast

from msgspec import Struct

from flybridge.appsflyer.raw_report import Report
from flybridge.history.column_events import ColumnEvent
from flybridge.history.column_prospects import Prospects
from flybridge.history.equal_rows import RowIdentity
from flybridge.history.rows import RawRow


class WholeRow(Struct, frozen=True):
    """A row that is read and mapped whole, and what `Prospects` say of those that are not.

    `read` is the row, or of one that does not say when it happened the message of its dead letter. `person` is a hash
    of this process.
    """

    report: Report
    read: RawRow | bytes
    identity: RowIdentity | None = None
    ms: int | None = None
    person: int | None = None
    revenue: str | None = None
    currency: str | None = None


class RowPage(Struct):
    """Rows that are counted together, in columns of the same length."""

    rows: list[ColumnEvent | WholeRow]
    are_named: list[bool]
    identities: list[RowIdentity | None]
    times: list[int | None]
    persons: list[int | None]
    revenues: list[str | None]
    currencies: list[str | None]

    def only(self, wanted: Sequence[bool]) -> RowPage:
        """Return the rows that are wanted."""
        return RowPage(*(list(compress(getattr(self, name), wanted)) for name in self.__struct_fields__))


def page_of_rows(rows: Sequence[WholeRow]) -> RowPage:
    """Return rows that are read whole."""
    return RowPage(
        list(rows),
        [False] * len(rows),
        [row.identity for row in rows],
        [row.ms for row in rows],
        [row.person for row in rows],
        [row.revenue for row in rows],
        [row.currency for row in rows],
    )


def page_of_block(block: Prospects, whole: Mapping[int, WholeRow]) -> RowPage:
    """Return the rows of a block, of which `whole` are read whole, by their place; without those that are left out."""
    rows: list[ColumnEvent | WholeRow | None] = list(block.events)
    page = RowPage(
        cast("list[ColumnEvent | WholeRow]", rows),  # once those without an event are replaced or left out
        block.are_named,
        block.identities,
        [None if event is None else event.second * 1000 for event in block.events],
        block.persons,
        list(block.revenues),
        list(block.currencies),
    )
    for place, row in whole.items():
        rows[place] = row
        page.identities[place], page.times[place], page.persons[place] = row.identity, row.ms, row.person
        page.revenues[place], page.currencies[place] = row.revenue, row.currency
    return page.only([row is not None for row in rows]) if None in rows else page
