"""Parts of the sandbox without a server: its clocks, its ledger's memory, and how it finds properties."""

from __future__ import annotations

import asyncio

import pytest

from flybridge.sandbox.clock import FastClock
from flybridge.sandbox.vendors.ledger import Ledger
from flybridge.sandbox.vendors.properties import described
from flybridge.sandbox.vendors.rates import Rates
from flybridge.sandbox.vendors.validation import Attribution, UploadedEvent
from flybridge.testing.clocks import ManualClock


def test_a_fast_clock_starts_where_it_is_told_and_runs_ahead():
    """A thousand times faster means a second per millisecond."""
    clock = FastClock(1_000_000, start_ms=5)
    first = clock.now_ms()
    assert first >= 5
    while clock.now_ms() == first:
        pass
    clock.advance(3600)
    assert clock.now_ms() > first + 3_600_000


async def test_a_fast_clocks_sleep_is_shorter_by_its_speed():
    """Ten days pass within the test's own timeout."""
    clock = FastClock(100_000_000)
    before = clock.now_ms()
    await clock.sleep(10 * 86_400)
    assert clock.now_ms() - before >= 10 * 86_400_000


async def test_a_manual_clock_wakes_sleepers_in_time_and_not_before():
    """Moving the clock is what makes time pass."""
    clock = ManualClock(0)
    woken: list[int] = []

    async def sleeper(seconds: int) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (30, 10, 20)]
    await asyncio.sleep(0)
    for step, expected in ((9, []), (1, [10]), (15, [10, 20]), (100, [10, 20, 30])):
        clock.advance(step)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert woken == expected
    await asyncio.gather(*tasks)
    await clock.sleep(0)
    assert clock.now_ms() == 125_000


async def test_a_cancelled_sleeper_does_not_stop_the_clock():
    """Whoever gave up is not woken."""
    clock = ManualClock(0)
    task = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    clock.advance(10)
    assert clock.now_ms() == 10_000


@pytest.mark.parametrize("clock", [FastClock(), ManualClock()])
def test_no_clock_runs_backwards(clock):
    """What was dropped would have to come back."""
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_clock_that_stands_still_is_refused(speed):
    """Standing still is what ManualClock is for."""
    with pytest.raises(ValueError, match="speed"):
        FastClock(speed)


@pytest.mark.parametrize(
    "name", ["[AppsFlyer] appsflyer id", "appsflyer_id", "AppsFlyer ID", "[My Company] AppsFlyer_ID"]
)
def test_properties_are_found_under_any_of_their_spellings(name):
    """The mapping may be changed; the record finds the id all the same, also inside operations."""
    assert described({"other": 1, name: "1-2"}).appsflyer_id == "1-2"
    assert described(None, {"$setOnce": {name: "1-2"}, "$set": {"x": 1}}).appsflyer_id == "1-2"


def test_properties_that_only_resemble_are_not_taken():
    """A campaign id is not the campaign."""
    found = described({"[AppsFlyer] campaign id": "7", "my campaign": "x", "[AppsFlyer] media source": None})
    assert (found.campaign, found.media_source) == (None, None)
    assert described({"af_order_id": 17}, {"order id": "18"}).order_id == "17"


def test_revenue_is_price_times_quantity_where_it_is_not_given():
    """As Amplitude counts it."""
    ledger = Ledger("key")
    ledger.apply(
        [UploadedEvent("a", device_id="d", price=2.5, quantity=3), UploadedEvent("b", device_id="d", price=2.0)], 0
    )
    ledger.apply([UploadedEvent("c", device_id="d", price=2.5, revenue=-1.0), UploadedEvent("d", device_id="d")], 0)
    assert [one.revenue for one in ledger.saved] == [7.5, 2.0, -1.0, None]


def test_the_newest_user_of_an_id_gets_the_attribution():
    """A device that changed hands belongs to whom it was seen with last."""
    ledger = Ledger("key")
    ledger.apply([UploadedEvent("a", user_id="first", idfa="id-1")], 1)
    ledger.apply([UploadedEvent("a", user_id="second", idfa="id-1")], 2)
    ledger.attribute(Attribution("[A] Install", "ios", idfa="id-1"), 3)
    assert ledger.saved[-1].user_id == "second"


def test_an_attribution_with_two_ids_is_saved_once():
    """Both ids come into sight in one event, and it is still one install."""
    ledger = Ledger("key")
    for _ in range(2):
        ledger.attribute(Attribution("[A] Install", "ios", idfa="id-1", idfv="id-2"), 1)
    ledger.apply([UploadedEvent("a", user_id="user", idfa="id-1", idfv="id-2")], 2)
    ledger.apply([UploadedEvent("a", user_id="user", idfa="id-1", idfv="id-2")], 3)
    assert (ledger.tally.matched, len(ledger.saved), ledger.waiting()) == (2, 4, [])
    ledger.expire(10**12)
    assert ledger.tally.dropped == 0


def test_a_repeat_teaches_nothing():
    """What Amplitude ignores, it ignores whole."""
    ledger = Ledger("key")
    ledger.apply([UploadedEvent("a", device_id="d", insert_id="i")], 1)
    ledger.attribute(Attribution("[A] Install", "ios", idfa="id-1"), 1)
    ledger.apply([UploadedEvent("a", device_id="d", insert_id="i", idfa="id-1")], 2)
    assert len(ledger.waiting()) == 1


def test_rates_are_per_name_and_start_anew_with_each_window():
    """One's flood is not another's."""
    rates = Rates(30)
    assert rates.over({"a": 900, "b": 901}, 0) == {"b": 31}
    rates.count({"a": 900})
    assert rates.over({"a": 1, "b": 1}, 29_999) == {"a": 31}
    assert rates.over({"a": 1}, 30_000) == {}
