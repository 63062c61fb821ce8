"""Performance counters on every backend: days, cohorts, installations, limits, and the costs beside them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from filings import (
    LATER_MS,
    NOW_MS,
    TODAY,
    acted,
    bought,
    counted,
    direct,
    envelope,
    installed,
    key,
    sighting,
    standing,
    waiting,
)
from msgspec import structs

from flybridge.records import DAY_MS, Apply, Dead, Filing, Filter, Person, Refuse, Source
from flybridge.store.performance import LABELS, OTHER, CostRow, Slice
from flybridge.store.postgres.store import PostgresStore
from flybridge.store.records import Retention
from flybridge.store.sqlite.store import SqliteStore

ALL = Slice(0, 50_000, TODAY + 100, frozenset({*LABELS, "event"}))
TOTAL = Slice(0, 50_000, TODAY + 100)
DEAD = Dead("map", "fault", "detail", "")


def of(performance, name: str = "x", **fields) -> Filing:
    """File an event whose user is known, with what it counts for."""
    persons = (Person(performance.keys, NOW_MS),) if performance.keys else ()
    return direct(name, performance=performance, persons=persons, **fields)


def same(name: str) -> dict[str, object]:
    """Give a filing a content identity that is remembered."""
    return {"key": key(name), "key_until_ms": LATER_MS}


async def curve(store, question: Slice = TOTAL) -> dict[int, tuple[int, ...]]:
    """Return active, payers, events and revenue in whole units by offset, of installs that were received."""
    return {
        point.offset: (point.active, point.payers, point.events, point.revenue // 1_000_000)
        for point in await store.curves(question)
        if point.kind == "install" and any((point.active, point.payers, point.events, point.revenue))
    }


async def sources(store, kind: str = "install") -> dict[str, int]:
    """Return how many of a kind were counted, by media source."""
    found = Counter()
    for row in await store.performance(ALL):
        if row.kind == kind:
            found[row.labels.media_source] += row.n
    return dict(+found)


async def test_what_had_an_effect_is_counted_whatever_became_of_it(store):
    """Filtered and refused events count as they do at AppsFlyer; dead ones don't yet, duplicates never."""
    await store.file(
        [
            of(bought(1.5), **same("one")),
            Filing(envelope(), Filter("event_excluded"), performance=bought(2.0)),
            Filing(envelope(), Refuse("restricted_source"), performance=bought(4.0, media_source="restricted")),
            Filing(envelope(), DEAD, performance=bought(8.0)),
            of(bought(1.5), **same("one")),
        ],
        NOW_MS,
    )
    rows = {row.labels.media_source: (row.n, row.revenue) for row in await store.performance(ALL)}
    assert rows == {"tiktok": (2, 3_500_000), "restricted": (1, 4_000_000)}


async def test_money_that_is_not_converted_is_counted_and_not_added(store):
    """Nothing is added up raw."""
    await store.file([of(structs.replace(bought(), not_converted=True, paid=True)), of(bought(1.0))], NOW_MS)
    (row,) = await store.performance(TOTAL)
    assert (row.n, row.revenue, row.not_converted) == (2, 1_000_000, 1)


async def test_an_installation_is_active_on_the_days_on_which_it_did_something(store):
    """The first purchase makes a payer, once; day 90 is the last."""
    did = [acted(days=0, revenue=1), acted(days=3), acted(days=3, revenue=2), acted(days=90), acted(days=91, revenue=9)]
    await store.file([of(installed()), *map(of, did)], NOW_MS)
    assert await curve(store) == {0: (1, 1, 1, 1), 3: (1, 0, 2, 2), 90: (1, 0, 1, 0)}
    assert sum(row.revenue for row in await store.performance(TOTAL)) == 12_000_000


async def test_events_before_their_install_wait_for_it(store):
    """They are a cohort of their own until it comes, and of the day that they name."""
    await store.file([of(acted(days=2, revenue=5, country="FR"))], NOW_MS)
    (point,) = await store.curves(ALL)
    assert (point.kind, point.labels.day, point.offset, point.labels.country) == ("unseen", TODAY, 2, "")
    await store.file([of(installed())], NOW_MS)
    assert await curve(store) == {0: (1, 0, 0, 0), 2: (1, 1, 1, 5)}


async def test_a_duplicate_that_names_another_source_corrects_the_attribution(store):
    """The install, the cohort, and what it did move; the duplicate is one in the account all the same."""
    await store.file(
        [of(installed(media_source="organic", campaign=""), **same("i")), of(acted(days=1, revenue=3))], NOW_MS
    )
    assert await sources(store) == {"organic": 1}
    await store.file([of(installed(touch_s=5), **same("i")), of(installed(), **same("i"))], NOW_MS)
    assert await sources(store) == {"tiktok": 1}
    assert await curve(store, structs.replace(TOTAL, media_source="tiktok")) == {0: (1, 0, 0, 0), 1: (1, 1, 1, 3)}
    assert await curve(store, structs.replace(TOTAL, media_source="organic")) == {}
    assert await standing(store) == {"pending": 2, "duplicate": 2}


async def test_an_install_counts_once_however_long_ago_its_key_was_forgotten(store):
    """A file that is imported again a year later changes nothing."""
    await store.file([of(installed())], NOW_MS)
    await store.file([of(installed())], NOW_MS + 300 * DAY_MS)
    assert await sources(store) == {"tiktok": 1}


async def test_who_was_given_to_somebody_in_amplitude_is_counted_once(store):
    """At once, or when the hold is matched; what waits or expires does not reach anybody."""
    await store.file(
        [
            of(installed("one")),
            of(acted("one", 1)),
            structs.replace(waiting("w", "two", "idfa"), performance=installed("two")),
            structs.replace(waiting("v", "three"), performance=installed("three")),
        ],
        NOW_MS,
    )
    assert [(row.n, row.reached) for row in await store.performance(TOTAL) if row.kind == "install"] == [(3, 1)]
    await store.file([Filing(envelope(source=Source.STREAM), Apply(), sightings=(sighting("idfa"),))], NOW_MS)
    assert [(row.n, row.reached) for row in await store.performance(TOTAL) if row.kind == "install"] == [(3, 2)]


async def test_what_is_sent_without_a_match_reaches_nobody(store):
    """By hand, or under its customer user id once its window is over: `matched_share` says what was matched."""
    by_hand, late = (structs.replace(waiting(name, name), performance=installed(name)) for name in ("one", "two"))
    late = structs.replace(late, decision=structs.replace(late.decision, fallback_user_id="a-customer"))
    await store.file([by_hand, late], NOW_MS)
    first, *_ = await store.holds()
    assert (await store.release([first.id], NOW_MS, user_id="ann")).released == [first.id]
    assert await store.expire(late.decision.expires_ms) == 1
    assert [(row.n, row.reached) for row in await store.performance(TOTAL) if row.kind == "install"] == [(2, 0)]


async def test_forgetting_removes_the_installation_and_leaves_the_sums(store):
    """What comes again from before adds nothing; what the person does later is a new installation's."""
    await store.file([of(installed(), **same("i")), of(acted(days=1, revenue=3))], NOW_MS)
    before = (await curve(store), await counted(store))
    await store.forget([key("af")], NOW_MS + 1, receipt="r")
    await store.file([of(installed(), **same("i")), of(acted(days=1, revenue=3))], NOW_MS + 2)
    assert (await curve(store), await counted(store)) == before
    later = structs.replace(
        of(acted(days=2, revenue=1)),
        envelope=envelope(received_ms=NOW_MS + DAY_MS),
        persons=(Person((key("af"),), NOW_MS + DAY_MS),),
    )
    await store.file([later], NOW_MS + DAY_MS)
    assert await curve(store) == before[0]
    assert [point.kind for point in await store.curves(TOTAL) if point.active] == ["install", "install", "unseen"]


async def test_a_pruned_ledger_and_old_installations_leave_the_counters(store):
    """The audit knows how many of the rows that were counted are gone."""
    await store.file(
        [of(installed()), of(acted(days=1)), Filing(envelope(), Filter("f"), performance=bought())], NOW_MS
    )
    shown = sorted(map(repr, await store.performance(ALL)))
    far_ms = NOW_MS + 500 * DAY_MS
    await store.prune(far_ms, Retention(ledger_days=30, dead_days=30))
    assert await store.audit() == []
    assert sorted(map(repr, await store.performance(ALL))) == shown


async def test_a_day_has_a_limited_number_of_cells(store, open_store):
    """Beyond it all is counted as `(other)`, also when a cell is looked for again."""
    limited: PostgresStore | SqliteStore = (
        PostgresStore(store._place, store._seal, 3)
        if isinstance(store, PostgresStore)
        else SqliteStore(store._place, store._seal, 3)
    )
    await limited.open()
    for _ in range(2):
        await limited.file([of(installed(f"{n}", campaign=f"c{n}")) for n in range(6)], NOW_MS)
        await limited.file([of(acted(f"{n}", campaign=f"c{n}")) for n in range(6)], NOW_MS)
    await limited.close()
    assert await sources(store) == {"tiktok": 3, OTHER: 3}
    assert await sources(store, "event") == {OTHER: 12}
    assert await curve(store) == {0: (6, 0, 12, 0)}


@pytest.mark.parametrize("by", [(), ("media_source",), ("day", "country"), ("app", "platform", "event")])
async def test_sums_are_asked_for_by_any_labels(store, by):
    """What was not asked for is empty, and everything is in some row."""
    await store.file(
        [of(bought(n, media_source=f"s{n % 3}", country=("DE", "FR")[n % 2], event=f"e{n % 2}")) for n in range(12)],
        NOW_MS,
    )
    rows = await store.performance(structs.replace(TOTAL, by=frozenset(by)))
    assert sum(row.n for row in rows) == 12
    assert sum(row.revenue for row in rows) == 66_000_000
    expected = {"media_source": 3, "country": 2, "event": 2}
    assert len(rows) == max([1, *(expected.get(label, 1) for label in by)])
    for row in rows:
        assert bool(row.labels.country) == ("country" in by)
        assert bool(row.labels.day) == ("day" in by)


async def test_a_slice_has_days_and_names(store):
    """Each filter leaves out the others."""
    await store.file(
        [of(bought(1, media_source="a")), of(bought(2, country="FR")), of(bought(4, platform="android"))], NOW_MS
    )

    async def revenue(**named) -> int:
        return sum(row.revenue for row in await store.performance(structs.replace(TOTAL, **named))) // 1_000_000

    assert await revenue() == 7
    assert await revenue(media_source="a") == 1
    assert await revenue(country="FR") == 2
    assert await revenue(platform="android") == 4
    assert await revenue(campaign="summer") == 7
    assert await revenue(app="other") == 0
    assert await revenue(first=TODAY + 1) == 0


async def test_only_complete_days_count_for_a_horizon(store):
    """A cohort of yesterday has a day 0, and no day 1."""
    old, new = NOW_MS // 1000 - 8 * 86_400, NOW_MS // 1000 - 86_400
    await store.file(
        [
            of(installed("a", install_s=old)), of(acted("a", 7, 10, install_s=old)),
            of(installed("b", install_s=new)), of(acted("b", 0, 1, install_s=new)),
        ],
        NOW_MS,
    )  # fmt: skip
    question = Slice(0, 50_000, TODAY)
    sizes = {size.horizon: size.n for size in await store.cohort_sizes(question, (-1, 0, 1, 7))}
    assert sizes == {-1: 2, 0: 2, 1: 1, 7: 1}
    sums = {row.horizon: (row.active, row.payers, row.revenue) for row in await store.cohort_sums(question, (0, 1, 7))}
    assert sums == {0: (2, 1, 1_000_000), 1: (0, 0, 0), 7: (1, 1, 10_000_000)}


async def test_costs_are_replaced_by_origin_and_day_and_the_best_origin_counts(store):
    """A corrected day replaces itself; what nobody reported is None."""
    row = CostRow("shop", TODAY, "tiktok", "summer", "DE", "USD", 5_000_000, 10, 1000)
    await store.replace_costs(
        "shop", "aggregate", days=(TODAY - 1, TODAY), rows=[row, structs.replace(row, day=TODAY - 1)]
    )
    await store.replace_costs("shop", "aggregate", days=(TODAY, TODAY), rows=[structs.replace(row, spend=6_000_000)])
    by_day = structs.replace(TOTAL, by=frozenset({"day", "media_source"}))
    assert sorted((cost.labels.day, cost.spend, cost.clicks) for cost in await store.costs(by_day)) == [
        (TODAY - 1, 5_000_000, 10),
        (TODAY, 6_000_000, 10),
    ]
    mine = structs.replace(row, campaign="", country="", spend=None, clicks=None, impressions=7)
    await store.replace_costs("shop", "csv", days=(TODAY, TODAY), rows=[mine])
    assert sorted((c.labels.day, c.spend, c.impressions, c.origin) for c in await store.costs(by_day)) == [
        (TODAY - 1, 5_000_000, 1000, "aggregate"),
        (TODAY, None, 7, "csv"),
    ]
    assert [cost.spend for cost in await store.costs(Slice(0, 50_000, TODAY), (0,))] == [5_000_000]


async def test_a_cost_without_any_figure_hides_none_of_another_origin(store):
    """It takes away what its origin had reported before, and stands for nothing itself."""
    row = CostRow("shop", TODAY, "tiktok", "summer", "DE", "USD", 5_000_000, 10, 1000)
    by_source = structs.replace(TOTAL, by=frozenset({"media_source"}))
    await store.replace_costs("shop", "aggregate", days=(TODAY, TODAY), rows=[row])
    for mine, found in (
        (structs.replace(row, spend=7_000_000), (7_000_000, "csv")),
        (structs.replace(row, spend=None, clicks=None, impressions=None), (5_000_000, "aggregate")),
    ):
        await store.replace_costs("shop", "csv", days=(TODAY, TODAY), rows=[mine], every_source=False)
        assert [(cost.spend, cost.origin) for cost in await store.costs(by_source)] == [found]


async def test_two_processes_that_count_the_same_installations_are_exact(open_store):
    """Whoever files what: the figures are those of one."""
    one, two = await open_store(), await open_store()
    dice = random.Random(3)
    filings = [of(installed(f"i{n}"), receipt=f"i{n}") for n in range(10)]
    filings += [of(acted(f"i{n}", day, 1), receipt=f"i{n}-{day}") for n in range(10) for day in range(6)]
    for _ in range(2):
        verbs = []
        for store in (one, two):
            shuffled = dice.sample(filings, len(filings))
            verbs += [store.file(shuffled[at : at + 7], NOW_MS) for at in range(0, len(shuffled), 7)]
        await asyncio.gather(*verbs)
    assert await counted(one) == 70
    assert await curve(two) == {0: (10, 10, 10, 10), **dict.fromkeys(range(1, 6), (10, 0, 10, 10))}
