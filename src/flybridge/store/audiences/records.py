"""What the verbs of audiences take and return."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

from msgspec import Struct

from flybridge.records import DAY_MS

EXTRAS_WAIT_MS: Final = DAY_MS
"""How long after its first report a device is known to AppsFlyer's additional identifiers. They act on devices of the
days before (https://support.appsflyer.com/hc/en-us/articles/4411552670993, read 2026-11-27)."""

NEVER_MS: Final = 1 << 62
"""When an audience runs again that does not run again by itself."""


class Lack(IntEnum):
    """Why a member has no identifier that may be sent."""

    NOTHING = 0
    IDENTIFIER = 1
    CONSENT = 2


class Listing(IntEnum):
    """Whether AppsFlyer lists a device: not known from before a request is sent until it is answered."""

    NOT_LISTED = 0
    LISTED = 1
    NOT_KNOWN = 2
    REFUSED = 3


class Action(StrEnum):
    """The requests about devices that AppsFlyer takes."""

    ADD = "add"
    REMOVE = "remove"
    OVERWRITE = "overwrite"


class Target(Struct, frozen=True):
    """An audience as it is configured. `target` is a hash of the import key; it runs at `next_ms` at the latest."""

    app: str
    name: str
    cohort: str
    target: bytes
    next_ms: int = NEVER_MS


class Standing(Struct, frozen=True):
    """How an audience stands. Times are 0 where it has not happened yet.

    `people` are the cohort's members, `lacking` those of them without an identifier that may be sent; `listed`
    devices AppsFlyer has, `refused` those it does not take. `to_add` and `to_remove` are counted up to
    `store.audiences.audience.COUNTED`. `held` people would be removed by a snapshot that the shrink guard did not let
    pass.
    """

    app: str
    name: str
    cohort: str
    title: str
    people: int
    lacking: int
    listed: int
    refused: int
    to_add: int
    to_remove: int
    held: int
    tries: int
    max_devices: int
    snapshot_ms: int
    ran_ms: int
    complete_ms: int
    next_ms: int
    running: bool


class Claim(Struct, frozen=True):
    """The right to run an audience, until it lapses. `id` is the store's; `owner` names who has it.

    `request_id` is a download that Amplitude was asked for at `requested_ms` and that has not been taken over yet.
    """

    id: int
    app: str
    name: str
    owner: str
    people: int = 0
    tries: int = 0
    max_devices: int = 0
    snapshot_ms: int = 0
    title: str = ""
    request_id: str = ""
    requested_ms: int = 0
    next_ms: int = 0


class Applied(Struct, frozen=True):
    """What a snapshot changed, in people. With `held` it changed nothing: so many of `held_of` would be removed."""

    rows: int = 0
    joined: int = 0
    left: int = 0
    held: int = 0
    held_of: int = 0


class Device(Struct, frozen=True, gc=False):
    """One device to be sent. `extra` is for the additional-identifiers API, as JSON."""

    mark: bytes
    kind: str
    value: str
    extra: bytes = b""


class Run(Struct, frozen=True, kw_only=True):
    """One run of an audience.

    `outcome` is `done`, `failed` (it is tried again), `held` (by the shrink guard), `stopped` (an operator acts), or
    `looked`: nothing was to be changed, and it does not count. Counts: `rows` of the snapshot, people `joined` and
    `left` by it, devices `added`, `removed` and `refused`, `extras` sent to the additional-identifiers API, `requests`
    to AppsFlyer. `reason` is a code, `detail` a sentence of ours without identifiers.
    """

    began_ms: int
    ended_ms: int = 0
    outcome: str = "done"
    reason: str = ""
    detail: str = ""
    rows: int = 0
    joined: int = 0
    left: int = 0
    added: int = 0
    removed: int = 0
    refused: int = 0
    extras: int = 0
    requests: int = 0

    @property
    def changes(self) -> str:
        """What it changed, for people."""
        return f"{self.joined} joined, {self.left} left; {self.added} devices added, {self.removed} removed."


class LackingMember(Struct, frozen=True):
    """A member who can't be listed: their name in Amplitude, and why."""

    who: str
    lack: Lack
