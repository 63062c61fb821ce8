"""What every store guarantees about ending a wait by clock or by hand, and about what it counts on the way."""

from __future__ import annotations

import pytest
from filings import (
    DAY,
    LANE,
    LATER_MS,
    NOW_MS,
    WINDOW_MS,
    direct,
    envelope,
    key,
    lease,
    lines,
    sighting,
    standing,
    waiting,
)

from flybridge.records import HOUR_MS, Apply, Carried, Deliver, Filing, Hold, Source
from flybridge.store.figures import CoverageRow, HeldCount, SightedKind
from flybridge.store.records import Lane, Released, Retention

V1 = Lane("shop", "attribution")


def held(
    name: str, *, endpoint: str = "http_v2", fallback: str | None = None, source: str = "tiktok", **fields
) -> Filing:
    """File an item that waits for the key of its name."""
    item = Deliver(endpoint, f"id-{name}", "install", b'{"name": "%s"}' % name.encode())
    expires_ms = fields.pop("expires_ms", NOW_MS + WINDOW_MS)
    event_ms = fields.pop("event_ms", NOW_MS)
    hold = Hold(item, (key(name),), ("idfa",), event_ms, expires_ms, source, fallback)
    return Filing(envelope(**fields), hold)


def told(*sightings, source: Source = Source.STREAM) -> Filing:
    """File what Amplitude tells."""
    return Filing(envelope(source=source), Apply(), sightings=sightings)


async def ids(store) -> list[int]:
    """Return the ids of what waits, oldest first."""
    return [hold.id for hold in await store.holds()]


async def people(store, now_ms: int = NOW_MS, lane: Lane = LANE) -> dict[str, tuple]:
    """Lease what is due and give who each item is of."""
    return {d.insert_id.removeprefix("id-"): (d.user_id, d.device_id) for d in await lease(store, now_ms, lane)}


async def test_what_has_a_fallback_is_sent_under_it_when_its_window_is_over(store):
    """To the millisecond, and its neighbour without one expires."""
    await store.file([held("a", fallback="cust-1"), held("b")], NOW_MS)
    assert await store.expire(NOW_MS + WINDOW_MS - 1) == 0
    assert await store.expire(NOW_MS + WINDOW_MS) == 2
    assert await people(store, NOW_MS + WINDOW_MS) == {"a": ("cust-1", None)}
    assert [(line.outcome, line.reason) for line in await lines(store)] == [
        ("pending", "as_customer_user_id"),
        ("expired", ""),
    ]
    assert await store.hold_counts() == []


async def test_a_sighting_is_believed_before_the_fallback(store):
    """The fallback is for the end of the window only."""
    await store.file([held("a", fallback="cust-1")], NOW_MS)
    await store.file([told(sighting("a"))], NOW_MS)
    assert await people(store) == {"a": ("ada", "ada-phone")}
    assert await store.expire(LATER_MS + WINDOW_MS) == 0


async def test_what_is_filed_after_its_window_goes_out_under_its_fallback(store):
    """It has nothing to wait for; without a fallback it expires at once."""
    late = [held("a", fallback="cust-1", expires_ms=NOW_MS), held("b", expires_ms=NOW_MS)]
    filed = await store.file(late, NOW_MS)
    assert (filed.outcomes, filed.matched) == ({"pending": 1, "expired": 1}, 0)
    assert await people(store) == {"a": ("cust-1", None)}


async def test_the_fallback_sends_one_persons_events_in_their_order(store):
    """As a sighting would."""
    batch = [
        held("c", fallback="u", event_ms=3),
        held("a", fallback="u", event_ms=1),
        held("b", fallback="u", event_ms=2),
    ]
    await store.file(batch, NOW_MS)
    await store.expire(LATER_MS + WINDOW_MS)
    assert list(await people(store, LATER_MS + WINDOW_MS)) == ["a", "b", "c"]


async def test_the_fallback_keeps_the_order_where_others_have_been_matched_meanwhile(store):
    """What is between two events of one person does not part them."""
    batch = [held("c", fallback="u", event_ms=3), waiting("m", "met"), held("a", fallback="u", event_ms=1)]
    await store.file(batch, NOW_MS)
    await store.file([Filing(envelope(), Apply(), sightings=(sighting("met"),))], NOW_MS)
    assert list(await people(store)) == ["m"]
    assert await store.expire(LATER_MS + WINDOW_MS, limit=2) == 2
    assert list(await people(store, LATER_MS + WINDOW_MS))[-2:] == ["a", "c"]


@pytest.mark.parametrize(("given", "who"), [({"user_id": "eve"}, ("eve", None)), ({"device_id": "d"}, (None, "d"))])
async def test_an_operator_releases_as_of_somebody(store, given, who):
    """Only what was named goes out, as of whom was said."""
    await store.file([held("a"), held("b")], NOW_MS)
    first, second = await ids(store)
    assert await store.release([first, 999, first], NOW_MS, **given) == Released([first], [], [999])
    assert await people(store) == {"a": who}
    assert await ids(store) == [second]
    assert (await lines(store))[0].reason == "released"
    assert await store.release([first], NOW_MS, **given) == Released([], [], [first])


async def test_without_anybody_only_the_nameless_endpoint_is_released(store):
    """Amplitude's Attribution API finds the user itself; an HTTP V2 event of nobody would be refused."""
    await store.file([held("v2"), held("v1", endpoint="attribution")], NOW_MS)
    v2, v1 = await ids(store)
    assert await store.release([v2, v1], NOW_MS) == Released([v1], [v2], [])
    assert await people(store, lane=V1) == {"v1": (None, None)}
    assert await ids(store) == [v2]


async def test_the_attribution_item_gets_no_identity_from_an_operator(store):
    """It has no place for one, so none is kept."""
    await store.file([held("v1", endpoint="attribution")], NOW_MS)
    await store.release(await ids(store), NOW_MS, user_id="eve")
    assert await people(store, lane=V1) == {"v1": (None, None)}


async def test_an_operator_ends_a_wait_without_sending(store):
    """What it held is erased at once, a fallback notwithstanding; what does not wait is not touched."""
    await store.file([held("a", fallback="u"), held("b"), direct("d")], NOW_MS)
    first, second = await ids(store)
    assert await store.expire_now([first, first + 2, 999], NOW_MS) == [first]
    assert await ids(store) == [second]
    assert await standing(store) == {"expired": 1, "held": 1, "pending": 1}
    assert [line.reason for line in await lines(store)] == ["by_hand", "", ""]
    assert (await store.file([told(sighting("a"))], NOW_MS)).matched == 0


async def test_what_waits_is_counted_by_hour_source_and_keys(store):
    """The counters follow every way in and out of a hold."""
    hour = NOW_MS - NOW_MS % HOUR_MS
    batch = [held("a"), held("b"), held("c", source="meta"), held("d", received_ms=hour - 1), held("g", app="game")]
    await store.file(batch, NOW_MS)
    assert sorted(await store.hold_counts(), key=repr) == sorted(
        [
            HeldCount("shop", "tiktok", ("idfa",), hour - HOUR_MS, 1),
            HeldCount("shop", "tiktok", ("idfa",), hour, 2),
            HeldCount("shop", "meta", ("idfa",), hour, 1),
            HeldCount("game", "tiktok", ("idfa",), hour, 1),
        ],
        key=repr,
    )
    a, _, c, d, g = await ids(store)
    await store.file([told(sighting("b"))], NOW_MS)
    await store.release([a], NOW_MS, user_id="u")
    await store.expire_now([c, g], NOW_MS)
    assert [count.hour_ms for count in await store.hold_counts()] == [hour - HOUR_MS]
    assert await ids(store) == [d]
    await store.expire(LATER_MS + WINDOW_MS)
    assert await store.hold_counts() == []


async def test_it_is_known_by_what_amplitude_shows_people(store):
    """What postbacks teach is no sign that Amplitude shows anything."""
    await store.file([direct("d", sightings=(sighting("x", kind="adid"),))], NOW_MS)
    assert await store.sighted_kinds() == []
    await store.file([told(sighting("a"), sighting("b", kind="idfv")), told(sighting("c"))], NOW_MS + 1)
    await store.file([told(sighting("a"), source=Source.SIGHTINGS)], NOW_MS + 5)
    assert await store.sighted_kinds() == [
        SightedKind("shop", "idfa", 3, NOW_MS + 5),
        SightedKind("shop", "idfv", 1, NOW_MS + 1),
    ]


async def test_coverage_counts_each_event_once(store):
    """A duplicate adds nothing, and what carries nothing is counted too."""
    seen = Carried("ios", "4.2", "tiktok", "appsflyer_id idfv", is_install=True)
    nothing = Carried("ios", "4.2", "tiktok", "")
    known = {"key": key("c"), "key_until_ms": LATER_MS}
    await store.file([direct("a", carried=seen, **known), direct("a", carried=seen, **known)], NOW_MS)
    await store.file([direct("b", carried=seen), direct("n", carried=nothing)], NOW_MS)
    assert sorted(await store.coverage(), key=lambda row: row.n) == [
        CoverageRow("shop", DAY, "ios", "4.2", "tiktok", (), 1),
        CoverageRow("shop", DAY, "ios", "4.2", "tiktok", ("appsflyer_id", "idfv"), 2, 2),
    ]
    assert await store.coverage(app="game") == []
    assert await store.coverage(since_day="2025-11-25") == []


async def test_coverage_is_summed_over_versions_and_sources(store):
    """What is shown of an app and a platform does not grow with its versions."""
    await store.file(
        [
            direct("a", carried=Carried("ios", "4.2", "tiktok", "appsflyer_id idfv")),
            direct("b", carried=Carried("ios", "4.3", "", "appsflyer_id idfv", is_install=True)),
            direct("c", carried=Carried("ios", "4.3", "tiktok", "")),
            direct("d", carried=Carried("android", "4.3", "tiktok", "adid")),
        ],
        NOW_MS,
    )
    assert sorted(await store.covered(since_day=DAY), key=lambda row: (row.platform, row.n)) == [
        CoverageRow("shop", "", "android", "", "", ("adid",), 1),
        CoverageRow("shop", "", "ios", "", "", (), 1),
        CoverageRow("shop", "", "ios", "", "", ("appsflyer_id", "idfv"), 2, 1),
    ]
    assert await store.covered(since_day="2025-11-25") == []


async def test_old_coverage_is_pruned(store):
    """Counters of 90 days are enough to compare with."""
    await store.file([direct("a", carried=Carried("ios", "4.2", "tiktok", "idfv"))], NOW_MS)
    await store.prune(NOW_MS + 90 * 24 * HOUR_MS, Retention(ledger_days=1000, dead_days=1000))
    assert len(await store.coverage()) == 1
    await store.prune(NOW_MS + 91 * 24 * HOUR_MS, Retention(ledger_days=1000, dead_days=1000))
    assert await store.coverage() == []


async def test_a_conflict_is_kept_and_shown(store):
    """Two people with one identifier: the newest is believed, and the ledger says that there was a doubt."""
    await store.file([waiting("w", "k")], NOW_MS)
    both = told(sighting("k", "old", "d1", seen_ms=NOW_MS - 1), sighting("k", "new", "d2", seen_ms=NOW_MS))
    await store.file([both], NOW_MS)
    assert await people(store) == {"w": ("new", "d2")}
    assert (await lines(store))[0].reason == "conflict"
    assert [(c.outcome, c.n) for c in await store.counts() if c.reason == "conflict"] == [("pending", 1)]
