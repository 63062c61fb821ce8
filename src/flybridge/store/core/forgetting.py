"""Forgetting: whose ledger row it is, removing a person everywhere, and keeping them forgotten.

A ledger row carries the number of its person; the table `people` says by which keys that person was met. A person is
one installation (or, where no AppsFlyer id is known, one device or user). Installations that share a key belong to the
same human being, unless so many share it that the key identifies no one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec import structs

from flybridge.errors import FlybridgeError
from flybridge.records import Filing, OutcomeKind, Person, Source
from flybridge.sealing import Seal
from flybridge.store.core.bundles import unpack_with
from flybridge.store.core.holding import drop_released, remove_holds, waiting
from flybridge.store.core.ledger import LedgerWriter
from flybridge.store.core.membership import forget_members, members_of_marks
from flybridge.store.core.sealed import pack_keys, unpack_keys
from flybridge.store.core.tables import Read, Rows, Tables, Write
from flybridge.store.figures import UNEXPLAINED_EVENTS
from flybridge.store.receipt import Receipt, Removed, VendorStep

SHARED: Final = 50
"""A key of more installations than this is a default, a placeholder or a test device: it is not followed."""

T = TypeVar("T")

MOST: Final = 500
"""Installations of one request. No human being has more."""

KEY_BYTES: Final = 16

EVERY_DAY: Final = 2**31

BEFORE_REQUEST: Final = "before_request"

ROW_BY_ROW: Final = frozenset({Source.FILE, Source.PULL, Source.LOCKER, Source.SIGHTINGS})
"""Sources of history, whose messages are about one person each."""

WIPED: Final = (OutcomeKind.HELD, OutcomeKind.PENDING, OutcomeKind.DEAD)

_encode: Final = msgspec.msgpack.Encoder().encode
_removed: Final = msgspec.msgpack.Decoder(Removed).decode
_steps: Final = msgspec.msgpack.Decoder(tuple[VendorStep, ...]).decode


class PersonRow(NamedTuple):
    """A ledger row of the person, with what of it points at content."""

    id: int
    counter: int
    insert_id: str
    digest: bytes
    received_ms: int


# --- filing


def link(ledger: LedgerWriter, filings: Iterable[Filing]) -> tuple[dict[str, int], set[bytes]]:
    """Find or make the person of each filing. Returns the persons by receipt, and the keys that were new to theirs.

    A filing about several people teaches their keys, but its row belongs to none of them.
    """
    tables = ledger.tables
    met = [(filing, person.keys) for filing in filings for person in filing.persons]
    known: dict[bytes, int] = dict(tables.among(Read.PERSONS, {first for _, (first, *_) in met}))
    there = set(tables.among(Read.PEOPLE, set(known.values())))
    new = dict.fromkeys(keys[0] for _, keys in met if keys[0] not in known)
    known.update(zip(new, tables.ids(len(new)), strict=True))
    rows: set[tuple[bytes, int]] = set()
    found: dict[str, int] = {}
    for filing, keys in met:
        number = known[keys[0]]
        rows.update([(key, number) for key in keys])
        if len(filing.persons) == 1:
            found[filing.envelope.receipt] = number
    new_rows = rows - there
    tables.write(Write.PEOPLE, sorted(new_rows))
    return found, {key for key, _ in new_rows}


def tombstones(rows: Rows, filings: Iterable[Filing]) -> dict[bytes, int]:
    """Return since when the people of these filings are forgotten, by key; empty if none is."""
    if not rows.read(Read.TOMBSTONED):
        return {}
    keys = {key for filing in filings for person in filing.persons for key in person.keys}
    keys |= {key for filing in filings for key in filing.mentions}
    return dict(rows.among(Read.TOMBSTONES, keys))


def spared(filing: Filing, known: Mapping[bytes, int]) -> Filing | None:
    """Return the part of a filing that may have an effect; None if all is about the forgotten, before their request."""
    received_ms = filing.envelope.received_ms
    # Of a row that can't be read nothing says that it is not from before, whenever it is read.
    happened_ms = 0 if filing.envelope.source in ROW_BY_ROW else received_ms
    if any(happened_ms <= known[key] for key in filing.mentions if key in known):
        return None
    there = [person for person in filing.persons if not is_gone(person, received_ms, known)]
    if len(there) == len(filing.persons):
        return filing
    if not there:
        return None
    gone = {key for person in filing.persons if is_gone(person, received_ms, known) for key in person.keys}
    left = tuple(sighting for sighting in filing.sightings if sighting.key not in gone)
    members = tuple(one for one in filing.members if gone.isdisjoint(one.member.persons + one.member.marks))
    numbers = tuple(key for key in filing.numbers if key not in gone)
    return structs.replace(filing, sightings=left, persons=tuple(there), members=members, numbers=numbers)


def is_gone(person: Person, received_ms: int, known: Mapping[bytes, int]) -> bool:
    """Whether what a message says of a person is from before the request to be forgotten."""
    # What does not say when it happened may be from before. What was received before was done before, whatever the
    # device's clock says.
    happened_ms = min(person.event_ms, received_ms)
    return any(happened_ms <= known[key] for key in person.keys if key in known)


def blank(filing: Filing) -> Filing:
    """Remove from a filing all that would remember its content or its person."""
    left = structs.replace(filing, key=None, sightings=(), performance=None, carried=None, digest=b"", persons=())
    return structs.replace(left, restricted=None, members=(), mentions=(), numbers=(), shown=None)


# --- removing


def forget(
    ledger: LedgerWriter, seal: Seal, keys: Sequence[bytes], now_ms: int, *, receipt: str, also: Sequence[int]
) -> Receipt:
    """Implement `Store.forget`."""
    tables = ledger.tables
    persons, all_keys, shared = reach_with_members(tables, keys)
    rows = rows_of(tables, persons, all_keys, also)
    wiped = wipe(ledger, rows, now_ms)
    sightings, audiences = drop_known(tables, seal, all_keys, persons, now_ms)
    removed = Removed(
        installations=len(persons),
        held=wiped[OutcomeKind.HELD],
        pending=wiped[OutcomeKind.PENDING],
        dead=wiped[OutcomeKind.DEAD],
        anonymised=len(rows) - sum(wiped.values()),
        sightings=sightings,
        tombstones=len(all_keys),
        shared=shared,
        audiences=audiences,
    )
    return _written(ledger, receipt, now_ms, keys, removed)


def drop_known(
    tables: Tables, seal: Seal, keys: Collection[bytes], persons: Collection[int], since_ms: int
) -> tuple[int, int]:
    """Delete what is known by these keys and of these persons, and keep the keys as forgotten since then.

    Returns how many sightings there were, and how many audiences were left.
    """
    # Reports that name events are made anew by the next comparison, without those of this person.
    tables.write(Write.DROP_DAY_REPORTS, [(UNEXPLAINED_EVENTS, EVERY_DAY)])
    marks = sorted(keys)
    sightings = tables.count(Write.DROP_SIGHTINGS, [(key,) for key in marks])
    tables.write(Write.DROP_INSTALLATIONS, [(key,) for key in marks])
    tables.write(Write.DROP_PEOPLE, [(person,) for person in sorted(persons)])
    tables.write(Write.TOMBSTONES, [(key, since_ms) for key in marks])
    return sightings, forget_members(tables, seal, keys)


def reach(
    db: Rows, found: Iterable[bytes], most: int = MOST, *, are_named: bool = True
) -> tuple[set[int], set[bytes], int]:
    """Follow keys to installations and their other keys. Returns both, and how many keys were too widely shared.

    Keys that are named are followed however many share them.

    Raises `FlybridgeError` if the keys lead to more than `most` installations.
    """
    keys, persons, shared = set(found), set[int](), set[bytes]()
    named = keys.copy() if are_named else set[bytes]()
    new = list(keys)
    while new:
        met: set[int] = set()
        for key in new:
            rows = db.read(Read.PERSONS_OF_KEY, key, MOST + 1)
            if len(rows) > SHARED and key not in named:
                shared.add(key)
            else:
                met.update(person for (person,) in rows)
        fresh = met - persons
        persons |= fresh
        if len(persons) > most:
            raise FlybridgeError(
                f"These identifiers lead to more than {most} installations, so one of them is not one person's. "
                "Nothing was removed. Name another, such as the AppsFlyer id."
            )
        linked = {key for (key,) in db.among(Read.KEYS_OF_PERSONS, fresh)}
        new = list(linked - keys - shared)
        keys |= linked
    return persons, keys - shared, len(shared)


def reach_with_members(db: Rows, found: Iterable[bytes]) -> tuple[set[int], set[bytes], int]:
    """Follow keys as `reach` does, and to the members of audiences who are listed by one of them as their identifier.

    A downloaded cohort is not filed message by message: whose a device is, may be known of its members alone.
    """
    persons, keys, shared = reach(db, found)
    by_mark = members_of_marks(db, keys)
    many = {mark for mark, members in by_mark.items() if len(members) > SHARED}
    listed = {member for mark, members in by_mark.items() if mark not in many for member in members} - keys
    if not listed:
        return persons, keys, shared + len(many)
    more, more_keys, more_shared = reach(db, listed, are_named=False)
    return persons | more, keys | more_keys, shared + len(many) + more_shared


def rows_of(db: Rows, persons: set[int], keys: set[bytes], also: Sequence[int] = ()) -> list[PersonRow]:
    """Return the ledger rows of people, of what is held under their keys, and those that are named besides."""
    held = {hold for (hold,) in db.among(Read.HOLDS_OF_ANY_KEY, keys)}
    rows = [*db.among(Read.ROWS_OF_PERSONS, persons), *db.among(Read.ROWS_BY_ID, held.union(also))]
    return sorted({row[0]: PersonRow(*row) for row in rows}.values())


def wipe(ledger: LedgerWriter, rows: Sequence[PersonRow], now_ms: int) -> dict[OutcomeKind, int]:
    """End what waits of these rows as forgotten, and anonymise all. Returns how many waited, by former outcome."""
    wiped = dict.fromkeys(WIPED, 0)
    ended: list[int] = []
    for row in rows:
        stood = ledger.tables.counter_key(row.counter).outcome
        if stood in WIPED:
            wiped[OutcomeKind(stood)] += 1
            ledger.move(row.id, row.counter, OutcomeKind.FORGOTTEN, "", now_ms)
            ended.append(row.id)
    tables = ledger.tables
    unpack_with(ledger, {row.id for row in rows})
    remove_holds(ledger, waiting(ledger, ended))
    drop_released(ledger, [row.id for row in rows])
    # Deliveries have no index by ledger row: it would cost every event. This scans what is in flight.
    tables.write(Write.DROP_DELIVERIES, [tuple(row) for row in tables.among(Read.DELIVERIES_OF_ROWS, ended)])
    ids = [(row_id,) for row_id in ended]
    tables.write(Write.DROP_DEAD, ids)
    tables.write(Write.DROP_ITEMS, ids)
    tables.write(Write.FORGET_SEEN, [(key,) for row in rows for key in _keys(row)])
    tables.write(Write.DROP_ATTEMPTS, [(row.id,) for row in rows])  # vendors' words may quote what they were sent
    tables.write(Write.DROP_MESSAGES, [(row.id,) for row in rows])
    tables.write(Write.ANONYMISE, [(row.id,) for row in rows])
    return wiped


def _keys(row: PersonRow) -> list[bytes]:
    """Return what an event was remembered by: an insert_id begins with its content key in hex, or with both it has."""
    try:
        found = [bytes.fromhex(part) for part in row.insert_id.split("-")[:2] if len(part) == 2 * KEY_BYTES]
    except ValueError:
        found = []
    return found or [row.digest]


# --- receipts


def _written(ledger: LedgerWriter, receipt: str, now_ms: int, keys: Sequence[bytes], removed: Removed) -> Receipt:
    """Write a receipt, or add to the one that is there: the command was run again."""
    before = _read(ledger.tables, Read.RECEIPT, receipt)
    if before:
        removed = before[0].removed.plus(removed)
        ledger.tables.write(Write.RECEIPT_REMOVED, [(_encode(removed), receipt)])
        return structs.replace(before[0], removed=removed)
    made = Receipt(receipt, now_ms, tuple(sorted(keys)), removed)
    ledger.tables.write(Write.RECEIPTS, [(receipt, now_ms, pack_keys(made.keys), _encode(removed), _encode(()))])
    return made


def note(ledger: LedgerWriter, receipt: str, steps: Sequence[VendorStep]) -> None:
    ledger.tables.write(Write.RECEIPT_STEPS, [(_encode(tuple(steps)), receipt)])


def receipts(db: Rows, keys: Sequence[bytes], limit: int) -> list[Receipt]:
    if keys:
        return _read(db, Read.RECEIPTS_OF_KEYS, pack_keys(tuple(sorted(keys))), limit)
    return _read(db, Read.RECEIPTS, limit)


LOST: Final = (VendorStep("?", "?", "?", "", "failed", 0, "What was asked of the vendors can't be read any more."),)
"""The steps of a receipt that is damaged. It is not settled: the command has to be run again."""


def _or(read: Callable[[bytes], T], value: bytes, otherwise: T) -> T:
    try:
        return read(value)
    except msgspec.DecodeError:
        return otherwise


def _read(db: Rows, what: Read, *values: object) -> list[Receipt]:
    return [
        Receipt(receipt, made_ms, tuple(unpack_keys(keys)), _or(_removed, removed, Removed()), _or(_steps, steps, LOST))
        for receipt, made_ms, keys, removed, steps in db.read(what, *values)
    ]
