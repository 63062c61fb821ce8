"""Every cause of a difference is planted once, under a media source of its own, and found with its number.

The table is closed: a cause that nobody plants fails the test.
"""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from msgspec import structs
from planting import (
    APP_ID,
    DAY,
    DAY_START_MS,
    NOON_MS,
    Bench,
    bought,
    fact_of,
    of_the_attribution_route,
    opened_bench,
    written_time,
)

from flybridge.history.uptime import note_downtime
from flybridge.identity import Keyring
from flybridge.insight.causes import AMPLITUDE, APPSFLYER, CAUSES
from flybridge.insight.comparison import ALL_EVENTS, DayComparison
from flybridge.insight.reconcile import AmplitudeCount, AppsFlyerCounts, DayEvidence, compare
from flybridge.operations.compare_cohorts import CohortComparer
from flybridge.operations.forget import PersonIds, forget
from flybridge.operations.reconcile_plan import reconcile_plans_of
from flybridge.records import DAY_MS, HOUR_MS, OutcomeKind
from flybridge.sandbox.vendors.cohort_report import SESSION
from flybridge.sealing import Seal
from flybridge.store.figures import CountedOn, OutcomeCount
from flybridge.store.records import Lane
from flybridge.store.sqlite.store import SqliteStore

ANY = "any source"
"""What can't be read names no source, and what never came is shared with it by sums."""
NO_SOURCE = "no source"
"""What the app itself has sent names none in Amplitude."""
LATER_MS = NOON_MS + HOUR_MS
Table = dict[tuple[str, str], tuple[int, int]]
"""What was planted and found, by cause and media source."""


def did(who: dict, name: str, at_ms: int, **fields) -> dict:
    """Return an in-app event of a person."""
    return who | {"event_name": name, "event_time": written_time(at_ms), "event_value": "{}"} | fields


def found_in(day: DayComparison, code: str, source: str, kind: str, event: str) -> int:
    """Return what a cause adds to the row of a source; amounts in revenue count as events."""
    rows = day.revenue if code in ("rate", "currency") else day.rows
    return sum(
        part.events if code in ("rate", "currency") else part.n
        for row in rows
        if (row.key.kind, row.key.event) == (kind, event)
        if source in (ANY, row.key.media_source)
        for part in row.parts
        if part.code == code
    )


def nothing_unexplained(day: DayComparison) -> None:
    left = [(row.key, step) for row in day.rows for step in (APPSFLYER, AMPLITUDE) if row.unexplained(step)]
    assert (day.notes, left) == ([], [])


async def of_one_day(bench: Bench) -> Table:
    """Plant what can happen on one day side by side."""
    moments = iter(range(1, 100_000))
    planted: dict[tuple[str, str, str, str], int] = {}

    def plant(code: str, n: int, *, source: str = "", kind: str = "install", event: str = "") -> None:
        named = "" if source == NO_SOURCE else source or f"{code}_int"
        planted[code, named, kind, event] = n

    def people(code: str, n: int, **fields) -> list[dict]:
        return bench.people(n, f"{code}_int", **fields)

    def later(whos, name: str, **fields) -> list[dict]:
        return [did(who, name, LATER_MS + 1001 * next(moments), **fields) for who in whos]

    async def came(messages: list[dict], **given) -> list[dict]:
        bench.happened(messages)
        await bench.receive(messages, **given)
        return messages

    booked = await came(people("booking_day", 6))
    next_day = [did(who, "level", NOON_MS + DAY_MS + 1001 * next(moments)) for who in booked[:4]]
    await came(next_day, at_ms=NOON_MS + DAY_MS + HOUR_MS)
    plant("booking_day", -4, kind="event", event=ALL_EVENTS)

    first = await came(people("secondary_copies", 5))
    copies = [did(who, "won", LATER_MS + 1001 * next(moments), is_primary_attribution=False) for who in first]
    back = [
        one | {"is_primary_attribution": True, "media_source": "conversion_definition_int", "is_retargeting": True,
               "campaign_type": "retargeting", "conversion_type": "re-engagement"}
        for one in copies
    ]  # fmt: skip
    await came(copies + back)
    plant("conversion_definition", 5, kind="event", event="won")
    plant("secondary_copies", -5, kind="event", event="won")
    plant("secondary_sent", 5, source="secondary_copies_int", kind="event", event="won")

    payers = await came(people("rate", 3))
    pounds = [bought(who, LATER_MS + 1001 * next(moments), 8.0, "GBP", 11.0) for who in payers]
    bench.happened(pounds)
    await bench.receive([one | {"event_revenue_usd": None} for one in pounds])
    plant("rate", 3, kind="event", event="af_purchase")
    payers = await came(people("currency", 2))
    await came([bought(who, LATER_MS + 1001 * next(moments), 20.0, "EUR", 22.0) for who in payers])
    plant("currency", 2, kind="event", event="af_purchase")

    bench.happened(withheld := bench.people(6, "restricted", campaign=None), source="Facebook Ads")
    await bench.receive(withheld)
    plant("restricted", -6, source="Facebook Ads")

    bench.happened(garbled := people("unreadable", 3))
    await bench.receive([json.dumps(one).encode()[:-1] for one in garbled])
    plant("unreadable", -3, source=ANY)
    bench.happened(people("gap", 9))
    await bench.store.confirm(NOON_MS - HOUR_MS)
    await note_downtime(bench.store, NOON_MS)
    plant("gap", -9, source=ANY)

    moved = await came(people("corrected", 2))
    bench.knows([one | {"media_source": "others_int"} for one in moved])
    await bench.receive([one | {"media_source": "others_int"} for one in moved])
    bench.sandbox.reports.facts[APP_ID] = [
        one for one in bench.sandbox.reports.facts[APP_ID] if one.media_source != "corrected_int"
    ]
    plant("corrected", 2)

    await came(people("held", 7, device=""), at_ms=bench.clock.now_ms())
    plant("held", -7)
    await came(people("expired", 4, device=""))
    plant("expired", -4)
    bench.happened([one | {"appsflyer_id": f"nobody-{n}"} for n, one in enumerate(people("no_identity", 2, device=""))])
    await bench.receive(people("no_identity", 2, device="", appsflyer_id=None))
    plant("no_identity", -2)
    await came(bench.people(2, "roku"))
    plant("restricted_by_policy", -2, source="roku")
    await came(later(await came(people("filtered", 4)), "debug_tap"))
    plant("filtered", -4, kind="event", event="debug_tap")
    await came(people("silenced", 5, device="silenced"))
    plant("silenced", -5)
    await came(people("rejected", 4, device="unliked"))
    plant("rejected", -4)
    await came(later(same := await came(people("same_name", 3)), "trial") + later(same[:2], "start"))
    plant("same_name", 3, kind="event", event="start")

    twice = await came(people("second_integration", 20))
    forgotten = await came(people("forgotten", 3, device=""), at_ms=bench.clock.now_ms())
    await bench.deliver()
    # Another integration sends a part of the installs only.
    await bench.upload(twice[:7])
    plant("second_integration", 7)
    # The app logs the event "won" to Amplitude, too.
    await bench.upload(back[:4], name="won")
    plant("sent_by_app", 4, source=NO_SOURCE, kind="event", event="won")
    for who in forgotten:
        person, keyring = PersonIds(appsflyer_id=who["appsflyer_id"]), Keyring(*bench.config.secrets)
        await forget(person, bench.config.apps, bench.store, keyring, clock=bench.clock)
    plant("forgotten", -3)

    await came(people("dead", 3))
    queued = await bench.store.queued(Lane("shop", "http_v2"))
    assert len(await bench.store.take_out([one.id for one in queued], bench.clock.now_ms())) == 3
    plant("dead", -3)
    await came(people("in_flight", 6))
    plant("in_flight", -6)

    (day,) = await bench.reconcile()
    nothing_unexplained(day)
    return {(code, at[1]): (n, found_in(day, code, *at[1:])) for (code, *_), n, at in (
        (at, n, at) for at, n in planted.items()
    )}  # fmt: skip


async def of_the_attribution_api(bench: Bench) -> Table:
    """Plant what happens on the route attribution: Amplitude finds four of six people, and three have no id."""
    await bench.receive(await of_the_attribution_route(bench, "amplitude_unmatched_int", "privacy_int"))
    await bench.deliver()
    (day,) = await bench.reconcile()
    nothing_unexplained(day)
    return {
        ("privacy", "privacy_int"): (-3, found_in(day, "privacy", "privacy_int", "install", "")),
        ("amplitude_unmatched", "amplitude_unmatched_int"): (
            -2, found_in(day, "amplitude_unmatched", "amplitude_unmatched_int", "install", "")
        ),
    }  # fmt: skip


async def of_time(bench: Bench) -> Table:
    """Plant what the clock makes: Amplitude's project is in Tokyo, and the day before yesterday is not final."""
    bench.sandbox.dashboard.zones["the-key"] = "Asia/Tokyo"
    # Tokyo's second of March ends at 15:00 UTC.
    for hour, n in ((14, 7), (16, 11)):
        messages = bench.people(n, "day_boundary_int", at_ms=DAY_START_MS + hour * HOUR_MS)
        bench.knows(messages)
        await bench.receive(messages, at_ms=DAY_START_MS + 20 * HOUR_MS)
    late = bench.people(5, "not_final_int", at_ms=NOON_MS + 4 * DAY_MS - 10 * HOUR_MS)
    bench.knows(late)
    await bench.receive(late[:3], at_ms=bench.clock.now_ms())
    await bench.deliver()
    (day,) = await bench.reconcile()
    nothing_unexplained(day)
    bench.clock.advance(61)  # AppsFlyer's quota of short ranges is one call a minute
    (recent,) = await bench.reconcile(DAY + 4)
    nothing_unexplained(recent)
    return {
        ("day_boundary", "day_boundary_int"): (-11, found_in(day, "day_boundary", "day_boundary_int", "install", "")),
        ("not_final", "not_final_int"): (-2, found_in(recent, "not_final", "not_final_int", "install", "")),
    }


async def of_cohorts(bench: Bench) -> Table:
    """Plant what only the days after the install show: who opened the app and did nothing there."""
    people = bench.people(4, "opened_only_int")
    bench.knows(people)
    await bench.receive(people)
    sessions = (fact_of(did(who, "", LATER_MS + DAY_MS), None, 0) for who in people[:3])
    bench.sandbox.reports.learn(structs.replace(one, kind=SESSION) for one in sessions)
    (plan,) = reconcile_plans_of(bench.config)
    (day,) = await CohortComparer(bench.store, bench.download, bench.clock).run(plan, [DAY])
    assert not any(row.unexplained(APPSFLYER) for row in day.rows)
    found = sum(part.n for row in day.rows for part in row.parts if part.code == "opened_only")
    return {("opened_only", "opened_only_int"): (-3, found)}


def of_the_ledger() -> Table:
    """Plant what the ledger of this version has only from others, or for apps that AppsFlyer has no reports of."""
    fates = {
        "fraud": (OutcomeKind.FILTERED, "blocked_as_fraud", 8),
        "refused": (OutcomeKind.REFUSED, "platform_unsupported", 5),
        "duplicate": (OutcomeKind.DUPLICATE, "", 2),
    }
    counted = [CountedOn(DAY, "install", "", f"{code}_int", n, n, 0) for code, (_, _, n) in fates.items()]
    outcomes = [
        OutcomeCount(DAY, "install", "", f"{code}_int", outcome, reason, "", n)
        for code, (outcome, reason, n) in fates.items()
    ]
    appsflyer = AppsFlyerCounts("aggregate", {f"{code}_int": n for code, (_, _, n) in fates.items()})
    day = compare(
        DayEvidence(
            "shop", DAY, 0, is_final=True, counted=counted, outcomes=outcomes, name_of=lambda kind, event: "install",
            appsflyer=appsflyer, amplitude={"install": {"others": AmplitudeCount(0, 0)}},
        )
    )  # fmt: skip
    nothing_unexplained(day)
    return {
        (code, f"{code}_int"): (-n, found_in(day, code, f"{code}_int", "install", ""))
        for code, (_, _, n) in fates.items()
    }


def new_bench(folder: Path, name: str, **settings: str) -> AbstractAsyncContextManager[Bench]:
    return opened_bench(folder, lambda config: SqliteStore(folder / f"{name}.db", Seal(*config.secrets)), settings)


async def test_every_cause_is_found_with_its_number(tmp_path):
    """Planted against found."""
    table = of_the_ledger()
    async with new_bench(
        tmp_path,
        "day",
        mapping='double_attribution = "both"\nrename = { trial = "start" }',
        insight="[apps.insight.rates]\nGBP = 1.25",
        more="reconcile_by_master = true",
    ) as bench:
        table |= await of_one_day(bench)
    async with new_bench(tmp_path, "attribution", route="attribution") as bench:
        table |= await of_the_attribution_api(bench)
    async with new_bench(tmp_path, "time", amplitude='timezone = "Asia/Tokyo"') as bench:
        table |= await of_time(bench)
    async with new_bench(tmp_path, "cohorts") as bench:
        table |= await of_cohorts(bench)
    for (code, source), (planted, found) in table.items():
        print(f"{code:24} {source:28} {planted:6} {found:6}")  # noqa: T201 - the table, where it is asked for
    assert {at: found for at, (_, found) in table.items()} == {at: planted for at, (planted, _) in table.items()}
    assert {code for code, _ in table} == set(CAUSES)
