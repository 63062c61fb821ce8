"""Membership: changes of cohort members, filed with the ledger row that brought them, forgotten with the person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from flybridge.records import MemberChange, content_key
from flybridge.sealing import Seal
from flybridge.store.audiences.records import Lack
from flybridge.store.core.tables import Changes, Read, Rows, Tables, Write
from flybridge.store.performance import label

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[str, str]).decode


def seal_device(seal: Seal, kind: str, value: str) -> bytes:
    """Seal an identifier with its kind."""
    return seal.seal(_encode((kind, value)))


def open_device(seal: Seal, sealed: bytes) -> tuple[str, str]:
    """Return the kind and value of a sealed identifier."""
    return _decode(seal.open(sealed))


class KnownMember(NamedTuple):
    """What is known of a member."""

    wanted: bool
    said_ms: int
    mark: bytes | None
    lack: int
    extra: bytes | None


def is_news(row: KnownMember | None, change: MemberChange, floor_ms: int) -> bool:
    """Whether a change counts: later than what is known, or at the same time and out instead of in."""
    if change.said_ms <= floor_ms:
        return False
    if row is None or change.said_ms > row.said_ms:
        return True
    return change.said_ms == row.said_ms and row.wanted and not change.wanted


class _Audience:
    """The changes of one audience in one batch."""

    def __init__(self, tables: Tables, seal: Seal, number: int, floor_ms: int) -> None:
        self._tables = tables
        self._seal = seal
        self._number = number
        self._floor_ms = floor_ms
        self._known: dict[bytes, KnownMember] = {}
        self._marks: set[bytes] = set()
        self._written: dict[bytes, tuple[KnownMember, bytes | None]] = {}
        self._renamed: list[bytes] = []
        self._delta: defaultdict[bytes, int] = defaultdict(int)
        self._new: dict[bytes, tuple[bytes, bytes | None]] = {}
        self.people = self.lacking = 0
        self.title = ""

    def load(self, changes: Iterable[MemberChange]) -> None:
        """Read what is known of the people and devices in these changes."""
        persons = {key for change in changes for key in (*change.member.persons, *change.member.anonymous)}
        for person, wanted, *rest in self._tables.among(Read.MEMBERS, persons, self._number):
            self._known[person] = KnownMember(bool(wanted), *rest)
        marks = {key for change in changes for key in change.member.marks}
        self._marks = {mark for (mark,) in self._tables.among(Read.DEVICES, marks, self._number)}

    def take(self, change: MemberChange) -> None:
        """Apply one change, if it is news."""
        member, self.title = change.member, label(change.title) or self.title
        # A key that is there already may be one of a former secret.
        person = next((key for key in member.persons if key in self._known), member.persons[0])
        before = self._known.get(person) or self._logged_in(member.anonymous, person)
        if not is_news(before, change, self._floor_ms):
            return
        after = self._after(change, before)
        self._known[person] = after
        who = self._seal.seal(member.who.encode("utf-8", "surrogatepass")) if after.lack and member.who else None
        self._written[person] = (after, who)
        for row, sign in ((before, -1), (after, 1)):
            if row is not None and row.wanted:
                self.people += sign
                self.lacking += sign * (row.lack != Lack.NOTHING)
                if row.mark is not None:
                    self._delta[row.mark] += sign
        if after.mark is not None and member.identifier and after.mark in member.marks:
            is_new = before is None or before.extra != after.extra or before.mark != after.mark
            extra = self._seal.seal(member.extra) if member.extra and is_new else None
            self._new[after.mark] = (seal_device(self._seal, member.kind, member.identifier), extra)

    def _logged_in(self, anonymous: Sequence[bytes], person: bytes) -> KnownMember | None:
        """Return what is known of a person before their user id was, and give their row the new key."""
        key = next((key for key in anonymous if key in self._known), None)
        if key is None:
            return None
        row = self._known[person] = self._known.pop(key)
        self._written[person] = self._written.pop(key, (row, None))
        self._renamed.append(key)
        return row

    def _after(self, change: MemberChange, before: KnownMember | None) -> KnownMember:
        member = change.member
        if not change.wanted:
            return KnownMember(False, change.said_ms, None, Lack.NOTHING, None)
        if not member.told and before is not None and before.mark is not None:
            return KnownMember(True, change.said_ms, before.mark, Lack.NOTHING, before.extra)
        if not member.marks:
            return KnownMember(True, change.said_ms, None, member.lack or Lack.IDENTIFIER, None)
        mark = next((key for key in member.marks if key in self._marks), member.marks[0])
        return KnownMember(
            True, change.said_ms, mark, Lack.NOTHING, content_key(member.extra) if member.extra else None
        )

    def write(self) -> None:
        tables, number = self._tables, self._number
        rows = sorted(self._written.items())
        tables.write(Write.DROP_MEMBERS, [(number, person) for person in sorted(self._renamed)])
        tables.write(
            Write.MEMBERS,
            [(number, p, r.wanted, r.said_ms, r.mark, r.lack, w, r.extra) for p, (r, w) in rows],
        )
        wanted, unwanted = [], []
        for mark, n in sorted(self._delta.items()):
            if mark in self._new and n >= 0:
                sealed, extra = self._new[mark]
                wanted.append((number, mark, sealed, n, extra))
            elif n:
                unwanted.append((-n, number, mark))
        tables.write(Write.WANT_DEVICES, wanted)
        tables.write(Write.UNWANT_DEVICES, unwanted)
        erase(tables, [(number, mark) for mark, n in sorted(self._delta.items()) if n <= 0])
        if rows:
            tables.write(Write.AUDIENCE, [(self.people, self.lacking, self.title, number)])


def erase(tables: Changes, marks: Sequence[tuple[int, bytes]]) -> None:
    """Delete those of these devices that no member has and AppsFlyer does not list."""
    tables.write(Write.UNCOUNT_DEVICES, [(*mark, *mark[:1]) for mark in marks])
    tables.write(Write.DROP_DEVICES, marks)


def file_members(tables: Tables, seal: Seal, changes: Iterable[MemberChange]) -> None:
    """File changes of members, in the transaction of their ledger rows."""
    by_audience: defaultdict[tuple[str, str], list[MemberChange]] = defaultdict(list)
    for change in changes:
        by_audience[change.app, change.audience].append(change)
    for name, theirs in sorted(by_audience.items()):
        tables.write(Write.AUDIENCES, [name])  # a message may name an audience before the configuration does
        while not (found := tables.read(Read.AUDIENCE, *name)):
            tables.write(Write.AUDIENCES, [name])  # it was dropped in between
        ((number, floor_ms),) = found
        audience = _Audience(tables, seal, number, floor_ms)
        audience.load(theirs)
        for change in theirs:
            audience.take(change)
        audience.write()


def members_of_marks(db: Rows, keys: Iterable[bytes]) -> dict[bytes, set[bytes]]:
    """Return the members who are listed by these devices, in whatever audience, by device."""
    found: defaultdict[bytes, set[bytes]] = defaultdict(set)
    for _, person, _, mark, _, _ in db.among(Read.MEMBERS_OF_MARKS, sorted(set(keys))):
        found[mark].add(person)
    return found


def forget_members(tables: Tables, seal: Seal, keys: Iterable[bytes]) -> int:
    """End every membership of a person. Returns how many audiences that were.

    What AppsFlyer may have stays sealed until it has accepted the removal, and every audience is due at once.
    """
    keys = sorted(set(keys))
    # A snapshot that is being compared now waits for this and is compared again: it may hold the person.
    tables.write(Write.AUDIENCES_CHANGED, [(0,)])
    members = {*tables.among(Read.MEMBERS_OF_PERSONS, keys), *tables.among(Read.MEMBERS_OF_MARKS, keys)}
    marks: defaultdict[tuple[int, bytes], int] = defaultdict(int)
    sums: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    for audience, _, wanted, mark, lack, _ in members:
        if wanted:
            sums[audience][0] -= 1
            sums[audience][1] -= lack != Lack.NOTHING
            if mark is not None:
                marks[audience, mark] += 1
    tables.write(Write.DROP_MEMBERS, sorted(row[:2] for row in members))
    tables.write(Write.UNWANT_DEVICES, [(n, *mark) for mark, n in sorted(marks.items())])
    touched = sorted(set(marks).union(map(tuple, tables.among(Read.DEVICES_OF_MARKS, keys))))
    # What was sent to the additional-identifiers API about the device is taken back, too.
    sent = {(audience, mark) for audience, _, _, mark, _, extra in members if extra is not None and mark is not None}
    tables.write(Write.TAKE_BACK, [(seal.seal(b""), *mark) for mark in sorted(sent)])
    erase(tables, touched)
    tables.write(Write.AUDIENCE, [(*sums[audience], "", audience) for audience in sorted(sums)])
    audiences = {audience for audience, *_ in members} | {audience for audience, _ in touched}
    tables.write(Write.AUDIENCE_AT_ONCE, [(audience,) for audience in sorted(audiences)])
    return len(audiences)
