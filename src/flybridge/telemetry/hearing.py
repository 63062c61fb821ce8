"""Notes when each app is heard from and what its endpoints refuse, and writes it where every process can read it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from flybridge.clock import Clock, rest
from flybridge.errors import FlybridgeError, StoreUnavailable
from flybridge.insight.heard import UNSTORED, Heard, read_heard, together, write_heard
from flybridge.insight.unwritten import note_unwritten
from flybridge.records import Filing
from flybridge.store.protocol import Store
from flybridge.telemetry.door_counts import DoorCounts

WRITE_S: Final = 2.0
UNWRITTEN_MS: Final = 30_000
"""How long it is said that the store did not take something; as long as it does not, it is tried again before that."""
TRIED: Final = "written"
TRY_S: Final = 20.0


class Hearing:
    """The notes of one process. `counts` are those of its intake endpoints, `process` the name that it writes under.

    One that only takes does not hear: what was received is noted when it is filed.
    """

    def __init__(self, counts: Sequence[DoorCounts], process: str, *, hears: bool = True) -> None:
        self._counts = counts
        self._process = process
        self._hears = hears
        self._seen: dict[tuple[str, str], dict[int, int]] = {}
        self._notes: dict[tuple[str, str], Heard] = {}
        self._changed = False
        self._unwritten = (0, "")
        self._noted_ms = 0

    def fail(self, problem: FlybridgeError, now_ms: int) -> None:
        """Note that the store did not take what this process wrote, if that is the problem."""
        if isinstance(problem, StoreUnavailable):
            self._unwritten = (now_ms, str(problem))

    def unwritten(self, now_ms: int) -> str:
        """Return why the store did not take what this process wrote lately; empty if it did."""
        at_ms, problem = self._unwritten
        return problem if 0 <= now_ms - at_ms < UNWRITTEN_MS else ""

    async def read(self, store: Store) -> list[Heard]:
        """Return what all processes have noted, this one as of now: a full disk takes no notes of what it refuses."""
        return together([*await read_heard(store, without=self._process), *self._notes.values()])

    def filed(self, filings: Sequence[Filing]) -> None:
        """Note messages when they are filed, by the time at which they were received."""
        for one in filings:
            self._note(one.envelope.app, one.envelope.source).hear(one.envelope.received_ms)
            self._changed = True

    def look(self, now_ms: int) -> None:
        """Note what the endpoints have refused since the last look."""
        for count in self._counts:
            before = self._seen.setdefault((count.app, count.source), {})
            for status, n in list(count.refused.items()):
                if more := n - before.get(status, 0):
                    note = self._note(count.app, count.source)
                    note.refuse(status, more, now_ms)
                    note.problem = count.problem if status == UNSTORED else note.problem
                    self._changed = True
                before[status] = n

    def believe(self, now_ms: int) -> None:
        """Take back what was noted while the clock was ahead."""
        for note in self._notes.values():
            self._changed |= note.believe(now_ms)

    async def run(
        self,
        store: Store,
        clock: Clock,
        halt: asyncio.Event,
        failed: Callable[[FlybridgeError], None],
        *,
        is_steady: Callable[[], bool] = lambda: True,
    ) -> None:
        """Write the notes every two seconds if something was noted, until `halt` is set.

        `is_steady` says whether the clock's time is confirmed.
        """
        known = False
        while True:
            stopping = halt.is_set()
            self.look(clock.now_ms())
            try:
                if not known:
                    former = await read_heard(store) if self._hears else []
                    self._begin_with(former, await read_heard(store, of=self._process))
                    known = True
                if is_steady():
                    self.believe(clock.now_ms())
                if self._changed:
                    self._changed = False
                    await write_heard(store, self._process, list(self._notes.values()), clock.now_ms())
            except FlybridgeError as problem:
                self._changed = True
                self.fail(problem, clock.now_ms())
                failed(problem)
            with suppress(FlybridgeError):  # the disk may be so full that not even this fits
                await self._note_unwritten(store, clock.now_ms())
            if stopping:
                return
            await rest(halt, WRITE_S)

    async def keep_trying(self, store: Store, clock: Clock, halt: asyncio.Event) -> None:
        """Write a few bytes now and then until `halt` is set: a process that only shows finds no full disk else."""
        while not halt.is_set():
            now_ms = clock.now_ms()
            try:
                await store.put_state(TRIED, str(now_ms).encode())
            except FlybridgeError as problem:
                self.fail(problem, now_ms)
            await rest(halt, TRY_S)

    async def _note_unwritten(self, store: Store, now_ms: int) -> None:
        """Write for the processes that only show why the store did not take something, if that is new."""
        at_ms, _ = self._unwritten
        if at_ms != self._noted_ms and (problem := self.unwritten(now_ms)):
            await note_unwritten(store, problem, at_ms)
            self._noted_ms = at_ms

    def _begin_with(self, former: Sequence[Heard], own: Sequence[Heard]) -> None:
        """Go on from what was noted before this process: else each restart would begin without anything usual.

        Refusals that others have noted stay theirs, or they would be counted twice.
        """
        for one in former:
            note = self._note(one.app, one.source)
            heard_ms, note.last_ms, note.gaps = note.last_ms, one.last_ms, one.gaps
            note.hear(heard_ms)
        for one in own:
            note = self._note(one.app, one.source)
            note.problem = note.problem or one.problem
            for status, refusals in one.refused.items():
                new = note.refused.pop(status, None)
                note.refused[status] = refusals
                if new is not None:
                    note.refuse(status, new.n, new.last_ms)

    def _note(self, app: str, source: str) -> Heard:
        return self._notes.setdefault((app, source), Heard(app, source))
