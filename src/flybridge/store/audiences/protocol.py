"""The store of audiences: the members Amplitude wants, the devices AppsFlyer has accepted, and the difference.

There is no queue. Members are wanted or not, devices are listed or not, and the work is what differs. Guarantees that
every backend keeps and `tests/contract/test_cohort_store.py` checks:

1. Of the statements about one person the newest counts, in whatever order they arrive and however often: the later
   `said_ms` wins, and of two at the same time the one that takes out. A snapshot speaks about everyone as of its
   `said_ms`, and wins a tie.
2. A snapshot takes effect as a whole or not at all: one that breaks off while it is staged changes nothing.
3. A device is listed or not, or it is *not known*, from before a request is sent until its answer is settled. What is
   not known is sent again: adding and removing are idempotent at AppsFlyer, so a lost answer costs one request.
4. A device that two people share is wanted as long as one of them is.
5. One owner at a time runs an audience. A settlement of a former owner changes nothing.
6. Identifiers are sealed. They are erased when AppsFlyer does not have the device (any more) and no member wants it.
7. Counters move in the transaction of the rows they count; `audit` compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Final, Protocol

from msgspec import Struct

from flybridge.records import DAY_MS, Member

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
    """What a snapshot changed, in people. With `held` it changed nothing: so many would have been removed."""

    rows: int = 0
    joined: int = 0
    left: int = 0
    held: int = 0


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


class LackingMember(Struct, frozen=True):
    """A member who can't be listed: their name in Amplitude, and why."""

    who: str
    lack: Lack


class CohortStore(Protocol):
    """The verbs. Each is one transaction, and raises `StoreUnavailable` when the store refuses.

    All methods are called from the event loop that called `open`.
    """

    async def open(self) -> None:
        """Open the store and apply pending migrations."""
        ...

    async def close(self) -> None:
        """Finish what runs and close. What is staged is discarded."""
        ...

    async def keep(self, targets: Sequence[Target]) -> None:
        """Register configured audiences. With another import key one is empty at AppsFlyer, and all is to be sent."""
        ...

    async def drop(self, app: str, name: str) -> bool:
        """Erase an audience that is not followed any more. False if there is none. AppsFlyer's stays as it is."""
        ...

    async def due(self, now_ms: int) -> Sequence[Standing]:
        """Return the audiences whose time has come and that no process runs, longest due first."""
        ...

    async def standings(self, now_ms: int) -> Sequence[Standing]:
        """Return all audiences."""
        ...

    async def claim(
        self, app: str, name: str, owner: str, now_ms: int, lease_ms: int, *, due: bool = False
    ) -> Claim | None:
        """Claim an audience to run it. None if there is none of that name, or another process has it.

        With `due` also None if its time has not come: another process has run it since it was seen to be due.
        """
        ...

    async def renew(self, claim: Claim, now_ms: int, lease_ms: int) -> bool:
        """Extend a claim. False if it has lapsed and was taken, or was given back."""
        ...

    async def stage(self, claim: Claim, members: Sequence[Member]) -> None:
        """Stage a part of a snapshot. It has no effect yet."""
        ...

    async def unstage(self, claim: Claim) -> None:
        """Discard what was staged."""
        ...

    async def apply(self, claim: Claim, said_ms: int, max_shrink: float | None, *, dry: bool = False) -> Applied:
        """Make what was staged the truth as of `said_ms`, in one transaction. Nothing is staged any more.

        - If more than the share `max_shrink` of the members would leave, nothing is changed but `held`.
        - With `dry` nothing is changed; the result says what would be.

        Raises `StoreUnavailable` if the claim was lost.
        """
        ...

    async def changes(self, claim: Claim, action: Action, limit: int, after: bytes) -> Sequence[Device]:
        """Return devices to add (or remove), in the order of their marks, those after `after`.

        Durably before they are returned they are *not known*: the caller may send them. A device whose identifier can't
        be opened is left out; one to be added counts as refused.
        """
        ...

    async def settle(
        self, claim: Claim, action: Action, marks: Sequence[bytes], now_ms: int, *, refused: bool = False
    ) -> int:
        """Record that AppsFlyer has done as asked, or refuses these devices for good. Returns how many took effect."""
        ...

    async def empty(self, claim: Claim) -> None:
        """Record that all devices of the audience are *not known*: it is about to be overwritten."""
        ...

    async def extras(self, claim: Claim, limit: int, after: bytes, now_ms: int) -> Sequence[Device]:
        """Return devices about which something is to be sent to the additional-identifiers API.

        They are added `EXTRAS_WAIT_MS` after AppsFlyer took the device for the first time, and taken back at once.
        """
        ...

    async def settle_extras(self, claim: Claim, devices: Sequence[Device], now_ms: int) -> None:
        """Record that these were sent, unless they have changed meanwhile.

        What was added is sent once more after `EXTRAS_WAIT_MS`, and then erased; what was taken back is erased.
        """
        ...

    async def extras_due(self, claim: Claim) -> int:
        """Return when the next additional identifiers are to be sent, `NEVER_MS` without any."""
        ...

    async def keep_import_key(self, app: str, name: str, import_key: str) -> None:
        """Keep the import key of an audience that flybridge has created in AppsFlyer, sealed."""
        ...

    async def import_keys(self) -> Mapping[tuple[str, str], str]:
        """Return the import keys that are kept, by app and name. One that does not open is left out."""
        ...

    async def learn(self, claim: Claim, *, max_devices: int = 0, title: str = "") -> None:
        """Remember AppsFlyer's limit of devices in one request, or the cohort's name."""
        ...

    async def requested(self, claim: Claim, request_id: str, now_ms: int) -> None:
        """Remember a download for the next run to go on with; with an empty id, that it is used up."""
        ...

    async def finish(self, claim: Claim, run: Run, *, next_ms: int, tries: int, recorded: bool = True) -> None:
        """Return a claim and, if `recorded`, write the run."""
        ...

    async def history(
        self, app: str | None = None, name: str | None = None, limit: int = 100
    ) -> Sequence[tuple[str, str, Run]]:
        """Return runs, newest first: app, name and run."""
        ...

    async def lacking(self, app: str, name: str, limit: int) -> Sequence[LackingMember]:
        """Return members without an identifier that may be sent."""
        ...

    async def prune(self, now_ms: int) -> int:
        """Delete runs, and members who are out, after 30 days. What was said before that is no news from then on."""
        ...

    async def audit(self) -> Sequence[str]:
        """Compare the counters with the rows they count. Returns a sentence for each that does not agree."""
        ...
