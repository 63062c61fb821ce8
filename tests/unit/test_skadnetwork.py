"""SKAdNetwork messages of every version: sent to nobody, and counted once each by campaign."""

from __future__ import annotations

import json
from datetime import date

import pytest

from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.insight.performance import AppScope, Question, read_performance
from flybridge.mapping.counting import Counting
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import DAY_MS, Envelope, Media, Performance, Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

NOW_MS = 1_795_200_000_000
TODAY = NOW_MS // DAY_MS
INSTALL = {
    "app_id": "id499000111", "event_name": "install", "ad_network_name": "snapchat_int", "platform": "ios",
    "skad_ad_network_id": "424m5254lk.skadnetwork", "skad_source_identifier": "5239", "skad_conversion_value": "12",
    "skad_coarse_conversion_value": "high", "skad_postback_sequence_index": "0", "skad_did_win": "true",
    "media_source": "snapchat_int", "event_time": "2026-11-20 10:00:00",
}  # fmt: skip
RULES = Rules(app="shop", platform="ios", app_id="id499000111")


async def counted(tmp_path, *messages: dict, rules: Rules = RULES) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return by source and campaign the installs of SKAdNetwork, other installs, and in-app events."""
    flow = Flow({"shop": AppFlow(rules)}, Keyring(b"secret"))
    bodies = [json.dumps(message).encode() for message in messages]
    envelopes = [Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, body, f"r{n}") for n, body in enumerate(bodies)]
    filings = flow.filings(envelopes)
    assert {filing.decision.reason for filing in filings} == {"skadnetwork"}
    assert all(filing.persons == () for filing in filings)
    store = SqliteStore(tmp_path / "store.db", Seal(b"secret"))
    await store.open()
    await store.file(filings, NOW_MS)
    question = Question(TODAY - 30, TODAY, ("media_source", "campaign"))
    found = await read_performance(store, [AppScope("shop", "USD", {}, "ios", TODAY + 1)], question)
    assert await store.audit() == []
    await store.close()
    return {
        (row.labels["media_source"], row.labels["campaign"]): (
            row.figures.skad_installs,
            row.figures.installs,
            row.figures.events,
        )
        for row in found.rows
    }


async def test_a_repeat_is_known_by_its_transaction(tmp_path):
    """In another order of fields, with another field, or by GET; Apple's id tells it. Without one the bytes do."""
    named = INSTALL | {"campaign": "winter", "skad_transaction_id": "6aafb7a5-0170-41b5-bbe4-fe71dedf1e28"}
    again = dict(reversed(named.items())) | {"af_sub1": "x"}
    other = named | {"skad_transaction_id": "6aafb7a5-0170-41b5-bbe4-fe71dedf1e29"}
    later = named | {"skad_postback_sequence_index": "1"}
    assert await counted(tmp_path, named, again, other, later, later) == {("snapchat_int", "winter"): (2, 0, 0)}


@pytest.mark.parametrize("nothing", [{}, {"skad_transaction_id": None}, {"skad_transaction_id": "null"}])
async def test_a_repeat_without_a_transaction_is_known_by_appsflyers_id(tmp_path, nothing):
    """Not every network passes one on; the push and the row of a file differ in other fields."""
    pushed = INSTALL | {"campaign": "winter", "event_uuid": "1a5c2b39-9a5c-4b3f-8a24-8d1f0f2f7b11"} | nothing
    row = dict(reversed(pushed.items())) | {"skad_did_win": True, "install_date": "2026-11-20"}
    other = pushed | {"event_uuid": "1a5c2b39-9a5c-4b3f-8a24-8d1f0f2f7b12"}
    assert await counted(tmp_path, pushed, row, other) == {("snapchat_int", "winter"): (2, 0, 0)}


async def test_installs_are_counted_by_campaign(tmp_path):
    """By AppsFlyer's campaign, else by Apple's campaign id or source identifier; a repeat is one."""
    named = INSTALL | {"campaign": "winter", "skad_transaction_id": "1"}
    version_3 = INSTALL | {"skad_campaign_id": "17", "skad_source_identifier": None, "skad_transaction_id": "2"}
    other = INSTALL | {"media_source": None, "skad_transaction_id": "3"}
    again = named | {"skad_transaction_id": "4"}
    assert await counted(tmp_path, named, named, version_3, other, again, INSTALL) == {
        ("snapchat_int", "winter"): (2, 0, 0),
        ("snapchat_int", "17"): (1, 0, 0),
        ("snapchat_int", "5239"): (2, 0, 0),
    }


@pytest.mark.parametrize(
    "change",
    [
        {"skad_did_win": "false"}, {"skad_did_win": False}, {"skad_did_win": 0},
        {"skad_did_win": "no"}, {"skad_did_win": 0.0}, {"skad_did_win": "n"},
        {"skad_postback_sequence_index": "1"}, {"skad_postback_sequence_index": 2},
        {"skad_did_win": None, "did_win": "false"}, {"skad_did_win": None, "did_win": False},
        {"event_name": "af_skad_revenue"}, {"event_name": "postback"}, {"event_name": None, "event_type": "postback"},
    ],
)  # fmt: skip
async def test_what_is_no_install_of_its_own_is_not_counted(tmp_path, change):
    """Lost auctions, the second and third postback, and messages about an install that has one already."""
    assert await counted(tmp_path, INSTALL | change) == {}


@pytest.mark.parametrize("field", ["skad_fidelity_type", "skad_ad_network_id", "skad_new"])
def test_one_that_names_an_appsflyer_id_is_one_all_the_same(field):
    """Any field of SKAdNetwork says so, whatever else is there."""
    body = json.dumps({"event_name": "install", "appsflyer_id": "1629191854863-7087037", field: "1"}).encode()
    flow = Flow({"shop": AppFlow(RULES)}, Keyring(b"secret"))
    (filing,) = flow.filings([Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, body, "r1")])
    assert filing.decision.reason == "skadnetwork"


@pytest.mark.parametrize("name", ["install", "Install", "af_skad_install", "af_skad_redownload", "skad_install"])
@pytest.mark.parametrize("field", ["skad_version", "skad_fidelity_type", "skad_ad_network_id", "skad_new"])
async def test_any_field_and_every_name_of_an_install(tmp_path, name, field):
    """Whatever the version calls them."""
    message = {"event_name": name, "media_source": "x_int", "campaign": "c", "platform": "ios", field: "1"}
    assert await counted(tmp_path, message) == {("x_int", "c"): (1, 0, 0)}


REPORTED = {
    "app_id": "id499000111", "event_name": "af_skad_install", "media_source": "Facebook Ads", "platform": "ios",
    "skad_version": "4.0", "skad_source_identifier": "52", "skad_campaign_id": None, "skad_did_win": "true",
    "ad_network_campaign_name": "winter", "ad_network_campaign_id": "120208", "ad_network_adset_name": "nordic",
    "ad_network_ad_name": "snow", "timestamp": "2026-11-12 02:30:00.123", "install_date": "2026-11-09",
}  # fmt: skip
"""A row of AppsFlyer's own reports of SKAdNetwork, whose fields have other names than those of people."""


def performance_of(message: dict, *, source: Source = Source.PUSH, detail: str = "campaign") -> Performance:
    rules = Rules(app="shop", platform="ios", app_id="id499000111")
    app = AppFlow(rules, counting=Counting(timezone="America/New_York", detail=detail))
    (filing,) = Flow({"shop": app}, Keyring(b"secret")).filings(
        [Envelope("shop", source, Media.JSON, NOW_MS, json.dumps(message).encode(), "r1")]
    )
    assert filing.performance is not None
    return filing.performance


@pytest.mark.parametrize(
    ("change", "campaign"),
    [
        ({}, "winter"),
        ({"campaign": "of AppsFlyer"}, "of AppsFlyer"),
        ({"ad_network_campaign_name": None}, "120208"),
        ({"ad_network_campaign_name": "null", "ad_network_campaign_id": 120208}, "120208"),
        ({"ad_network_campaign_name": None, "ad_network_campaign_id": None}, "52"),
        ({"ad_network_campaign_name": None, "ad_network_campaign_id": None, "skad_campaign_id": 17}, "17"),
    ],
)
def test_the_campaign_is_the_networks_before_apples_number(change, campaign):
    """Apple has a number of two to four digits, which says nothing beside a campaign's name or cost."""
    assert performance_of(REPORTED | change).dimensions.campaign == campaign


@pytest.mark.parametrize(
    ("detail", "adset", "ad"), [("campaign", "", ""), ("adset", "nordic", ""), ("ad", "nordic", "snow")]
)
def test_the_finer_levels_are_counted_as_configured(detail, adset, ad):
    dimensions = performance_of(REPORTED, detail=detail).dimensions
    assert (dimensions.campaign, dimensions.adset, dimensions.ad) == ("winter", adset, ad)


@pytest.mark.parametrize("source", [Source.PUSH, Source.FILE, Source.LOCKER])
@pytest.mark.parametrize(
    ("change", "day"),
    [
        ({}, "2026-11-09"),
        ({"event_time": "2026-11-13 12:00:00"}, "2026-11-09"),
        ({"install_date": None, "event_time": "2026-11-13 12:00:00"}, "2026-11-13"),
        ({"install_date": None}, "2026-11-11"),
        ({"install_date": "soon"}, "2026-11-11"),
        ({"install_date": None, "timestamp": None}, "2026-11-20"),
    ],
)
def test_an_install_is_of_the_day_that_appsflyer_estimates(source, change, day):
    """Else of the one on which the postback came, in the app's zone: not of the day on which a file is read."""
    found = performance_of(REPORTED | change, source=source).day
    assert date.fromordinal(date(1970, 1, 1).toordinal() + found).isoformat() == day
