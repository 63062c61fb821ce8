"""Filing: what a batch of envelopes leads to, written table by table.

The batch is decided first, in order and in memory, against what a few reads brought in (known receipts, remembered
keys, sightings); then every table gets its rows in one statement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final, assert_never

from msgspec import structs

from flybridge.identity.masking import dimension
from flybridge.records import (
    HOUR_MS,
    Apply,
    Carried,
    Dead,
    Deliver,
    Delivery,
    Filing,
    Filter,
    Hold,
    OutcomeKind,
    Refuse,
    Restricted,
    Source,
    content_key,
    day_of,
)
from flybridge.sealing import Seal
from flybridge.store.core.bundles import Bundling
from flybridge.store.core.content_keys import ContentKeys
from flybridge.store.core.dead_letters import dead_row, drop_dead_letters
from flybridge.store.core.forgetting import BEFORE_REQUEST, blank, link, spared, tombstones
from flybridge.store.core.holding import AS_CUSTOMER, INSTALLED, Matched, enqueue
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.membership import file_members
from flybridge.store.core.people import AppKey, People, reason_of, release
from flybridge.store.core.performance import PerformanceCounters
from flybridge.store.core.related import related
from flybridge.store.core.sealed import pack_keys, seal_item, seal_message, seal_who
from flybridge.store.core.tables import CounterKey, Read, Write
from flybridge.store.records import Capacity, Filed, Lane, WaitedForInstallation

ORDER: Final = (
    Write.LEDGER_ROWS,
    Write.REFILE,
    Write.EXPIRED_KINDS,
    Write.ITEMS,
    Write.DELIVERIES,
    Write.HOLDS,
    Write.HOLD_KEYS,
    Write.DEAD,
    Write.RESTRICTED,
    Write.COVERAGE,
    Write.SIGHTED,
)
"""Always the same order, so that two batches never wait for each other in a circle."""

ARRIVES: Final = frozenset({Source.PUSH, Source.STREAM})
"""Sources whose messages can be had nowhere else. What is read from a file or report is there to be read again."""

DELAYED_MS: Final = 1_000
"""What was received so long ago was behind others in the inbox, and may be filed after what was received later."""

TELLS: Final = frozenset({Source.STREAM, Source.COHORT, Source.SIGHTINGS})
"""Sources in which Amplitude itself identifies people. Sightings taught by postbacks do not count as those."""


def file(
    ledger: LedgerWriter,
    seal: Seal,
    filings: Sequence[Filing],
    now_ms: int,
    capacity: Sequence[Capacity] = (),
    *,
    heard_ms: int | None = None,
    keeps_messages: bool = False,
) -> Filed:
    """Implement `Store.file`. With `keeps_messages`, the messages themselves are kept beside the ledger."""
    batch = _Batch(ledger, seal, now_ms, capacity, now_ms if heard_ms is None else heard_ms)
    ledger.tables.lock(_locked(filings))
    effective, repeated = batch.sift(filings)
    batch.people.load(key for _, filing in effective for key in (*_keys(filing), *filing.numbers))
    sighted = batch.people.add(sighting for _, filing in effective for sighting in filing.sightings)
    sighted += batch.linked(effective)
    sighted += _delayed(effective, now_ms)
    arrived = [filing for _, filing in effective]
    matched, released_keys = release(ledger, seal, batch.people, sighted, now_ms, by=arrived)
    batch.released = matched
    batch.performance.load((filing for _, filing in (*effective, *repeated)), released_keys)
    batch.performance.prepare(effective)
    batch.performance.reach(released_keys)
    batch.count(effective)
    for row_id, filing in effective:
        batch.decide(row_id, filing)
    for row_id, filing in repeated:
        batch.repeat(row_id, filing)
    file_members(ledger.tables, seal, (change for _, filing in effective for change in filing.members))
    if keeps_messages:
        batch.keep((*effective, *repeated))
    batch.write()
    n_matched = len(batch.released) + len(batch.matched)
    waited = _waited(ledger, batch.released, now_ms) if batch.released else ()
    return Filed(dict(batch.outcomes), n_matched, batch.repeated, batch.leased, batch.related, waited)


def _delayed(effective: Sequence[tuple[int, Filing]], now_ms: int) -> Iterator[AppKey]:
    """Yield the keys of sightings that were received a while ago.

    Another process may have filed a later sighting of such a key, which was too late for what waits under it.
    """
    for _, filing in effective:
        if filing.envelope.received_ms < now_ms - DELAYED_MS:
            yield from [(sighting.app, sighting.key) for sighting in filing.sightings]


def _waited(ledger: LedgerWriter, released: Iterable[Matched], now_ms: int) -> list[WaitedForInstallation]:
    """Return the events for AppsFlyer among those that have waited."""
    lanes = [(ledger.tables.lane_of(one.lane), one) for one in released]
    return [
        WaitedForInstallation(lane.app, one.event_ms, one.received_ms, now_ms)
        for lane, one in lanes
        if lane.endpoint == INSTALLED
    ]


def _keys(filing: Filing) -> list[bytes]:
    keys = [sighting.key for sighting in filing.sightings]
    if isinstance(filing.decision, Hold):
        keys += filing.decision.keys
    return keys


def _locked(filings: Sequence[Filing]) -> Iterator[bytes]:
    """Yield the keys that no other transaction may file about meanwhile.

    A hold and a sighting of one key must see each other, whichever process files them. A new person gets one number,
    by the first key. A dead letter is replayed once.
    """
    for filing in filings:
        yield from _keys(filing)
        yield from [person.keys[0] for person in filing.persons]
        if filing.replayed:
            yield content_key(b"replay", filing.envelope.receipt.encode())


def _identity(filing: Filing) -> str:
    """Return the identity of an event that is not sent, if it has one beside its bytes: to forget it by."""
    return filing.key.hex() if filing.key is not None and filing.key != filing.digest else ""


def _coverage(carried: Mapping[tuple[str, str, Carried], int]) -> list[tuple[object, ...]]:
    """Return the rows of coverage. Their labels are masked: two that differ may be one afterwards."""
    n, installs = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for (app, day, one), times in carried.items():
        names = map(dimension, (one.platform, one.app_version, one.media_source))
        at = (day, app, *names, one.kinds)
        n[at] += times
        installs[at] += times * one.is_install
    return [(*at, times, installs[at]) for at, times in n.items()]


def _restricted(changes: Mapping[tuple[str, Restricted], int]) -> list[tuple[object, ...]]:
    """Return the rows of `restricted_counts`, masked."""
    n = Counter[tuple[str, ...]]()
    for (app, change), times in changes.items():
        n[app, change.day, dimension(change.media_source), change.policy] += times
    return [(*at, times) for at, times in n.items()]


class _Batch:
    """The rows of one batch, by table."""

    def __init__(
        self, ledger: LedgerWriter, seal: Seal, now_ms: int, capacity: Sequence[Capacity], heard_ms: int
    ) -> None:
        self.leased: list[Delivery] = []
        self._capacity = {one.lane: one for one in capacity}
        self._left = {one.lane: one.n for one in capacity}
        self._bundling = Bundling()
        self.people = People(ledger, seal)
        self.performance = PerformanceCounters(ledger.tables)
        self._cells: dict[int, int | None] = {}
        self.released: list[Matched] = []  # had waited
        self.matched: list[tuple[int, int, Filing, Deliver, int]] = []  # at once: event_ms, row, filing, item, counter
        self._unmatched: list[Matched] = []
        self.outcomes: Counter[str] = Counter()
        self.repeated = 0
        self.related: dict[bytes, int] = {}
        self._ledger = ledger
        self._seal = seal
        self._now_ms, self._heard_ms = now_ms, min(heard_ms, now_ms)
        self._rows: dict[Write, list[tuple[object, ...]]] = {what: [] for what in ORDER}
        self._restricted: Counter[tuple[str, Restricted]] = Counter()
        self._carried: Counter[tuple[str, str, Carried]] = Counter()
        self._sighted: Counter[tuple[str, str]] = Counter()
        self._content_keys = ContentKeys(ledger.tables, now_ms)
        self._dead_counters: dict[int, int] = {}
        self._persons: dict[str, int] = {}
        self._linked: set[bytes] = set()
        self._gone: set[str] = set()

    def sift(self, filings: Sequence[Filing]) -> tuple[list[tuple[int, Filing]], list[tuple[int, Filing]]]:
        """Leave out what was filed before. Returns what has an effect and the duplicates, with their row ids."""
        filings = self._spare(filings)
        self._persons, self._linked = link(self._ledger, filings)
        ids = self._ledger.tables.ids(len(filings))
        known = self._known(filings)
        self._content_keys.load(filings)
        effective: list[tuple[int, Filing]] = []
        repeated: list[tuple[int, Filing]] = []
        for row_id, filing in zip(ids, filings, strict=True):
            receipt = filing.envelope.receipt
            if filing.replayed:
                letter = known.get(receipt, 0)
                if letter not in self._dead_counters:
                    self.repeated += 1
                    continue
                self._content_keys.is_duplicate(filing)
                effective.append((letter, filing))
            elif receipt in known:
                self.repeated += 1
                continue
            elif self._content_keys.is_duplicate(filing):
                repeated.append((row_id, filing))
            else:
                effective.append((row_id, filing))
            known[receipt] = 0
        drop_dead_letters(self._ledger, [row_id for row_id, filing in effective if filing.replayed])
        return effective, repeated

    def _spare(self, filings: Sequence[Filing]) -> list[Filing]:
        """Remove what is about people who are forgotten."""
        known = tombstones(self._ledger.tables, filings)
        if known:
            self.related = related(self._ledger.tables, filings, known)
            known |= self.related
        left = [spared(filing, known) if known else filing for filing in filings]
        self._gone = {filing.envelope.receipt for filing, spare in zip(filings, left, strict=True) if spare is None}
        return [spare or blank(filing) for filing, spare in zip(filings, left, strict=True)]

    def linked(self, effective: Sequence[tuple[int, Filing]]) -> list[AppKey]:
        """Return the keys of merged users of whom something new is known: for this their holds may wait."""
        numbers = [
            (filing.envelope.app, key)
            for _, filing in effective
            if filing.numbers and any(key in self._linked for person in filing.persons for key in person.keys)
            for key in filing.numbers
        ]
        self.people.load_now(key for _, key in numbers)
        return [(app, key) for app, key in numbers if self.people.followed(app, [key])]

    def _known(self, filings: Sequence[Filing]) -> dict[str, int]:
        """Return the rows that exist already, as ids by receipt; note which of those to be replayed are dead."""
        tables = self._ledger.tables
        replayed = [filing.envelope.receipt for filing in filings if filing.replayed]
        self._dead_counters = dict(tables.among(Read.DEAD_OF_RECEIPTS, replayed))
        receipts = [filing.envelope.receipt for filing in filings]
        return {receipt: row_id for receipt, row_id, _ in tables.among(Read.LEDGER_ROWS, receipts)}

    def repeat(self, row_id: int, filing: Filing) -> None:
        """Enter a duplicate. It has no effect, but may correct what a conversion is attributed to."""
        if filing.performance is not None:
            self._cells[row_id] = self.performance.correct(filing.envelope.app, filing.performance)
        self._enter(row_id, filing, OutcomeKind.DUPLICATE, "")

    def count(self, effective: Sequence[tuple[int, Filing]]) -> None:
        """Count what these are, whatever becomes of them: performance, restrictions, coverage, sightings."""
        for row_id, filing in effective:
            if filing.performance is not None and not isinstance(filing.decision, Dead):
                self._cells[row_id] = self.performance.count(filing.envelope.app, row_id)
        for _, filing in effective:
            app = filing.envelope.app
            if filing.restricted is not None:
                self._restricted[app, filing.restricted] += 1
            if filing.carried is not None:
                self._carried[app, day_of(filing.envelope.received_ms), filing.carried] += 1
            if filing.envelope.source in TELLS:
                self._sighted.update([(sighting.app, sighting.kind) for sighting in filing.sightings])

    def decide(self, row_id: int, filing: Filing) -> None:
        """Turn one decision into rows."""
        if filing.envelope.receipt in self._gone:
            self._enter(row_id, filing, OutcomeKind.FORGOTTEN, BEFORE_REQUEST)
            return
        match filing.decision:
            case Deliver() as item:
                if filing.performance is not None and (item.user_id or item.device_id):
                    self.performance.reach(filing.performance.keys)
                counter = self._enter(row_id, filing, OutcomeKind.PENDING, "", item.insert_id)
                self._deliver(row_id, filing, item, counter)
            case Hold() as hold:
                self._hold(row_id, filing, hold)
            case Filter(reason):
                self._enter(row_id, filing, OutcomeKind.FILTERED, reason, _identity(filing))
            case Refuse(reason):
                self._enter(row_id, filing, OutcomeKind.REFUSED, reason, _identity(filing))
            case Apply(reason):
                self._enter(row_id, filing, OutcomeKind.APPLIED, reason)
            case Dead() as end:
                self._enter(row_id, filing, OutcomeKind.DEAD, end.reason)
                self._rows[Write.ITEMS].append((row_id, self._seal.seal(filing.envelope.body)))
                row = dead_row(self._seal, row_id, end, self._now_ms, lane=None, envelope=filing.envelope)
                self._rows[Write.DEAD].append(row)
            case _:
                assert_never(filing.decision)

    def _deliver(self, row_id: int, filing: Filing, item: Deliver, counter: int) -> None:
        """Make an event due, or lease it at once where there is room: then nobody has to look for it and open it."""
        received_ms, lane = filing.envelope.received_ms, Lane(filing.envelope.app, item.endpoint)
        sealed = seal_item(self._seal, item)
        # A direct delivery has the id of its ledger row, unless the row had a delivery with that id before.
        (delivery,) = self._ledger.tables.ids(1) if filing.replayed else (row_id,)
        owner, until_ms, begins = None, 0, True
        if (left := self._left.get(lane, 0)) > 0:
            self._left[lane] = left - 1
            capacity = self._capacity[lane]
            owner, until_ms, begins = capacity.owner, capacity.until_ms, capacity.begins
            # By position: names take msgspec much longer.
            to, age_ms = (item.user_id, item.device_id), max(0, self._now_ms - received_ms)
            content = (item.insert_id, item.event_type, item.body)
            self.leased.append(
                Delivery(delivery, lane.app, lane.endpoint, *content, *to, 0, 0, False, received_ms, age_ms)
            )
        if not begins and not filing.replayed:
            self._bundling.add(lane, row_id, counter, received_ms, sealed)
            return
        self._rows[Write.ITEMS].append((row_id, sealed))
        self._rows[Write.DELIVERIES].append(
            (delivery, row_id, self._ledger.tables.lane(lane), received_ms, self._now_ms, None, owner, until_ms)
        )

    def _hold(self, row_id: int, filing: Filing, hold: Hold) -> None:
        """Match at once, or wait. An event whose person is known needs no window, so a late filing still matches."""
        item, received_ms = hold.item, filing.envelope.received_ms
        lane = self._ledger.tables.lane(Lane(filing.envelope.app, item.endpoint))
        match = self.people.match(filing.envelope.app, hold.keys, hold.key_kinds)
        # What has no window at all does not wait.
        over = hold.expires_ms <= max(self._heard_ms, received_ms)
        if match is None and over and hold.fallback_user_id is None:
            outcome = OutcomeKind.FILTERED if hold.unmet else OutcomeKind.EXPIRED
            self._enter(row_id, filing, outcome, hold.unmet, item.insert_id)
            if not hold.unmet:
                self._rows[Write.EXPIRED_KINDS].append((row_id, " ".join(hold.key_kinds)))
            return
        if match is None and over:
            self._enter(row_id, filing, OutcomeKind.PENDING, AS_CUSTOMER, item.insert_id)
            item = structs.replace(item, user_id=hold.fallback_user_id)
            self._unmatched.append(Matched(hold.event_ms, row_id, lane, received_ms))
        elif match is not None:
            counter = self._enter(row_id, filing, OutcomeKind.PENDING, reason_of(match), item.insert_id)
            item = structs.replace(item, user_id=match.user_id, device_id=match.device_id)
            self.matched.append((hold.event_ms, row_id, filing, item, counter))
            if filing.performance is not None:
                self.performance.reach(filing.performance.keys)
            return
        else:
            self._enter(row_id, filing, OutcomeKind.HELD, "", item.insert_id)
            waits_under = tuple(dict.fromkeys((*hold.keys, *self.people.followed(filing.envelope.app, hold.keys))))
            kinds, keys = " ".join(hold.key_kinds), pack_keys(waits_under)
            fallback = seal_who(self._seal, hold.fallback_user_id, None) if hold.fallback_user_id else None
            source = dimension(hold.media_source)
            self._ledger.waits([(lane, source, kinds, received_ms // HOUR_MS)])
            self._rows[Write.HOLDS].append(
                (
                    row_id,
                    lane,
                    dimension(item.event_type),
                    source,
                    kinds,
                    keys,
                    received_ms,
                    hold.event_ms,
                    hold.expires_ms,
                    fallback,
                )
            )
            self._rows[Write.HOLD_KEYS] += [(key, row_id) for key in waits_under]
        self._rows[Write.ITEMS].append((row_id, seal_item(self._seal, item)))

    def _enter(self, row_id: int, filing: Filing, outcome: OutcomeKind, reason: str, insert_id: str = "") -> int:
        """Enter an envelope into the ledger, or move its row if it is replayed. Return the counter it came into."""
        self.outcomes[outcome.word] += 1
        envelope = filing.envelope
        person = self._persons.get(envelope.receipt)
        if filing.replayed:
            counter = self._ledger.move(row_id, self._dead_counters[row_id], outcome, reason, self._now_ms)
            self._rows[Write.REFILE].append((insert_id, self._now_ms, person, self._cells.get(row_id), row_id))
            return counter
        counter_key = CounterKey(envelope.app, day_of(envelope.received_ms), envelope.source.word, outcome.word, reason)
        counter = self._ledger.enter(counter_key)
        self._rows[Write.LEDGER_ROWS].append(
            (
                envelope.receipt,
                counter,
                insert_id,
                envelope.received_ms,
                self._now_ms,
                row_id,
                filing.digest,
                person,
                self._cells.get(row_id),
            )
        )
        return counter

    def keep(self, filed: Iterable[tuple[int, Filing]]) -> None:
        """Keep the messages that arrived, of one person each: the others are not found when a person is forgotten.

        A dead letter has its message already.
        """
        messages = [
            (row_id, self._now_ms, seal_message(self._seal, filing.envelope))
            for row_id, filing in filed
            if filing.envelope.receipt in self._persons
            and filing.envelope.source in ARRIVES
            and not isinstance(filing.decision, Dead)
        ]
        self._ledger.tables.write(Write.MESSAGES, messages)

    def _not_leased(self) -> list[Matched]:
        """Lease what was matched at once, as far as there is room. Returns the rest.

        One person's events are sent in their order: none overtakes what has waited.
        """
        left = []
        for event_ms, row_id, filing, item, counter in sorted(self.matched, key=itemgetter(0, 1)):
            lane = Lane(filing.envelope.app, item.endpoint)
            if self._left.get(lane, 0) > 0 and not self.released and not filing.replayed:
                self._deliver(row_id, filing, item, counter)
            else:
                number, received_ms = self._ledger.tables.lane(lane), filing.envelope.received_ms
                left.append(Matched(event_ms, row_id, number, received_ms))
                self._rows[Write.ITEMS].append((row_id, seal_item(self._seal, item)))
        return left

    def write(self) -> None:
        self._content_keys.write()
        enqueue(self._ledger, (*self.released, *self._unmatched, *self._not_leased()), self._now_ms)
        self._rows[Write.COVERAGE] = _coverage(self._carried)
        self._rows[Write.SIGHTED] += [(app, kind, n, self._now_ms) for (app, kind), n in self._sighted.items()]
        self._rows[Write.RESTRICTED] = _restricted(self._restricted)
        for what in ORDER:
            self._ledger.tables.write(what, self._rows[what])
        self._bundling.write(self._ledger, self._capacity, self._now_ms)
        self.performance.write()
