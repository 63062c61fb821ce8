"""Differences planted between AppsFlyer, flybridge and Amplitude are recognised, each as its cause with its number."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec import structs
from planting import (
    APP_ID,
    DAY,
    DAY_START_MS,
    NOON_MS,
    SCOPES,
    Bench,
    fact_of,
    of_source,
    of_the_attribution_route,
    opened_bench,
    sums,
    written_time,
)
from starting import INSTALL, serving, written
from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.clock import SystemClock
from flybridge.config.settings import load
from flybridge.history.gap_report import FOUND, Gap, GapReport
from flybridge.history.uptime import note_downtime, read_uptime
from flybridge.insight.causes import AMPLITUDE, APPSFLYER
from flybridge.insight.cohort_comparison import REPORT as COHORTS
from flybridge.insight.cohort_comparison import CohortComparison
from flybridge.insight.comparison import ALL_EVENTS, REPORT
from flybridge.insight.differences import asked_differences, read_differences
from flybridge.operations.compare_cohorts import CohortComparer
from flybridge.operations.count_amplitude import QueryBudget
from flybridge.operations.reconcile import Reconciler
from flybridge.operations.reconcile_plan import reconcile_plans_of
from flybridge.operations.reconcile_schedule import compare_tasks
from flybridge.operations.schedule import STATE, keep_running, task_state
from flybridge.records import DAY_MS, HOUR_MS, Envelope, Media, Source
from flybridge.sandbox.faults import FaultKind, Faults, FaultScript
from flybridge.sandbox.server import Sandbox, running
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate
from flybridge.sandbox.vendors.aggregates import ReportedApp
from flybridge.service.backends import open_store
from flybridge.store.figures import UNEXPLAINED_EVENTS
from flybridge.store.job_runs import read_runs
from flybridge.store.performance import date_of
from flybridge.testing.clocks import ManualClock
from flybridge.wiring import build_flow, scopes_of


async def test_planted_differences_are_recognised_each_with_its_number(bench):
    """A table of what was planted against what was found; nothing is left unexplained."""
    usual = bench.people(40, "tiktokglobal_int") + bench.people(20, "organic")
    waiting, too_late = (bench.people(n, "tiktokglobal_int", device="") for n in (7, 4))
    nameless = bench.people(2, "tiktokglobal_int", device="", appsflyer_id=None)
    withheld = bench.people(6, "restricted", campaign=None)
    as_organic = bench.people(4, "organic")
    redacted, dropped = bench.people(3, "pinterest_int"), bench.people(2, "roku")
    silenced = bench.people(5, "unityads_int", device="silenced")
    rejected = bench.people(4, "unityads_int", device="unliked")
    missed = bench.people(9, "googleadwords_int")
    garbled = bench.people(3, "applovin_int")
    blocked = bench.people(8, "applovin_int", blocked_reason="bots")
    twice = bench.people(6, "googleadwords_int")
    late = bench.people(5, "applovin_int")

    counted = (usual, waiting, too_late, nameless, redacted, dropped, silenced, rejected, missed, garbled, twice, late)
    for messages in counted:
        for number, one in enumerate(messages):
            bench.knows([one | {"appsflyer_id": one["appsflyer_id"] or f"none-{number}"}])
    bench.knows(withheld, source="Facebook Ads")
    bench.knows(as_organic, source="snapchat_int")

    for messages in (usual, too_late, nameless, withheld, as_organic, redacted, dropped, silenced, rejected, blocked,
                     twice):  # fmt: skip
        await bench.receive(messages)
    await bench.receive(waiting, at_ms=bench.clock.now_ms())
    await bench.receive(json.dumps(one).encode()[:-1] for one in garbled)
    await bench.deliver()
    await bench.upload(twice)
    await bench.receive(late)  # not sent yet
    await bench.store.confirm(NOON_MS - HOUR_MS)
    await note_downtime(bench.store, NOON_MS)

    (day,) = await bench.reconcile()
    assert day.notes == []
    assert sums(day) == {
        "unreadable": -3,
        "gap": -9,
        "held": -7,
        "expired": -4,
        "no_identity": -2,
        "restricted_by_policy": -2,
        "silenced": -5,
        "rejected": -4,
        "in_flight": -5,
        "second_integration": 6,
    }
    assert of_source(day, "Facebook Ads") == {"restricted": -6}
    assert of_source(day, "snapchat_int") == {"restricted": -4}
    assert of_source(day, "restricted") == {"restricted": 6, "restricted_by_policy": 3}
    assert of_source(day, "organic") == {"restricted": 4}
    assert of_source(day, "pinterest_int") == {"restricted_by_policy": -3}
    assert of_source(day, "roku") == {"restricted_by_policy": -2}
    assert of_source(day, "googleadwords_int")["second_integration"] == 6
    assert of_source(day, "applovin_int")["in_flight"] == -5
    assert of_source(day, "unityads_int") == {"silenced": -5, "rejected": -4}
    waited = {part.code: part.detail for row in day.rows for part in row.parts if part.code in ("held", "expired")}
    assert waited == {"held": "appsflyer_id", "expired": "appsflyer_id"}


async def test_a_day_that_begins_elsewhere_is_told_apart_by_the_hour(new_bench):
    """Amplitude's project is in Tokyo, the app in New York: its dashboard shows other events than those of the day."""
    async with new_bench(amplitude='timezone = "Asia/Tokyo"', insight='timezone = "America/New_York"') as bench:
        bench.sandbox.dashboard.zones["the-key"] = "Asia/Tokyo"
        bench.sandbox.reports.apps[APP_ID] = ReportedApp("America/New_York")
        # New York's second of March is 05:00 UTC on the second to 05:00 on the third; Tokyo's ends at 15:00.
        hours = ((2, 4, 3), (2, 6, 5), (2, 14, 7), (2, 16, 11), (3, 3, 13), (3, 6, 17))
        for day, hour, n in hours:
            at_ms = DAY_START_MS + (day - 2) * DAY_MS + hour * HOUR_MS
            messages = bench.people(n, "tiktokglobal_int", at_ms=at_ms)
            bench.knows(messages)
            await bench.receive(messages)
        await bench.deliver()
        (day,) = await bench.reconcile()
        (row,) = day.rows
        assert (row.appsflyer, row.flybridge, row.amplitude) == (36, 36, 3 + 5 + 7)
        assert sums(day) == {"day_boundary": 15 - 36}
        assert bench.sandbox.dashboard.asked == 2


@pytest.mark.parametrize(
    ("own", "minutes"), [("Asia/Kolkata", -330), ("Asia/Kathmandu", -345), ("Australia/Adelaide", -630)]
)
async def test_a_day_that_begins_at_half_past_is_told_apart_by_minutes(new_bench, own, minutes):
    """Where the zones differ by no whole hours, Amplitude is asked for shorter steps."""
    async with new_bench(insight=f'timezone = "{own}"') as bench:
        bench.sandbox.reports.apps[APP_ID] = ReportedApp(own)
        begins_ms = DAY_START_MS + minutes * 60_000
        around = [(begins_ms - 120_000, 3), (begins_ms + 1000, 5), (begins_ms + DAY_MS - 120_000, 7)]
        for at_ms, n in [*around, (begins_ms + DAY_MS + 1000, 11)]:
            messages = bench.people(n, "tiktokglobal_int", at_ms=at_ms)
            bench.knows(messages)
            await bench.receive(messages, at_ms=at_ms + HOUR_MS)
        await bench.deliver()
        (day,) = await bench.reconcile()
        (row,) = day.rows
        assert (day.notes, row.appsflyer, row.flybridge) == ([], 12, 12)
        # Its own second of March, which is UTC's, has the last two groups.
        assert (row.amplitude, sums(day)) == (18, {"day_boundary": 6})


@pytest.mark.parametrize(
    ("zone", "at", "before", "hours"),
    [
        ("Europe/Berlin", 27, 1, 23),
        ("Europe/Berlin", 27 + 210, 2, 25),
        ("Australia/Lord_Howe", 34, 11, 24.5),
        ("Australia/Lord_Howe", 34 + 182, 10.5, 23.5),
    ],
)
async def test_a_day_on_which_clocks_change_is_whole(new_bench, zone, at, before, hours):
    """It has 23 hours in spring, and 25 in autumn; on one island half an hour less, and more."""
    async with new_bench(insight=f'timezone = "{zone}"') as bench:
        bench.clock.advance(at * 86_400)
        bench.sandbox.reports.apps[APP_ID] = ReportedApp(zone)
        begins_ms = DAY_START_MS + at * DAY_MS - round(before * HOUR_MS)
        end_ms = begins_ms + round(hours * HOUR_MS)
        for at_ms, n in ((begins_ms - 60_000, 3), (begins_ms, 5), (end_ms - 60_000, 7), (end_ms, 11)):
            messages = bench.people(n, "tiktokglobal_int", at_ms=at_ms)
            bench.knows(messages)
            await bench.receive(messages, at_ms=at_ms + 60_000)
        await bench.deliver()
        (day,) = await bench.reconcile(DAY + at)
        (row,) = day.rows
        assert (day.notes, row.appsflyer, row.flybridge, row.unexplained(AMPLITUDE)) == ([], 12, 12, 0)


async def test_a_source_in_other_case_is_the_same(bench):
    """AppsFlyer's reports, its messages and Amplitude's events of another integration need not agree about it."""
    messages = bench.people(6, "googleadwords_int")
    bench.knows(messages, source="GoogleAdwords_int")
    await bench.receive(messages)
    await bench.deliver()
    await bench.upload([one | {"media_source": "googleadwords_Int"} for one in messages[:2]])
    (day,) = await bench.reconcile()
    (row,) = day.rows
    assert (row.key.media_source, row.appsflyer, row.amplitude) == ("googleadwords_int", 6, 8)
    assert sums(day) == {"second_integration": 2}


async def test_an_outage_across_midnight_is_found_on_both_days(bench):
    """On each with the number of its own."""
    around = [(NOON_MS + 11 * HOUR_MS, 4), (NOON_MS + 13 * HOUR_MS, 9)]
    for at_ms, n in around:
        came, missed = (bench.people(k, "applovin_int", at_ms=at_ms) for k in (5, n))
        bench.knows(came + missed)
        await bench.receive(came, at_ms=at_ms)
    await bench.deliver()
    await bench.store.confirm(NOON_MS + 10 * HOUR_MS)
    await note_downtime(bench.store, NOON_MS + 14 * HOUR_MS)
    before, after = await bench.reconcile(DAY + 1, 2)
    assert (sums(before), sums(after)) == ({"gap": -4}, {"gap": -9})


@pytest.mark.parametrize("days", ["4", "12", "60"])
async def test_what_is_counted_came_though_it_is_not_known_any_more(new_bench, days):
    """Identities of in-app events are remembered for a week: what AppsFlyer alone counts never was in raw data."""
    async with new_bench(days=days, more="reconcile_by_master = true") as bench:
        people = bench.people(15, "applovin_int")
        played = [who | {"event_name": "play", "event_time": written_time(NOON_MS + HOUR_MS + 1001 * n)}
                  for n, who in enumerate(people)]  # fmt: skip
        bench.happened([*people, *played[:10]])
        bench.knows(played[10:])
        await bench.receive([*people, *played[:8]])
        await bench.deliver()
        (day,) = await bench.reconcile()
        explained = {"gap": -2, "unexplained appsflyer": 5}
        assert (sums(day, "event", "play"), sums(day, "event", ALL_EVENTS)) == (explained, explained)
        assert sums(day) == {}


async def test_what_is_counted_without_its_source_is_noted(tmp_path):
    """A day with more combinations than are counted by name."""
    (tmp_path / "data").mkdir()
    async with opened_bench(tmp_path, open_store, {"more": "max_cells = 6"}) as bench:
        people = [who | {"campaign": f"campaign {n % 9}"} for n, who in enumerate(bench.people(18, "applovin_int"))]
        played = [who | {"event_name": "play", "event_time": written_time(NOON_MS + HOUR_MS + 1001 * n)}
                  for n, who in enumerate(people)]  # fmt: skip
        for messages in (people, played):
            bench.happened(messages)
            await bench.receive(messages)
        await bench.deliver()
        (day,) = await bench.reconcile()
        named = [row for row in day.rows if row.key.event != ALL_EVENTS]
        others = sum(row.flybridge for row in named if row.key.media_source == "(other)")
        (note,) = day.notes
        assert others > 10
        assert f"{others} conversions and in-app events of the day as (other)" in note
        assert "insight.max_cells" in note


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
async def test_a_dead_letter_explains_one_message_and_no_other(new_bench, zone):
    """AppsFlyer pushed several messages to nowhere on two days; one came, and could not be read."""
    async with new_bench(insight=f'timezone = "{zone}"', more="reconcile_by_master = true") as bench:
        bench.sandbox.reports.apps[APP_ID] = ReportedApp(zone)
        came, garbled = bench.people(5, "applovin_int"), bench.people(1, "applovin_int")
        played = [who | {"event_name": "play", "event_time": written_time(NOON_MS + HOUR_MS + 1001 * n)}
                  for n, who in enumerate(came)]  # fmt: skip
        lost, next_day = bench.people(2, "unityads_int"), bench.people(3, "unityads_int", at_ms=NOON_MS + DAY_MS)
        for messages in (came, garbled, played, lost, next_day):
            bench.happened(messages)
        await bench.receive([*came, *played[:3]])
        await bench.receive([json.dumps(garbled[0]).encode()[:-1]])
        await bench.deliver()
        days = await bench.reconcile(DAY + 1, 2)
        found = {True: Counter(), False: Counter()}
        for day in days:
            assert {row.unexplained(APPSFLYER) for row in day.rows} <= {0, None}
            for row in day.rows:
                for part in row.parts:
                    found[row.key.event == ALL_EVENTS][part.code] -= part.n
        assert found == {False: {"unreadable": 1, "gap": 2 + 2 + 3}, True: {"gap": 2}}


async def test_what_a_search_for_gaps_has_found_is_named(new_bench):
    """With its cause, though nothing was down and raw data is not read for the comparison."""
    async with new_bench(more="reconcile_by_raw_data = false") as bench:
        came, missed = bench.people(5, "applovin_int"), bench.people(3, "applovin_int")
        bench.happened(came + missed)
        await bench.receive(came)
        await bench.deliver()
        (before,) = await bench.reconcile()
        assert sums(before) == {"unexplained appsflyer": 3}
        gap = Gap("installs_report", f"{date_of(DAY)} 12:00", "not_pushed", 3)
        found = GapReport("shop", DAY_START_MS, DAY_START_MS + DAY_MS, bench.clock.now_ms(), 8, 5, 3, 0, (gap,))
        await bench.store.put_state(f"{FOUND}shop", msgspec.json.encode(found))
        bench.clock.advance(61)
        (day,) = await bench.reconcile()
        assert (day.notes, sums(day)) == ([], {"gap": -3})
        (part,) = [part for row in day.rows for part in row.parts]
        assert part.detail == "not_pushed"


async def test_a_zone_that_appsflyer_does_not_know_is_noted(new_bench):
    """Its days are in UTC until the app has a zone."""
    async with new_bench(insight='timezone = "Asia/Kolkata"') as bench:
        await bench.receive(bench.people(5, "tiktokglobal_int"))
        await bench.deliver()
        (day,) = await bench.reconcile()
        assert day.appsflyer == ""
        assert any("AppsFlyer" in note for note in day.notes)


async def test_events_are_booked_on_the_day_of_the_install_and_copies_once(bench):
    """AppsFlyer's events of a day are those of its installs, whenever they happened."""
    early = bench.people(10, "tiktokglobal_int", at_ms=NOON_MS - DAY_MS)
    today = bench.people(4, "tiktokglobal_int")
    await bench.receive(early + today)

    def bought(who: dict, at_ms: int, **fields: Any) -> dict:
        return who | {"event_name": "af_purchase", "event_time": written_time(at_ms), "event_value": "{}"} | fields

    of_early = [bought(who, NOON_MS + 5000 * n) for n, who in enumerate(early)]
    later = [bought(who, NOON_MS + DAY_MS + 5000 * n) for n, who in enumerate(today[:3])]
    copies = [
        bought(today[3], NOON_MS + HOUR_MS, is_primary_attribution=False),
        bought(today[3], NOON_MS + HOUR_MS, is_primary_attribution=True, media_source="criteo_int",
               campaign_type="retargeting", conversion_type="re-engagement"),
    ]  # fmt: skip
    left_out = [bought(who, NOON_MS + HOUR_MS) | {"event_name": "debug_tap"} for who in today]
    for messages in (early, today, of_early, later, copies, left_out):
        bench.knows(messages)
    await bench.receive(of_early + copies + left_out)
    await bench.receive(later, at_ms=NOON_MS + DAY_MS + HOUR_MS)
    await bench.deliver()
    (day,) = await bench.reconcile()
    whole = sums(day, "event", ALL_EVENTS)
    own = 10 + 1 + 4  # of the early, the primary copy, what is left out
    of_installs = 3 + 1 + 4
    assert whole == {"booking_day": own - of_installs}
    assert sums(day, "event", "af_purchase") == {}
    assert sums(day, "event", "debug_tap") == {"filtered": -4}
    (row,) = [one for one in day.rows if one.key.event == "af_purchase" and one.key.media_source == "criteo_int"]
    assert (row.flybridge, row.amplitude) == (1, 1)


async def test_conversions_of_retargeting_are_compared_on_their_own_day(bench):
    """People who installed weeks ago come back: AppsFlyer books them on the day of the conversion."""
    long_ago = written_time(NOON_MS - 20 * DAY_MS)

    def back(kind: str, n: int, source: str, **fields: Any) -> list[dict]:
        came = {"event_name": kind, "conversion_type": kind, "retargeting_conversion_type": kind,
                "is_retargeting": True, "campaign_type": "retargeting"}  # fmt: skip
        # What a campaign has installed again has an install time of its own.
        since = {"install_time": long_ago} if kind == "re-engagement" else {}
        return bench.people(n, source, **(came | since | fields))

    engaged, attributed = back("re-engagement", 8, "criteo_int"), back("re-attribution", 5, "criteo_int")
    missed, withheld = back("re-engagement", 3, "criteo_int"), back("re-engagement", 4, "restricted", campaign=None)
    installs = bench.people(6, "criteo_int")
    bench.happened(withheld, source="Facebook Ads")
    for messages in (engaged, attributed, missed, installs):
        bench.happened(messages)
    for messages in (engaged, attributed, withheld, installs):
        await bench.receive(messages)
    await bench.deliver()
    await bench.store.confirm(NOON_MS - HOUR_MS)
    await note_downtime(bench.store, NOON_MS)
    (day,) = await bench.reconcile()
    assert day.notes == []
    assert sums(day, "re-engagement") == {"gap": -3}
    assert of_source(day, "Facebook Ads", "re-engagement") == {"restricted": -4}
    assert sums(day, "re-attribution") == sums(day) == {}
    three = {
        (row.key.kind, row.key.media_source): (row.appsflyer, row.flybridge, row.amplitude) for row in day.rows
    }  # fmt: skip
    assert three["re-engagement", "criteo_int"] == (11, 8, 8)
    assert three["re-attribution", "criteo_int"] == (5, 5, 5)
    assert three["install", "criteo_int"] == (6, 6, 6)


@pytest.mark.parametrize("double", ["primary", "both"])
async def test_copies_and_rejections_are_told_apart(new_bench, double):
    """A copy that Amplitude has rejected is a difference of nothing, and a primary event that it has is one."""
    async with new_bench(mapping=f'double_attribution = "{double}"', more="reconcile_by_master = true") as bench:
        good, bad = bench.people(6, "tiktokglobal_int"), bench.people(4, "tiktokglobal_int", device="unliked")
        for people in (good, bad):
            bench.happened(people)
            await bench.receive(people)
            copies = [
                one | {"event_name": "won", "event_time": written_time(NOON_MS + HOUR_MS + 1001 * n),
                       "event_value": "{}", "is_primary_attribution": False}
                for n, one in enumerate(people)
            ]  # fmt: skip
            primary = [
                one | {"is_primary_attribution": True, "media_source": "criteo_int", "is_retargeting": True,
                       "campaign_type": "retargeting", "conversion_type": "re-engagement"}
                for one in copies
            ]  # fmt: skip
            bench.happened(copies + primary)
            await bench.receive(copies + primary, at_ms=NOON_MS + 2 * HOUR_MS)
        await bench.deliver()
        (day,) = await bench.reconcile()
        assert day.notes == []
        assert of_source(day, "criteo_int", "event", "won") == {"conversion_definition": 10, "rejected": -4}
        sent = {"secondary_sent": 6} if double == "both" else {}
        assert of_source(day, "tiktokglobal_int", "event", "won") == {"secondary_copies": -10, **sent}
        assert {row.unexplained(step) for row in day.rows for step in (APPSFLYER, AMPLITUDE)} <= {0, None}


async def test_a_plan_without_master_api_is_noted(new_bench):
    """In-app events are then compared by the day of the install alone."""
    async with new_bench(more="reconcile_by_master = true", token="nomaster") as bench:
        messages = bench.people(5, "tiktokglobal_int")
        bench.knows(messages)
        await bench.receive(messages)
        await bench.deliver()
        (day,) = await bench.reconcile()
        (note,) = day.notes
        assert note.startswith("In-app events were not compared by name with AppsFlyer: The Master API is not part of")
        assert (day.appsflyer, sums(day)) == ("aggregate", {})


async def test_a_day_that_is_not_final_may_grow(bench):
    """What AppsFlyer has and nobody else is not unexplained yet."""
    messages = bench.people(5, "tiktokglobal_int", at_ms=NOON_MS + 4 * DAY_MS)
    bench.knows(messages)
    await bench.receive(messages[:3], at_ms=bench.clock.now_ms())
    await bench.deliver()
    (day,) = await bench.reconcile(DAY + 4)
    assert (day.is_final, sums(day)) == (False, {"not_final": -2})


async def test_what_the_attribution_api_drops_is_told(new_bench):
    """On its route Amplitude looks for the user, and says nothing where it finds none."""
    async with new_bench(route="attribution") as bench:
        await bench.receive(await of_the_attribution_route(bench, "tiktokglobal_int", "tiktokglobal_int"))
        await bench.deliver()
        (day,) = await bench.reconcile()
        assert sums(day) == {"privacy": -3, "amplitude_unmatched": -2}


async def test_an_answer_about_a_final_day_is_kept_until_more_was_delivered(bench):
    """So that a week is not asked for every day."""
    messages = bench.people(5, "tiktokglobal_int")
    bench.knows(messages)
    await bench.receive(messages[:3])
    await bench.deliver()
    await bench.reconcile()
    assert bench.sandbox.dashboard.asked == 1
    bench.clock.advance(61)
    (day,) = await bench.reconcile()
    assert (bench.sandbox.dashboard.asked, sums(day)) == (1, {"unexplained appsflyer": 2})
    await bench.receive(messages)
    await bench.deliver()
    bench.clock.advance(61)
    (day,) = await bench.reconcile()
    assert (bench.sandbox.dashboard.asked, sums(day)) == (2, {})


async def test_a_refusal_is_noted_and_not_taken_for_zero(new_bench):
    """A wrong secret is no event in Amplitude; a quota is waited for."""
    async with new_bench() as bench:
        bench.sandbox.dashboard.running = 10
        messages = bench.people(5, "tiktokglobal_int")
        bench.knows(messages)
        await bench.receive(messages)
        (day,) = await bench.reconcile()
        assert day.amplitude == ""
        assert "429" in day.notes[0]
        assert {row.amplitude for row in day.rows} == {None}
        assert len(bench.clock.slept) == 3


async def test_an_outage_of_appsflyer_is_noted_and_not_taken_for_zero(new_bench):
    """Whatever it answers, nothing of its side is known: neither a count, nor what is unexplained."""
    async with new_bench(more="reconcile_by_master = true") as bench:
        messages = bench.people(5, "tiktokglobal_int")
        bench.knows(messages)
        await bench.receive(messages)
        await bench.deliver()
        for kind in (FaultKind.PAGE, FaultKind.ERROR_BEFORE, FaultKind.UNAVAILABLE, FaultKind.CUT_BEFORE,
                     FaultKind.HALF_ANSWER, FaultKind.FORBIDDEN):  # fmt: skip
            bench.clock.advance(61)
            bench.sandbox.reports.faults = Faults(FaultScript(requests=((kind, 1.0),)))
            (day,) = await bench.reconcile()
            assert (day.appsflyer, [row.appsflyer for row in day.rows]) == ("", [None]), kind
            assert [(row.flybridge, row.amplitude, row.unexplained(APPSFLYER)) for row in day.rows] == [(5, 5, None)]
            assert len(day.notes) == 1
            assert "AppsFlyer" in day.notes[0]


async def test_the_time_without_a_process_is_noted(bench):
    """A restart is not."""
    await bench.store.confirm(NOON_MS)
    assert await note_downtime(bench.store, NOON_MS + 60_000) == 0
    assert await note_downtime(bench.store, NOON_MS + 2 * HOUR_MS) == 2 * HOUR_MS
    uptime = await read_uptime(bench.store)
    assert uptime.was_stopped(NOON_MS + HOUR_MS, NOON_MS + 3 * HOUR_MS)
    assert not uptime.was_stopped(NOON_MS - HOUR_MS, NOON_MS)
    assert not uptime.was_stopped(NOON_MS + 2 * HOUR_MS, NOON_MS + 3 * HOUR_MS)


@pytest.mark.parametrize("new_bench", ["sqlite"], indirect=True)
async def test_the_command_prints_what_it_found(bench, tmp_path):
    """A table, the causes with what to do, and the same as JSON; `--stored` asks nobody."""
    messages, waiting = bench.people(5, "tiktokglobal_int"), bench.people(2, "tiktokglobal_int", device="")
    bench.knows(messages + waiting)
    await bench.receive(messages)
    await bench.receive(waiting, at_ms=bench.clock.now_ms())
    await bench.deliver()
    path = tmp_path / "flybridge.toml"
    path.write_text(bench.text.replace('"data"', f'"{tmp_path}"'))
    await bench.store.close()
    day, told = date_of(DAY).isoformat(), []

    async def run(*words: str) -> str:
        given = ["reconcile", "--config", str(path), *(words if "--from" in words else ["--day", day, *words])]
        done = await asyncio.to_thread(CliRunner().invoke, app, given, env={"COLUMNS": "80"}, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        told.append(done.stderr)
        return done.stdout

    text = await run()
    assert "compared" not in told[-1]
    assert all(len(line) <= 80 for line in text.splitlines())
    for word in ("tiktokglobal_int", "Waits for its user", "-2", "appsflyer_id -2"):
        assert word in text
    asked = bench.sandbox.dashboard.asked
    found = json.loads(await run("--json", "--stored"))
    assert bench.sandbox.dashboard.asked == asked
    ((row),) = found["rows"]
    assert (row["appsflyer"], row["flybridge"], row["amplitude"]) == (7, 7, 5)
    assert row["unexplained"] == {"appsflyer": 0, "amplitude": 0}
    text = await run("--stored", "--from", date_of(DAY - 9).isoformat(), "--to", day, "--by", "source")
    assert "tiktokglobal_int" in text
    assert "shop: 1 of 10 days was compared, and the figures are of no others." in " ".join(told[-1].split())


@pytest.mark.parametrize("token", ["api-token", "nocohorts"])
async def test_each_app_is_compared_once_a_day(new_bench, token):
    """Some hours after its midnight, the last days at once, and the cohorts of installs of which more is final."""
    async with new_bench(more="reconcile_by_cohorts = true", token=token) as bench:
        await compare_once(bench, "" if token == "api-token" else "which is premium")


async def compare_once(bench: Bench, refused: str) -> None:
    messages = bench.people(5, "tiktokglobal_int", at_ms=bench.clock.now_ms() - 4 * DAY_MS)
    bench.knows(messages)
    await bench.receive(messages, at_ms=bench.clock.now_ms())
    messages = bench.people(5, "tiktokglobal_int", at_ms=bench.clock.now_ms() - DAY_MS)
    bench.knows(messages)
    await bench.receive(messages)
    await bench.deliver()
    bench.clock.advance(4 * 3600)
    today = bench.clock.now_ms() // DAY_MS
    reconciler = Reconciler(bench.store, QueryBudget(bench.transport, bench.clock), bench.download, bench.clock)
    stop, failed = asyncio.Event(), []
    job = asyncio.create_task(
        keep_running(
            compare_tasks(
                reconcile_plans_of(bench.config), bench.store, reconciler,
                CohortComparer(bench.store, bench.download, bench.clock), days=3,
                scopes=lambda now_ms: scopes_of(bench.config, now_ms), clock=bench.clock, stop=stop,
            ),
            bench.store, clock=bench.clock, stop=stop, failed=failed.append,
        )
    )  # fmt: skip

    async def compared() -> list[int]:
        return [one.day for one in await bench.store.day_reports(REPORT, 0, 50_000)]

    async def due() -> int:
        return max((task_state(value).next_ms for _, value in await bench.store.states(STATE)), default=0)

    async with asyncio.timeout(20):
        while not await read_runs(bench.store, "compare"):  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.02)
    assert await compared() == [today - 3, today - 2, today - 1]
    stop.set()
    await job
    assert (len(failed), await due()) == (bool(refused), (today + 1) * DAY_MS + 3 * HOUR_MS)
    runs = await read_runs(bench.store, "compare")
    (run,) = next(iter(runs.values()))
    assert run.did.startswith(f"3 days compared, cohorts of {0 if refused else 2} days, ")
    assert (refused in run.problem, bool(run.problem)) == (True, bool(refused))
    kept = [report.read(CohortComparison) for report in await bench.store.day_reports(COHORTS, 0, 50_000)]
    assert [(one.day, len(one.rows)) for one in kept] == (
        [(today - 4, 0)] if refused else [(today - 4, 2), (today - 3, 0)]
    )
    assert list(kept[0].notes) == [run.problem] * bool(refused)


@pytest.mark.parametrize(("route", "double"), [("http_v2", "both"), ("attribution", "primary")])
async def test_nothing_is_unexplained_in_traffic_with_all_its_mistakes(new_bench, route, double):
    """Late and restricted people, duplicates, malformed messages, second copies. See `test_true_under_faults`, too."""
    async with new_bench(route=route, mapping=f'double_attribution = "{double}"') as bench:
        start_ms = bench.clock.now_ms()
        options = TrafficOptions(late_seen=0.1, start_ms=start_ms)
        facts, pushed = [], []
        for number, message in enumerate(generate(5, 500, [TrafficApp("shop", "android", APP_ID)], options)):
            if message.reported is not None:
                facts.append(message.reported)
            bench.clock.advance(max(0, message.send_ms - bench.clock.now_ms()) / 1000)
            source = Source.PUSH if message.path.startswith("/v1/push") else Source.STREAM
            pushed += [message.body] if source is Source.PUSH else []
            await bench.receive([message.body], source, at_ms=message.send_ms)
            if number % 200 == 0:
                await bench.deliver()
        await bench.deliver()
        bench.sandbox.reports.learn(facts)
        bench.sandbox.raw_data.add(APP_ID, pushed)
        bench.clock.advance(6 * 86_400)
        await bench.store.expire(bench.clock.now_ms())
        await bench.deliver()
        days = await bench.reconcile(start_ms // DAY_MS + 6, 7)
        assert [note for day in days for note in day.notes] == []
        rows = [(day.day, row) for day in days for row in day.rows]
        assert sum(row.flybridge for _, row in rows) > 400
        left = [(day, row) for day, row in rows if row.unexplained(APPSFLYER) or row.unexplained(AMPLITUDE)]
        assert left == []
        paid = [(day.day, row) for day in days for row in day.revenue]
        assert sum(row.flybridge for _, row in paid) > 50_000_000
        wrong = [(day, row) for day, row in paid for step in (APPSFLYER, AMPLITUDE)
                 if abs(row.unexplained(step) or 0) > 10_000]  # fmt: skip
        assert wrong == []
        codes = {part.code for _, row in rows for part in row.parts}
        wanted = {"restricted", "unreadable", "booking_day"}
        wanted |= {"privacy", "amplitude_unmatched"} if route == "attribution" else {"expired"}
        assert wanted <= codes


async def test_each_event_is_looked_for_by_its_insert_id(new_bench):
    """Another integration is told exactly without a stream, and an event that Amplitude has lost is named."""
    async with new_bench(by_export="true") as bench:
        messages = bench.people(20, "tiktokglobal_int") + bench.people(5, "organic")
        bench.knows(messages)
        await bench.receive(messages)
        await bench.deliver()
        await bench.upload(messages[:7], streamed=False)
        saved = bench.sandbox.amplitude.projects["the-key"].saved
        lost = [saved.pop(next(n for n, one in enumerate(saved) if one.media_source == "organic")) for _ in range(2)]
        bench.clock.advance(4 * 3600)
        (day,) = await bench.reconcile()
        assert (day.amplitude, day.notes) == ("segmentation and export", [])
        assert sums(day) == {"second_integration": 7, "unexplained amplitude": 2}
        question = asked_differences({"from": date_of(DAY).isoformat(), "to": date_of(DAY).isoformat()}, SCOPES)
        named = (await read_differences(bench.store, SCOPES, question))["unexplained_events"]
        assert sorted(one["insert_id"] for one in named) == sorted(one.insert_id for one in lost)
        assert {one["media_source"] for one in named} == {"organic"}
        await bench.store.forget([b"somebody's key...."], bench.clock.now_ms(), receipt="r")
        assert (await read_differences(bench.store, SCOPES, question))["unexplained_events"] == []


async def test_an_export_that_is_too_large_is_asked_for_in_halves(new_bench):
    """Until it is small enough."""
    async with new_bench(by_export="true") as bench:
        messages = bench.people(40, "tiktokglobal_int")
        bench.knows(messages)
        for number in range(4):
            await bench.receive(messages[number * 10 : number * 10 + 10])
            await bench.deliver()
            bench.clock.advance(3600)
        bench.clock.advance(4 * 3600)
        bench.sandbox.exports.most_bytes = 30_000  # 40 installs are more, ten are less
        (day,) = await bench.reconcile()
        assert (day.notes, sums(day)) == ([], {})
        bench.clock.advance(61)
        bench.sandbox.exports.most_bytes = 10
        (day,) = await bench.reconcile()
        assert "larger than 4 GB" in day.notes[0]
        assert sums(day) == {}


async def test_what_was_sent_just_now_is_not_missed(new_bench):
    """An hour of uploads is exported two hours after it is over."""
    async with new_bench(by_export="true") as bench:
        messages = bench.people(5, "tiktokglobal_int")
        bench.knows(messages)
        await bench.receive(messages)
        await bench.deliver()
        (day,) = await bench.reconcile()
        assert (day.notes, sums(day)) == ([], {})
        (report,) = await bench.store.day_reports(UNEXPLAINED_EVENTS, DAY, DAY)
        assert json.loads(report.body) == []


async def test_the_job_ends_at_once_though_it_waits_for_a_vendor(bench):
    """A budget that is used up is waited for up to an hour; a process that is stopped does not wait."""
    await bench.receive(bench.people(3, "tiktokglobal_int", at_ms=bench.clock.now_ms() - DAY_MS))
    bench.sandbox.dashboard.running = 10
    clock = ManualClock(bench.clock.now_ms())
    reconciler = Reconciler(bench.store, QueryBudget(bench.transport, clock), bench.download, clock)
    stop = asyncio.Event()
    job = asyncio.create_task(
        keep_running(
            compare_tasks(
                reconcile_plans_of(bench.config), bench.store, reconciler,
                CohortComparer(bench.store, bench.download, clock), days=2,
                scopes=lambda now_ms: scopes_of(bench.config, now_ms), clock=clock, stop=stop,
            ),
            bench.store, clock=clock, stop=stop, failed=lambda _: None,
        )
    )  # fmt: skip
    await asyncio.wait_for(clock.asleep.wait(), 10)
    stop.set()
    await asyncio.wait_for(job, 5)


async def test_a_served_bridge_compares_by_itself(tmp_path):
    """From its start; the answers of the API are those of the job, and the page shows what it has compared."""
    sandbox = Sandbox(keep_bodies=True)
    async with running(sandbox) as origin:
        path = written(tmp_path, origin, top="[insight]\nreconcile_by_cohorts = true", app='secret_key = "the-secret"')
        appsflyer = f'push_token = "push-token"\napi_token = "token"\nbase_url = "{origin}"'
        path.write_text(path.read_text().replace('push_token = "push-token"', appsflyer))
        now_ms = SystemClock().now_ms()
        moment = written_time(now_ms - 6 * DAY_MS)
        install = INSTALL | {"event_time": moment, "install_time": moment, "campaign": None, "campaign_type": "ua"}
        sandbox.reports.learn([structs.replace(fact_of(install, None, 0), app_id="id1234567890")])
        config = load(path, os.environ)
        store = open_store(config)
        await store.open()
        body = Envelope("shop", Source.PUSH, Media.JSON, now_ms, json.dumps(install).encode(), "r1")
        await store.file(build_flow(config).filings([body]), now_ms)
        await store.close()
        async with serving(path) as bridge, aiohttp.ClientSession() as session:

            async def ask(page: str) -> Any:
                async with session.get(f"{bridge}/api/v1/reconciliation{page}") as answer:
                    assert answer.status == 200
                    return await answer.json()

            async with asyncio.timeout(30):
                while (await ask("/findings"))["apps"][0]["made_at"] is None:  # noqa: ASYNC110 - the store tells nobody
                    await asyncio.sleep(0.05)
            days = (await ask(""))["days"]
            assert [(one["appsflyer"], one["amplitude"], one["notes"]) for one in days] == [
                ("aggregate", "segmentation", [])
            ] * 7
            cohorts = await ask("/cohorts")
            assert [(one["metric"], one["appsflyer"], one["flybridge"]) for one in cohorts["total"]] == [
                ("installs", 1, 1), ("active", 1, 1),
            ]  # fmt: skip
            async with session.get(f"{bridge}/differences") as page:
                assert "What installs did on the days after" in await page.text()
            async with session.get(f"{bridge}/jobs") as page:
                assert "cohorts of 4 days, " in await page.text()
