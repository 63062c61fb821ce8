"""What every store guarantees about users whom Amplitude merges: what is known of one is found for the other."""

from __future__ import annotations

import json
from itertools import count, permutations

import pytest
from filings import NOW_MS, lease

from flybridge.flow import AppFlow, Flow
from flybridge.identity import IdKind, Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.mapping.to_appsflyer.rules import StreamRules
from flybridge.records import Envelope, Media, Source
from flybridge.store.records import Lane

RING = Keyring(b"a secret for the tests")
RULES = StreamRules(app="shop", platform="android", events=("Order",), wait_hours=6)
MAPPING = Rules(app="shop", platform="android", customer_user_id="never")
FLOW = Flow({"shop": AppFlow(MAPPING, streams=(RULES,))}, RING)
WITHOUT_STREAMS = Flow({"shop": AppFlow(MAPPING)}, RING)
RECEIPTS = count(1)
EVENT = {"event_type": "Order", "event_time": "2025-11-24 11:59:59.000000", "platform": "Android"}


def event(n: int, **fields) -> tuple[Source, dict]:
    """Build an event that goes to AppsFlyer."""
    return Source.STREAM, EVENT | {"$insert_id": f"{n}-{fields}"} | fields


def nameless(n: int) -> tuple[Source, dict]:
    """Build an event of somebody who has not logged in."""
    return event(n, device_id=f"phone-{n:04}R", user_id=None, amplitude_id=5_000_000 + n)


def named(n: int) -> tuple[Source, dict]:
    """Build another event of the same user, elsewhere, which is not sent."""
    fields = {"event_type": "View", "device_id": f"tablet-{n:04}R", "user_id": f"user-{n:04}"}
    return event(n, amplitude_id=9_000_000 + n, **fields)


def install(n: int) -> tuple[Source, dict]:
    """Build the postback that tells whose installation it is."""
    custom = {"amplitude_user_id": f"user-{n:04}"}
    return Source.PUSH, {
        "event_name": "install", "conversion_type": "install", "event_time": "2025-11-24 11:00:00.000",
        "install_time": "2025-11-24 11:00:00.000", "appsflyer_id": appsflyer_id(n), "custom_data": json.dumps(custom),
    }  # fmt: skip


def merge(n: int, one: int = 5_000_000, other: int = 9_000_000) -> tuple[Source, dict]:
    """Build a line of an export of merged users."""
    times = {"merge_time": NOW_MS - 2000, "merge_server_time": NOW_MS - 1000}
    return Source.SIGHTINGS, {"scope": 1, "amplitude_id": one + n, "merged_amplitude_id": other + n} | times


def appsflyer_id(n: int) -> str:
    """Return the id of an installation."""
    return f"1700000000000-{1_000_000 + n}"


async def file(store, *messages: tuple[Source, dict], flow: Flow = FLOW) -> None:
    """File messages in one batch."""
    bodies = [(source, json.dumps(message).encode()) for source, message in messages]
    found = [
        flow.filing(Envelope("shop", source, Media.JSON, NOW_MS, body, f"merge-{next(RECEIPTS)}"))
        for source, body in bodies
    ]
    await store.file(found, NOW_MS)


async def sent(store) -> list[str | None]:
    """Return the AppsFlyer ids of the events that go there."""
    return sorted(one.device_id or "" for one in await lease(store, lane=Lane("shop", "inapp_event")))


async def test_an_event_of_the_old_number_is_sent_for_the_installation_of_the_new_one(store):
    """In whatever order the four messages come, each in a batch of its own."""
    orders = list(permutations((nameless, named, install, merge)))
    for n, order in enumerate(orders):
        for build in order:
            await file(store, build(n))
    assert await sent(store) == [appsflyer_id(n) for n in range(len(orders))]
    assert await store.holds() == []
    assert await store.audit() == []


async def test_one_batch_is_enough(store):
    """And in one batch, too."""
    orders = list(permutations((nameless, named, install, merge)))
    for n, order in enumerate(orders):
        await file(store, *(build(n) for build in order))
    assert await sent(store) == [appsflyer_id(n) for n in range(len(orders))]
    assert await store.audit() == []


async def test_a_chain_of_merges_is_followed(store):
    """From the first number to the last, in any order."""

    def first(n: int) -> tuple[Source, dict]:
        return merge(n, other=7_000_000)

    def second(n: int) -> tuple[Source, dict]:
        return merge(n, one=7_000_000)

    orders = list(permutations((nameless, named, install, first, second)))[::4]
    for n, order in enumerate(orders):
        for build in order:
            await file(store, build(n))
    assert await sent(store) == [appsflyer_id(n) for n in range(len(orders))]
    assert await store.audit() == []


async def test_a_merge_of_others_releases_nothing(store):
    """Each user has a number of their own."""
    await file(store, nameless(1), named(1), install(1), merge(2), merge(3))
    assert await sent(store) == []
    assert len(await store.holds()) == 1


async def test_an_event_that_merges_is_one_too(store):
    """It holds the number in its data, and is otherwise an event as others are."""
    source, line = merge(1)
    merging = {"event_type": "[Amplitude] Merged User", "user_id": "user-0001", "device_id": "tablet-0001R"}
    merging |= {"amplitude_id": line["amplitude_id"], "data": {"merged_amplitude_id": line["merged_amplitude_id"]}}
    await file(store, nameless(1), install(1), (Source.STREAM, merging))
    assert (source, await sent(store)) == (Source.SIGHTINGS, [appsflyer_id(1)])


async def test_the_device_of_the_event_itself_comes_first(store):
    """A postback that names it says more than a merge does."""
    source, postback = install(1)
    own = postback | {"appsflyer_id": appsflyer_id(8), "custom_data": '{"amplitude_device_id": "phone-0001R"}'}
    await file(store, (source, postback), named(1), merge(1), (Source.PUSH, own))
    await file(store, nameless(1))
    assert await sent(store) == [appsflyer_id(8)]


@pytest.mark.parametrize("flow", [FLOW, WITHOUT_STREAMS])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 3, 1, 0), (1, 3, 0, 2)])
async def test_a_number_alone_names_the_user_that_it_is_merged_with(store, flow, order):
    """A template may show the number and the AppsFlyer id only: the install waits until the number has a user.

    Whether the app sends events to AppsFlyer does not matter.
    """
    _, postback = install(1)
    held = (Source.PUSH, postback | {"custom_data": None})
    number = (Source.SIGHTINGS, {"amplitude_id": 5_000_001, "user_properties": {"appsflyer_id": appsflyer_id(1)}})
    builds = (held, number, named(1), merge(1))
    for at in order:
        assert await lease(store) == []
        await file(store, builds[at], flow=flow)
    [install_sent] = await lease(store)
    assert (install_sent.user_id, install_sent.device_id) == ("user-0001", "tablet-0001R")
    assert await store.audit() == []


@pytest.mark.parametrize("by", ["phone-0001R", "tablet-0001R"])
async def test_who_is_forgotten_is_forgotten_under_both_numbers(store, by):
    """With what waits for either."""
    await file(store, nameless(1), named(1), merge(1))
    keys = RING.keys("shop", IdKind.INSTALLED_ON_DEVICE, by)
    receipt = await store.forget(keys, NOW_MS + 1, receipt="f" * 32)
    assert (receipt.removed.held, await store.holds()) == (1, [])
    await file(store, install(1))
    assert await sent(store) == []
    assert await store.audit() == []


async def test_numbers_that_are_merged_with_everybody_are_nobodys(store):
    """A hold does not wait under more keys than a person has."""
    everybody = range(8_000_000, 8_000_030)
    await file(store, *(event(m, device_id=f"d-{m:07}", user_id=f"u-{m:07}", amplitude_id=m) for m in everybody))
    await file(store, nameless(1), *(merge(0, one=5_000_001, other=m) for m in (*everybody, 9_000_001)))
    await file(store, named(1), install(1))
    assert await sent(store) == []
    assert await store.audit() == []
