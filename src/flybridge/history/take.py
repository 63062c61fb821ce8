"""Take rows into the inbox: each is a message like a pushed one, and a row that can't be read is a dead letter.

Rows are accepted in blocks. After a block is durable its end is noted, so that a process that is killed goes on there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from msgspec import Struct, field

from flybridge.appsflyer.raw_report import BAD_ROW, CONVERSIONS, TAKEN, Report, name_of, row_body
from flybridge.clock import Clock
from flybridge.errors import InboxUnavailable
from flybridge.history.equal_rows import EqualRows
from flybridge.history.rows import BadRow, RawRow, dated, is_of_app, is_path_of_app
from flybridge.records import Envelope, Media, Source

BLOCK: Final = 1000
OTHER_APPS: Final = "other apps"
REVISED: Final = "ad revenue with another amount"
PATIENCE: Final = 120
"""How often an inbox that takes nothing is tried again, each time after a second or more."""

Row = TypeVar("Row")
Accept = Callable[[Envelope], Awaitable[None]]
Waits = Callable[[InboxUnavailable], None]
"""Called with why the inbox takes nothing for now."""


class Taken(Struct):
    """What became of the rows of one file.

    `left_out` are those of reports that hold no messages, by report, and those of other apps.
    """

    name: str
    rows: int = 0
    taken: int = 0
    bad: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    reports: dict[str, int] = field(default_factory=dict)
    known: bool = False
    problem: str = ""


class RowTaker:
    """Takes the rows of files of one app and source.

    Rows that say that they are of another app than `app_id` are left out, if it is given. `is_newest` says whether a
    conversion is the last of its person; `wanted` which rows are taken at all; `is_revised` whether
    a row was taken before with another amount; `rate` is the most rows in a second, 0 for no limit; `waits` is called
    once for each block that the inbox does not take at once.
    """

    def __init__(
        self,
        app: str,
        source: Source,
        accept: Accept,
        clock: Clock,
        *,
        app_id: str = "",
        is_newest: Callable[[dict[str, str]], bool] | None = None,
        wanted: Callable[[RawRow], bool] | None = None,
        is_revised: Callable[[RawRow], bool] | None = None,
        rate: float = 0.0,
        waits: Waits = lambda _: None,
    ) -> None:
        self._app, self._source, self._accept, self._clock = app, source, accept, clock
        self._app_id = app_id
        self._is_revised = is_revised
        self._is_newest, self._wanted, self._rate, self._waits = is_newest, wanted, rate, waits
        self._free_ms = 0.0

    async def take(
        self,
        name: str,
        rows: Iterable[RawRow | BadRow],
        equal: EqualRows,
        shown: Callable[[Taken], None] = lambda _: None,
        save: Callable[[int], None] = lambda _: None,
    ) -> Taken:
        """Take the rows of one file. Raises what reading raises, after what was read before is in the inbox.

        `save` notes the end of the row up to which all rows are in the inbox.
        """
        done = Taken(name)
        reports, left_out = Counter[Report](), Counter[str]()
        async for page in pages_beside(rows):
            await self._keep(self._envelopes(page, equal, done, reports, left_out))
            save(page[-1].end)
            done.reports, done.left_out = _words(reports), dict(left_out)
            shown(done)
        return done

    def _envelopes(
        self,
        page: Sequence[RawRow | BadRow],
        equal: EqualRows,
        done: Taken,
        reports: Counter[Report],
        left_out: Counter[str],
    ) -> list[Envelope]:
        """Return what goes into the inbox of some rows, and count them."""
        # Step by step: each is a little code over many rows, which a processor keeps at hand.
        app_id = self._app_id
        mine = [row for row in page if isinstance(row, BadRow) or not app_id or is_of_app(row.fields, app_id)]
        if app_id and not is_path_of_app(done.name, app_id):
            mine = []
        if len(mine) < len(page):
            left_out[OTHER_APPS] += len(page) - len(mine)
        read = [row if isinstance(row, BadRow) else dated(row) for row in mine]
        broken = [row for row in read if isinstance(row, BadRow)]
        whole = [row for row in read if isinstance(row, RawRow)]
        taken = [row for row in whole if row.report in TAKEN]
        if self._is_revised is not None:
            revised = [self._is_revised(row) for row in taken]
            if any(revised):
                left_out[REVISED] += sum(revised)
            taken = [row for row, is_revised in zip(taken, revised, strict=True) if not is_revised]
        reports.update([row.report for row in taken])
        if len(taken) < len(whole):
            left_out.update([row.report.word for row in whole if row.report not in TAKEN])
        ordinals = equal.ordinals([row.fields for row in taken])
        now_ms, wanted = self._clock.now_ms(), self._wanted
        envelopes = [
            self._message(row, ordinal, now_ms)
            for row, ordinal in zip(taken, ordinals, strict=True)
            if wanted is None or wanted(row)
        ]
        unreadable = sum(row.reason == BAD_ROW for row in broken)
        done.rows += len(page)
        done.bad += unreadable
        done.taken += len(envelopes) + len(broken) - unreadable
        for row in broken:
            envelopes.append(Envelope(self._app, self._source, Media.ROW, now_ms, letter_of(done.name, row)))
        return envelopes

    def _message(self, row: RawRow, ordinal: int, now_ms: int) -> Envelope:
        check = self._is_newest
        newest = check is not None and name_of(row.fields) in CONVERSIONS and check(row.fields)
        return Envelope(self._app, self._source, Media.JSON, now_ms, row.body, "", ordinal, newest)

    async def _keep(self, envelopes: list[Envelope]) -> None:
        if not envelopes:
            return
        begun_ms = self._clock.now_ms()
        await keep(self._accept, envelopes, self._waits)
        if self._rate:
            # Time in which nothing was taken is not made up for: that would be more rows in a second than were wanted.
            self._free_ms = max(self._free_ms, begun_ms) + len(envelopes) * 1000 / self._rate
            if (ahead_ms := self._free_ms - self._clock.now_ms()) > 0:
                await asyncio.sleep(ahead_ms / 1000)


def letter_of(file: str, row: BadRow) -> bytes:
    """Return the message of the dead letter that a row of a file becomes."""
    return row_body(file, row.number, row.problem, row.text, row.reason)


def pages(rows: Iterable[Row], size: int = BLOCK) -> Iterator[list[Row]]:
    """Yield rows in pages. What reading raises is raised after the rows that were read before."""
    page = list[Row]()
    try:
        for row in rows:
            page.append(row)
            if len(page) == size:
                yield page
                page = []
    except Exception:
        if page:
            yield page
        raise
    if page:
        yield page


async def pages_beside(rows: Iterable[Row]) -> AsyncIterator[list[Row]]:
    """Yield rows in pages that are read in a thread: what waits for a disk or an object store does not stop intake."""
    found = pages(rows)
    while (page := await asyncio.to_thread(next, found, None)) is not None:
        yield page


async def keep(accept: Accept, envelopes: Sequence[Envelope], waits: Waits = lambda _: None) -> None:
    """Bring envelopes into the inbox. Raises `InboxUnavailable` if it has taken nothing for a long time.

    `waits` is called when it is tried again for the first time.
    """
    for patience in range(PATIENCE, 0, -1):
        left, wait_s, problems = [], 1.0, list[Exception]()
        # One after the other costs a fraction of `gather`: most are answered by the time the first is.
        for envelope, accepted in [(envelope, accept(envelope)) for envelope in envelopes]:
            try:
                await accepted
            except Exception as problem:
                left.append(envelope)
                if not isinstance(problem, InboxUnavailable) or patience == 1:
                    problems.append(problem)
                else:
                    if patience == PATIENCE and len(left) == 1:
                        waits(problem)
                    wait_s = max(wait_s, problem.retry_after_s)
        if problems:
            raise problems[0]
        if not left:
            return
        envelopes = left
        await asyncio.sleep(wait_s)


def _words(counts: Counter[Report]) -> dict[str, int]:
    return {report.word: counts[report] for report in Report if counts[report]}
