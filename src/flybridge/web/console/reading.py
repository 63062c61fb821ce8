"""The data of the console: counters only, so that the cost of a page does not grow with the number of events.

One reading serves all pages that are requested within a second.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from flybridge.clock import Clock
from flybridge.delivery.circuit import Circuit, Phase
from flybridge.delivery.lane_reports import read_reports
from flybridge.errors import InboxUnavailable
from flybridge.inbox.protocol import Depth, Inbox
from flybridge.insight.account import Account, balance, read_account
from flybridge.insight.coverage import Fall, read_falls
from flybridge.insight.heard import Heard, read_heard
from flybridge.insight.hints import Known, known_by_app, streaming_apps
from flybridge.insight.standstill import RECENT_RUNS, RefusedStart, read_refused_starts
from flybridge.insight.unwritten import read_unwritten
from flybridge.notifications.notifier import read_states
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.audiences.records import Run
from flybridge.store.figures import Count, HeldCount
from flybridge.store.protocol import Store
from flybridge.store.records import Lane, LaneDepth, UncertainCount
from flybridge.telemetry.hearing import Hearing

FRESH_MS: Final = 1_000
Circuits = Callable[[], Mapping[Lane, Circuit]]


class Reading(Struct, frozen=True):
    """The figures at `at_ms`. `circuits` is None where another process delivers.

    `inbox_away` is the reason why the inbox could not be read; then `account` has no discrepancies. `unsent` says, by
    channel, why the last message to people did not arrive. `unwritten` is why the store did not take what this process
    or a worker wrote lately, `silent_ms` for how long no worker has written to it where one should have.
    """

    at_ms: int
    account: Account
    counts: Sequence[Count]
    holds: Sequence[HeldCount]
    lanes: Sequence[LaneDepth]
    known: Mapping[str, Known]
    falls: Sequence[Fall]
    depth: Depth | None = None
    inbox_away: str = ""
    circuits: Mapping[Lane, Circuit] | None = None
    uncertain: Sequence[UncertainCount] = ()
    heard: Sequence[Heard] = ()
    runs: Sequence[tuple[str, str, Run]] = ()
    unsent: Mapping[str, str] = {}
    refused_starts: Sequence[RefusedStart] = ()
    unwritten: str = ""
    silent_ms: int = 0


class ConsoleReader(Struct):
    """Reads inbox and store for the console, at most once a second.

    `circuits` returns those of the worker in this process, if there is one, `worker` is its name in its reports, and
    `hearing` has its own notes.
    `cohorts` is absent where no audience is configured. `channels` are the names of those by which people are told.
    """

    inbox: Inbox
    store: Store
    clock: Clock
    circuits: Circuits | None = None
    cohorts: CohortStore | None = None
    channels: Collection[str] = ()
    worker: str = ""
    hearing: Hearing | None = None
    _last: Reading | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self) -> Reading:
        """Return a reading that is less than a second old. Raises `FlybridgeError` when the store is away."""
        async with self._turn:
            now_ms = self.clock.now_ms()
            if self._last is None or not 0 <= now_ms - self._last.at_ms < FRESH_MS:
                self._last = await self._read(now_ms)
            return self._last

    async def _read(self, now_ms: int) -> Reading:
        store = self.store
        try:
            depth, away = await self.inbox.depth(now_ms), ""
            account, counts = await read_account(self.inbox, store)
        except InboxUnavailable as problem:
            depth, away, counts = None, str(problem), await store.counts()
            account = _one_sided(counts)
        unwritten = await read_unwritten(store, now_ms)
        own = self.hearing.unwritten(now_ms) if self.hearing is not None else ""
        return Reading(
            now_ms,
            account,
            counts,
            await store.hold_counts(),
            await store.depths(now_ms),
            known_by_app(await store.sighted_kinds(), streaming_apps(counts)),
            await read_falls(store, now_ms),
            depth,
            away,
            await self._lanes(now_ms),
            await store.uncertain_counts(),
            await (self.hearing.read(store) if self.hearing is not None else read_heard(store)),
            await self.cohorts.history(limit=RECENT_RUNS) if self.cohorts is not None else (),
            await self._unsent(),
            await read_refused_starts(store, now_ms),
            own or unwritten.problem,
            unwritten.silent_ms,
        )

    async def _unsent(self) -> Mapping[str, str]:
        states = await read_states(self.store) if self.channels else {}
        return {name: state.problem for name, state in states.items() if name in self.channels and state.problem}

    async def _lanes(self, now_ms: int) -> Mapping[Lane, Circuit] | None:
        """Return the circuits of this process and those that others report; None if there is none of either.

        A lane that is paused in any process is paused.
        """
        own = self.circuits() if self.circuits is not None else {}
        reports = await read_reports(self.store, now_ms, without=self.worker)
        reported = {lane: report.circuit for lane, report in reports.items()}
        all_circuits = [*reported.items(), *own.items()]
        paused = {lane: circuit for lane, circuit in all_circuits if circuit.phase is not Phase.CLOSED}
        return {**reported, **own, **paused} or None


def _one_sided(counts: Sequence[Count]) -> Account:
    """Return the account of the store alone: what it has counted is taken as received."""
    filed: Counter[tuple[str, str]] = Counter()
    for count in counts:
        filed[count.app, count.day] += count.n
    return balance(filed, {}, counts)
