"""What `flybridge init` writes is what `load` accepts, and says what to paste."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.config.apps import Platform, Region, Route
from flybridge.config.settings import loads
from flybridge.config.template import Answers, render, what_to_paste

ENV = {
    "FLYBRIDGE_SECRET": "0123456789abcdef",
    "AF_PUSH_TOKEN": "push-token",
    "AMPLITUDE_API_KEY": "api-key",
    "AMPLITUDE_WEBHOOK_TOKEN": "webhook-token",
    "AF_S2S_KEY": "s2s",
    "AF_API_TOKEN": "api",
    "AF_IMPORT_KEY": "import",
    "AMPLITUDE_SECRET_KEY": "secret",
    "FLYBRIDGE_CONSOLE_PASSWORD": "password",
    "FLYBRIDGE_FORMER_SECRET": "fedcba9876543210",
}
APPS = {Platform.ANDROID: "com.example.shop", Platform.IOS: "id123456789", Platform.OTHER: "shop.example"}


def answers(platform: Platform = Platform.ANDROID, **more) -> Answers:
    """Return answers for an app of a platform."""
    return Answers(name="shop", appsflyer_app_id=APPS[platform], platform=platform, **more)


@pytest.mark.parametrize("platform", Platform)
@pytest.mark.parametrize("region", Region)
def test_what_is_written_loads(platform, region):
    """The answers come back out of the file."""
    config = loads(render(answers(platform, region=region)), Path("/etc"), ENV)
    app = config.apps[0]
    assert (app.name, app.platform, app.amplitude.region) == ("shop", platform, region)
    assert app.appsflyer_app_id == APPS[platform]
    assert app.amplitude.api_key.reveal() == "api-key"


@pytest.mark.parametrize("platform", [Platform.ANDROID, Platform.IOS])
def test_what_is_written_loads_with_every_comment_turned_on(platform):
    """The optional parts in comments are not wrong either."""
    lines = render(answers(platform)).splitlines()
    on = [
        line.removeprefix("# ") if line.startswith("# ") and (" = " in line or line.startswith("# [")) else line
        for line in lines
    ]
    # Keys of the top of the file must stand before its first table, as they do here.
    app = loads("\n".join(on), Path("/etc"), ENV).apps[0]
    assert app.streams[0].rename == {"Purchase": "af_purchase"}
    assert app.audiences[0].cohort == "7khm89cz"
    assert (app.insight.timezone, app.insight.currency, app.insight.rates) == ("Europe/Berlin", "EUR", {"USD": 0.92})


@given(st.text(min_size=1))
def test_any_text_survives_the_file(text):
    """Quotes, backslashes and control characters are escaped as TOML wants it."""
    if text.startswith(("env:", "file:")) or not text.isprintable():
        text = "x\x00\x1f\x7f\"\\\n\u2028'" + text.replace("\ud800", "")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        return
    config = loads(render(answers(webhook_token=text)), Path("/etc"), ENV)
    assert config.apps[0].amplitude.webhook_token is not None
    assert config.apps[0].amplitude.webhook_token.reveal() == text


def test_it_says_what_to_paste():
    """Address, header and token for AppsFlyer, and the keys of custom data for the app."""
    text = what_to_paste(loads(render(answers(public_url="https://bridge.example.com")), Path("/etc"), ENV))
    for part in (
        "https://bridge.example.com/v1/push/shop",
        "https://bridge.example.com/v1/stream/shop",
        "https://bridge.example.com/v1/cohorts/shop",
        "Authorization",
        "push-token",
        "webhook-token",
        "amplitude_device_id",
        "amplitude_session_id",
        "amplitude_user_id",
        "customer user id",
        "in-app events",
    ):
        assert part in text
    assert "0123456789abcdef" not in text
    assert "api-key" not in text
    assert "127.0.0.1" not in text


def test_it_says_that_a_public_address_is_needed():
    """Without one the local address is printed, and that nobody outside can reach it."""
    text = what_to_paste(loads(render(answers(host="::1")), Path("/etc"), ENV))
    assert "http://[::1]:8700/v1/push/shop" in text
    assert "server.public_url" in text


def test_the_attribution_route_asks_for_no_in_app_events():
    """Amplitude's Attribution API takes none."""
    text = what_to_paste(loads(render(answers(route=Route.ATTRIBUTION)), Path("/etc"), ENV))
    assert "no in-app events" in text


def test_an_open_door_is_said_to_be_one():
    """Where no token is set there is none to paste."""
    text = what_to_paste(loads(render(answers(push_token="")), Path("/etc"), ENV))
    assert "this machine only" in text
