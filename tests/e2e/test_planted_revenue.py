"""Differences in revenue are split to the cent, each by the events that make it."""

from __future__ import annotations

import json

import pytest
from planting import APP_ID, DAY, NOON_MS, SCOPES, amounts, bought, of_source

from flybridge.errors import ConfigError
from flybridge.history.uptime import note_downtime
from flybridge.identity import Keyring
from flybridge.insight.comparison import ALL_EVENTS, DayComparison
from flybridge.insight.differences import asked_differences, read_differences
from flybridge.operations.forget import PersonIds, forget
from flybridge.operations.read_raw_evidence import nearest
from flybridge.records import DAY_MS, HOUR_MS
from flybridge.sandbox.vendors.aggregates import ReportedApp
from flybridge.store.performance import date_of

LATER_MS = NOON_MS + HOUR_MS


def three(day: DayComparison, source: str, event: str = "af_purchase") -> tuple[float | None, ...]:
    """Return the three sums of a source."""
    (row,) = [one for one in day.revenue if (one.key.event, one.key.media_source) == (event, source)]
    return tuple(
        None if micros is None else round(micros / 1e6, 2) for micros in (row.appsflyer, row.flybridge, row.amplitude)
    )


async def test_currencies_are_added_up_raw_by_amplitude_alone(bench):
    """Which events in which currency account for the difference is told by the amount and by their number."""
    people = bench.people(10, "tiktokglobal_int")
    bench.happened(people)
    in_dollars = [bought(who, LATER_MS + 1000 * n, 10.0) for n, who in enumerate(people[:4])]
    in_euros = [bought(who, LATER_MS + 1000 * n, 20.0, "EUR", 22.0) for n, who in enumerate(people[4:7])]
    in_yen = [bought(who, LATER_MS + 1000 * n, 1500.0, "JPY", 10.11) for n, who in enumerate(people[7:9])]
    back = [bought(people[0], LATER_MS + 60_000, -5.0, "EUR", -5.5)]
    for messages in (people, in_dollars, in_euros, in_yen, back):
        bench.happened(messages)
        await bench.receive(messages, at_ms=LATER_MS)
    await bench.deliver()
    (day,) = await bench.reconcile()
    assert day.notes == []
    true, raw = 40 + 66 + 20.22 - 5.5, 40 + 60 + 3000 - 5
    assert three(day, "tiktokglobal_int") == (true, true, raw)
    assert amounts(day) == {"currency EUR": round(-6 + 0.5, 2), "currency JPY": round(3000 - 20.22, 2)}
    assert amounts(day, ALL_EVENTS) == {}
    question = asked_differences({"from": f"{date_of(DAY)}", "to": f"{date_of(DAY)}", "metric": "revenue"}, SCOPES)
    found = await read_differences(bench.store, SCOPES, question)
    assert (found["metric"], found["currency"], found["total"]["amplitude"]) == ("revenue", "USD", raw)
    (cause,) = found["total"]["causes"]
    assert (cause["code"], cause["n"], cause["events"]) == ("currency", round(raw - true, 2), 6)
    assert cause["details"] == [{"detail": "EUR", "n": -5.5, "events": 4}, {"detail": "JPY", "n": 2979.78, "events": 2}]
    assert found["total"]["unexplained"] == {"appsflyer": 0.0, "amplitude": 0.0}


async def test_each_fate_takes_its_own_amounts(new_bench):
    """Held, expired, rejected, filtered, withheld, never received and received unread: the revenue of each."""
    async with new_bench(
        insight="[apps.insight.rates]\nGBP = 1.25", mapping='rename = {late_name = "af_purchase"}'
    ) as bench:
        moments = iter(range(1, 1000))

        def pay(people, amount, currency="USD", usd=None, **fields):
            return [bought(who, LATER_MS + 1000 * next(moments), amount, currency, usd, **fields) for who in people]

        usual = bench.people(3, "tiktokglobal_int")
        waiting, late = bench.people(2, "tiktokglobal_int", device=""), bench.people(2, "tiktokglobal_int", device="")
        rejected, redacted = bench.people(2, "unityads_int", device="unliked"), bench.people(2, "pinterest_int")
        dropped, lost, garbled = (
            bench.people(1, "roku"),
            bench.people(2, "applovin_int"),
            bench.people(1, "applovin_int"),
        )
        everybody = (usual, waiting, late, rejected, redacted, dropped, lost, garbled)
        for people in everybody:
            bench.happened(people)
        for people in (usual, late, rejected, redacted, dropped, lost, garbled):
            await bench.receive(people)
        await bench.receive(waiting, at_ms=bench.clock.now_ms())

        sales = {
            "usual": pay(usual, 10.0) + pay(usual[:1], 8.0, "GBP"), "late": pay(late, 3.0),
            "waiting": pay(waiting, 7.0),
            "rejected": pay(rejected, 5.5), "redacted": pay(redacted, 4.0, "EUR", 4.4), "dropped": pay(dropped, 6.25),
            "lost": pay(lost, 100.0), "garbled": pay(garbled, 9.0),
            "left out": pay(usual[:2], 2.5, event_name="debug_tip"),
            "renamed": pay(usual[:1], 1.5, event_name="late_name"),
        }  # fmt: skip
        sales["usual"][-1]["event_revenue_usd"] = 10.4  # AppsFlyer's own rate; the message did not have it
        sales["copies"] = pay(usual[:1], 12.0, is_primary_attribution=False, is_retargeting=False)
        for messages in sales.values():
            bench.happened(messages)
        for name in ("usual", "late", "rejected", "redacted", "dropped", "left out", "renamed", "copies"):
            await bench.receive([one | {"event_revenue_usd": None} if one["event_revenue_currency"] == "GBP" else one
                                 for one in sales[name]])  # fmt: skip
        await bench.receive(sales["waiting"], at_ms=bench.clock.now_ms())
        await bench.receive([json.dumps(one).encode()[:-1] for one in sales["garbled"]])
        await bench.deliver()
        await bench.store.confirm(NOON_MS - HOUR_MS)
        await note_downtime(bench.store, NOON_MS)

        (day,) = await bench.reconcile()
        assert day.notes == []
        assert amounts(day) == {
            "secondary_copies": -12.0, "gap": -209.0, "rate GBP": -0.4, "currency GBP": -2.0, "currency EUR": -0.8,
            "held appsflyer_id": -14.0, "expired": -6.0, "rejected invalid_fields": -11.0, "same_name late_name": 1.5,
            "restricted_by_policy restricted_source": -6.25,
        }  # fmt: skip
        assert amounts(day, "debug_tip") == {"filtered event_excluded": -5.0}
        assert three(day, "pinterest_int") == (8.8, 8.8, 0.0)
        assert three(day, "restricted") == (0.0, 0.0, 8.0)


async def test_one_that_never_came_is_not_taken_for_one_that_has_expired(bench):
    """Expired events are counted by the kinds of their keys, and the ledger names each without them."""
    late, lost = bench.people(1, "tiktokglobal_int", device=""), bench.people(1, "tiktokglobal_int")
    for people in (late, lost):
        bench.happened(people)
        await bench.receive(people)
    sales = [bought(who, LATER_MS + 1000 * n, amount) for n, (who, amount) in enumerate([(*late, 3.0), (*lost, 100.0)])]
    bench.happened(sales)
    await bench.receive(sales[:1])
    await bench.deliver()
    (day,) = await bench.reconcile()
    assert amounts(day) == {"expired": -3.0, "gap": -100.0}


@pytest.mark.parametrize(("by_export", "sign"), [("true", 1), ("false", 1), ("false", -1)])
async def test_what_the_app_sends_by_itself_is_revenue_of_its_own(new_bench, by_export, sign):
    """Amplitude adds it up under the same event, without a media source: no other integration is at fault."""
    async with new_bench(by_export=by_export) as bench:
        people = bench.people(4, "tiktokglobal_int")
        sales = [bought(who, LATER_MS + 1000 * n, sign * 5.0) for n, who in enumerate(people)]
        for messages in (people, sales):
            bench.happened(messages)
            await bench.receive(messages)
        await bench.deliver()
        await bench.upload(sales, name="af_purchase")
        bench.clock.advance(4 * 3600)
        (day,) = await bench.reconcile()
        assert amounts(day) == {"sent_by_app": sign * 20.0}
        assert of_source(day, "", "event", "af_purchase") == {"sent_by_app": 4}
        assert three(day, "tiktokglobal_int") == (sign * 20.0,) * 3


@pytest.mark.parametrize("secret", [True, False])
async def test_a_day_of_another_zone_is_told_apart_by_its_hours(new_bench, secret):
    """Revenue is compared on the app's day, and what Amplitude shows of its own is told."""
    async with new_bench(insight='timezone = "America/New_York"') as bench:
        bench.sandbox.reports.apps[APP_ID] = ReportedApp("America/New_York")
        people = bench.people(3, "tiktokglobal_int")
        # New York's second of March begins at 05:00 UTC.
        sales = [bought(who, NOON_MS + hours * HOUR_MS, amount)
                 for who, hours, amount in zip(people, (-8, 1, 16), (2.0, 3.0, 5.0), strict=True)]  # fmt: skip
        for messages in (people, sales):
            bench.happened(messages)
            await bench.receive(messages, at_ms=NOON_MS + 17 * HOUR_MS)
        await bench.deliver()
        (day,) = await bench.reconcile()
        assert three(day, "tiktokglobal_int") == (8.0, 8.0, 5.0)
        assert amounts(day) == {"day_boundary": -3.0}


async def test_revenue_is_booked_on_the_day_of_the_install(bench):
    """AppsFlyer's aggregate has the revenue of the installs of the day, and names sources that raw data may not."""
    early, today = bench.people(2, "tiktokglobal_int", at_ms=NOON_MS - DAY_MS), bench.people(3, "tiktokglobal_int")
    withheld = bench.people(2, "restricted", campaign=None)
    bench.happened(early + today)
    bench.happened(withheld, source="Facebook Ads")
    await bench.receive(early + today + withheld)
    now = [bought(who, LATER_MS, 10.0) for who in early] + [bought(who, LATER_MS, 1.0) for who in today]
    after = [bought(who, LATER_MS + DAY_MS, 30.0) for who in today]
    hidden = [bought(who, LATER_MS, 50.0) for who in withheld]
    bench.happened(now + after)
    bench.happened(hidden, source="Facebook Ads")
    await bench.receive(now + hidden)
    await bench.receive(after, at_ms=LATER_MS + DAY_MS)
    await bench.deliver()
    (day,) = await bench.reconcile()
    assert three(day, "tiktokglobal_int", ALL_EVENTS)[:2] == (93.0, 23.0)
    assert amounts(day, ALL_EVENTS) == {"booking_day": -70.0}
    (named,) = [row for row in day.revenue if row.key.media_source == "Facebook Ads"]
    assert [(part.code, part.n) for part in named.parts] == [("restricted", -100_000_000)]


@pytest.mark.parametrize("days", ["4", "12"])
async def test_one_that_never_came_is_not_all_that_are_left_out(new_bench, days):
    """The identities of events that are left out are remembered for a week only; their number is kept."""
    async with new_bench(days=days) as bench:
        people = bench.people(5, "tiktokglobal_int")
        tips = [bought(who, LATER_MS + 1000 * n, 2.5, event_name="debug_tip") for n, who in enumerate(people)]
        bench.happened(people + tips)
        await bench.receive(people + tips[:4])
        await bench.deliver()
        (day,) = await bench.reconcile()
        assert amounts(day, "debug_tip") == {"gap": -2.5, "filtered event_excluded": -10.0}


@pytest.mark.parametrize(
    ("paid", "n", "whole", "which"),
    [
        ([], 0, 0, ()),
        ([5, 7, 9], 3, 21, (0, 1, 2)),
        ([5, 7, 9], 1, 9, (2,)),
        ([5, 7, 9], 2, 13, (0, 1)),
        ([5, -7, 9], 2, 2, (1, 2)),
        ([5, 7, 9], 0, 4, ()),
        ([*range(40)], 20, 590, tuple(range(20))),
    ],
)
def test_which_came_is_told_by_what_is_counted(paid, n, whole, which):
    """Where there are not too many ways."""
    assert tuple(nearest(paid, n, whole)) == which


async def test_a_refund_that_never_came_is_lacking_of_what_was_paid(bench):
    """AppsFlyer counts less than flybridge, which lacks it."""
    people = bench.people(3, "applovin_int")
    sales = [bought(who, LATER_MS + 1000 * n, (9.0, 20.0, -4.0)[n]) for n, who in enumerate(people)]
    bench.happened(people + sales)
    await bench.receive([*people, *sales[:2]])
    await bench.deliver()
    (day,) = await bench.reconcile()
    assert amounts(day, ALL_EVENTS) == {"gap": 4.0}


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_a_person_who_was_forgotten_is_told_from_one_whose_message_never_came(bench, lost):
    """Of neither is an identity known: the revenue that is counted is of the one who came."""
    people = bench.people(4, "tiktokglobal_int")
    sales = [bought(who, LATER_MS + 1000 * n, (3.0, 40.0, 500.0, 6000.0)[n]) for n, who in enumerate(people)]
    bench.happened(people + sales)
    await bench.receive([*people, *sales[:lost], *sales[lost + 1 :]])
    await bench.deliver()
    for who in people[lost + 1 :][:1]:
        person, keyring = PersonIds(appsflyer_id=who["appsflyer_id"]), Keyring(*bench.config.secrets)
        await forget(person, bench.config.apps, bench.store, keyring, clock=bench.clock)
    (day,) = await bench.reconcile()
    assert amounts(day) == {"gap": -sales[lost]["event_revenue"]}


@pytest.mark.parametrize("sign", [1, -1])
async def test_what_never_came_is_lacking_of_the_revenue_of_its_install(bench, sign):
    """Nothing was down: AppsFlyer pushed some to nowhere, and counts others that no raw data has. Some are refunds."""
    people = bench.people(4, "applovin_int") + bench.people(2, "unityads_int")
    sales = [bought(who, LATER_MS + 1000 * n, sign * 5.0) for n, who in enumerate(people)]
    others = [bought(who, LATER_MS + 60_000 + 1000 * n, sign * 7.0) for n, who in enumerate(people[4:])]
    for messages in (people, sales):
        bench.happened(messages)
    bench.knows(others)
    await bench.receive([*people, *sales[2:]])
    await bench.deliver()
    (day,) = await bench.reconcile()
    assert amounts(day, ALL_EVENTS) == {"gap": sign * -10.0, "unexplained appsflyer": 14.0}
    events = {part.code: part.events for row in day.revenue if row.key.event == ALL_EVENTS for part in row.parts}
    assert events == {"gap": 2}


async def test_what_has_no_rate_is_told_by_the_number_of_events(bench):
    """AppsFlyer has converted it, and flybridge could not."""
    people = bench.people(4, "tiktokglobal_int")
    sales = [bought(who, LATER_MS + 1000 * n, 50.0, "SEK", 5.0) for n, who in enumerate(people)]
    bench.happened(people + sales)
    await bench.receive(people + [one | {"event_revenue_usd": None} for one in sales])
    await bench.deliver()
    (day,) = await bench.reconcile()
    assert three(day, "tiktokglobal_int") == (20.0, 0.0, 200.0)
    assert amounts(day) == {"rate SEK": -20.0, "currency SEK": 200.0}
    (row,) = [row for row in day.revenue if row.key.event == ALL_EVENTS]
    assert [(part.code, part.n, part.events) for part in row.parts] == [("rate", -20_000_000, 4)]


async def test_without_raw_data_revenue_is_compared_and_not_split(new_bench):
    """The sums stand there, and the figures of counts are as ever."""
    async with new_bench(more="reconcile_by_raw_data = false") as bench:
        people = bench.people(2, "tiktokglobal_int")
        sales = [bought(who, LATER_MS, 20.0, "EUR", 22.0) for who in people]
        bench.happened(people + sales)
        await bench.receive(people + sales)
        await bench.deliver()
        (day,) = await bench.reconcile()
        assert three(day, "tiktokglobal_int") == (None, 44.0, 40.0)
        assert amounts(day) == {"unexplained amplitude": 4.0}
        assert bench.sandbox.raw_pull.calls == {}


async def test_raw_data_that_is_refused_is_noted(bench):
    """A quota that is used up is no day without events."""
    people = bench.people(2, "tiktokglobal_int")
    bench.happened(people)
    await bench.receive(people)
    bench.sandbox.raw_pull.quota = 0
    (day,) = await bench.reconcile()
    assert any("quota" in note for note in day.notes)


async def test_a_report_that_fails_is_read_again_and_the_others_are_not(bench):
    """Nothing is counted twice, whichever answer fails."""
    people = bench.people(3, "tiktokglobal_int")
    sales = [bought(who, LATER_MS, 20.0, "EUR", 22.0) for who in people]
    bench.happened(people + sales)
    await bench.receive(people + sales)
    await bench.deliver()
    for number in range(9):
        bench.sandbox.raw_pull.scripted.extend([*[""] * number, "503", "html"])
        (day,) = await bench.reconcile()
        assert (day.notes, amounts(day)) == ([], {"currency EUR": -6.0})
        bench.clock.advance(61)


def test_what_has_no_revenue_is_not_asked_for():
    """A sentence says what to ask for instead."""
    for given in ({"metric": "turnover"}, {"metric": "revenue", "event": "install"}):
        with pytest.raises(ConfigError):
            asked_differences(given, SCOPES)


async def test_what_is_withheld_and_has_no_rate_is_a_matter_of_the_rate(bench):
    """AppsFlyer has the amount under its source, and flybridge an event of a restricted one that it can't convert."""
    withheld, usual = bench.people(1, "restricted", campaign=None), bench.people(1, "tiktokglobal_int")
    bench.happened(withheld, source="Facebook Ads")
    bench.happened(usual)
    paid = [bought(who, LATER_MS + 1000 * n, 20.0, "EUR", 22.0) for n, who in enumerate(withheld)]
    bench.happened(paid, source="Facebook Ads")
    await bench.receive([*withheld, *usual, *(one | {"event_revenue_usd": None} for one in paid)], at_ms=LATER_MS)
    await bench.deliver()
    (day,) = await bench.reconcile()
    (row,) = [one for one in day.revenue if (one.key.event, one.key.media_source) == (ALL_EVENTS, "Facebook Ads")]
    assert (row.appsflyer, row.flybridge, row.unexplained("appsflyer")) == (22_000_000, 0, 0)
    assert [(part.code, part.detail, part.events) for part in row.parts] == [("rate", "restricted", 1)]
