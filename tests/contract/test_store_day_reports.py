"""What became of a day's events, by outcome, and the reports kept about days, on every backend."""

from __future__ import annotations

from collections import Counter

from filings import NOW_MS, TODAY, bought, direct, envelope, installed, key, lease, waiting
from msgspec import structs

from flybridge.insight.comparison import REPORT
from flybridge.insight.differences import last_compared
from flybridge.insight.performance import AppScope
from flybridge.records import DAY_MS, Dead, Filing, Filter, Person, Refuse
from flybridge.store.figures import UNEXPLAINED_EVENTS, DayReport
from flybridge.store.records import Retention, Settlement


def _n(rows) -> dict[tuple[str, ...], int]:
    return dict(Counter({(one.kind, one.media_source, one.outcome, one.reason, one.key_kinds): one.n for one in rows}))


async def test_a_days_events_are_told_by_what_became_of_them(store):
    """Each by the source under which it was counted; what waits by the kinds of its keys."""
    await store.file(
        [
            direct("a", performance=installed("one")),
            waiting("b", "k1", performance=installed("two")),
            waiting("c", "k2", "k3", performance=installed("three")),
            Filing(envelope(), Filter("event_excluded"), performance=bought()),
            Filing(envelope(), Refuse("no_identity"), performance=bought()),
            Filing(envelope(), Dead("map", "fault", "detail", ""), performance=bought()),
        ],
        NOW_MS,
    )
    found = await store.outcomes("shop", TODAY, TODAY)
    source = found.outcomes[0].media_source
    assert _n(found.outcomes) == {
        ("install", source, "pending", "", ""): 1,
        ("install", source, "held", "", "idfa"): 1,
        ("install", source, "held", "", "idfa idfa"): 1,
        ("event", source, "filtered", "event_excluded", ""): 1,
        ("event", source, "refused", "no_identity", ""): 1,
    }
    assert {one.kind: (one.n, one.entered, one.deleted) for one in found.counted} == {
        "install": (3, 3, 0),
        "event": (2, 2, 0),
    }
    (delivery,) = await lease(store)
    await store.settle([Settlement(delivery.id, "delivered")], "worker", NOW_MS)
    after = await store.outcomes("shop", TODAY, TODAY)
    assert _n(after.outcomes)["install", source, "delivered", "", ""] == 1
    assert (await store.outcomes("shop", TODAY + 1, TODAY + 9)).outcomes == []
    assert (await store.outcomes("other", TODAY, TODAY)).counted == []


async def test_a_corrected_attribution_shows_in_the_figures_and_not_in_what_was_sent(store):
    """The ledger row stays with the source under which it was sent."""
    first = installed("one", media_source="a", touch_s=1)
    again = installed("one", media_source="b", touch_s=2)
    same = {"key": key("install"), "key_until_ms": NOW_MS + DAY_MS}
    await store.file([direct("a", performance=first, **same)], NOW_MS)
    await store.file([direct("a", performance=again, **same)], NOW_MS)
    found = await store.outcomes("shop", TODAY, TODAY)
    assert {one.media_source: (one.n, one.entered) for one in found.counted} == {"a": (0, 1), "b": (1, 0)}


async def test_rows_past_their_retention_are_counted_as_deleted(store):
    """Nothing tells any more what became of them."""
    await store.file([Filing(envelope(), Filter("event_excluded"), performance=bought())], NOW_MS)
    await store.prune(NOW_MS + 40 * DAY_MS, Retention(ledger_days=30, dead_days=30))
    found = await store.outcomes("shop", TODAY, TODAY)
    assert ([(one.n, one.entered, one.deleted) for one in found.counted], found.outcomes) == ([(1, 1, 1)], [])


async def test_a_report_replaces_the_one_of_its_app_kind_and_day(store):
    """They come in the order of days, for one app or all."""
    await store.put_day_reports([])
    await store.put_day_reports(
        [DayReport("shop", "answers", 5, 1, b"old"), DayReport("other", "answers", 5, 1, b"x"),
         DayReport("shop", "answers", 4, 1, b"before"), DayReport("shop", "findings", 5, 1, b"y")]
    )  # fmt: skip
    await store.put_day_reports([DayReport("shop", "answers", 5, 2, b"new")])
    found = await store.day_reports("answers", 4, 5)
    assert [(one.app, one.day, one.made_ms, one.body) for one in found] == [
        ("shop", 4, 1, b"before"), ("other", 5, 1, b"x"), ("shop", 5, 2, b"new"),
    ]  # fmt: skip
    assert [one.body for one in await store.day_reports("answers", 5, 9, app="shop")] == [b"new"]
    assert len(await store.day_reports("findings", 0, 9)) == 1


async def test_what_was_delivered_is_told_by_its_insert_id(store):
    """Until its person is forgotten; reports that name events go then, too."""
    person = Person((key("ann"),), NOW_MS)
    await store.file([direct("a", performance=installed("one"), persons=(person,)), direct("b")], NOW_MS)
    for delivery in await lease(store):
        await store.settle([Settlement(delivery.id, "delivered")], "worker", NOW_MS + 5)
    (sent,) = await store.sent_events("shop", TODAY, TODAY)
    assert (sent.kind, sent.insert_id, sent.sent_ms) == ("install", "id-a", NOW_MS + 5)
    assert await store.sent_events("shop", TODAY + 1, TODAY + 2) == []
    await store.put_day_reports(
        [DayReport("shop", UNEXPLAINED_EVENTS, TODAY, 1, b"[]"), DayReport("shop", "answers", TODAY, 1, b"{}")]
    )
    await store.forget([key("ann")], NOW_MS + 9, receipt="r")
    assert await store.sent_events("shop", TODAY, TODAY) == []
    assert await store.day_reports(UNEXPLAINED_EVENTS, 0, 50_000) == []
    assert len(await store.day_reports("answers", 0, 50_000)) == 1


async def test_events_with_revenue_are_told_by_what_became_of_them(store):
    """One by one, of each name of which one had revenue on these days."""
    paid, back, free = bought(5.0), bought(-5.0, campaign="another"), bought(event="free")
    await store.file(
        [direct("a", performance=paid), waiting("b", "k1", performance=back), direct("c", performance=free),
         Filing(envelope(), Filter("event_excluded"), performance=paid), direct("d", performance=installed("one"))],
        NOW_MS,
    )  # fmt: skip
    found = await store.event_outcomes("shop", TODAY, TODAY)
    assert sorted((one.insert_id, one.outcome, one.key_kinds) for one in found) == [
        ("id-a", "pending", ""), ("id-b", "held", "idfa"),
    ]  # fmt: skip
    assert {(one.kind, one.event) for one in found} == {("event", paid.dimensions.event)}
    assert await store.event_outcomes("shop", TODAY + 1, TODAY + 2) == []
    assert await store.event_outcomes("other", TODAY, TODAY) == []
    counted = {one.event: (one.n, one.revenue) for one in (await store.outcomes("shop", TODAY, TODAY)).counted}
    assert counted == {"": (1, 0), "purchase": (3, 5_000_000), "free": (1, 0)}


async def test_what_expired_is_told_by_the_kinds_of_its_keys(store):
    """Whether it waited or came too late, but not what an operator ended; what is in no figure is not counted."""
    over = waiting("late", "k9", performance=installed("late"))
    over = structs.replace(over, decision=structs.replace(over.decision, expires_ms=NOW_MS, key_kinds=("idfv",)))
    await store.file(
        [
            waiting("a", "k1", performance=installed("one")),
            waiting("b", "k2", "k3", performance=installed("two")),
            waiting("c", "k4", performance=installed("three")),
            waiting("d", "k5"),
            over,
        ],
        NOW_MS,
    )
    held = await store.holds()
    await store.expire_now([held[2].id], NOW_MS)
    while await store.expire(NOW_MS + 10 * DAY_MS):
        pass
    found = await store.outcomes("shop", TODAY, TODAY)
    assert sorted((one.outcome, one.reason, one.key_kinds, one.n) for one in found.outcomes) == [
        ("expired", "", "idfa", 1),
        ("expired", "", "idfa idfa", 1),
        ("expired", "", "idfv", 1),
        ("expired", "by_hand", "", 1),
    ]
    assert await store.audit() == []


async def test_the_last_day_that_was_compared_is_found(store):
    """However long ago, of the apps that are asked about, and of comparisons alone."""
    shop, game = (AppScope(name, "USD", {}, "ios", TODAY) for name in ("shop", "game"))
    assert await last_compared(store, [shop, game], TODAY) is None
    await store.put_day_reports(
        [
            DayReport("shop", REPORT, TODAY - 300, NOW_MS, b"{}"),
            DayReport("shop", REPORT, TODAY - 290, NOW_MS, b"{}"),
            DayReport("game", REPORT, TODAY - 3, NOW_MS, b"{}"),
            DayReport("shop", UNEXPLAINED_EVENTS, TODAY - 2, NOW_MS, b"{}"),
            DayReport("shop", REPORT, TODAY, NOW_MS, b"{}"),
        ]
    )
    assert await last_compared(store, [shop], TODAY) == TODAY - 290
    assert await last_compared(store, [shop, game], TODAY) == TODAY - 3
    assert await last_compared(store, [shop], TODAY - 290) == TODAY - 300
    assert await last_compared(store, [shop], TODAY - 300) is None
