"""What both stores decide and read alike about audiences. Pure, but for the rows it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import structs

from flybridge.errors import SealBroken
from flybridge.sealing import Seal
from flybridge.store.audiences.protocol import NEVER_MS, Action, Device, Lack, LackingMember, Run, Standing
from flybridge.store.core.membership import open_device

KEPT_DAYS: Final = 30
"""So long runs are remembered, and people who are out."""

LISTED: Final = 1
"""The standing of a device that AppsFlyer has accepted."""

COUNTED: Final = 1_000_000
"""So many devices that wait are counted; more are shown as this many and one."""

DUE: Final = {
    Action.ADD: "wanted > 0 AND standing IN (0, 2)",
    Action.REMOVE: "wanted <= 0 AND standing IN (1, 2)",
}
"""What is to be done, in the words of the indexes that hold it."""

CLAIMED: Final = """id, app, name, owner, people, tries, max_devices, snapshot_ms, title, request_id, requested_ms,
             next_ms"""
"""What a claim says, in the order of its fields."""

COUNTED_ROWS: Final = {
    "people": "SELECT count(*) FROM members WHERE audience = a.id AND wanted = 1",
    "lacking": "SELECT count(*) FROM members WHERE audience = a.id AND wanted = 1 AND lack > 0",
    "listed": "SELECT count(*) FROM devices WHERE audience = a.id AND standing = 1",
    "refused": "SELECT count(*) FROM devices WHERE audience = a.id AND standing = 3",
}
WANTING: Final = """
    WITH named AS (SELECT audience, mark, count(*) AS n FROM members WHERE wanted = 1 AND mark IS NOT NULL
                   GROUP BY 1, 2)
    SELECT name, (SELECT count(*) FROM named JOIN devices d USING (audience, mark)
                  WHERE audience = a.id AND d.wanted = n),
      (SELECT count(*) FROM devices WHERE audience = a.id AND wanted > 0),
      (SELECT count(*) FROM named WHERE audience = a.id)
    FROM audiences a"""

packed_run: Final = msgspec.msgpack.Encoder().encode
"""Pack a run."""
unpacked_run: Final = msgspec.msgpack.Decoder(Run).decode
"""Unpack a run."""


class Lease(NamedTuple):
    """The owner of a claim and its time. `due`: claim only if the audience's time has come."""

    owner: str
    now_ms: int
    lease_ms: int
    due: bool

    @property
    def until_ms(self) -> int:
        """When the lease lapses."""
        return self.now_ms + self.lease_ms

    @property
    def next_ms(self) -> int:
        """The latest `next_ms` of an audience that may be claimed."""
        return self.now_ms if self.due else NEVER_MS


def standing_of(row: Sequence[Any]) -> Standing:
    """Return an audience's standing. The last column is a number in one store and a boolean in the other."""
    return structs.replace(Standing(*row), running=bool(row[-1]))


def standing_after(action: Action, refused: bool) -> int:
    """Return the standing of a device after AppsFlyer has done as asked, or refused it."""
    return 0 if action is Action.REMOVE else 3 if refused else LISTED


def opened(seal: Seal, rows: Iterable[Sequence[Any]]) -> tuple[list[Device], list[bytes]]:
    """Open devices, given as mark, sealed and, if asked for, extra. Returns also the marks of what can't be opened."""
    devices, sealed = [], []
    for mark, device, *extra in rows:
        try:
            devices.append(Device(mark, *open_device(seal, device), *map(seal.open, extra)))
        except SealBroken:
            sealed.append(mark)
    return devices, sealed


def is_still(seal: Seal, sealed: bytes, clear: bytes) -> bool:
    """Return whether a sealed value is this one."""
    try:
        return seal.open(sealed) == clear
    except SealBroken:
        return False


def lacking_of(seal: Seal, who: bytes | None, lack: int) -> LackingMember:
    """Return a member who can't be listed."""
    name = ""
    with suppress(SealBroken):
        name = seal.open(who).decode("utf-8", "surrogatepass") if who else ""
    return LackingMember(name, Lack(lack))


def audit(rows: Callable[[str], Iterable[Sequence[Any]]]) -> list[str]:
    """Compare counters with rows, which `rows` reads. Returns a sentence for each that does not agree."""
    wrong = []
    for column, sql in COUNTED_ROWS.items():
        for name, counter, found in rows(f"SELECT name, {column}, ({sql}) FROM audiences a"):  # noqa: S608 - ours
            if counter != found:
                wrong.append(f"{name}: {column} is {counter} and there are {found}.")
    for name, agreeing, devices, marks in rows(WANTING):
        if not agreeing == devices == marks:
            wrong.append(f"{name}: members name {marks} devices, {devices} are wanted, {agreeing} by as many as said.")
    return wrong
