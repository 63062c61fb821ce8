"""Read AppsFlyer's raw data to explain differences: which messages never came, and what each event was worth.

The rows of a day are processed as they would be if they had been pushed, without being filed: that tells what each is
counted as, which amount is sent, and by which identity the ledger knows it. An identity is of a second, and what
happens several times in it is worth the same each time; so that rows and ledger are compared by how many there are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from itertools import chain, combinations, islice, repeat
from math import comb
from typing import Final

import msgspec
from msgspec import Struct, field, structs

from flybridge.appsflyer.amounts import reported_amount
from flybridge.appsflyer.currencies import currency_of
from flybridge.appsflyer.raw_pull import PulledReport
from flybridge.appsflyer.raw_report import TAKEN, report_named
from flybridge.clock import Clock
from flybridge.delivery.exchange import Download
from flybridge.history.files import RawFile
from flybridge.history.pull import HistoryPull, Pulled, note
from flybridge.history.raw_rows import RawRows
from flybridge.history.rows import UTC_TIMES, RawRow
from flybridge.insight.compared_rows import family
from flybridge.insight.comparison import ComparedKey
from flybridge.insight.reconcile import CODES, OUTCOMES
from flybridge.insight.reconcile_revenue import (
    DELIVERED,
    MISSING,
    NOT_COUNTED,
    SECONDARY,
    SECONDARY_SENT,
    RevenueFact,
)
from flybridge.mapping.to_amplitude.content_key import identities_in
from flybridge.operations.booked_events import COUNTED, BookedEvents, BookedSums
from flybridge.operations.reconcile_plan import ReconcilePlan
from flybridge.records import (
    MICRO,
    Deliver,
    Envelope,
    Filing,
    Filter,
    Hold,
    Media,
    OutcomeKind,
    PerformanceKind,
    Refuse,
    Source,
)
from flybridge.store.figures import CountedOn, EventOutcome, OutcomeCount
from flybridge.store.performance import source_label
from flybridge.store.protocol import Store

KIND: Final = "reconcile"
"""Pulls for a comparison go on apart from others."""
PAGE: Final = 500
TRIES: Final = 6
PAUSE_S: Final = 5.0
SOON_MS: Final = 1_800_000
MOST_WAYS: Final = 10_000
"""So many ways to divide events into those that came and those that did not are looked at."""
IN_EVENTS: Final = (*COUNTED, PerformanceKind.SECONDARY)


class RawEvidence(Struct):
    """What raw data says about some days.

    `missing` counts by day what never came; `booked` is by the day and the source of the install.
    """

    rows: int = 0
    missing: defaultdict[int, Counter[ComparedKey]] = field(default_factory=lambda: defaultdict(Counter))
    facts: defaultdict[int, list[RevenueFact]] = field(default_factory=lambda: defaultdict(list))
    booked: Mapping[tuple[int, str], BookedSums] = field(default_factory=dict)
    problem: str = ""


_Cell = tuple[int, str, str]
"""The day, the name and the media source of in-app events."""

_Row = tuple[int, ComparedKey]
"""What a row of raw data is counted as, and on which day."""

_Event = tuple[int, RevenueFact]
"""The day of one in-app event of a row, and what it was worth; its fate is not known yet."""


class RawReader:
    """Reads the raw data of some days of an app whose plan has a source of it.

    `counted` is what flybridge counts on these days, and `outcomes` are those of its ledger.
    """

    def __init__(
        self,
        plan: ReconcilePlan,
        store: Store,
        clock: Clock,
        *,
        days: range,
        counted: Sequence[CountedOn],
        outcomes: Sequence[OutcomeCount],
    ) -> None:
        assert plan.raw is not None, "the caller has looked"
        self._plan, self._source, self._store, self._clock = plan, plan.raw, store, clock
        self._days, self._currency = days, plan.insight.currency
        self._evidence, self._booked = RawEvidence(), BookedEvents(days)
        # By day and what is counted: rows of raw data, those that are not known, and what flybridge counts.
        self._rows, self._unknown, self._counted = Counter[_Row](), Counter[_Row](), Counter[_Row]()
        self._revenue, self._identified = Counter[_Cell](), Counter[_Cell]()
        for one in counted:
            if (kind := family(one.kind)) is not None:
                self._counted[one.day, ComparedKey(kind, one.event, one.media_source)] += one.n
            if one.kind in COUNTED:
                self._revenue[one.day, one.event, one.media_source] += one.revenue
        self._known: defaultdict[bytes, list[EventOutcome]] = defaultdict(list)
        self._also_known: dict[bytes, bytes] = {}
        self._unsent: Counter[tuple[int, str, str, str]] = Counter()
        # The ledger's rows of people who were forgotten have no identity any more, and their outcome still.
        self._nameless: defaultdict[_Cell, Counter[tuple[str, str]]] = defaultdict(Counter)
        for done in outcomes:
            code = CODES.get((done.outcome, done.reason)) or OUTCOMES.get(done.outcome, "")
            self._unsent[done.day, done.event, done.media_source, code] += done.n
            if done.kind in COUNTED:
                self._nameless[done.day, done.event, done.media_source][_standing(done)] += done.n
        self._groups: dict[tuple[int, tuple[str, str, str, str, str, str]], list[int | None]] = {}
        # Whether these came can be told when all are known: in the order of the rows.
        self._lost: list[_Event] = []
        self._left_out: list[tuple[_Event, str, str, bool]] = []

    async def read(self, download: Download, begin_ms: int) -> RawEvidence:
        """Read what raw data has from a time on: to date, because revenue is booked on the day of the install."""
        source, plan = self._source, self._source.pull
        for known in await self._store.event_outcomes(plan.app, self._days[0], self._days[-1]):
            if identities := identities_in(known.insert_id):
                self._known[identities[0]].append(known)
                self._also_known.update(dict.fromkeys(identities[1:], identities[0]))
            if known.kind in COUNTED:
                take_one(self._nameless[known.day, known.event, known.media_source], _standing(known))
        # Each comparison reads all: what was left of an earlier one would be a part.
        await self._store.drop_states([f"{KIND} {plan.app} {report}" for report in plan.reports])
        end_ms, left = self._clock.now_ms(), list[Pulled]()
        for _ in range(TRIES):
            puller = HistoryPull(
                plan,
                self._store,
                download,
                source.data_dir,
                self._clock,
                kind=KIND,
                lookback_days=source.lookback_days,
            )
            left = [one for one in await puller.run(begin_ms, end_ms, self._read) if one.problem]
            now_ms = self._clock.now_ms()
            # A quota that is used up is new tomorrow. What was answered once with an error may be answered now.
            if not left or any(not one.pending or one.again_ms > now_ms + SOON_MS for one in left):
                break
            for one in left:
                await note(self._store, structs.replace(one, again_ms=0), now_ms, KIND)
            # Only the rest is read: a report that is complete would be read twice.
            unread = {one.report for one in left}
            plan = structs.replace(plan, reports=tuple(report for report in plan.reports if report in unread))
            await self._clock.sleep(PAUSE_S)
        self._evidence.problem = next((one.problem for one in left), "")
        self._finish()
        return self._evidence

    async def _read(self, report: PulledReport, file: RawFile) -> tuple[int, int]:
        rows, page = 0, list[RawRow]()
        for row in RawRows(file, UTC_TIMES, report_named(report.value)):
            rows += 1
            if isinstance(row, RawRow) and row.report in TAKEN:
                page.append(row)
            if len(page) == PAGE:
                await self._look(page)
                page.clear()
        await self._look(page)
        self._evidence.rows += rows
        return rows, 0

    async def _look(self, rows: Sequence[RawRow]) -> None:
        now_ms = self._clock.now_ms()
        app = self._source.pull.app
        filings = self._source.filings(
            [Envelope(app, Source.PULL, Media.JSON, now_ms, row.body, ordinal=1) for row in rows]
        )
        known = await self._store.are_known(filings, now_ms)
        for row, filing, is_known in zip(rows, filings, known, strict=True):
            found = filing.performance
            if found is None:
                continue
            is_rated = bool(found.revenue) and _amount(row.fields, self._currency)[0] is None
            self._booked.add(found, is_rated=is_rated, is_missing=not is_known)
            if found.day not in self._days:
                continue
            of = found.dimensions
            if (kind := family(of.kind)) is not None:
                at = found.day, ComparedKey(kind, of.event, of.media_source)
                self._rows[at] += 1
                self._unknown[at] += not is_known
            if of.kind in IN_EVENTS:
                self._event(row.fields, filing, is_known=is_known)

    def _event(self, fields: Mapping[str, str], filing: Filing, *, is_known: bool) -> None:
        found = filing.performance
        assert found is not None, "the caller has looked"
        amount, currency = _amount(fields, self._currency)
        is_copy = found.dimensions.kind == PerformanceKind.SECONDARY
        if not found.revenue and not found.not_converted and not (is_copy and amount):
            return
        source = found.dimensions.media_source
        sent, sent_source = self._sent(filing, source)
        bare = _converted(fields, currency, self._currency, self._plan.insight.rates)
        labels = (found.dimensions.event, source, sent_source, currency, "", "")
        event = (found.day, RevenueFact(*labels, 1, amount, found.revenue, bare, sent))
        decision, known = filing.decision, self._known_of(filing.key)
        if is_copy:
            was_sent = known and known.pop(0).outcome == OutcomeKind.DELIVERED
            self._add(event, SECONDARY_SENT if was_sent else SECONDARY)
        elif isinstance(decision, Deliver | Hold) and known:
            self._add(event, *_standing(known.pop(0)))
        elif isinstance(decision, Deliver | Hold):
            self._lost.append(event)
        elif isinstance(decision, Filter | Refuse):
            kind = OutcomeKind.FILTERED if isinstance(decision, Filter) else OutcomeKind.REFUSED
            code = CODES.get((kind, decision.reason)) or OUTCOMES[kind]
            self._left_out.append((event, code, decision.reason, is_known))

    def _known_of(self, identity: bytes | None) -> list[EventOutcome] | None:
        """Return what the ledger says of the events with an identity."""
        if identity is None:
            return None
        return self._known.get(identity) or self._known.get(self._also_known.get(identity, b""))

    def _sent(self, filing: Filing, source: str) -> tuple[int, str]:
        """Return the number that Amplitude gets for an event, and the media source under which it does."""
        item = filing.decision.item if isinstance(filing.decision, Hold) else filing.decision
        if not isinstance(item, Deliver):
            return 0, source
        for line in item.body.splitlines():
            with suppress(msgspec.DecodeError):
                event = msgspec.json.decode(line)
                if isinstance(event, dict) and event.get("event_type") == item.event_type:
                    named = (event.get("event_properties") or {}).get(self._plan.source_property)
                    amount = event.get("revenue")
                    sent_source = source_label(named) if isinstance(named, str) else source
                    return round(amount * MICRO) if isinstance(amount, int | float) else 0, sent_source
        return 0, source

    def _add(self, event: _Event, code: str, detail: str = "") -> None:
        day, one = event
        labels = (one.event, one.media_source, one.sent_source, one.currency, code, detail)
        if code not in NOT_COUNTED:
            self._identified[day, one.event, one.media_source] += one.counted
        sums = self._groups.setdefault((day, labels), [0, 0, 0, 0, 0])
        for at, amount in enumerate((one.n, one.reported, one.counted, one.bare, one.sent)):
            before = sums[at]
            sums[at] = None if before is None or amount is None else before + amount

    def _finish(self) -> None:
        """Tell what never came from what the ledger can't name, and add up."""
        for (day, key), times in self._unknown.items():
            # Identities are remembered for a while only: what is counted came, though it is not known any more.
            if (uncounted := self._rows[day, key] - self._counted[day, key]) > 0:
                self._evidence.missing[day][key] = min(times, uncounted)
        # Identities are remembered for a while only; counts are kept, and are first those of what is known.
        left_out: defaultdict[tuple[_Cell, str, str], list[RevenueFact]] = defaultdict(list)
        for (day, one), code, reason, is_known in self._left_out:
            if is_known:
                self._unsent[day, one.event, one.media_source, code] -= 1
                self._add((day, one), code, reason)
            else:
                left_out[(day, one.event, one.media_source), code, reason].append(one)
        for (cell, code, reason), unknown in left_out.items():
            kept = min(len(unknown), max(0, self._unsent[*cell, code]))
            self._unsent[*cell, code] -= kept
            self._divide(cell, unknown, [(code, reason)] * kept)
        lost: defaultdict[_Cell, list[RevenueFact]] = defaultdict(list)
        for day, one in self._lost:
            lost[day, one.event, one.media_source].append(one)
        for cell, unknown in lost.items():
            # Delivered first: that is what most events are.
            standings = sorted((+self._nameless[cell]).items(), key=lambda at: (at[0][0] != DELIVERED, at[0]))
            came = chain.from_iterable(repeat(standing, n) for standing, n in standings)
            self._divide(cell, unknown, list(islice(came, len(unknown))))
        for (day, labels), (n, reported, counted, bare, sent) in self._groups.items():
            fact = RevenueFact(*labels, n or 0, reported, counted or 0, bare or 0, sent or 0)
            self._evidence.facts[day].append(fact)
        self._evidence.booked = self._booked.sums()

    def _divide(self, cell: _Cell, unknown: Sequence[RevenueFact], standings: Sequence[tuple[str, str]]) -> None:
        """Add events of which as many came as there are standings: those that make up the revenue that is counted."""
        came = nearest([one.counted for one in unknown], len(standings), self._revenue[cell] - self._identified[cell])
        standing = iter(standings)
        for number, one in enumerate(unknown):
            self._add((cell[0], one), *(next(standing) if number in came else (MISSING, "")))


def nearest(amounts: Sequence[int], n: int, whole: int) -> Collection[int]:
    """Return which `n` of some amounts make up a whole best; the first, where there are too many ways to tell."""
    if comb(len(amounts), n) > MOST_WAYS:
        return range(n)
    return min(combinations(range(len(amounts)), n), key=lambda ones: abs(whole - sum(amounts[at] for at in ones)))


def take_one(standings: Counter[tuple[str, str]], standing: tuple[str, str]) -> None:
    """Take an event from those that are counted by how they stand; one whose detail is not there by its cause alone.

    What has expired is counted by the kinds of its keys, which the ledger's row of an event has no more.
    """
    if standings[standing] <= 0:
        standing = next((one for one, n in standings.items() if one[0] == standing[0] and n > 0), standing)
    standings[standing] -= 1


def _standing(one: EventOutcome | OutcomeCount) -> tuple[str, str]:
    """Return how an event stands in the ledger: delivered, or the cause that it was not, and its detail."""
    if one.outcome == OutcomeKind.DELIVERED:
        return DELIVERED, ""
    return CODES.get((one.outcome, one.reason)) or OUTCOMES[one.outcome], one.key_kinds or one.reason


def _amount(fields: Mapping[str, str], currency: str) -> tuple[int | None, str]:
    """Return AppsFlyer's amount of a row in a currency, in millionths, and the currency in which it was paid."""
    paid = currency_of(fields.get("event_revenue_currency")) or ""
    for name, code in (
        ("event_revenue", paid),
        ("revenue_in_selected_currency", currency_of(fields.get("selected_currency"))),
        ("event_revenue_usd", "USD"),
    ):
        if code == currency and (amount := reported_amount(fields.get(name), code)) is not None:
            return round(amount * MICRO), paid
    return None, paid


def _converted(fields: Mapping[str, str], paid: str, currency: str, rates: Mapping[str, float]) -> int:
    """Return the amount in which a row was paid, as it is counted if the message had no converted one."""
    amount, rate = reported_amount(fields.get("event_revenue"), paid), 1.0 if paid == currency else rates.get(paid)
    return 0 if amount is None or rate is None else round(amount * rate * MICRO)
