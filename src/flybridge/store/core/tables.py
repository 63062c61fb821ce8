"""The tables of a store as the decisions see them: read and written by named statements.

What a batch leads to is decided once, in the modules beside this one. A backend has an SQL text for each name here, and
the locks that its kind of concurrency needs. The comment of a name lists the statement's parameters and columns, in
order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol

from flybridge.records import Dimensions
from flybridge.store.records import Lane


class CounterKey(NamedTuple):
    """The name of a ledger counter."""

    app: str
    day: str
    source: str
    outcome: str
    reason: str


class Read(Enum):
    """Statements that read. After `among` stands what a list holds; other parameters come before it.

    `FOR UPDATE`: the rows stay locked until the transaction ends; rows locked by others are waited for and read again,
    or left out where it says `SKIP LOCKED`.
    """

    __hash__ = object.__hash__  # a member is only ever itself; Enum's own hash is a function in Python

    # filing
    LEDGER_ROWS = auto()  # among receipts: receipt, row, counter
    DEAD_OF_RECEIPTS = auto()  # among receipts: row, counter, of those that are dead. FOR UPDATE
    SEEN = auto()  # now_ms, among keys: key, occurrences
    TOMBSTONED = auto()  # a row if any person is forgotten
    TOMBSTONES = auto()  # among keys: key, since_ms
    PERSONS = auto()  # among first keys: key, person
    PEOPLE = auto()  # among persons: key, person
    SIGHTINGS = auto()  # among keys: key, app, seen_ms, sealed
    SIGHTED_ANY = auto()  # a row if any person was sighted
    HOLDS_OF_KEYS = auto()  # a time, among keys: key, hold, expires_ms, of those whose window was not over then
    INSTALLATIONS = auto()  # among keys: key, cell, day, install_s, touch_s, paid_day, reached, days. Own.
    # holds
    WAITING = auto()  # among holds: the fields of `holding.WaitingHold`. FOR UPDATE
    # now_ms, limit: the same of holds whose window is over, released ones too, longest first. FOR UPDATE SKIP LOCKED
    OVER = auto()
    RELEASED_OF_ROWS = auto()  # among rows: row, packed keys, of released holds whose rows are kept
    ITEMS = auto()  # among rows: row, sealed, who
    # deliveries
    # app, endpoint, now_ms, limit: id, tries, uncertain, split, received_ms, sealed, who. FOR UPDATE SKIP LOCKED
    DUE = auto()
    OWNED = auto()  # owner, among deliveries: id, row, lane, counter. FOR UPDATE
    LAPSED = auto()  # now_ms, the latest end of a lease: id, row, lane, counter, begun. FOR UPDATE SKIP LOCKED
    LEASED_BY = auto()  # owner: the same. FOR UPDATE SKIP LOCKED
    UNLEASED = auto()  # among rows: delivery, row, lane, counter. FOR UPDATE SKIP LOCKED
    IN_DOUBT = auto()  # app, endpoint, limit: the fields of `DUE`, of what has begun or is uncertain
    DOUBTED = auto()  # among deliveries: id, row, counter, uncertain, of the same. FOR UPDATE SKIP LOCKED
    # app, endpoint, limit: row, due_ms, leased, tries, uncertain, received_ms, sealed, who, those due longest first
    QUEUED = auto()
    # bundles
    BUNDLES_OWNED = auto()  # owner, first row, last row: id, rows in flight, lines, of those between. FOR UPDATE
    BUNDLES_LEASED_BY = auto()  # owner: id. FOR UPDATE SKIP LOCKED
    BUNDLES_LAPSED = auto()  # now_ms, the latest end of a lease: id. FOR UPDATE SKIP LOCKED
    BUNDLES = auto()  # id, rows in flight, lines. FOR UPDATE
    BUNDLE_CONTENT = auto()  # among bundles: lane, owner, leased_until_ms, due_ms, rows in flight, lines, packed
    BUNDLES_OF_LANE = auto()  # app, endpoint: endpoint, due_ms, rows in flight, lines, packed
    BUNDLES_AROUND = auto()  # row: the same
    # dead letters
    DEAD_LETTERS = auto()  # app, reason (each may be None), limit: `dead_letters._dead_letter`, newest first
    DEAD_BY_ID = auto()  # app, reason (each may be None), among rows: the same, in any order
    DEAD_IDS = auto()  # app, reason (each may be None), row, limit: the rows after that one, ascending
    DEAD_IDS_AMONG = auto()  # app, reason (each may be None), among rows: those that are dead letters, in any order
    DEAD_UNMAPPED = auto()  # among rows: the same, of those without a lane
    DEAD_UNDELIVERED = auto()  # among rows: row, lane, counter, received_ms, uncertain, of those with one. FOR UPDATE
    # forgetting
    PERSONS_OF_KEY = auto()  # key, limit: person
    KEYS_OF_PERSONS = auto()  # among persons: key
    HOLDS_OF_ANY_KEY = auto()  # among keys: hold
    ROWS_OF_PERSONS = auto()  # among persons: row, counter, insert_id, digest, received_ms
    ROWS_BY_ID = auto()  # among rows: the same
    DELIVERIES_OF_ROWS = auto()  # among rows: delivery
    RECEIPT = auto()  # id: id, made_ms, keys, removed, steps
    RECEIPTS = auto()  # limit: the same, newest first
    RECEIPTS_OF_KEYS = auto()  # packed keys, limit: the same
    # membership
    AUDIENCE = auto()  # app, name: audience, floor_ms. FOR UPDATE
    MEMBERS = auto()  # audience, among persons: person, wanted, said_ms, mark, lack, extra
    DEVICES = auto()  # audience, among marks: mark
    MEMBERS_OF_PERSONS = auto()  # among persons: audience, person, wanted, mark, lack, extra
    MEMBERS_OF_MARKS = auto()  # among marks: the same. Reads all members: there is no index.
    DEVICES_OF_MARKS = auto()  # among marks: audience, mark
    # audiences
    TARGET = auto()  # app, name: audience, target. FOR UPDATE
    CLAIM = auto()  # app, name: the fields of `audiences.records.Claim`
    OWNER = auto()  # audience: owner. FOR UPDATE
    AUDIENCE_IDS = auto()  # audience
    STANDINGS = auto()  # now_ms: the fields of `audiences.records.Standing`, by app and name
    DUE_AUDIENCES = auto()  # now_ms: the same, of those whose time has come and that nobody runs, longest due first
    TO_ADD = auto()  # audience, mark, limit: mark, sealed, standing, after the mark
    TO_REMOVE = auto()  # the same
    EXTRAS = auto()  # audience, mark, now_ms, limit: mark, sealed, sealed extra, after the mark
    EXTRAS_OF = auto()  # audience, among marks: mark, sealed extra
    EXTRAS_DUE = auto()  # audience: when the next are to be sent, may be NULL
    IMPORT_KEYS = auto()  # app, name, sealed import key
    RUNS = auto()  # app, name (each may be None), limit: app, name, packed run, newest first
    LACKING = auto()  # app, name, limit: sealed name of a member, lack
    AUDIENCE_COUNTERS = auto()  # name, counter and rows of: people, lacking, listed, refused
    WANTED_DEVICES = auto()  # name, devices wanted by as many as they say, devices wanted, devices that members name
    # retention
    ROWS_AFTER = auto()  # row, limit: row, counter, cell, changed_ms, received_ms, in the order of filing
    OLD_DEAD = auto()  # until_ms, limit: row, counter, cell, oldest first. FOR UPDATE SKIP LOCKED
    OLD_MESSAGES = auto()  # until_ms, limit: row, oldest first
    OLD_SEEN = auto()  # key, now_ms, limit: key, until_ms, a page after the key
    INSTALLATIONS_AFTER = auto()  # key, limit: key, day, a page after the key
    PERSONS_AFTER = auto()  # person, limit: person, whether something of it can go
    # the store itself
    STATE = auto()  # name: value
    STATES = auto()  # the beginning of names, the first text after them: name, value, in the order of names
    # events: the fields of `events.EventRow`. Filters are app, source, outcome, reason, event, media source, insert_id,
    # each of which may be empty, and the first and last time of reception
    EVENTS = auto()  # row, how many are looked through below it, filters, limit: newest first
    EVENTS_END = auto()  # row, how many: lowest row among them, how many there are, newest time of reception
    EVENTS_HELD = auto()  # as EVENTS, among the holds
    EVENTS_HELD_END = auto()
    EVENTS_DEAD = auto()  # as EVENTS, among the dead letters
    EVENTS_DEAD_END = auto()
    EVENTS_OF_PERSONS = auto()  # among persons: the newest 500
    EVENT = auto()  # row
    HOLD_OF = auto()  # row: event_type, media source, key kinds as text, event_ms, expires_ms
    DELIVERY_OF = auto()  # delivery, row: endpoint, due_ms, leased, tries, uncertain
    ATTEMPTS = auto()  # among rows: row, delivery, endpoint, at_ms, status, reason, sealed words, oldest first
    MESSAGE = auto()  # row: sealed message as it came
    HIGHEST_ROW = auto()  # the highest row, may be NULL
    ROW_FROM = auto()  # row: that row or the next one, received_ms
    TRAIL_END = auto()  # number, chain of the newest row
    TRAIL = auto()  # number, limit: the fields of `trail.TrailRow` below it, newest first
    TRAIL_AFTER = auto()  # number, limit: the same above it, in order
    SEALED = auto()  # limit: sealed, of the newest items, messages and sightings, each so many
    # reports
    COUNTS = auto()  # app, day, source, outcome, reason, n
    DEPTHS = auto()  # now_ms: app, endpoint, due, later, leased, oldest_ms
    LANES = auto()  # now_ms: app, endpoint
    # app, media source (each may be None), row, limit: the fields of `figures.Held` after that row, kinds as text
    HOLDS = auto()
    UNCERTAIN_COUNTS = auto()  # app, outcome, rows, times
    UNCERTAIN = auto()  # app (may be None), limit: the fields of `figures.LedgerEntry`, newest first
    LEDGER = auto()  # row, app (may be None), limit: row, the fields of `figures.LedgerEntry`
    RESTRICTED = auto()  # the fields of `figures.RestrictedCount`
    HOLD_COUNTS = auto()  # the fields of `figures.HeldCount`, kinds as text
    SIGHTED = auto()  # app, kind, n, last_ms
    COVERED = auto()  # first day: the fields of `figures.CoverageRow`, kinds as text; most are empty
    COVERAGE = auto()  # first day, app (may be None): the fields of `figures.CoverageRow`, kinds as text
    # performance: these take the fields of `performance.Slice.parameters` first, and give its labels first
    PERFORMANCE = auto()  # labels, kind, event, n, revenue, not converted, reached
    SIZES = auto()  # horizons: labels, kind, horizon, n
    COHORTS = auto()  # horizons: labels, kind, horizon, active, payers, events, revenue, not converted
    COSTS = auto()  # horizons: labels, horizon, origin, currency, spend, clicks, impressions
    CURVES = auto()  # labels with the day, kind, offset, active, payers, events, revenue, not converted
    # reconciliation
    # app, first day, last day: day, kind, event, media source, outcome, reason, key kinds of what is held, ledger rows
    OUTCOMES = auto()
    EXPIRED_KINDS = auto()  # app, first day, last day: day, kind, event, media source, key kinds, how many expired
    # app, first day, last day: day, kind, event, media source, insert_id, changed_ms, of what is delivered
    SENT = auto()
    EVENT_OUTCOMES = auto()
    # app, first day, last day: day, kind, event, media source, n, ledger rows, of these deleted, revenue, not converted
    COUNTED_ON = auto()
    DAY_REPORTS = auto()  # kind, first day, last day, app (may be None): the fields of `figures.DayReport`
    # the audit
    MOVED = auto()  # app, n, ledger rows: where what moved between cells is not as much as came
    COUNTED_ROWS = auto()  # cell, ledger rows less those deleted, rows that the ledger has, where they differ
    COUNTERS = auto()  # counter, app, day, source, outcome, reason, n, pruned
    ROWS_PER_COUNTER = auto()  # counter, n
    COUNTED = auto()  # outcome: app, day, n without what is pruned
    KEPT_HOLDS = auto()  # app, day, outcome of the row, rows, different rows: '' and 'nowhere' where it has none
    KEPT_DELIVERIES = auto()  # the same
    KEPT_DEAD = auto()  # the same
    UNNEEDED_ITEMS = auto()  # n
    MISSING_ITEMS = auto()  # n
    UNNEEDED_KEYS = auto()  # n
    MISCOUNTED_HOLDS = auto()  # n
    UNNEEDED_ATTEMPTS = auto()  # n
    UNNEEDED_MESSAGES = auto()  # n


class Write(Enum):
    """Statements that write, for any number of rows."""

    __hash__ = object.__hash__

    STATE = auto()  # name, value: in place of what there was
    DROP_STATE = auto()  # name
    TRAIL = auto()  # the fields of `trail.TrailRow`
    LEDGER_ROWS = auto()  # receipt, counter, insert_id, received_ms, changed_ms, row, digest, person, cell
    REFILE = auto()  # insert_id, changed_ms, person, cell, row
    MOVE = auto()  # counter, changed_ms, row
    UNCERTAIN = auto()  # more, row
    ANONYMISE = auto()  # row
    DROP_LEDGER_ROWS = auto()  # row
    COUNT = auto()  # more, counter
    COUNT_PRUNED = auto()  # more, counter
    SEEN = auto()  # key, until_ms, occurrences, now_ms: of keys that were not remembered at now_ms
    SEEN_MORE = auto()  # until_ms (at least), occurrences, occurrences as they were read, key
    DROP_SEEN = auto()  # key, until_ms: unless it is remembered longer
    FORGET_SEEN = auto()  # key
    ITEMS = auto()  # row, sealed
    KEEP_WHO = auto()  # delivery: the identity it was given goes to its item, if there is one
    DROP_ITEMS = auto()  # row
    DELIVERIES = auto()  # id, row, lane, received_ms, due_ms, who, owner (may be None), leased_until_ms
    BUNDLES = auto()  # id, last row, lane, owner, leased_until_ms, due_ms, n, rows in flight, lines, packed
    FEWER_IN_FLIGHT = auto()  # n, rows in flight, bundle
    DROP_BUNDLES = auto()  # bundle
    REDELIVER = auto()  # id, row, lane, received_ms, due_ms, uncertain
    LEASE = auto()  # owner, leased_until_ms, id
    BEGIN = auto()  # id
    HASTEN = auto()  # now_ms, app, endpoint: what waits for another try is due
    AGAIN = auto()  # due_ms, tries, split, more uncertain, id
    RETURN = auto()  # id
    DROP_DELIVERIES = auto()  # id
    ATTEMPTS = auto()  # row, id, delivery, lane, at_ms, status, reason, sealed words
    TRIM_ATTEMPTS = auto()  # row: all but the newest `MOST_ATTEMPTS`
    DROP_ATTEMPTS = auto()  # row
    MESSAGES = auto()  # row, kept_ms, sealed
    DROP_MESSAGES = auto()  # row
    HOLDS = auto()  # row, lane, event_type, media_source, key_kinds, keys, received_ms, event_ms, expires_ms, fallback
    HOLD_KEYS = auto()  # key, row
    KEYS_OF_HOLD = auto()  # packed keys, row: in place of what there was
    DROP_HOLDS = auto()  # row
    DROP_HOLD_KEYS = auto()  # key, row
    HOLD_COUNTS = auto()  # lane, media_source, key_kinds, hour, more
    DROP_HOLD_COUNTS = auto()  # lane, media_source, key_kinds, hour: where nothing is left
    DEAD = auto()  # row, lane, stage, media, reason, detail, remedy, version, died_ms, ordinal, newest
    DROP_DEAD = auto()  # row
    SIGHTINGS = auto()  # key, app, seen_ms, sealed: in place of what there was
    SEEN_AGAIN = auto()  # seen_ms, key, app: of a sighting that is there
    DROP_SIGHTINGS = auto()  # key
    PEOPLE = auto()  # key, person
    DROP_PEOPLE = auto()  # person
    DROP_ORPHANS = auto()  # person: its keys without a sighting, if it has no row
    TOMBSTONES = auto()  # key, since_ms
    RECEIPTS = auto()  # id, made_ms, keys, removed, steps
    RECEIPT_REMOVED = auto()  # removed, id
    RECEIPT_STEPS = auto()  # steps, id
    AUDIENCES = auto()  # app, name: unless it exists
    AUDIENCE = auto()  # more people, more lacking, title (may be empty), audience: raises its revision
    AUDIENCES_CHANGED = auto()  # an audience: raises the revision of all with higher ids
    AUDIENCE_AT_ONCE = auto()  # audience: is due at once
    MEMBERS = auto()  # audience, person, wanted, said_ms, mark, lack, who, extra: in place of what there was
    DROP_MEMBERS = auto()  # audience, person
    WANT_DEVICES = auto()  # audience, mark, sealed, more wanted, extra (may be None)
    UNWANT_DEVICES = auto()  # less wanted, audience, mark: extra goes with the last who wants it
    TAKE_BACK = auto()  # extra, audience, mark
    UNCOUNT_DEVICES = auto()  # audience, mark, audience: counts it as refused no more, if DROP_DEVICES will take it
    DROP_DEVICES = auto()  # audience, mark: if no member wants it, it is not listed, and has no extra
    TARGET = auto()  # cohort, target, next_ms at the latest, audience
    CLAIM = auto()  # owner, until_ms, app, name, next_ms at the latest, now_ms: unless another has it
    RENEW = auto()  # until_ms, audience, owner
    FINISH = auto()  # tries, whether it ran, ended_ms, whether nothing is left, next_ms, audience, owner
    RUN = auto()  # audience, began_ms, ended_ms, packed run
    LEARN = auto()  # limit of devices (0: as it is), title (empty: as it is), audience
    REQUESTED = auto()  # request id, requested_ms, audience, owner
    IMPORT_KEY = auto()  # sealed, app, name
    RESET_AUDIENCE = auto()  # audience: nothing of it is listed, and it is due
    EMPTY_AUDIENCE = auto()  # audience: nothing of it is known to be listed or refused
    COUNT_DEVICES = auto()  # more listed, more refused, audience
    STAND_ALL = auto()  # standing, audience: of all its devices
    STAND = auto()  # standing, audience, mark
    ANSWER = auto()  # standing, extra_ms if there was none, audience, mark: of a device that is not known
    UNLIST = auto()  # audience: what is not known is not listed
    DROP_UNWANTED = auto()  # audience: devices that no member wants
    DROP_ERASABLE = auto()  # audience: as DROP_DEVICES, of all its devices
    EXTRA_SENT = auto()  # extra_ms, audience, mark: the first or the second time
    EXTRA_DONE = auto()  # audience, mark
    FLOOR = auto()  # until_ms at least, audience
    DROP_RUNS = auto()  # audience, until_ms
    DROP_FORMER = auto()  # audience, until_ms: members who were out then
    DROP_AUDIENCE = auto()  # audience: its row; what is of it goes by the three below
    DROP_ALL_MEMBERS = auto()  # audience
    DROP_ALL_DEVICES = auto()  # audience
    DROP_ALL_RUNS = auto()  # audience
    RESTRICTED = auto()  # app, day, media source, policy, more
    INSTALLATIONS = auto()  # the fields of `Read.INSTALLATIONS`: in place of what there was
    DROP_INSTALLATIONS = auto()  # key
    PERFORMANCE = auto()  # cell, more: n, revenue, not converted, reached, ledger rows, of these deleted
    COHORTS = auto()  # cell, offset, more: active, first purchases, events, revenue, not converted
    DROP_COSTS = auto()  # app, origin, first day, last day, media source (may be None)
    COSTS = auto()  # app, origin, precedence, day, source, campaign, country, currency, spend, clicks, impressions
    DAY_REPORTS = auto()  # app, kind, day, made_ms, body: in place of what there was
    EXPIRED_KINDS = auto()  # row, key kinds: of what expired and is counted in a cell of performance
    DROP_DAY_REPORTS = auto()  # kind, first day that stays
    COVERAGE = auto()  # day, app, platform, app_version, media_source, kinds, more, more installs
    DROP_COVERAGE = auto()  # first day that stays
    SIGHTED = auto()  # app, kind, more, last_ms


class Rows(Protocol):
    """Reads: in a report all of one moment, in a transaction that writes each of its own."""

    def read(self, what: Read, *values: object) -> Sequence[Any]:
        """Run a statement and return its rows."""
        ...

    def among(self, what: Read, keys: Iterable[object], *first: object) -> Sequence[Any]:
        """Run a statement for a list of any length. `first` are the parameters before the list."""
        ...


class Changes(Rows, Protocol):
    """Reads and writes inside one transaction."""

    def write(self, what: Write, rows: Sequence[tuple[object, ...]]) -> None:
        """Run a statement for all rows, if there are any."""
        ...

    def count(self, what: Write, rows: Sequence[tuple[object, ...]]) -> int:
        """Run a statement for all rows. Returns how many rows of the table changed."""
        ...

    def only(self, task: str) -> bool:
        """Whether this transaction has the task to itself; if not, another process is doing it."""
        ...


class Tables(Changes, Protocol):
    """What decisions about events need inside one transaction that writes.

    A backend with `keeps_released` leaves the rows of a released hold in place until its window is over. The ledger row
    says that it does not wait any more, and every statement about holds but `OVER` respects that; `RELEASED_OF_ROWS` is
    used only with such a backend.
    """

    keeps_released: bool

    def lock(self, keys: Iterable[bytes]) -> None:
        """Lock these keys against other filings until the transaction ends. Called once, before anything is read."""
        ...

    def lock_also(self, keys: Iterable[bytes]) -> Set[bytes]:
        """Lock more keys, which only reading has shown. Returns those that were not locked before: read them again."""
        ...

    def ids(self, n: int) -> Sequence[int]:
        """Return n new ids, rising. They are never returned again, even if the transaction fails."""
        ...

    def counter(self, counter_key: CounterKey) -> int:
        """Return the counter's id; make the counter if it is new."""
        ...

    def counter_key(self, counter: int) -> CounterKey:
        """Return the name of a counter."""
        ...

    def lane(self, lane: Lane) -> int:
        """Return the lane's id; make the lane if it is new."""
        ...

    def lane_of(self, number: int) -> Lane:
        """Return the lane with this id."""
        ...

    def performance_cell(self, app: str, day: int, dimensions: Dimensions) -> int:
        """Return the id of a cell of performance; make the cell if it is new. Beyond the limit that of all others."""
        ...

    def performance_cells(self, names: Sequence[tuple[str, int, Dimensions]]) -> list[int]:
        """Return the ids of cells, by app, day and dimensions, together: each for itself costs several statements."""
        ...

    def performance_cell_of(self, cell: int) -> tuple[int, Dimensions]:
        """Return the day and dimensions of a cell of performance."""
        ...
