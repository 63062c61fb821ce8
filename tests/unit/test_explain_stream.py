"""An event of Amplitude is explained row by row, and nobody's id is shown."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from flybridge.amplitude.streamed import Streamed
from flybridge.cli.app import app as cli
from flybridge.mapping.to_appsflyer.explain import explain_event
from flybridge.mapping.to_appsflyer.rules import StreamRules

NOW_MS = 1_763_985_600_000
AF_ID = "1629191854863-7087037"
IDFA = "AEBE52E7-03EE-455A-B3C4-E57283966239"
EVENT = {
    "event_type": "Order Completed",
    "event_time": "2025-11-24 11:59:59.123000",
    "user_id": "ada-12345",
    "device_id": "device-of-ada",
    "idfa": IDFA.lower(),
    "ip_address": "192.0.2.77",
    "event_properties": {"$price": 2.5, "$quantity": 2, "color": "blue", "by": "ada-12345", "userName": "Ada Lovelace"},
    "user_properties": {"appsflyer_id": AF_ID, "email": "ada@example.com"},
}
RULES = StreamRules(
    app="shop",
    platform="ios",
    events=("Order *",),
    extras=("*",),
    properties={"email_hashed": "user_properties.email", "bundleIdentifier": "value:com.shop"},
)
CONFIG = """
secret = "a secret of sixteen"
[[apps]]
name = "shop"
appsflyer_app_id = "id123456789"
platform = "ios"
[apps.appsflyer]
push_token = "t"
s2s_key = "s2s"
[apps.amplitude]
api_key = "key"
webhook_token = "t"
[[apps.streams]]
events = ["Order *"]
"""


def test_an_amount_that_is_named_twice_shows_which_was_taken():
    """And which currency is not that of the event."""
    money = {"af_revenue": 10, "af_currency": "COINS", "$revenue": 9, "$currency": "EUR", "currency": "GBP"}
    found = explain_event(Streamed(EVENT | {"event_properties": money}), [RULES], NOW_MS)
    shown = {row.source.removeprefix("event_properties."): row.value for row in found.rows}
    assert [shown[name] for name in money] == [None, None, "9", "EUR", None]
    other = explain_event(Streamed(EVENT | {"event_properties": money | {"af_currency": "USD"}}), [RULES], NOW_MS)
    shown = {row.source.removeprefix("event_properties."): row.value for row in other.rows}
    assert [shown[name] for name in money] == ["10", "USD", None, None, None]


def test_each_row_says_what_became_of_a_property():
    """Which stream chose it, what it is sent as, and by which rule."""
    found = explain_event(Streamed(EVENT), [RULES], NOW_MS)
    assert found.outcome.startswith("chosen by streams[0], sent as Order Completed, about ")
    rows = {row.target: row for row in found.rows}
    assert rows["eventTime"].value == "2025-11-24 11:59:59.123"
    assert (rows["eventValue.af_revenue"].source, rows["eventValue.af_revenue"].value) == ("(a rule)", "5")
    assert (rows["eventValue.color"].value, rows["eventValue.color"].note) == ("blue", "An extra.")
    assert (rows["bundleIdentifier"].source, rows["bundleIdentifier"].value) == ("(fixed)", "com.shop")


def test_ids_and_contacts_are_masked_wherever_they_stand():
    """Also in a property that happens to hold one, and in what is hashed."""
    text = str(explain_event(Streamed(EVENT), [RULES], NOW_MS))
    for secret in (AF_ID, IDFA, IDFA.lower(), "ada-12345", "192.0.2.77", "ada@example.com", "Lovelace"):
        assert secret not in text


def test_what_had_no_room_is_in_its_row_and_in_a_note():
    """So that one can put the important ones first."""
    event = EVENT | {"event_properties": {f"p{n}": "x" * 200 for n in range(6)}}
    found = explain_event(Streamed(event), [RULES], NOW_MS)
    dropped = [row.target for row in found.rows if row.note == "One kilobyte has no room for it."]
    assert dropped
    assert all(row.value is None for row in found.rows if row.target in dropped)
    assert any(dropped[0] in note for note in found.notes)


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (EVENT | {"event_type": "View"}, "left out: not_chosen"),
        (EVENT | {"is_attribution_event": True}, "left out: loop_guard"),
        (EVENT | {"event_type": "Order " + "n" * 990}, "dead: "),
    ],
)
def test_what_is_not_sent_says_why(event, outcome):
    """In one line."""
    assert explain_event(Streamed(event), [RULES], NOW_MS).outcome.startswith(outcome)


def test_an_event_without_id_says_what_will_happen():
    """Filtered, or waiting, unless a postback has told."""
    found = explain_event(Streamed(EVENT | {"user_properties": {}}), [RULES], NOW_MS)
    assert found.notes[0].endswith("else it is filtered.")


def test_the_command_tells_an_event_from_a_postback(tmp_path):
    """By what is in it; one command for both."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG)
    done = CliRunner().invoke(cli, ["explain", json.dumps(EVENT), "-c", str(path), "--json"])
    assert (done.exit_code, json.loads(done.stdout)["outcome"][:6]) == (0, "delive")
    done = CliRunner().invoke(cli, ["explain", '{"event_name": "install"}', "-c", str(path), "--json"])
    assert json.loads(done.stdout)["outcome"] == "refused"


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([EVENT, EVENT | {"event_type": "not chosen"}], ["delivered", "applied"]),
        (
            [{"event_name": "install"}, {"event_name": "af_purchase", "customer_user_id": "ada-1"}],
            ["refused", "delivered"],
        ),
    ],
)
def test_the_command_explains_each_of_several_messages(tmp_path, messages, found):
    """As the intake takes them apart, which are of Amplitude if the first one is."""
    path = tmp_path / "flybridge.toml"
    path.write_text(CONFIG)
    text = "\n".join(map(json.dumps, messages))
    done = CliRunner().invoke(cli, ["explain", text, "-c", str(path), "--json"])
    assert [one["outcome"] for one in json.loads(done.stdout)] == found
