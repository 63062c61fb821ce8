"""Parts of the sandbox without a server: its clocks, its ledger's memory, and how it finds properties."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest

from flybridge.history.locker_folders import Locker
from flybridge.history.raw_rows import RawRows
from flybridge.sandbox.clock import FastClock
from flybridge.sandbox.vendors.audiences import Audiences
from flybridge.sandbox.vendors.data_locker import update
from flybridge.sandbox.vendors.deletion import number_of
from flybridge.sandbox.vendors.kept import kept_body
from flybridge.sandbox.vendors.ledger import ProjectLedger
from flybridge.sandbox.vendors.properties import described
from flybridge.sandbox.vendors.rates import Rates
from flybridge.sandbox.vendors.raw_data import RawData
from flybridge.sandbox.vendors.record import export_row
from flybridge.sandbox.vendors.users import UPDATES, ProjectUsers
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
    ledger = ProjectLedger("key")
    ledger.apply(
        [UploadedEvent("a", device_id="d", price=2.5, quantity=3), UploadedEvent("b", device_id="d", price=2.0)], 0
    )
    ledger.apply([UploadedEvent("c", device_id="d", price=2.5, revenue=-1.0), UploadedEvent("d", device_id="d")], 0)
    ledger.apply([UploadedEvent("e", device_id="d", price=2.5, quantity=2, revenue=9.0)], 0)
    assert [one.revenue for one in ledger.saved] == [7.5, 2.0, -1.0, None, 5.0]


def test_the_newest_user_of_an_id_gets_the_attribution():
    """A device that changed hands belongs to whom it was seen with last."""
    ledger = ProjectLedger("key")
    ledger.apply([UploadedEvent("a", user_id="first", idfa="id-1")], 1)
    ledger.apply([UploadedEvent("a", user_id="second", idfa="id-1")], 2)
    ledger.attribute(Attribution("[A] Install", "ios", idfa="id-1"), 3)
    assert ledger.saved[-1].user_id == "second"


@pytest.mark.parametrize("sent", [" id-1", "ID-1", '"id-1"', "00000000-0000"])
def test_an_attribution_finds_its_user_by_the_id_as_it_came_alone(sent):
    """What flybridge would trim, Amplitude does not: nobody has another id, and zeros are everybody's."""
    ledger = ProjectLedger("p")
    ledger.apply([UploadedEvent(event_type="e", device_id="d", idfa=one) for one in ("id-1", "00000000-0000")], 1)
    ledger.attribute(Attribution("[A] Install", "ios", idfa=sent), 2)
    assert (ledger.tally.matched, len(ledger.waiting())) == (0, 1)


def test_an_attribution_goes_to_the_user_of_the_device():
    """Also where the event that carried the id had the device's id alone."""
    ledger = ProjectLedger("p")
    ledger.apply([UploadedEvent(event_type="e", user_id="ada", device_id="d")], 1)
    ledger.apply([UploadedEvent(event_type="e", device_id="d", idfa="id-1")], 2)
    ledger.attribute(Attribution("[A] Install", "ios", idfa="id-1"), 3)
    assert (ledger.saved[-1].user_id, ledger.saved[-1].device_id) == ("ada", "d")


def test_an_attribution_with_two_ids_is_saved_once():
    """Both ids come into sight in one event, and it is still one install."""
    ledger = ProjectLedger("key")
    for _ in range(2):
        ledger.attribute(Attribution("[A] Install", "ios", idfa="id-1", idfv="id-2"), 1)
    ledger.apply([UploadedEvent("a", user_id="user", idfa="id-1", idfv="id-2")], 2)
    ledger.apply([UploadedEvent("a", user_id="user", idfa="id-1", idfv="id-2")], 3)
    assert (ledger.tally.matched, len(ledger.saved), ledger.waiting()) == (2, 4, [])
    ledger.expire(10**12)
    assert ledger.tally.dropped == 0


def test_a_repeat_teaches_nothing():
    """What Amplitude ignores, it ignores whole."""
    ledger = ProjectLedger("key")
    ledger.apply([UploadedEvent("a", device_id="d", insert_id="i")], 1)
    ledger.attribute(Attribution("[A] Install", "ios", idfa="id-1"), 1)
    ledger.apply([UploadedEvent("a", device_id="d", insert_id="i", idfa="id-1")], 2)
    assert len(ledger.waiting()) == 1


def test_rates_are_per_name_and_start_anew_with_each_window():
    """One's flood is not another's."""
    rates = Rates(30)
    assert rates.over({"a": 900, "b": 901}, 0) == {"b": 31}
    rates.count({"a": 900}, 0)
    assert rates.over({"a": 1, "b": 1}, 29_999) == {"a": 31}
    assert rates.over({"a": 1}, 30_000) == {}


def test_what_is_saved_has_no_identifier_and_an_opaque_hash():
    """In every kind of event, whatever it carried; the hash says nothing but that there were some."""
    ledger = ProjectLedger("key", keep_bodies=True)
    ids = {"adid": "a" * 8, "idfa": "b" * 8, "idfv": "c" * 8, "android_app_set_id": "d" * 8, "android_id": "e" * 8}
    ledger.apply([UploadedEvent("a", device_id="d", **ids), UploadedEvent("b", device_id="d")], 0)
    ledger.attribute(Attribution("[A] Install", "android", adid="a" * 8), 0)
    rows = [export_row(event, "key") for event in ledger.saved]
    written = json.dumps(rows)
    assert len(rows) == 3
    assert not any(value in written for value in ids.values())
    assert [row["amplitude_attribution_ids"] is None for row in rows] == [False, True, False]
    assert all((row["adid"], row["idfa"]) == (None, None) and "idfv" not in row for row in rows)


def test_an_unknown_user_id_makes_a_new_user_and_a_known_device_does_not():
    """A device is a user of its own until an event names its user."""
    ledger = ProjectLedger("key")
    ledger.apply([UploadedEvent("a", device_id="d1"), UploadedEvent("a", device_id="d2")], 0)
    assert len(ledger.users) == 2
    ledger.apply([UploadedEvent("a", user_id="ann", device_id="d1"), UploadedEvent("a", device_id="d1")], 0)
    assert len(ledger.users) == 2
    ledger.apply([UploadedEvent("a", user_id="nobody knows this one")], 0)
    assert len(ledger.users) == 3
    assert ledger.users.find("ann", None).devices == {"d1"}


def test_one_location_field_resets_the_other_three_and_revenue_is_added_raw():
    """1,500 JPY and 10 USD are 1,510."""
    ledger = ProjectLedger("key")
    place = {"country": "Germany", "region": "Berlin", "city": "Berlin", "dma": "Berlin"}
    ledger.apply([UploadedEvent("a", user_id="ann", revenue=1500.0, currency="JPY", **place)], 0)
    ledger.apply([UploadedEvent("a", user_id="ann", revenue=10.0, currency="USD")], 0)
    user = ledger.users.find("ann", None)
    assert (user.location, user.revenue) == (("Germany", "Berlin", "Berlin", "Berlin"), 1510.0)
    ledger.apply([UploadedEvent("a", user_id="ann", country="France")], 0)
    assert user.location == ("France", None, None, None)


def test_an_event_that_skips_user_properties_leaves_its_user_as_it_is():
    """Its properties and its place are the event's alone."""
    ledger = ProjectLedger("key")
    ledger.apply([UploadedEvent("a", user_id="ann", user_properties={"plan": "pro"}, country="France")], 0)
    past = {"user_properties": {"plan": "free", "old": 1}, "country": "Spain", "skips_user_properties": True}
    ledger.apply([UploadedEvent("b", user_id="ann", **past)], 0)
    user = ledger.users.find("ann", None)
    assert (user.properties, user.location[0], user.events) == ({"plan": "pro"}, "France", 2)
    assert msgspec.json.decode(b'{"$skip_user_properties_sync":true}', type=UploadedEvent).skips_user_properties


def test_identify_changes_a_user_and_is_no_event():
    """Its operations are applied in their documented sense."""
    ledger = ProjectLedger("key")
    first = {"$set": {"plan": "pro", "old": 1}, "$setOnce": {"source": "a"}, "$add": {"n": 2}, "$append": {"l": 1}}
    then = {"$setOnce": {"source": "b"}, "$unset": {"old": "-"}, "$add": {"n": 3}, "$append": {"l": 2}}
    for operations in (first, then):
        ledger.apply([UploadedEvent("$identify", user_id="ann", user_properties=operations)], 0)
    assert ledger.users.find("ann", None).properties == {"plan": "pro", "source": "a", "n": 5, "l": [1, 2]}
    assert (ledger.saved, ledger.tally.identified, ledger.tally.received) == ([], 2, 0)


def test_a_data_locker_is_written_hour_by_hour_and_again_when_more_is_known(tmp_path):
    """An hour that is not complete is not there; what is as it was is not touched; later rows are in the same files."""
    data, hour_ms = RawData(), 3_600_000
    noon_ms = int(datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp() * 1000)

    def happened(number: int, time: str) -> None:
        event = {"appsflyer_id": f"1-{number}", "event_name": "buy", "event_time": time, "media_source": "network"}
        assert data.add("com.example.shop", [json.dumps(event).encode()]) == 1

    def found() -> Counter[str]:
        rows = Counter[str]()
        for folder in Locker(str(tmp_path)).folders("2026-01-30"):
            assert folder.is_complete
            for file in folder.files:
                rows.update(f"{folder.name} {row.fields['appsflyer_id']}" for row in RawRows(file, None, None))
        return rows

    happened(1, "2026-01-31 11:30:00.000")
    happened(2, "2026-01-31 12:10:00.000")
    assert update(tmp_path, data, noon_ms + hour_ms // 2) == 3
    assert found() == Counter({"inapps 2026-01-31 11 1-1": 1})
    assert update(tmp_path, data, noon_ms + hour_ms // 2) == 0
    happened(3, "2026-01-31 11:40:00.000")
    assert update(tmp_path, data, noon_ms + hour_ms // 2) > 0
    assert update(tmp_path, data, noon_ms + hour_ms) == 3
    assert found() == Counter(
        {"inapps 2026-01-31 11 1-1": 1, "inapps 2026-01-31 11 1-3": 1, "inapps 2026-01-31 12 1-2": 1}
    )


# https://amplitude.com/docs/apis/analytics/export (read 2026-11-29)
EXPORTED = {
    "server_received_time", "app", "device_carrier", "city", "user_id", "event_time", "platform", "os_version",
    "amplitude_id", "processed_time", "version_name", "ip_address", "paying", "dma", "group_properties",
    "user_properties", "client_upload_time", "$insert_id", "event_type", "library", "amplitude_attribution_ids",
    "device_type", "start_version", "location_lng", "server_upload_time", "event_id", "location_lat", "os_name",
    "groups", "event_properties", "data", "device_id", "language", "country", "region", "session_id", "device_family",
    "sample_rate", "client_event_time",
}  # fmt: skip


def test_an_exported_event_has_every_field_and_always_a_device_id():
    """That of an event without one is a hash of its user id, the same for each of the user's events."""
    ledger = ProjectLedger("key", keep_bodies=True)
    ledger.apply([UploadedEvent("a", user_id="ann"), UploadedEvent("b", user_id="ann"), UploadedEvent("c", "bob")], 0)
    ledger.apply([UploadedEvent("d", device_id="phone")], 0)
    rows = [export_row(event, "key") for event in ledger.saved]
    assert all(row.keys() >= EXPORTED for row in rows)
    first, second, other, device = (row["device_id"] for row in rows)
    assert first == second != other
    assert "ann" not in first
    assert device == "phone"
    numbers = [row["amplitude_id"] for row in rows]
    assert numbers[0] == numbers[1] == number_of("key", ledger.users.find("ann", None))
    assert len(set(numbers)) == 3


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"language": "en-US"}, {"language": "English"}),
        ({"language": "PT_br"}, {"language": "Portuguese"}),
        ({"language": "Deutsch"}, {"language": "German"}),
        ({"language": "Klingon"}, {"language": "Klingon"}),
        ({"event_properties": {"a": "x" * 1025}}, {"event_properties": {"a": "x" * 1024}}),
        ({"event_properties": {"a": [{"b": "x" * 9999}]}}, {"event_properties": {"a": [{"b": "x" * 1024}]}}),
        ({"city": "x" * 2000}, {"city": "x" * 1024}),
        ({"groups": {f"g{n}": "v" for n in range(7)}}, {"groups": {f"g{n}": "v" for n in range(5)}}),
        (
            {"groups": {"a": ["1"] * 8, "b": ["2"] * 8, "c": "3"}},
            {"groups": {"a": ["1"] * 8, "b": ["2"] * 2}},
        ),
        ({"plan": {"branch": "main", "team": "x"}}, {"plan": {"branch": "main"}}),
    ],
)
def test_amplitude_keeps_no_more_than_it_says(sent, kept):
    """What it changes or cuts before it stores an event, it does without a word."""
    body = json.loads(kept_body(UploadedEvent("a", user_id="ann", **sent)))
    assert {name: body[name] for name in kept} == kept


def test_a_user_is_changed_so_often_an_hour_and_no_more():
    """Events go on; by Identify or by events, it is one count for each user."""
    ledger = ProjectLedger("key")
    for n in range(UPDATES):
        ledger.apply([UploadedEvent("a", user_id="ann", user_properties={"n": n})], 0)
    ledger.apply([UploadedEvent("a", user_id="ann", user_properties={"n": "late"})], 1)
    ledger.apply([UploadedEvent("$identify", user_id="ann", user_properties={"$set": {"n": "late"}})], 1)
    ledger.apply([UploadedEvent("a", user_id="bob", user_properties={"n": 1})], 1)
    ann, bob = (ledger.users.find(name, None) for name in ("ann", "bob"))
    assert (ann.properties, ann.events, bob.properties) == ({"n": UPDATES - 1}, UPDATES + 1, {"n": 1})
    ledger.apply([UploadedEvent("a", user_id="ann", user_properties={"n": "next"})], 3_600_000)
    assert ann.properties == {"n": "next"}


@pytest.mark.parametrize(
    ("operations", "kept"),
    [
        ({"$prepend": {"l": "c"}}, {"l": ["c", "a", "b"]}),
        ({"$append": {"l": ["b", "c"]}}, {"l": ["a", "b", "b", "c"]}),
        ({"$preInsert": {"l": ["b", "c"]}}, {"l": ["c", "a", "b"]}),
        ({"$postInsert": {"l": ["b", "c"]}}, {"l": ["a", "b", "c"]}),
        ({"$remove": {"l": "a", "none": 1}}, {"l": ["b"]}),
        ({"$clearAll": "-"}, {}),
        ({"$set": {"l": "x" * 2000}}, {"l": "x" * 1024}),
        ({"$unset": {"l": "-"}, "plan": "paid"}, {}),  # the two can't be mixed
        ({"plan": "paid"}, {"l": ["a", "b"], "plan": "paid"}),
    ],
)
def test_each_operation_of_identify_does_what_the_page_says(operations, kept):
    """Those that flybridge does not send, too."""
    users = ProjectUsers()
    users.find("ann", None).properties["l"] = ["a", "b"]
    users.identify("ann", None, operations, 0)
    assert users.find("ann", None).properties == kept


HASH = "9" * 64


@pytest.mark.parametrize(
    ("identifiers", "invalid"),
    [
        ({"hashed_emails": [HASH, HASH], "phone_number_sha256": HASH}, 0),
        ({"hashed_emails": [HASH] * 3}, 1),
        ({"hashed_emails": HASH}, 1),
        ({"phone_number_sha256": [HASH]}, 1),
        ({"hashed_emails": []}, 1),
        ({"email": HASH}, 1),
    ],
)
def test_additional_identifiers_are_as_their_page_has_them(identifiers, invalid):
    """Two addresses at most, in a list, and one number of each form; AppsFlyer counts the others as invalid."""
    good = {"key_value": "ann", "identifiers": {"phone_number_sha256": HASH}}
    body = {"key_type": "customer_user_id", "data": [good, {"key_value": "bob", "identifiers": identifiers}]}
    path = "/api/audience-bulk-api/v1/additional-identifiers/app/id1"
    scope = {"method": "PUT", "path": path, "query_string": b"", "headers": [(b"authorization", b"Bearer t")]}
    answer = Audiences(ManualClock()).answer(scope, json.dumps(body).encode())
    assert (answer.status, answer.content["invalid"]) == (202, invalid)


@pytest.mark.parametrize(("value", "status"), [("ann", 200), (12345, 400), (["ann"], 400), (None, 400)])
def test_identifiers_of_devices_are_texts(value, status):
    """As the schema of the import has them."""
    body = {"import_key": "k", "platform": "ios", "devices": [{"app_id": "id1", "cuid": value}]}
    path = "/api/audiences-import-api/v2/add"
    scope = {"method": "POST", "path": path, "query_string": b"", "headers": [(b"authorization", b"Bearer t")]}
    assert Audiences(ManualClock()).answer(scope, json.dumps(body).encode()).status == status
