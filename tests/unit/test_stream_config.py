"""Settings of streams: what can't be done is refused with its path and a remedy."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flybridge.cli.app import app as cli
from flybridge.clock import SystemClock
from flybridge.config.settings import load, loads
from flybridge.errors import ConfigError
from flybridge.service.backends import opened_inbox
from flybridge.store.records import Lane
from flybridge.wiring import build_flow, endpoints_of, intake_apps_of

HEAD = """
secret = "a secret of sixteen"
[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"
[apps.appsflyer]
push_token = "t"
s2s_key = "s2s"
s2s_requests_per_s = 50
[apps.amplitude]
api_key = "key"
webhook_token = "t"
[[apps.streams]]
events = ["Order *"]
"""


def read(lines: str):
    """Read a configuration with these lines in its stream."""
    return loads(HEAD + lines, Path(), {})


@pytest.mark.parametrize(
    ("lines", "path", "words"),
    [
        ('properties = { idfaa = "x" }', "properties.idfaa", "Did you mean 'idfa'?"),
        ('properties = { shop = "x" }', "properties.shop", "eventValue.shop"),
        ('properties = { advertising_id = "value:0" }', "properties.advertising_id", "takes no such"),
        ('without = ["appsflyer_id"]', "without", "no event without appsflyer_id"),
        ('without = ["nope"]', "without", "no parameter 'nope'"),
        ('rename = { "Order" = " af" }', "rename", "not a name for an event"),
        ("wait_hours = -1", "wait_hours", "at least 0"),
        ('[[apps.streams.where]]\nproperty = "p"', "where[0]", "Add one of is, is_not, one_of"),
        ('[[apps.streams.where]]\nproperty = "p"\nexists = true\nabsent = true', "where[0]", "present and absent"),
        ('[[apps.streams.where]]\nproperty = "p"\ngt = []', "where[0].gt", "a number or text"),
        ('[[apps.streams.where]]\nproperty = "p"\nis_not_ = 1', "where[0].is_not_", "Did you mean 'is_not'"),
    ],
)
def test_a_stream_that_can_not_work_is_refused(lines, path, words):
    """At the start, by the key and with what to write instead."""
    with pytest.raises(ConfigError) as caught:
        read(lines)
    assert caught.value.path == f"apps[0].streams[0].{path}"
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "lines", ["gt = 0", "is = false", 'is = ""', "exists = true", 'contains = "x"', 'one_of = ["a"]']
)
def test_every_operator_asks_something_even_with_zero_and_false(lines):
    """Zero is a number to compare with, and false a value."""
    config = read(f'[[apps.streams.where]]\nproperty = "p"\n{lines}')
    build_flow(config)
    assert len(config.apps[0].streams[0].where) == 1


def test_an_app_with_streams_has_a_lane_to_appsflyer_and_takes_lists_apart():
    """With its own rate and concurrency."""
    config = read("")
    endpoint = endpoints_of(config)[Lane("shop", "inapp_event")]
    assert (endpoint.limits.concurrency, endpoint.limits.requests_per_s) == (1_000, 50.0)
    assert intake_apps_of(config)[0].takes_apart


def test_settings_of_all_lanes_bound_this_one_too():
    """`delivery.concurrency` is the most for one app and endpoint."""
    config = loads(HEAD.replace("[[apps]]", "[delivery]\nconcurrency = 8\n[[apps]]", 1), Path(), {})
    assert endpoints_of(config)[Lane("shop", "inapp_event")].limits.concurrency == 8


def two(shared: str, other: str = "") -> str:
    """Return two apps of one project, the first with these lines about sharing its stream."""
    return (
        HEAD.replace('webhook_token = "t"', f'webhook_token = "t"\n{shared}')
        + f"""
[[apps]]
name = "apple"
appsflyer_app_id = "id123456789"
platform = "ios"
appsflyer.push_token = "t"
amplitude.api_key = "key"
{other}
"""
    )


def test_a_stream_may_be_shared_by_the_apps_of_a_project():
    """Lists are then taken apart, because each event has its own app."""
    config = loads(two('shared_with = ["apple"]'), Path(), {})
    shop, apple = intake_apps_of(config)
    assert shop.takes_apart
    assert shop.routes is not None
    assert shop.routes.by_platform == {"android": "shop", "ios": "apple"}
    assert apple.routes is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (two('shared_with = ["appel"]'), "not another app"),
        (two('shared_with = ["shop"]'), "not another app"),
        (two('shared_with = ["apple"]').replace('amplitude.api_key = "key"', 'amplitude.api_key = "k"'), "another"),
        (
            two('shared_with = ["apple"]').replace(
                'id123456789"\nplatform = "ios', 'com.example.apple"\nplatform = "android'
            ),
            "two apps of the platform 'android'",
        ),
    ],
)
def test_a_stream_that_can_not_be_shared_is_refused(text, words):
    """What can't be told apart by platform, or is no event of the project."""
    with pytest.raises(ConfigError, match=words) as caught:
        loads(text, Path(), {})
    assert caught.value.path == "apps[0].amplitude.shared_with"


def test_an_imported_event_goes_to_the_app_that_the_stream_gives_it_to(tmp_path):
    """The file of one address heals what its webhook has missed: no event is the other app's, or that of both."""
    config, path = tmp_path / "flybridge.toml", tmp_path / "events.json"
    config.write_text(two('shared_with = ["apple"]'))
    platforms = ["Android", "iOS", "Web", None]
    lines = [{"event_type": "Order X", "user_id": "user-1", "platform": name, "uuid": name} for name in platforms]
    path.write_text("\n".join(map(json.dumps, [*lines, {"user_id": "user-1", "user_properties": {}}])))
    words = ["import", "--stream", str(path), "--app", "shop", "--config", str(config), "--json"]
    found = CliRunner().invoke(cli, words)
    [done] = json.loads(found.stdout)
    assert (done["taken"], done["envelopes"]) == (5, 6)

    async def received() -> list[tuple[str, object]]:
        async with opened_inbox(load(config, {})) as inbox:
            leased = await inbox.lease(100, SystemClock().now_ms(), 60_000)
        return [(one.app, json.loads(one.body).get("platform", "a user")) for one in leased.envelopes]

    assert sorted(asyncio.run(received()), key=str) == [
        ("apple", "a user"), ("apple", "iOS"),
        ("shop", "Android"), ("shop", "Web"), ("shop", "a user"), ("shop", None),
    ]  # fmt: skip
