"""What would become of the rows of a survey's page: of those that are mapped, and of those that their columns prove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.raw_report import Report
from flybridge.history.column_events import ColumnEvent, Decided
from flybridge.history.survey_page import RowPage, WholeRow
from flybridge.history.surveyed_events import Mark
from flybridge.records import Apply, Dead, Decision, Deliver, Envelope, Filing, Filter, Hold, Media, Refuse, Source

SENT: Final = "sent"
DUPLICATE: Final = "duplicate"

_NO_MARK: Final[Mark] = (b"", None, 0)
_UNREAD: Final = Envelope("", Source.FILE, Media.JSON, 0, b"")
_NO_ITEM: Final = Deliver("", "", "", b"", None, None)
_HELD: Final = Hold(_NO_ITEM, (), (), 0, 0)


class RowOutcome(Struct, frozen=True, eq=False):
    """What becomes of a row of a report, in words, and whether it is sent, or waits to be. Many rows share one."""

    report: Report
    outcome: str
    is_sent: bool


class _Outcomes(dict[tuple[Decided, bool], RowOutcome]):
    """Those of rows by what their columns say and whether they name their user."""

    def __missing__(self, key: tuple[Decided, bool]) -> RowOutcome:
        one = self[key] = _row_outcome(key[0].report, _decision(*key))
        return one


class MappedPage:
    """A page of which the rows that are read whole are mapped. `ordinals` say which of its equal rows each row is."""

    def __init__(self, page: RowPage, ordinals: Sequence[int], mapped: Sequence[Filing]) -> None:
        self._page, self._ordinals = page, ordinals
        places = [place for place, row in enumerate(page.rows) if isinstance(row, WholeRow)]
        self._whole = dict(zip(places, mapped, strict=True))

    def outcomes(self) -> list[RowOutcome]:
        """Return what becomes of each row."""
        of_columns, rows = _Outcomes(), zip(self._page.rows, self._page.are_named, strict=True)
        return [
            of_columns[row.decided, is_named]
            if isinstance(row, ColumnEvent)
            else _row_outcome(row.report, self._whole[place].decision)
            for place, (row, is_named) in enumerate(rows)
        ]

    def filings(self) -> list[Filing]:
        """Return what each row would become. Of what its columns prove it is not all that is sent and kept of it."""
        rows = zip(self._page.rows, self._page.are_named, self._ordinals, strict=True)
        return [
            Filing(_UNREAD, _decision(row.decided, is_named), row.key, ordinal=_ordinal(row, ordinal))
            if isinstance(row, ColumnEvent)
            else self._whole[place]
            for place, (row, is_named, ordinal) in enumerate(rows)
        ]

    def marks(self) -> tuple[list[Mark], dict[int, Mark]]:
        """Return what tells events from those of other rows, in overlapping files as well.

        Those of rows whose local time means two moments, by their place, are a second one.
        """
        marks = [
            (row.key, None, _ordinal(row, ordinal)) if isinstance(row, ColumnEvent) else _NO_MARK
            for row, ordinal in zip(self._page.rows, self._ordinals, strict=True)
        ]
        others = dict[int, Mark]()
        for place, filing in self._whole.items():
            ms, ordinal = filing.key_ms, filing.ordinal if filing.key_ms is None else 0
            marks[place] = filing.key or filing.digest, ms, ordinal
            if filing.other_key is not None:
                others[place] = filing.other_key, ms, ordinal
        return marks, others


def _ordinal(row: ColumnEvent, ordinal: int) -> int:
    return 0 if row.decided.family else ordinal


def _decision(decided: Decided, is_named: bool) -> Decision:
    return decided.outcome or (_NO_ITEM if is_named else _HELD)


def _row_outcome(report: Report, decision: Decision) -> RowOutcome:
    return RowOutcome(report, outcome_of(decision), isinstance(decision, Deliver | Hold))


def outcome_of(decision: Decision) -> str:
    """Return what becomes of a row, in words."""
    match decision:
        case Deliver():
            return SENT
        case Hold():
            return "held until its user is known"
        case Filter(reason):
            return f"filtered: {reason}"
        case Refuse(reason):
            return f"refused: {reason}"
        case Dead(reason=reason):
            return f"dead: {reason}"
        case Apply(reason):
            return f"applied: {reason}"
