"""One AppsFlyer app and one Amplitude project are joined once: by one entry, and not by the native integration too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.config.settings import loads
from flybridge.errors import ConfigError
from flybridge.insight.native import native_warnings
from flybridge.mapping.to_amplitude.native import from_native_integration
from flybridge.operations.doctor import startable
from flybridge.records import DAY_MS, Envelope, Media, Source, day_of
from flybridge.store.figures import Count
from flybridge.wiring import build_flow

NOW_MS = 1_790_000_000_000
ROWS = [("af_sub1", "revenue"), ("idfa", "event_properties.x")]
"""Rows that the mapping refuses."""
SECRET = 'secret = "0123456789abcdef0123456789abcdef"\n'


def entry(name: str, *, af: str = "id1", key: str = "k", route: str = "http_v2", more: str = "") -> str:
    """Return the section of an app."""
    return f"""
[[apps]]
name = "{name}"
appsflyer_app_id = "{af}"
platform = "ios"
route = "{route}"
appsflyer.push_token = "t"
amplitude.api_key = "{key}"
{more}
"""


@pytest.mark.parametrize("routes", [("http_v2", "http_v2"), ("http_v2", "attribution"), ("attribution", "http_v2")])
def test_the_same_app_into_the_same_project_is_refused(routes):
    """Whatever the routes, and also with another entry between them."""
    text = SECRET + entry("a", route=routes[0]) + entry("x", af="id2") + entry("b", route=routes[1])
    with pytest.raises(ConfigError, match=r"apps\[2\].*apps\[0\] \(a\)") as refused:
        loads(text, Path(), {})
    assert "Remove one" in str(refused.value)


@pytest.mark.parametrize(
    "second",
    [entry("b", af="id2"), entry("b", key="other"), entry("b", more='amplitude.base_url = "https://x.example"')],
    ids=["another app", "another project", "another host"],
)
def test_two_apps_in_a_project_and_an_app_in_two_projects_are_possible(second):
    """A test project beside the live one, and iOS and Android in one."""
    assert len(loads(SECRET + entry("a") + second, Path(), {}).apps) == 2


def test_spelling_does_not_help():
    """Cases are the same app, blanks the same project."""
    text = SECRET + entry("a", af="com.Shop").replace('"ios"', '"android"')
    text += entry("b", af="com.shop", key=" k").replace('"ios"', '"android"')
    with pytest.raises(ConfigError, match="twice"):
        loads(text, Path(), {})


@pytest.mark.parametrize(
    "more",
    [f'mapping.rows = [{{ source = "{source}", target = "{to}" }}]' for source, to in ROWS],
)
def test_the_doctor_refuses_what_serve_refuses(tmp_path, more):
    """By the one function that builds everything of the configuration."""
    path = tmp_path / "flybridge.toml"
    path.write_text(SECRET + entry("a", more=more))
    found = startable(loads(path.read_text(), tmp_path, {}))
    assert not found.ok
    assert "mapping.rows" in found.detail or "rows" in found.detail
    for words in (["doctor", "--no-vendors"], ["serve", "--port", "0"]):
        done = CliRunner().invoke(app, [*words, "--config", str(path)])
        assert done.exit_code != 0
        assert "Traceback" not in done.output


OURS = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("event", "route", "native"),
    [
        ({"event_type": "[AppsFlyer] Install"}, "http_v2", True),
        ({"event_type": "[AppsFlyer] Install", "$insert_id": "7d1f-uuid"}, "http_v2", True),
        ({"event_type": "[AppsFlyer] Install", "$insert_id": OURS}, "http_v2", False),
        ({"event_type": "[AppsFlyer] purchase", "$insert_id": f"{OURS}-123"}, "http_v2", False),
        ({"event_type": "[AppsFlyer] purchase", "insert_id": f"{OURS}-r2"}, "http_v2", False),
        ({"event_type": "[AppsFlyer] Install", "is_attribution_event": True}, "attribution", False),
        ({"event_type": "[AppsFlyer] Install", "is_attribution_event": True}, "http_v2", True),
        ({"event_type": "[AppsFlyer] Install"}, "attribution", True),
        ({"event_type": "Install"}, "http_v2", False),
        ([{"event_type": "Open"}, {"event_type": "[AppsFlyer] Install"}], "http_v2", True),
        ({"user_id": "u"}, "http_v2", False),
    ],
)
def test_events_of_the_native_integration_are_told_from_ours(event, route, native):
    """By the insert id, which only flybridge makes so; on the Attribution API by Amplitude's mark."""
    assert from_native_integration(event, route) is native


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("ids", [{}, {"device_id": "9A1B2C3D-0000-4000-8000-000000000001", "platform": "iOS"}])
def test_the_pipeline_counts_them_under_a_reason(streams, ids):
    """Whether the event teaches something or not, and whether the app streams to AppsFlyer or not."""
    more = 'appsflyer.s2s_key = "s"\namplitude.webhook_token = "w"\n[[apps.streams]]\nevents = ["*"]' if streams else ""
    flow = build_flow(loads(SECRET + entry("a", more=more), Path(), {}))
    body = json.dumps({"event_type": "[AppsFlyer] Install", **ids}).encode()
    filing = flow.filing(Envelope("a", Source.STREAM, Media.JSON, NOW_MS, body))
    assert filing.decision.reason == "native_integration"
    assert bool(filing.sightings) == bool(ids)
    own = json.dumps({"event_type": "[AppsFlyer] Install", "$insert_id": OURS, **ids}).encode()
    assert flow.filing(Envelope("a", Source.STREAM, Media.JSON, NOW_MS, own)).decision.reason != "native_integration"


def test_the_warning_counts_a_week():
    """And names the app, the figure and the remedy; older events are past."""

    def count(day: str, n: int) -> Count:
        return Count("shop", day, "stream", "filtered", "native_integration", n)

    today, old = day_of(NOW_MS), day_of(NOW_MS - 8 * DAY_MS)
    assert native_warnings([count(old, 5)], NOW_MS) == []
    (warning,) = native_warnings([count(today, 2), count(day_of(NOW_MS - DAY_MS), 1), count(old, 5)], NOW_MS)
    assert warning.startswith("shop: 3 AppsFlyer events")
    assert "switch it off" in warning
