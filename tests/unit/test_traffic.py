"""Generated traffic: the same for the same seed, as asked for, and with a truth that fits what was made."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate
from flybridge.sandbox.traffic.truth import Difference, Expected, Fate, Truth, compare

APPS = (TrafficApp("shop-android", "android", "com.example.shop"), TrafficApp("shop-ios", "ios", "id1234567890"))
MIXED = TrafficOptions(late_seen=0.1, malformed=0.02, odd=0.02)
# Those that can be selected: https://dev.appsflyer.com/hc/reference/get_fields-platform (read 2026-11-27).
PUSH_FIELDS = {
    "api_version", "af_c_id", "campaign", "af_adset_id", "af_adset", "af_ad_id", "af_ad", "af_ad_type",
    "af_channel", "af_cost_currency", "af_cost_model", "af_cost_value", "af_keywords",
    "af_attribution_lookback", "af_prt", "af_reengagement_window", "af_siteid", "af_sub_siteid", "af_sub1",
    "af_sub2", "af_sub3", "af_sub4", "af_sub5", "is_retargeting", "media_source", "original_url", "user_agent",
    "advertising_id", "android_id", "amazon_aid", "app_id", "app_name", "app_version", "appsflyer_id",
    "bundle_id", "carrier", "country_code", "custom_data", "customer_user_id", "device_category", "device_type",
    "device_model", "event_name", "event_revenue", "event_revenue_currency", "event_time", "event_value",
    "idfa", "idfv", "imei", "install_app_store", "install_time", "ip", "language", "operator", "os_version",
    "platform", "sdk_version", "wifi", "gp_broadcast_referrer", "city", "attributed_touch_time",
    "attributed_touch_type", "contributor_1_af_prt", "contributor_1_campaign", "contributor_1_match_type",
    "contributor_1_media_source", "contributor_1_touch_time", "contributor_1_touch_type",
    "contributor_2_af_prt", "contributor_2_campaign", "contributor_2_match_type", "contributor_2_media_source",
    "contributor_2_touch_time", "contributor_2_touch_type", "contributor_3_af_prt", "contributor_3_campaign",
    "contributor_3_match_type", "contributor_3_media_source", "contributor_3_touch_time",
    "contributor_3_touch_type", "dma", "event_revenue_usd", "event_source", "http_referrer",
    "is_primary_attribution", "is_receipt_validated", "match_type", "postal_code", "region",
    "retargeting_conversion_type", "state", "network_account_id", "gp_click_time", "gp_install_begin",
    "gp_referrer", "keyword_match_type", "selected_currency", "revenue_in_selected_currency",
    "cost_in_selected_currency", "attributed_touch_time_selected_timezone", "install_time_selected_timezone",
    "event_time_selected_timezone", "selected_timezone", "deeplink_url", "oaid", "keyword_id",
    "store_reinstall", "is_lat", "device_download_time", "device_download_time_selected_timezone",
    "conversion_type", "custom_dimension", "campaign_type",
}  # fmt: skip
ZEROS = "00000000-0000-0000-0000-000000000000"


def made(events: int = 4000, seed: int = 1, options: TrafficOptions = MIXED) -> list[TrafficMessage]:
    return list(generate(seed, events, APPS, options))


@pytest.fixture(scope="module")
def messages() -> list[TrafficMessage]:
    return made(12_000)


def bodies(messages: Iterable[TrafficMessage]) -> Iterable[tuple[TrafficMessage, dict[str, Any]]]:
    for message in messages:
        body = json.loads(message.body)
        if isinstance(body, dict) and message.truth.kind != "sighting":
            yield message, body


def share(messages: list[TrafficMessage], count: int) -> float:
    return count / len(messages)


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others():
    """A failed run can be repeated."""
    assert made() == made()
    assert made(seed=2) != made()


def test_exactly_as_many_postbacks_as_asked_for_however_few():
    """Sightings come in addition, so that whoever is to be seen is seen."""
    for events in (0, 1, 2, 7, 100, 1234):
        found = made(events)
        assert sum(message.truth.kind != "sighting" for message in found) == events
        assert [message.truth.id for message in found] == list(range(len(found)))


def test_an_empty_list_of_apps_is_refused():
    """There is nobody to send for."""
    with pytest.raises(ValueError, match="app"):
        list(generate(1, 10, ()))


def test_messages_come_in_the_order_of_sending_and_are_streamed():
    """The first message is there before the last is thought of."""
    first = next(generate(1, 10**9, APPS))
    assert first.path in {"/v1/push/shop-android", "/v1/push/shop-ios"}
    sent = [message.send_ms for message in made()]
    assert sent == sorted(sent)


def test_bodies_look_like_push_api_messages(messages):
    """Fields, times, sizes and ids have AppsFlyer's form."""
    sizes = []
    for message, body in bodies(messages):
        sizes.append(len(message.body))
        assert re.fullmatch(r"\d{13}-\d{7,19}", body["appsflyer_id"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", body["install_time"])
        assert body["platform"] == ("ios" if message.truth.app == "shop-ios" else "android")
        assert isinstance(body["event_value"], str)
        if body["event_value"]:
            assert isinstance(json.loads(body["event_value"]), dict)
        if body["platform"] == "ios":
            assert body.get("idfa", "").upper() == body.get("idfa", "")
            assert "advertising_id" not in body
    assert 1300 < sum(sizes) / len(sizes) < 2500


def test_fractions_are_about_as_asked(messages):
    """Each option is a share of messages, give or take that people send in runs."""
    fates = Counter(message.truth.v2.fate for message in messages)
    assert 0.02 < share(messages, fates[Fate.DUPLICATE]) < 0.04
    assert 0.055 < share(messages, fates[Fate.HELD]) < 0.105
    assert 0.01 < share(messages, fates[Fate.DEAD]) < 0.03
    restricted = sum(body.get("media_source") == "restricted" for _, body in bodies(messages))
    assert 0.07 < share(messages, restricted) < 0.13
    late = sum(m.send_ms - m.truth.time_ms > 3_600_000 for m in messages if m.truth.kind != "sighting")
    assert 0.015 < share(messages, late) < 0.05
    limited = sum(body["is_lat"] == "true" for _, body in bodies(messages))
    assert 0.18 < share(messages, limited) < 0.32
    assert {m.truth.kind for m in messages} == {
        "install", "reinstall", "re-engagement", "re-attribution", "in-app", "sighting"
    }  # fmt: skip


def test_options_of_zero_leave_a_thing_out():
    """A plain stream has only messages that are delivered, at once or after a wait."""
    plain = TrafficOptions(
        duplicates=0, late=0, held=0, restricted=0, malformed=0, odd=0, lat=0, double_attribution=False
    )
    found = made(3000, options=plain)
    # Only people who are cut off by the end of the stream, before they could be known, stay held.
    assert sum(message.truth.v2.fate is not Fate.DELIVERED for message in found) <= 5
    assert all(message.truth.kind != "sighting" for message in found)
    assert not any("restricted" in message.body.decode() or ZEROS in message.body.decode() for message in found)


def test_a_duplicate_is_the_same_bytes_as_its_original_and_comes_later(messages):
    """A retry changes nothing, and its truth says of what it is one."""
    duplicates = [message for message in messages if message.truth.duplicate_of is not None]
    assert duplicates
    for message in duplicates:
        original = messages[message.truth.duplicate_of]
        assert original.truth.id < message.truth.id
        assert original.truth.duplicate_of is None
        assert (original.body, original.path) == (message.body, message.path)
        assert message.truth.v2.fate is message.truth.v1.fate is Fate.DUPLICATE


def test_no_two_originals_are_confused(messages):
    """App, event type and time name an event; one installation has no two events in a second."""
    originals = [
        m.truth
        for m in messages
        if m.truth.duplicate_of is None and m.truth.kind != "sighting" and m.truth.v2.fate is not Fate.FILTERED
    ]
    assert len({(t.app, t.time_ms) for t in originals}) == len(originals)
    assert len({(t.appsflyer_id, t.time_ms // 1000) for t in originals}) == len(originals)


def test_the_truth_about_values_is_what_the_body_says(messages):
    """Revenue, currency, time, source and campaign are those of the message, however they are written."""
    paid = 0
    for message, body in bodies(messages):
        truth = message.truth
        if truth.revenue is not None:
            paid += 1
            assert float(body["event_revenue"]) == truth.revenue
            assert body["event_revenue_currency"] == truth.currency
            assert json.loads(body["event_value"])["af_order_id"] == truth.order_id
        else:
            assert "event_revenue" not in body
        assert body.get("campaign") == truth.campaign
        assert body["media_source"] == truth.media_source or (body["media_source"], truth.media_source) == (
            "restricted", "organic"
        )  # fmt: skip
        assert body["event_time_selected_timezone"].startswith(body["event_time"]) or "61" in body["event_time"]
        if "af_cost_value" in body:
            assert float(body["af_cost_value"]) == truth.cost_usd
    assert paid > 500


def test_the_truth_about_identity_is_what_messages_carry_or_will_be_told(messages):
    """A message that waits carries no identity itself; one that doesn't wait carries what the truth says."""
    carried = waited = 0
    for message, body in bodies(messages):
        truth = message.truth
        given = json.loads(body.get("custom_data") or "{}") | json.loads(body["event_value"] or "{}")
        user_id = given.get("amplitude_user_id") or body.get("customer_user_id")
        device_id = given.get("amplitude_device_id")
        if truth.v2.fate is Fate.DELIVERED and not truth.waits:
            carried += 1
            assert (user_id, device_id) == (truth.user_id, truth.device_id)
        if truth.waits or truth.v2.fate is Fate.HELD:
            waited += 1
            assert (user_id, device_id) == (None, None)
        assert (truth.v2.fate is Fate.HELD) <= (truth.user_id is None and truth.device_id is None)
    assert carried > 5000
    assert waited > 1000


def test_push_messages_have_only_fields_that_can_be_selected(messages):
    """Consent under ATT and GDPR, and the App Set id, come in files only."""
    for _, body in bodies(messages):
        assert body.keys() <= PUSH_FIELDS


def test_device_ids_are_as_the_sdks_make_them(messages):
    """An Android device id is random with an R, an advertising id, or an App Set id with an S."""
    forms = Counter()
    for message in messages:
        device_id = message.truth.device_id
        if device_id and message.truth.app == "shop-android":
            forms[device_id[36:]] += 1
        elif device_id:
            assert len(device_id) == 36
    assert set(forms) == {"R", "", "S"}
    assert forms["R"] > forms[""] > forms["S"] > 0


def test_in_app_events_of_a_re_engagement_come_twice():
    """Once for the source of the install, which is secondary, and once for that of the re-engagement."""
    found = made(6000, options=TrafficOptions(double_attribution=True))
    copies = [(m.truth, body) for m, body in bodies(found) if "is_primary_attribution" in body]
    of = {flag: [(t, b) for t, b in copies if b["is_primary_attribution"] == flag] for flag in ("true", "false")}
    assert of["false"]
    assert all(truth.v2.fate is Fate.FILTERED for truth, _ in of["false"])
    primary = {(truth.app, truth.time_ms): body for truth, body in of["true"]}
    for truth, body in of["false"]:
        if (truth.app, truth.time_ms) in primary:  # else the traffic ended before it
            other = primary[truth.app, truth.time_ms]
            assert other["event_value"] == body["event_value"]
            assert other.get("is_retargeting") == "true"
            assert body.get("is_retargeting") == "false"


def test_whoever_is_seen_late_is_sighted_as_amplitude_shows_people(messages):
    """By an AppsFlyer id as user property, set by Identify or in events, or by the device id alone; ids are wiped."""
    sightings, shown = {}, Counter()
    for message in messages:
        if message.truth.kind == "sighting":
            assert message.path == f"/v1/stream/{message.truth.app}"
            body = json.loads(message.body)
            sightings[body["user_id"], body["device_id"]] = body
            assert not any(body.get(name) for name in ("adid", "idfa", "idfv", "android_app_set_id"))
    for message, body in bodies(messages):
        truth = message.truth
        if not truth.waits or (truth.user_id, truth.device_id) not in sightings:
            continue
        seen = sightings[truth.user_id, truth.device_id]
        properties = seen["user_properties"]
        named = properties.get("$set", properties).get("appsflyer_id")
        shown["$set" in properties, named is not None] += 1
        ids = {body.get("idfv"), body.get("idfa"), body.get("advertising_id")}
        assert named == truth.appsflyer_id or seen["device_id"] in ids
    assert set(shown) == {(True, True), (False, True), (False, False)}


def test_places_and_languages_have_amplitudes_names_in_its_messages(messages):
    """AppsFlyer writes codes and the languages' own names, Amplitude English names for both."""
    pushed, streamed = Counter(), Counter()
    for _, body in bodies(messages):
        pushed[body.get("country_code"), body.get("language")] += 1
    for message in messages:
        body = json.loads(message.body) if message.truth.kind == "sighting" else {}
        streamed[body.get("country"), body.get("language")] += 1
    assert {("DE", "Deutsch"), ("UK", "English"), ("JP", "日本語")} <= set(pushed)
    assert {("Germany", "German"), ("United Kingdom", "English"), ("Japan", "Japanese")} <= set(streamed)
    assert not [one for one in streamed if one[0] and (len(one[0]) == 2 or not one[1].isascii())]


def test_what_can_not_be_matched_says_why(messages):
    """A random device id, an App Set id that Push messages lack, nobody in Amplitude, or nothing passed yet."""
    reasons = {m.truth.v2.why for m in messages if m.truth.v2.fate is Fate.HELD}
    assert len(reasons) >= 3
    assert all(reasons)


def test_on_the_attribution_route_only_conversions_with_a_usable_id_are_delivered(messages):
    """In-app events are filtered; who limits tracking on Android has no id that may be used."""
    seen = Counter()
    for message, body in bodies(messages):
        truth = message.truth
        if truth.duplicate_of is not None or truth.v1.fate is Fate.DEAD:
            continue
        seen[truth.v1.fate] += 1
        if truth.kind == "in-app":
            assert truth.v1.fate is Fate.FILTERED
        else:
            usable = "idfv" in body or (body.get("advertising_id") not in {None, ZEROS} and body["is_lat"] == "false")
            assert truth.v1.fate is (Fate.DELIVERED if usable else Fate.REFUSED)
    assert min(seen.values()) > 50


def test_malformed_messages_are_still_json_and_are_dead_for_what_they_are(messages):
    """One kind names no event, the other is no object."""
    dead = [message for message in messages if message.truth.v2.fate is Fate.DEAD]
    for message in dead:
        body = json.loads(message.body)
        assert isinstance(body, list) or not {"event_name", "conversion_type"} & body.keys()
    assert {message.truth.v2.why for message in dead} == {"no event", "no object"}


@pytest.mark.parametrize(
    ("policy", "source", "fate"),
    [
        ("organic", "organic", Fate.DELIVERED),
        ("redact", "restricted", Fate.DELIVERED),
        ("pass", "restricted", Fate.DELIVERED),
        ("drop", None, Fate.REFUSED),
    ],
)
def test_the_truth_about_restricted_sources_follows_the_apps_policy(policy, source, fate):
    """What may be told of a restricted source is the configuration's choice."""
    found = [
        message.truth
        for message, body in bodies(made(3000, options=TrafficOptions(restricted_policy=policy)))
        if body.get("media_source") == "restricted" and message.truth.v2.fate in {Fate.DELIVERED, Fate.REFUSED}
    ]
    assert found
    assert {(truth.media_source, truth.v2.fate) for truth in found} == {(source, fate)}


def truth(number: int, **values: Any) -> Truth:
    delivered = Expected(Fate.DELIVERED)
    base = Truth(number, "app", "in-app", delivered, delivered, False, None, "1-2", "login", number, revenue=1.5)
    return Truth(**{name: getattr(base, name) for name in Truth.__struct_fields__} | values)


def row(number: int, **values: Any) -> dict[str, Any]:
    return {"event_type": "login", "time_ms": number, "revenue": 1.5} | values


def test_a_comparison_tells_missing_doubled_unexpected_different_and_rejected_apart():
    """Each way of being wrong has its own list."""
    truths = [truth(number) for number in range(6)] + [truth(6, v2=Expected(Fate.HELD))]
    saved = [row(0), row(1), row(1), row(2, revenue=2.5), row(3, appsflyer_id="9-9"), row(6)]
    found = compare(truths, saved, [row(5)])
    assert found.right == 1
    assert found.missing == [4]
    assert found.doubled == {1: 1}
    assert found.unexpected == [row(6)]
    assert found.different == [Difference(2, "revenue", 1.5, 2.5), Difference(3, "appsflyer_id", "1-2", "9-9")]
    assert found.rejected == [5]
    assert not found.agrees
    assert compare(truths[:1], [row(0, revenue=1.501)]).agrees


def test_pairs_of_people_do_not_share_identifiers(messages):
    """Nobody is mistaken for somebody else by their device."""
    owners: dict[str, set[str]] = {}
    for _, body in bodies(messages):
        for name in ("idfa", "advertising_id", "idfv", "android_id"):
            if body.get(name, ZEROS) != ZEROS:
                owners.setdefault(f"{name}={body[name]}", set()).add(body.get("ip", ""))
    assert all(len(ips - {""}) <= 1 for ips in owners.values())


def test_a_persons_events_are_in_order_of_their_time(messages):
    """An installation begins with its install."""
    lives: dict[str, list[Truth]] = {}
    for message in messages:
        if message.truth.kind != "sighting":
            lives.setdefault(message.truth.appsflyer_id or "", []).append(message.truth)
    for life in lives.values():
        life.sort(key=lambda truth: truth.time_ms)
        assert life[0].kind in {"install", "reinstall", "re-attribution"}
        assert all(a.time_ms <= b.time_ms for a, b in pairwise(life))


def test_the_example_of_the_documentation_runs(capsys):
    """What the page says about traffic can be copied."""
    page = (Path(__file__).parents[2] / "docs/how-to/sandbox.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(example, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 1000
    assert {line.split()[-1] for line in lines} >= {"delivered", "held", "duplicate", "applied"}


@pytest.mark.parametrize(("kind", "rejected"), [("install", [0]), ("in-app", [])])
def test_a_conversion_whose_identify_call_was_rejected_is_rejected_and_not_missing(kind, rejected):
    """They travel together; an in-app event at the same time has none."""
    delivered = Expected(Fate.DELIVERED)
    truth = Truth(0, "shop", kind, delivered, delivered, False, None, None, "[AppsFlyer] Install", 5)
    found = compare([truth], [], [{"event_type": "$identify", "time_ms": 5}])
    assert (found.rejected, found.missing) == (rejected, [] if rejected else [0])
