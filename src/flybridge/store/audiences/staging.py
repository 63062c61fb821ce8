"""Members of a snapshot as rows: hashed, and sealed only where the store has not sealed them already."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from flybridge.records import Member, content_key
from flybridge.sealing import Seal
from flybridge.store.audiences.records import Lack
from flybridge.store.core.membership import seal_device


class Staged(NamedTuple):
    """One member of a snapshot. `told` is 1 if the file says anything about identifiers."""

    person: bytes
    mark: bytes | None
    sealed: bytes | None
    lack: int
    who: bytes | None
    extra: bytes | None
    sealed_extra: bytes | None
    told: int


def marks_of(members: Sequence[Member]) -> set[bytes]:
    """Return the devices to look up: known ones need no sealing."""
    return {mark for member in members for mark in member.marks}


def older_of(members: Sequence[Member]) -> set[bytes]:
    """Return the people to look up. A key of a former secret is looked up only if there are former secrets."""
    return {person for member in members if len(member.persons) > 1 for person in member.persons}


def anonymous_of(members: Sequence[Member]) -> dict[bytes, bytes]:
    """Return the keys by which people were known before they had a user id, each with the key they have now."""
    return {key: member.persons[0] for member in members for key in member.anonymous}


def staged(
    seal: Seal, members: Sequence[Member], devices: Collection[bytes], people: Collection[bytes]
) -> list[Staged]:
    """Return the rows. `devices` and `people` are those of the looked-up ones that exist."""
    rows = []
    for m in members:
        person = next((key for key in m.persons if key in people), m.persons[0])
        mark = next((key for key in m.marks if key in devices), m.marks[0] if m.marks else None)
        device = None if mark is None or mark in devices else seal_device(seal, m.kind, m.identifier)
        lack = m.lack if mark is not None else m.lack or int(Lack.IDENTIFIER)
        who = seal.seal(m.who.encode("utf-8", "surrogatepass")) if lack and m.who else None
        has_extra = bool(m.extra) and mark is not None
        extra, sealed = (content_key(m.extra), seal.seal(m.extra)) if has_extra else (None, None)
        rows.append(Staged(person, mark, device, lack, who, extra, sealed, int(m.told)))
    return rows
