"""What both stores decide alike about audiences: each verb inside its transaction, and what it reads.

Every change of an audience locks its row first, and no verb here holds two: filing, forgetting and runs of the same
audience follow each other, and can't deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import structs

from flybridge.errors import SealBroken
from flybridge.sealing import Seal
from flybridge.store.audiences.records import (
    EXTRAS_WAIT_MS,
    NEVER_MS,
    Action,
    Claim,
    Device,
    Lack,
    LackingMember,
    Listing,
    Run,
    Standing,
    Target,
)
from flybridge.store.core.membership import erase, open_device
from flybridge.store.core.tables import Changes, Read, Rows, Write

KEPT_DAYS: Final = 30
"""So long runs are remembered, and people who are out."""

_pack: Final = msgspec.msgpack.Encoder().encode
unpack: Final = msgspec.msgpack.Decoder(Run).decode


def keep(tables: Changes, one: Target) -> None:
    """Register one audience."""
    name = (one.app, one.name)
    while not (found := tables.read(Read.TARGET, *name)):
        tables.write(Write.AUDIENCES, [name])  # again, if it is dropped in between
    ((number, target),) = found
    if target not in {b"", one.target}:
        # What is wanted stays; AppsFlyer has nothing of it under the new key.
        tables.write(Write.DROP_UNWANTED, [(number,)])
        tables.write(Write.STAND_ALL, [(Listing.NOT_LISTED.value, number)])
        tables.write(Write.RESET_AUDIENCE, [(number,)])
    tables.write(Write.TARGET, [(one.cohort, one.target, one.next_ms, number)])


def drop(tables: Changes, app: str, name: str) -> bool:
    """Erase an audience, and all that is of it."""
    numbers = [(number,) for number, _ in tables.read(Read.TARGET, app, name)]
    for what in (Write.DROP_AUDIENCE, Write.DROP_ALL_MEMBERS, Write.DROP_ALL_DEVICES, Write.DROP_ALL_RUNS):
        tables.write(what, numbers)
    return bool(numbers)


def claim(tables: Changes, app: str, name: str, owner: str, *, now_ms: int, lease_ms: int, due: bool) -> Claim | None:
    """Claim an audience, with `due` only if its time has come."""
    latest_ms = now_ms if due else NEVER_MS
    if not tables.count(Write.CLAIM, [(owner, now_ms + lease_ms, app, name, latest_ms, now_ms)]):
        return None
    (row,) = tables.read(Read.CLAIM, app, name)
    return Claim(*row)


def _is_owned(tables: Changes, claim: Claim) -> bool:
    """Lock the audience's row. Returns whether the claim's owner still has it."""
    rows = tables.read(Read.OWNER, claim.id)
    return bool(rows) and rows[0][0] == claim.owner


def changes(tables: Changes, seal: Seal, claim: Claim, action: Action, *, limit: int, after: bytes) -> list[Device]:
    """Return devices to add or remove, not known from now on."""
    if not _is_owned(tables, claim):
        return []
    due = Read.TO_ADD if action is Action.ADD else Read.TO_REMOVE
    unknown, listing = Listing.NOT_KNOWN.value, Listing.LISTED.value
    while True:
        rows = tables.read(due, claim.id, after, limit)
        devices, sealed = _opened(seal, (row[:2] for row in rows))
        sent = [(mark, standing) for mark, _, standing in rows if standing != unknown and mark not in sealed]
        tables.write(Write.STAND, [(unknown, claim.id, mark) for mark, _ in sent])
        refused = sealed if action is Action.ADD else set()
        tables.write(Write.STAND, [(Listing.REFUSED.value, claim.id, mark) for mark in sorted(refused)])
        listed = sum(standing == listing for _, standing in sent)
        if listed or refused:
            tables.write(Write.COUNT_DEVICES, [(-listed, len(refused), claim.id)])
        if devices or not rows:
            return devices
        after = rows[-1][0]


def settle(tables: Changes, claim: Claim, action: Action, marks: Sequence[bytes], *, now_ms: int, refused: bool) -> int:
    """Record what AppsFlyer has answered about devices."""
    if not _is_owned(tables, claim):
        return 0
    now = Listing.NOT_LISTED if action is Action.REMOVE else Listing.REFUSED if refused else Listing.LISTED
    standing, known_ms = now.value, now_ms + EXTRAS_WAIT_MS if now is Listing.LISTED else 0
    done = tables.count(Write.ANSWER, [(standing, known_ms, claim.id, mark) for mark in marks])
    if now is not Listing.NOT_LISTED and done:
        tables.write(Write.COUNT_DEVICES, [(0, done, claim.id) if refused else (done, 0, claim.id)])
    if action is Action.OVERWRITE:
        # What was not in that request AppsFlyer does not have any more.
        tables.write(Write.UNLIST, [(claim.id,)])
        tables.write(Write.DROP_ERASABLE, [(claim.id,)])
    elif now is not Listing.LISTED:
        erase(tables, [(claim.id, mark) for mark in marks])
    return done


def empty(tables: Changes, claim: Claim) -> None:
    """Record that all devices of an audience are not known."""
    if _is_owned(tables, claim):
        tables.write(Write.STAND_ALL, [(Listing.NOT_KNOWN.value, claim.id)])
        tables.write(Write.EMPTY_AUDIENCE, [(claim.id,)])


def extras(rows: Rows, seal: Seal, claim: Claim, *, limit: int, after: bytes, now_ms: int) -> list[Device]:
    """Return devices about which the additional-identifiers API is to know something."""
    while found := rows.read(Read.EXTRAS, claim.id, after, now_ms, limit):
        if devices := _opened(seal, found)[0]:
            return devices
        after = found[-1][0]
    return []


def settle_extras(tables: Changes, seal: Seal, claim: Claim, devices: Sequence[Device], now_ms: int) -> None:
    """Record that these were sent, unless they have changed meanwhile."""
    sent = {device.mark: device.extra for device in devices}
    if not sent or not _is_owned(tables, claim):
        return
    found = tables.among(Read.EXTRAS_OF, sent, claim.id)
    same = [mark for mark, extra in found if seal.opened(extra) == sent[mark]]
    again = now_ms + EXTRAS_WAIT_MS
    tables.write(Write.EXTRA_SENT, [(again, claim.id, mark) for mark in same if sent[mark]])
    tables.write(Write.EXTRA_DONE, [(claim.id, mark) for mark in same if not sent[mark]])
    erase(tables, [(claim.id, mark) for mark in same])


def finish(tables: Changes, claim: Claim, run: Run, *, next_ms: int, tries: int, recorded: bool) -> None:
    """Return a claim. A person who was forgotten while it ran has made the audience due at once, and so it stays."""
    ran, is_whole = int(run.outcome != "looked"), int(run.outcome == "done")
    end = (tries, ran, run.ended_ms, is_whole, next_ms, claim.id, claim.owner)
    if tables.count(Write.FINISH, [end]) and recorded:
        tables.write(Write.RUN, [(claim.id, run.began_ms, run.ended_ms, _pack(run))])


def prune(tables: Changes, number: int, until_ms: int) -> int:
    """Delete runs of an audience, and people who are out of it, of `until_ms` and before."""
    if not tables.only("prune audiences"):
        return 0
    tables.write(Write.FLOOR, [(until_ms, number)])
    return sum(tables.count(what, [(number, until_ms)]) for what in (Write.DROP_RUNS, Write.DROP_FORMER))


def standings(rows: Rows, what: Read, now_ms: int) -> list[Standing]:
    """Read how audiences stand. The last column is a number in one store and a boolean in the other."""
    return [structs.replace(Standing(*row), running=bool(row[-1])) for row in rows.read(what, now_ms)]


def lacking(rows: Rows, seal: Seal, app: str, name: str, limit: int) -> Iterator[LackingMember]:
    """Read members who can't be listed."""
    for sealed, lack in rows.read(Read.LACKING, app, name, limit):
        who = (sealed and seal.opened(sealed)) or b""
        yield LackingMember(who.decode("utf-8", "surrogatepass"), Lack(lack))


def audit(rows: Rows) -> list[str]:
    """Compare counters with the rows they count. Returns a sentence for each that does not agree."""
    wrong = []
    for name, *found in rows.read(Read.AUDIENCE_COUNTERS):
        for at, column in enumerate(("people", "lacking", "listed", "refused")):
            counter, there = found[2 * at], found[2 * at + 1]
            if counter != there:
                wrong.append(f"{name}: {column} is {counter} and there are {there}.")
    for name, agreeing, devices, marks in rows.read(Read.WANTED_DEVICES):
        if not agreeing == devices == marks:
            wrong.append(f"{name}: members name {marks} devices, {devices} are wanted, {agreeing} by as many as said.")
    return wrong


def _opened(seal: Seal, rows: Iterable[Sequence[Any]]) -> tuple[list[Device], set[bytes]]:
    """Open devices, given as mark, sealed and, if asked for, extra. Returns also the marks of what can't be opened."""
    devices, sealed = [], set()
    for mark, device, *extra in rows:
        try:
            devices.append(Device(mark, *open_device(seal, device), *map(seal.open, extra)))
        except SealBroken:
            sealed.add(mark)
    return devices, sealed
