"""When each app was last heard from, whether it has been silent for longer than usual, and what its endpoints refused.

A silence is longer than usual if it is more than twice the second longest of the days before: one outage does not hide
the next. Each process keeps its own notes in the store; together they tell about all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct, field

from flybridge.inbox.protocol import CLOCK_STEP_MS
from flybridge.records import DAY_MS, HOUR_MS, Source, day_of
from flybridge.store.protocol import Store
from flybridge.store.state_values import readable
from flybridge.system.counted import plural, span

NOTES: Final = "heard/"
KEPT_DAYS: Final = 14
LEAST_DAYS: Final = 3
"""Days with messages before anything is called usual."""

LEAST_MS: Final = HOUR_MS
"""No shorter silence is worth a warning."""

FACTOR: Final = 2
GONE_DAYS: Final = 30
"""After a silence of so many days nobody expects the app any more."""

RECENT_MS: Final = HOUR_MS
"""How long a refused request is worth a warning."""

WRONG: Final = (401, 403, 404)
"""Statuses that say that a sender has the wrong token or address."""

UNSTORED: Final = 503
"""The status of a message that the inbox has not stored."""

STEADY_MS: Final = 60_000
"""The inbox stores again if a message is received so long after the last one that it refused."""

LISTENED: Final[Mapping[str, str]] = {Source.PUSH: "AppsFlyer", Source.STREAM: "Amplitude", Source.COHORT: "Amplitude"}
"""Who sends what can fall silent. Files come when somebody brings them."""


class Refusals(Struct):
    """Requests that were refused with one status: how many, and when the last one was."""

    n: int = 0
    last_ms: int = 0


class Heard(Struct):
    """What is known of one app and source. `gaps` has the longest silence that ended on each day, in milliseconds.

    An app without a name stands for addresses that are no app's. `problem` is why the inbox refused a message last.
    """

    app: str
    source: str
    last_ms: int = 0
    gaps: dict[str, int] = field(default_factory=dict)
    refused: dict[int, Refusals] = field(default_factory=dict)
    problem: str = ""

    def hear(self, received_ms: int) -> None:
        """Note a message."""
        if received_ms <= self.last_ms:
            return
        day = day_of(received_ms)
        if self.last_ms:
            self.gaps[day] = max(self.gaps.get(day, 0), received_ms - self.last_ms)
        self.last_ms = received_ms
        oldest = day_of(received_ms - KEPT_DAYS * DAY_MS)
        for old in [day for day in self.gaps if day < oldest]:
            del self.gaps[old]

    def refuse(self, status: int, n: int, now_ms: int) -> None:
        """Note refused requests. Those of long before are not counted with them."""
        refusals = self.refused.setdefault(status, Refusals())
        refusals.n = n + (refusals.n if now_ms - refusals.last_ms < RECENT_MS else 0)
        refusals.last_ms = now_ms

    def believe(self, now_ms: int) -> bool:
        """Take back what was noted of a time that has not come: the clock was ahead. Returns whether there was any."""
        ahead_ms, today = now_ms + CLOCK_STEP_MS, day_of(now_ms)
        later = [day for day in self.gaps if day > today]
        wrong = [found for found in self.refused.values() if found.last_ms > ahead_ms]
        if self.last_ms <= ahead_ms and not later and not wrong:
            return False
        self.last_ms = min(self.last_ms, now_ms)
        for day in later:
            del self.gaps[day]
        for found in wrong:
            found.last_ms = now_ms
        return True

    @property
    def usual_ms(self) -> int | None:
        """The longest silence that is usual; None if too little is known."""
        longest = sorted(self.gaps.values(), reverse=True)
        return longest[1] if len(longest) >= LEAST_DAYS else None

    def silent_ms(self, now_ms: int) -> int:
        """Return for how long there has been nothing, if that is longer than usual; else 0."""
        silence, usual = now_ms - self.last_ms, self.usual_ms
        if usual is None or self.source not in LISTENED or silence > GONE_DAYS * DAY_MS:
            return 0
        return silence if silence > max(LEAST_MS, FACTOR * usual) else 0

    def wrong(self, now_ms: int) -> Mapping[int, Refusals]:
        """Return what was refused lately because of a wrong token or address, by status."""
        return {
            status: found
            for status, found in sorted(self.refused.items())
            if status in WRONG and now_ms - found.last_ms < RECENT_MS
        }

    def unstored(self, now_ms: int) -> int:
        """Return how many messages the inbox has refused lately; 0 if it stores again."""
        found = self.refused.get(UNSTORED)
        if not self.problem or found is None or now_ms - found.last_ms >= RECENT_MS:
            return 0
        return 0 if self.last_ms > found.last_ms + STEADY_MS else found.n


def together(notes: Iterable[Heard]) -> list[Heard]:
    """Return what several processes have noted as one: of each day the shortest of their longest silences."""
    found: dict[tuple[str, str], Heard] = {}
    for one in notes:
        whole = found.setdefault((one.app, one.source), Heard(one.app, one.source))
        whole.last_ms = max(whole.last_ms, one.last_ms)
        for day, gap in one.gaps.items():
            whole.gaps[day] = min(whole.gaps.get(day, gap), gap)
        if one.problem and _unstored_ms(one) >= _unstored_ms(whole):
            whole.problem = one.problem
        for status, refusals in one.refused.items():
            sums = whole.refused.setdefault(status, Refusals())
            sums.n += refusals.n
            sums.last_ms = max(sums.last_ms, refusals.last_ms)
    return [found[key] for key in sorted(found)]


async def read_heard(store: Store, *, of: str | None = None, without: str | None = None) -> list[Heard]:
    """Return what all processes have noted, or only the process `of` this name, or all `without` one."""
    states = [
        state
        for state in await store.states(NOTES + (of or ""))
        if (of is None or state[0] == NOTES + of) and (without is None or state[0] != NOTES + without)
    ]
    notes = readable(states, _decoder.decode)
    return together(one for own in notes.values() for one in own)


async def write_heard(store: Store, process: str, notes: Sequence[Heard], now_ms: int) -> None:
    """Write the notes of one process in place of its former ones, and delete those that are long out of date."""
    await store.put_state(NOTES + process, msgspec.json.encode(notes))
    old = now_ms - GONE_DAYS * DAY_MS
    states = await store.states(NOTES)
    kept = {name for name, own in readable(states, _decoder.decode).items() if any(_latest(one) >= old for one in own)}
    if gone := [name for name, _ in states if name not in {*kept, NOTES + process}]:
        await store.drop_states(gone)


_decoder: Final = msgspec.json.Decoder(list[Heard])


def _latest(one: Heard) -> int:
    return max(one.last_ms, *(found.last_ms for found in one.refused.values()), 0)


def _unstored_ms(one: Heard) -> int:
    found = one.refused.get(UNSTORED)
    return found.last_ms if found is not None else 0


def unstored_sentence(one: Heard, n: int) -> str:
    """Return what to say of messages that the inbox refused."""
    got = f"{plural(n, 'request')} to /v1/{one.source} got 503"
    return f"{one.app}: {got}, because the inbox does not store: {one.problem}"


def silence_sentence(one: Heard, silent_ms: int) -> str:
    """Return what to say of an app that is silent for so long."""
    who = LISTENED.get(one.source, "a sender")
    return (
        f"{one.app}: nothing has come from {who} for {span(silent_ms)}; usually the longest silence is "
        f"{span(one.usual_ms or 0)}. See whether {who} still sends to /v1/{one.source}/{one.app}."
    )


_FOR_AN_HOUR: Final = "This is said for an hour after the last one."


def refused_sentence(one: Heard, status: int, n: int) -> str:
    """Return what to say of requests that were refused."""
    times = plural(n, "request")
    if not one.app or status == 404:
        return (
            f"{times} came to an address that belongs to no app and got {status}: compare the addresses entered at "
            f"AppsFlyer and Amplitude with `flybridge setup`. {_FOR_AN_HOUR}"
        )
    who = LISTENED.get(one.source, "A sender")
    return (
        f"{one.app}: {times} of {who} came with a wrong token and got {status}: enter there what `flybridge setup` "
        f"shows. {_FOR_AN_HOUR}"
    )
