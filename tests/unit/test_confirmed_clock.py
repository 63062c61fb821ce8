"""After a jump of the clock nothing is erased before the new time is confirmed."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.history.uptime import keep_noting
from flybridge.records import DAY_MS, HOUR_MS, Dead, Deliver, Envelope, Filing, Filter, Hold, Media, Source
from flybridge.sealing import Seal
from flybridge.service.confirmed_clock import CONFIRM_S, TOLERANCE_MS, ConfirmedClock, DatingClock
from flybridge.service.lifetime import housekeeping
from flybridge.store.records import Retention
from flybridge.store.sqlite.store import SqliteStore
from flybridge.telemetry.metrics import Metrics
from flybridge.telemetry.reporter import Reporter

NOW_MS = 1_790_000_000_000


class MachineClock:
    """A machine's clock that can be set to any `wall_ms`, while the machine's monotonic time goes on."""

    def __init__(self, now_ms: int) -> None:
        self.wall_ms = now_ms
        self._monotonic_s = 5.0

    def now_ms(self) -> int:
        """Return the time that the machine shows, in milliseconds."""
        return self.wall_ms

    def monotonic(self) -> float:
        """Return seconds that no setting of the clock changes."""
        return self._monotonic_s

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.passes(seconds)

    def passes(self, seconds: float) -> None:
        """Move both on."""
        self.wall_ms += round(seconds * 1000)
        self._monotonic_s += seconds


def clock_of(machine: MachineClock) -> ConfirmedClock:
    """Build the clock of a process on a machine."""
    return ConfirmedClock(machine, machine.monotonic)


@pytest.mark.parametrize("jump_ms", [32 * DAY_MS, 2 * HOUR_MS, 56 * 365 * DAY_MS])
def test_a_jump_ahead_that_is_taken_back_was_never_there(jump_ms):
    """Time goes on as before, and is the machine's again afterwards."""
    machine = MachineClock(NOW_MS)
    clock = clock_of(machine)
    machine.wall_ms += jump_ms
    for _ in range(8):
        machine.passes(1)
        assert clock.now_ms() == machine.wall_ms - jump_ms
        assert clock.jump_s == jump_ms / 1000
    machine.wall_ms -= jump_ms
    assert clock.now_ms() == machine.wall_ms
    assert clock.jump_s == 0


@pytest.mark.parametrize("jump_ms", [32 * DAY_MS, -DAY_MS])
def test_a_jump_is_believed_when_the_new_time_has_been_steady(jump_ms):
    """Not a second before."""
    machine = MachineClock(NOW_MS)
    clock = clock_of(machine)
    machine.wall_ms += jump_ms
    clock.now_ms()
    machine.passes(CONFIRM_S - 1)
    assert clock.now_ms() == machine.wall_ms - max(jump_ms, 0)
    assert clock.jump_s == jump_ms / 1000
    machine.passes(1)
    assert clock.now_ms() == machine.wall_ms
    assert clock.jump_s == 0


def test_a_second_jump_begins_the_wait_anew():
    """A clock that is set again and again is never confirmed."""
    machine = MachineClock(NOW_MS)
    clock = clock_of(machine)
    for n in range(1, 5):
        machine.wall_ms += n * DAY_MS
        clock.now_ms()
        machine.passes(CONFIRM_S * 0.9)
        assert clock.now_ms() < NOW_MS + DAY_MS


def test_an_earlier_process_has_known_the_time():
    """After a boot with a wrong clock, or a long stop, nothing expires at once; after a short one all goes on."""
    machine = MachineClock(NOW_MS + 32 * DAY_MS)
    clock = clock_of(machine)
    clock.begin(NOW_MS)
    machine.passes(1)
    assert clock.now_ms() == NOW_MS + 1000
    machine.passes(CONFIRM_S)
    assert clock.now_ms() == machine.wall_ms
    again = clock_of(machine)
    again.begin(machine.wall_ms - TOLERANCE_MS + 1)
    assert again.now_ms() == machine.wall_ms
    first = clock_of(machine)
    first.begin(0)
    assert (first.now_ms(), first.jump_s) == (machine.wall_ms, 0)


def test_a_boot_at_1970_is_no_confirmed_time():
    """Neither the wrong time nor the leap back to the right one erases anything."""
    machine = MachineClock(0)
    clock = clock_of(machine)
    clock.begin(NOW_MS)
    machine.passes(60)
    assert clock.now_ms() == machine.wall_ms
    assert clock.jump_s < 0
    machine.wall_ms = NOW_MS + 61_000
    machine.passes(1)
    assert clock.now_ms() == machine.wall_ms
    assert clock.jump_s == 0


def test_what_comes_after_a_boot_at_1970_is_dated_by_the_confirmed_time():
    """Else it would expire as soon as the clock is set right. A clock that is a day behind, or ahead, is its own."""
    machine = MachineClock(0)
    confirmed = clock_of(machine)
    confirmed.begin(NOW_MS)
    received, filed = DatingClock(machine, confirmed), DatingClock(confirmed, confirmed)
    machine.passes(60)
    assert received.now_ms() == filed.now_ms() == NOW_MS + 60_000
    machine.wall_ms = NOW_MS + 61_000
    assert received.now_ms() == filed.now_ms() == machine.wall_ms
    machine.wall_ms -= DAY_MS
    assert received.now_ms() == filed.now_ms() == machine.wall_ms
    machine.wall_ms += 40 * DAY_MS
    assert (received.now_ms(), filed.now_ms()) == (machine.wall_ms, NOW_MS + 61_000)


def test_a_time_of_long_ago_that_stays_is_believed():
    """As any other: nobody knows better."""
    machine = MachineClock(0)
    confirmed = clock_of(machine)
    confirmed.begin(NOW_MS)
    received = DatingClock(machine, confirmed)
    assert received.now_ms() == NOW_MS
    machine.passes(CONFIRM_S)
    assert received.now_ms() == machine.wall_ms


@given(st.lists(st.tuples(st.floats(0, 600), st.integers(-40 * DAY_MS, 40 * DAY_MS)), max_size=30))
def test_it_never_is_ahead_of_the_machine_nor_of_the_time_that_has_passed(steps):
    """Whatever the clock does within the time in which no jump is confirmed."""
    machine = MachineClock(NOW_MS)
    clock = clock_of(machine)
    passed = 0.0
    for seconds, jump_ms in steps:
        passed += seconds
        machine.passes(seconds)
        machine.wall_ms += jump_ms
        if passed >= CONFIRM_S:
            break
        now_ms = clock.now_ms()
        drift_ms = TOLERANCE_MS * len(steps)  # small steps are followed
        assert now_ms <= machine.wall_ms
        assert now_ms <= NOW_MS + passed * 1000 + drift_ms + 1


class Silent:
    """A worker with nothing to do."""

    def notify(self) -> None: ...


class Empty:
    """An inbox in which nothing waits."""

    async def oldest_ms(self) -> int | None:
        return None


async def test_housekeeping_erases_nothing_in_a_jump_and_says_so(tmp_path):
    """Dead letters, content keys and holds outlive 32 days too many for 8 seconds; it is warned of and measured."""
    store = SqliteStore(tmp_path / "store.db", Seal(b"secret"))
    await store.open()
    machine = MachineClock(NOW_MS)
    clock = clock_of(machine)
    envelope = Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, b"{}", "r")
    hold = Hold(Deliver("http_v2", "i", "e", b"{}"), (b"k" * 16,), ("idfa",), NOW_MS, NOW_MS + DAY_MS)
    key = b"c" * 16
    filings = [
        Filing(envelope, Dead("map", "fault", "d", "r")),
        Filing(_as(envelope, "s"), Filter("f"), key, NOW_MS + 7 * DAY_MS),
        Filing(_as(envelope, "t"), hold),
    ]
    await store.file(filings, NOW_MS)
    metrics = Metrics("1")
    report = Reporter(metrics)
    machine.wall_ms += 32 * DAY_MS
    for _ in range(8):
        machine.passes(1)
        await _tick(store, report, clock)
    assert b"flybridge_clock_jump_seconds 2.7648" in metrics.render()
    assert len(await store.dead()) == 1
    assert len(await store.holds()) == 1
    repeat = Filing(_as(envelope, "u"), Filter("f"), key, NOW_MS + 7 * DAY_MS)
    assert (await store.file([repeat], clock.now_ms())).outcomes == {"duplicate": 1}
    machine.wall_ms -= 32 * DAY_MS
    await _tick(store, report, clock)
    assert b"flybridge_clock_jump_seconds 0.0" in metrics.render()
    assert await store.confirmed_ms() == machine.wall_ms
    machine.wall_ms += 40 * DAY_MS
    clock.now_ms()
    machine.passes(CONFIRM_S)
    await _tick(store, report, clock)
    assert (await store.dead(), await store.holds()) == ([], [])
    await store.close()


def _as(envelope: Envelope, receipt: str) -> Envelope:
    return Envelope(*(getattr(envelope, name) for name in envelope.__struct_fields__[:5]), receipt)


async def _tick(store, report, clock) -> None:
    """Run housekeeping and notes of the time until they wait."""
    halt = asyncio.Event()
    noting = keep_noting(store, clock, halt, is_steady=lambda: not clock.jump_s)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(housekeeping(store, Empty(), Silent(), report, kept=Retention(), clock=clock, halt=halt))
        tasks.create_task(noting)
        await asyncio.sleep(0.2)
        halt.set()
