"""What a backend gives to the decisions: its tables, read and written by named statements.

What becomes of a batch is decided once, in the modules beside this one, whatever the database. A backend has an SQL
text for each name here, and the locks that its kind of concurrency needs. A name's comment says what a statement
takes and gives, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol

from flybridge.store.protocol import Lane


class Place(NamedTuple):
    """What a cell stands for."""

    app: str
    day: str
    source: str
    outcome: str
    reason: str


class Read(Enum):
    """Statements that read. `among` ones end a list of values, after what else they take.

    Those marked *own* keep what they give for this transaction: nobody else changes it before the end. Of what
    somebody else owns, they wait for the end and look again, or, where it says *free*, leave it out.
    """

    __hash__ = object.__hash__  # a member is only ever itself; Enum's own hash is a function in Python

    # filing
    LINES = auto()  # among receipts: receipt, line, cell
    LETTERS_OF = auto()  # among receipts: line, cell, of those that are dead. Own.
    SEEN = auto()  # now_ms, among keys: key
    TOMBSTONED = auto()  # whether anybody is forgotten: a row, or none
    TOMBSTONES = auto()  # among keys: key, since_ms
    PERSONS = auto()  # among first keys: key, person
    PEOPLE = auto()  # among persons: key, person
    SIGHTINGS = auto()  # among keys: key, app, sealed
    HOLDS_OF_KEYS = auto()  # now_ms, among keys: hold, of those whose window is not over
    # holds
    WAITING = auto()  # among holds: the fields of `holding.Waiting`. Own.
    OVER = auto()  # now_ms, limit: the same of holds whose window is over, spent ones too, longest first. Own, free.
    SPENT_OF_LINES = auto()  # among lines: line, packed keys of holds kept though they do not wait
    ITEMS = auto()  # among lines: line, sealed, who
    # deliveries
    DUE = auto()  # app, endpoint, now_ms, limit: id, tries, uncertain, split, received_ms, sealed, who. Own, free.
    OWNED = auto()  # owner, among deliveries: id, line, lane, cell. Own.
    LAPSED = auto()  # now_ms: id, line, lane, cell, begun. Own, free.
    LEASED_BY = auto()  # owner: the same. Own, free.
    # dead letters
    LETTERS = auto()  # app, reason (each may be None), limit: `dead_letters._letter`, newest first
    LETTERS_NAMED = auto()  # app, reason (each may be None), among lines: the same, in any order
    LETTER_IDS = auto()  # app, reason (each may be None), line, limit: lines of dead letters after that line, ascending
    LETTERS_TAKEN = auto()  # among lines: the same, of those without a lane
    LETTERS_SENT = auto()  # among lines: line, lane, cell, received_ms, uncertain, of those with one. Own.
    # forgetting
    PERSONS_OF_KEY = auto()  # key, limit: person
    KEYS_OF_PERSONS = auto()  # among persons: key
    HOLDS_OF_ANY_KEY = auto()  # among keys: hold
    LINES_OF_PERSONS = auto()  # among persons: line, cell, insert_id, digest
    LINES_BY_ID = auto()  # among lines: the same
    DELIVERIES_OF_LINES = auto()  # among lines: delivery
    RECEIPT = auto()  # id: id, made_ms, keys, removed, steps
    RECEIPTS = auto()  # limit: the same, newest first
    RECEIPTS_OF_KEYS = auto()  # packed keys, limit: the same
    # membership
    AUDIENCE = auto()  # app, name: audience, floor_ms. Own.
    MEMBERS = auto()  # audience, among persons: person, wanted, said_ms, mark, lack, extra
    DEVICES = auto()  # audience, among marks: mark
    MEMBERS_OF_PERSONS = auto()  # among persons: audience, person, wanted, mark, lack, extra
    MEMBERS_OF_MARKS = auto()  # among marks: the same. Reads all members: there is no index.
    DEVICES_OF_MARKS = auto()  # among marks: audience, mark
    # retention
    LINES_AFTER = auto()  # line, limit: line, cell, changed_ms, received_ms, in the order of filing
    OLD_LETTERS = auto()  # until_ms, limit: line, cell, oldest first. Own, free.
    OLD_SEEN = auto()  # key, now_ms, limit: key, until_ms, a page after the key
    PERSONS_AFTER = auto()  # person, limit: person, whether something of it can go
    # looking
    COUNTS = auto()  # app, day, source, outcome, reason, n
    DEPTHS = auto()  # now_ms: app, endpoint, due, later, leased, oldest_ms
    LANES = auto()  # now_ms: app, endpoint
    HOLDS = auto()  # app (may be None), limit: the fields of `protocol.Held`, key kinds as text
    LEDGER = auto()  # line, app (may be None), limit: line, the fields of `protocol.LedgerEntry`
    ROLLUPS = auto()  # the fields of `protocol.RollupRow`
    HOLD_COUNTS = auto()  # app, media source, key kinds as text, hour, n
    SIGHTED = auto()  # app, kind, n, last_ms
    COVERED = auto()  # first day: app, platform, kinds as text, how many
    COVERAGE = auto()  # first day, app (may be None): the fields of `protocol.CoverageRow`, kinds as text
    # the audit
    CELLS = auto()  # cell, app, day, source, outcome, reason, n, pruned
    LINES_PER_CELL = auto()  # cell, n
    COUNTED = auto()  # outcome: app, day, n without what is pruned
    KEPT_HOLDS = auto()  # app, day, outcome of the line, rows, different lines: '' and 'nowhere' where it has none
    KEPT_DELIVERIES = auto()  # the same
    KEPT_LETTERS = auto()  # the same
    LOOSE_ITEMS = auto()  # n
    LOST_ITEMS = auto()  # n
    LOOSE_KEYS = auto()  # n
    MISCOUNTED_HOLDS = auto()  # n


class Write(Enum):
    """Statements that write, for any number of rows."""

    __hash__ = object.__hash__

    LINES = auto()  # receipt, cell, insert_id, received_ms, changed_ms, line, digest, person
    REVIVE = auto()  # insert_id, changed_ms, person, line
    MOVE = auto()  # cell, changed_ms, line
    DOUBT = auto()  # more, line
    ANONYMISE = auto()  # line
    DROP_LINES = auto()  # line
    TALLY = auto()  # more, cell
    TALLY_PRUNED = auto()  # more, cell
    SEEN = auto()  # key, until_ms, now_ms: of keys that were not remembered at now_ms
    SEEN_AGAIN = auto()  # key, until_ms
    DROP_SEEN = auto()  # key, until_ms: unless it is remembered longer
    FORGET_SEEN = auto()  # key
    ITEMS = auto()  # line, sealed
    KEEP_WHO = auto()  # delivery: the identity it was given goes to its item, if there is one
    DROP_ITEMS = auto()  # line
    DELIVERIES = auto()  # id, line, lane, received_ms, due_ms, who
    REDELIVER = auto()  # id, line, lane, received_ms, due_ms, uncertain
    LEASE = auto()  # owner, leased_until_ms, id
    BEGIN = auto()  # id
    AGAIN = auto()  # due_ms, tries, split, more uncertain, id
    RETURN = auto()  # id
    DROP_DELIVERIES = auto()  # id
    HOLDS = auto()  # line, lane, event_type, media_source, key_kinds, keys, received_ms, event_ms, expires_ms, fallback
    HOLD_KEYS = auto()  # key, line
    DROP_HOLDS = auto()  # line
    DROP_HOLD_KEYS = auto()  # key, line
    HOLD_COUNTS = auto()  # lane, media_source, key_kinds, hour, more
    DROP_HOLD_COUNTS = auto()  # lane, media_source, key_kinds, hour: where nothing is left
    DEAD = auto()  # line, lane, stage, media, reason, detail, remedy, version, died_ms
    DROP_DEAD = auto()  # line
    SIGHTINGS = auto()  # key, app, seen_ms, sealed: in place of what there was
    DROP_SIGHTINGS = auto()  # key
    PEOPLE = auto()  # key, person
    DROP_PEOPLE = auto()  # person
    DROP_LONELY = auto()  # person: its keys without a sighting, if it has no line
    TOMBSTONES = auto()  # key, since_ms
    RECEIPTS = auto()  # id, made_ms, keys, removed, steps
    RECEIPT_REMOVED = auto()  # removed, id
    RECEIPT_STEPS = auto()  # steps, id
    AUDIENCES = auto()  # app, name: unless it is known
    AUDIENCE = auto()  # more people, more lacking, title (may be empty), audience: its revision goes up
    AUDIENCES_CHANGED = auto()  # an audience: the revision of all from behind it goes up
    AUDIENCE_AT_ONCE = auto()  # audience: is due at once
    MEMBERS = auto()  # audience, person, wanted, said_ms, mark, lack, who, extra: in place of what there was
    DROP_MEMBERS = auto()  # audience, person
    WANT_DEVICES = auto()  # audience, mark, sealed, more wanted, extra (may be None)
    UNWANT_DEVICES = auto()  # less wanted, audience, mark: with nobody left to want it, extra goes
    TAKE_BACK = auto()  # extra, audience, mark
    UNCOUNT_DEVICES = auto()  # audience, mark, audience: counts it as refused no more, if DROP_DEVICES will take it
    DROP_DEVICES = auto()  # audience, mark: if nobody wants it, it is not listed, and has no extra
    ROLLUPS = auto()  # the fields of `protocol.RollupRow`, to be added
    COVERAGE = auto()  # day, app, platform, app_version, media_source, kinds, more
    DROP_COVERAGE = auto()  # first day that stays
    SIGHTED = auto()  # app, kind, more, last_ms


class Rows(Protocol):
    """Reads, all of one moment where they are for a look, else of the moment of each."""

    def read(self, what: Read, *values: object) -> Sequence[Any]:
        """Run a statement, give its rows."""
        ...

    def among(self, what: Read, keys: Iterable[object], *first: object) -> Sequence[Any]:
        """Run a statement for a list of any length; `first` is what it takes beside the list."""
        ...


class Tables(Rows, Protocol):
    """All that decisions need inside one transaction that writes.

    A backend that says `keeps_spent` leaves the rows of a released hold where they are until its window is over. Its
    line says that it does not wait any more, and every statement about holds but `OVER` looks at that;
    `SPENT_OF_LINES` is asked of no other.
    """

    keeps_spent: bool

    def lock(self, keys: Iterable[bytes]) -> None:
        """Be the only one who files about these keys until the transaction ends. Once, before anything is read."""
        ...

    def only(self, task: str) -> bool:
        """Return whether this transaction is the only one with that task. If not, somebody else is doing it."""
        ...

    def ids(self, n: int) -> Sequence[int]:
        """Return n new ids, rising. Never given again, also if the transaction fails."""
        ...

    def cell(self, place: Place) -> int:
        """Return the cell's number; make the cell if it is new."""
        ...

    def place(self, cell: int) -> Place:
        """Return what a cell stands for."""
        ...

    def lane(self, lane: Lane) -> int:
        """Return the lane's number; make the lane if it is new."""
        ...

    def lane_of(self, number: int) -> Lane:
        """Return the lane of a number."""
        ...

    def write(self, what: Write, rows: Sequence[tuple[object, ...]]) -> None:
        """Run a statement for all rows, if there are any."""
        ...

    def count(self, what: Write, rows: Sequence[tuple[object, ...]]) -> int:
        """Run a statement for all rows, give how many rows of the table it changed."""
        ...
