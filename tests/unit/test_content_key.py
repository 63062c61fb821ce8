"""Which AppsFlyer messages are the same conversion or event, from messages as they came in the field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flybridge.appsflyer.postback import read
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.content_key import identities_in
from flybridge.mapping.to_amplitude.facts import facts_of
from flybridge.mapping.to_amplitude.map import Mapped, Rules, map_facts
from flybridge.mapping.to_amplitude.native import OURS
from flybridge.records import Envelope, Filter, Media, Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

NOW_MS = 1_790_000_000_000

PURCHASE = {
    "appsflyer_id": "2700000000000-1", "customer_user_id": "cust-270001", "app_id": "com.example.shop",
    "platform": "android", "media_source": "googleadwords_int", "campaign": "winter", "conversion_type": "install",
    "campaign_type": "ua", "install_time": "2026-11-19 10:00:00.500", "event_source": "SDK",
    "event_name": "af_purchase", "event_time": "2026-11-20 10:00:00.100",
    "event_value": '{"af_revenue":"0.99","af_content_id":"gem"}', "event_revenue": "0.99",
    "event_revenue_currency": "USD",
}  # fmt: skip
SECONDARY = PURCHASE | {"media_source": "green_network", "campaign": "ua-camp", "is_primary_attribution": "false"}
PRIMARY = PURCHASE | {
    "media_source": "blue_network", "campaign": "rt-camp", "is_primary_attribution": "true", "is_retargeting": "true",
    "conversion_type": "re-engagement", "campaign_type": "retargeting", "retargeting_conversion_type": "re-engagement",
}  # fmt: skip
RE_ENGAGEMENT = {
    "appsflyer_id": "2400-1-1", "customer_user_id": "cust-240001", "app_id": "com.example.shop",
    "platform": "android", "media_source": "criteo", "campaign": "rt", "event_name": "re-engagement",
    "conversion_type": "re-engagement", "campaign_type": "retargeting", "install_time": "2026-10-01 10:00:00.000",
}  # fmt: skip
WITHOUT_ID = {
    "app_id": "id499000111", "platform": "ios", "event_name": "install", "conversion_type": "install",
    "campaign_type": "ua", "media_source": "x", "event_time": "2026-11-22 10:00:00.100",
    "install_time": "2026-11-22 10:00:00.100", "custom_data": '{"amplitude_device_id":"dev-case-test"}',
}  # fmt: skip


def rules(**given: Any) -> Rules:
    return Rules(app="shop", platform="android", **given)


def mapped(message: dict[str, Any], **given: Any) -> Mapped:
    """Map a message that can be mapped."""
    result = map_facts(facts_of(read(json.dumps(message).encode(), Media.JSON), rules(**given), NOW_MS), rules(**given))
    assert isinstance(result, Mapped)
    return result


async def outcomes(tmp_path, *messages: dict[str, Any], source: Source = Source.PUSH, **given: Any) -> list[str]:
    """File messages one after the other, and return where each stands."""
    flow = Flow({"shop": AppFlow(rules(**given))}, Keyring(b"secret"))
    store = SqliteStore(tmp_path / "store.db", Seal(b"secret"))
    await store.open()
    found = []
    for message in messages:
        body = json.dumps(message).encode()
        filing = flow.filing(Envelope("shop", source, Media.JSON, NOW_MS, body, f"r{await _count(store)}"))
        filed = await store.file([filing], NOW_MS)
        reason = filing.decision.reason if isinstance(filing.decision, Filter) else ""
        found += [reason if outcome == "filtered" else outcome for outcome in filed.outcomes]
    await store.close()
    return found


async def _count(store: SqliteStore) -> int:
    return sum(one.n for one in await store.counts())


@pytest.mark.parametrize("written", [None, "no time", "0000-00-00 00:00:00"])
async def test_milliseconds_of_the_twin_tell_purchases_apart(tmp_path, written) -> None:
    """Where the time is not selected or can't be read, its twin in the app's zone is as exact."""
    one, two = (
        PURCHASE | {"event_time": written, "event_time_selected_timezone": f"2026-11-20 12:00:00.{ms}+0200"}
        for ms in ("100", "950")
    )
    assert await outcomes(tmp_path, one, two, one, two) == ["pending", "pending"] + ["duplicate"] * 2


async def test_two_purchases_in_one_second_are_two(tmp_path) -> None:
    """Their milliseconds differ; the same again is a repeat."""
    later = PURCHASE | {"event_time": "2026-11-20 10:00:00.950"}
    assert await outcomes(tmp_path, PURCHASE, later, PURCHASE, later) == ["pending", "pending"] + ["duplicate"] * 2


@pytest.mark.parametrize("order", [(SECONDARY, PRIMARY), (PRIMARY, SECONDARY)])
async def test_the_primary_copy_is_the_event_whichever_comes_first(tmp_path, order) -> None:
    """The other is filtered with a reason of its own."""
    expected = {"false": "secondary_attribution", "true": "pending"}
    found = await outcomes(tmp_path, *order, *order)
    assert found[:2] == [expected[one["is_primary_attribution"]] for one in order]
    assert found[2:] == ["duplicate", "duplicate"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("first", ["pending", "duplicate"]), ("both", ["pending", "pending"])],
)
async def test_double_attribution_can_be_chosen(tmp_path, setting, expected) -> None:
    """The first that comes, or both; a repeat of either is a repeat."""
    found = await outcomes(tmp_path, SECONDARY, PRIMARY, SECONDARY, PRIMARY, double_attribution=setting)
    assert found == [*expected, "duplicate", "duplicate"]


async def test_a_primary_copy_after_its_secondary_was_sent_is_a_duplicate_or_an_event_of_its_own(tmp_path) -> None:
    """It would have the same insert_id after `first`, which Amplitude ignores, and another one after `both`."""
    (tmp_path / "first").mkdir()
    (tmp_path / "both").mkdir()
    assert await outcomes(tmp_path / "first", SECONDARY, double_attribution="first") == ["pending"]
    assert await outcomes(tmp_path / "first", PRIMARY) == ["duplicate"]
    assert mapped(SECONDARY, double_attribution="first").insert_id == mapped(PRIMARY).insert_id
    assert await outcomes(tmp_path / "both", SECONDARY, double_attribution="both") == ["pending"]
    assert await outcomes(tmp_path / "both", PRIMARY) == ["pending"]


async def test_a_conversion_is_never_left_out_as_a_secondary_copy(tmp_path) -> None:
    """AppsFlyer doubles in-app events only."""
    assert await outcomes(tmp_path, RE_ENGAGEMENT | {"is_primary_attribution": "false"}) == ["pending"]


@pytest.mark.parametrize(
    "name", ["idfa", "idfv", "advertising_id", "android_id", "amazon_aid", "oaid", "android_app_set_id", "imei"]
)
def test_a_device_identifier_is_the_same_in_either_case(name: str) -> None:
    """Where the message has no AppsFlyer id; and another identifier is another person."""
    device = "0e867d8d-2086-4aea-9c25-7fb158aaaaaa"
    lower, upper = (mapped(WITHOUT_ID | {name: text}) for text in (device, device.upper()))
    assert (lower.key, lower.insert_id) == (upper.key, upper.insert_id)
    assert mapped(WITHOUT_ID | {name: device.replace("a", "b")}).key != lower.key


def test_a_customer_user_id_keeps_its_case() -> None:
    """It is the app's own, and two cases may be two people."""
    one, other = (mapped(WITHOUT_ID | {"customer_user_id": text}) for text in ("ada", "ADA"))
    assert one.key != other.key


def test_people_known_only_by_what_the_app_passed_are_not_one() -> None:
    """Nor are those who have nothing but an App Set id."""
    one, other = (mapped(WITHOUT_ID | {"custom_data": {"amplitude_device_id": f"device-{n}"}}) for n in (1, 2))
    assert one.key != other.key


@pytest.mark.parametrize(
    "change",
    [
        {"campaign": "rt2", "deeplink_url": "app://2"},
        {"af_adset": "b"},
        {"attributed_touch_time": "2026-11-01 10:00:00"},
        {"event_value": {"x": 1}},
        {"conversion_type": "re-attribution", "event_name": "re-attribution"},
    ],
)
def test_re_engagements_without_a_time_differ_in_what_they_say(change: dict[str, Any]) -> None:
    """And are the same only if they say the same."""
    assert mapped(RE_ENGAGEMENT).key != mapped(RE_ENGAGEMENT | change).key
    assert mapped(RE_ENGAGEMENT).key == mapped(dict(reversed(RE_ENGAGEMENT.items()))).key
    assert mapped(RE_ENGAGEMENT | {"new_field": "x"}).key == mapped(RE_ENGAGEMENT).key


@pytest.mark.parametrize("written", ["2026-11-20 10:00:00.100", "2026-11-20T10:00:00.1Z", "1795168800100"])
def test_every_way_to_write_milliseconds_is_the_same(written: str) -> None:
    """And each is the event of a row that has whole seconds."""
    found = mapped(PURCHASE | {"event_time": written})
    assert (found.key, found.key_ms) == (mapped(PURCHASE).key, 100)
    whole = mapped(PURCHASE | {"event_time": "2026-11-20 10:00:00"})
    assert (whole.key, whole.key_ms, whole.ordinal) == (found.key, None, 1)


@pytest.mark.parametrize("name", ["idfa", "advertising_id", "oaid", "amazon_aid"])
async def test_people_who_forbid_their_advertising_id_are_not_one_person(tmp_path, name):
    """They all have zeros for one, and are known by what else identifies them."""
    hidden = WITHOUT_ID | {name: "00000000-0000-0000-0000-000000000000"}
    first, second = (hidden | {"idfv": f"0e867d8d-2086-4aea-9c25-7fb158aaaaa{n}"} for n in "12")
    again = WITHOUT_ID | {"idfv": first["idfv"].upper()}
    assert await outcomes(tmp_path, first, second, again) == ["pending", "pending", "duplicate"]


@pytest.mark.parametrize("change", [{"appsflyer_id": " 2700000000000-1"}, {"appsflyer_id": "2700000000000-1\t"}])
async def test_blanks_around_an_id_make_no_other_person(tmp_path, change):
    """A query string and a form may bring them."""
    assert await outcomes(tmp_path, PURCHASE, PURCHASE | change) == ["pending", "duplicate"]


async def test_a_placeholder_is_no_customer_user_id(tmp_path):
    """Many people have the same one."""
    first, second = (WITHOUT_ID | {"customer_user_id": "anonymous", "idfv": f"0e867d8d-2086-4aea-9c25-7fb158aaaaa{n}"}
                     for n in "12")  # fmt: skip
    assert await outcomes(tmp_path, first, second) == ["pending", "pending"]


INSTALL = RE_ENGAGEMENT | {"event_name": "install", "conversion_type": "install", "campaign_type": "ua"}


def local(message: dict[str, Any], *names: str, zone: str = "Europe/Berlin") -> dict[str, Any]:
    """Return a message with times in the hour that occurs twice: 00:30 UTC, or 01:30."""
    return message | dict.fromkeys(names, f"2026-10-25 02:30:00[{zone}]")


@pytest.mark.parametrize("hour", ["00", "01"])
@pytest.mark.parametrize("is_pushed_first", [True, False])
@pytest.mark.parametrize(
    ("message", "names"),
    [
        (PURCHASE, ("event_time",)),
        (PURCHASE | {"event_time": "2026-10-25 12:00:00"}, ("install_time",)),
        (INSTALL, ("event_time", "install_time")),
        (INSTALL, ("install_time",)),
        (RE_ENGAGEMENT, ("event_time",)),
        (RE_ENGAGEMENT, ("event_time", "install_time")),
        (RE_ENGAGEMENT | {"event_name": "reinstall", "conversion_type": "reinstall"}, ("event_time", "install_time")),
        (SECONDARY, ("event_time",)),
        (SECONDARY | {"customer_user_id": None}, ("event_time", "install_time")),
    ],
)
async def test_a_local_time_that_means_two_moments_is_known_by_both(tmp_path, message, names, hour, is_pushed_first):
    """Conversions as well as events, those that are left out as well as those that are sent."""
    message = message | {"custom_data": '{"amplitude_device_id":"dev-case-test"}'}
    both = [message | dict.fromkeys(names, f"2026-10-25 {hour}:30:00.000"), local(message, *names)]
    assert (await outcomes(tmp_path, *(both if is_pushed_first else both[::-1])))[1] == "duplicate"


async def test_a_local_time_that_means_one_moment_is_known_by_it(tmp_path):
    """Lord Howe Island sets its clocks back by half an hour, and on another day."""
    message = PURCHASE | {"custom_data": '{"amplitude_device_id":"dev-case-test"}'}
    for zone in ("Australia/Lord_Howe", "Asia/Tokyo", "UTC", "Etc/GMT-1"):
        found = mapped(local(message, "event_time", zone=zone))
        assert (found.other_key, identities_in(found.insert_id)) == (None, [found.key])
    half = mapped(message | {"event_time": "2026-04-05 01:45:00[Australia/Lord_Howe]"})
    assert half.other_key is not None
    assert identities_in(half.insert_id) == [half.key, half.other_key]
    later = mapped(message | {"event_time": "2026-04-04 15:15:00"})
    assert later.key == half.other_key
    assert OURS.fullmatch(half.insert_id)
    assert OURS.fullmatch(later.insert_id)
