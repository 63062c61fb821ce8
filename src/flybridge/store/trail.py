"""The audit trail: who did what, when and from where. Rows are only ever added, and each is bound to the one before.

A row's `chain` is a keyed hash of its fields and of the chain before it: a row that is changed, taken out or put in
shows, also to one who can write to the database but does not have the secret. That the newest rows were cut off shows
by comparison with the log, which has the number and chain of every row.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct, structs

FIRST: Final = b""
"""The chain before the first row."""


class Deed(Struct, frozen=True, kw_only=True):
    """What somebody did or tried. It holds no secret, and nothing that identifies a person of the data.

    `actor` is a user, a token or a command line; `address` where it came from. `action` is a word such as `login` or
    `release`, `target` what it was done to, `detail` a sentence with filter and count. `outcome` is `done`, `failed`,
    `refused`, or `begun`, where the row is written before a bulk action.
    """

    actor: str
    action: str
    outcome: str
    address: str = ""
    target: str = ""
    detail: str = ""


class TrailRow(Struct, frozen=True):
    """One row of the audit trail."""

    number: int
    at_ms: int
    actor: str
    address: str
    action: str
    target: str
    detail: str
    outcome: str
    chain: bytes

    def signed_part(self, before: bytes) -> bytes:
        """Return what the chain is computed of."""
        return before + msgspec.msgpack.encode(structs.astuple(self)[:-1])
