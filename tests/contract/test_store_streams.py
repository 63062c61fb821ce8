"""What every store guarantees about events that look for their AppsFlyer id."""

from __future__ import annotations

import pytest
from filings import NOW_MS, WINDOW_MS, envelope, key, lease, lines, sighting, standing

from flybridge.identity import IdKind
from flybridge.records import Apply, Deliver, Filing, Hold
from flybridge.store.records import Lane

LANE = Lane("shop", "inapp_event")
AF_ID = "1763900000000-7000001"
ON_DEVICE, BY_USER = IdKind.INSTALLED_ON_DEVICE.value, IdKind.INSTALLED_BY_USER.value


def nameless(name: str, *keys: str, hours: int = 0) -> Filing:
    """File an event that has no AppsFlyer id and waits this long for it."""
    item = Deliver("inapp_event", f"id-{name}", "af_purchase", b'{"eventName":"af_purchase"}')
    unmet = "" if hours else "no_appsflyer_id"
    until_ms = NOW_MS + hours * 3_600_000
    hold = Hold(item, tuple(key(k) for k in keys), (ON_DEVICE,) * len(keys), NOW_MS, until_ms, unmet=unmet)
    return Filing(envelope(), hold)


def told(name: str, appsflyer_id: str, kind: str = ON_DEVICE, **fields) -> Filing:
    """File what a postback tells about an installation."""
    return Filing(envelope(), Apply(), sightings=(sighting(name, None, appsflyer_id, kind=kind, **fields),))


async def test_an_event_that_does_not_wait_is_sent_if_its_installation_is_known(store):
    """At once, under the AppsFlyer id that a postback told."""
    await store.file([told("phone", "af-1")], NOW_MS)
    await store.file([nameless("a", "phone")], NOW_MS)
    assert [(d.user_id, d.device_id) for d in await lease(store, lane=LANE)] == [(None, "af-1")]


async def test_an_event_that_does_not_wait_is_filtered_if_nobody_knows_it(store):
    """With the reason; it is not held, it has not expired, and it is not sent when a postback comes later."""
    filed = await store.file([nameless("a", "phone")], NOW_MS)
    assert filed.outcomes == {"filtered": 1}
    assert [(line.outcome, line.reason) for line in await lines(store)] == [("filtered", "no_appsflyer_id")]
    await store.file([told("phone", "af-1")], NOW_MS + 1)
    assert await lease(store, NOW_MS + 1, LANE) == []
    assert await store.audit() == []


async def test_an_event_that_waits_is_sent_when_a_postback_tells(store):
    """And expires like any hold if none does."""
    await store.file([nameless("a", "phone", hours=1), nameless("b", "other", hours=1)], NOW_MS)
    assert await standing(store) == {"held": 2}
    await store.file([told("phone", "af-1")], NOW_MS + 1)
    assert [d.device_id for d in await lease(store, NOW_MS + 1, LANE)] == ["af-1"]
    await store.expire(NOW_MS + WINDOW_MS)
    assert await standing(store) == {"pending": 1, "expired": 1, "applied": 1}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"device_id": AF_ID}, AF_ID),
        ({"device_id": f" {AF_ID} ", "user_id": "ada-1"}, AF_ID),
        ({"device_id": "ada-phone"}, None),
        ({"device_id": "1763900000000-12"}, None),
        ({"user_id": "ada-1"}, None),
        ({}, None),
    ],
)
async def test_an_operator_releases_it_for_an_appsflyer_id_only(store, given, sent):
    """AppsFlyer answers any other 200 and records nothing, and it would be counted as delivered."""
    await store.file([nameless("a", "phone", hours=1)], NOW_MS)
    [hold] = await store.holds()
    released = await store.release([hold.id], NOW_MS, **given)
    assert (released.released, released.nameless) == (([hold.id], []) if sent else ([], [hold.id]))
    assert [(d.user_id, d.device_id) for d in await lease(store, lane=LANE)] == ([(None, sent)] if sent else [])
    assert await standing(store) == ({"pending": 1} if sent else {"held": 1})
    assert await store.audit() == []


async def test_the_events_own_device_wins_over_its_users_other_one(store):
    """A user's newest installation is on another phone: the event is not that phone's."""
    await store.file([told("phone", "af-1"), told("user", "af-2", BY_USER, seen_ms=NOW_MS + 5)], NOW_MS)
    await store.file([nameless("a", "phone", "user"), nameless("b", "user")], NOW_MS + 10)
    assert [d.device_id for d in await lease(store, NOW_MS + 10, LANE)] == ["af-1", "af-2"]
