"""Settings of notifications: what is accepted, in which words the rest is refused, and that no address is printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_config import SMALL

from flybridge.config.settings import loads, shown
from flybridge.errors import ConfigError
from flybridge.testing.clocks import ManualClock
from flybridge.wiring import channel_names, channels_of

HOOK = 'webhook = { url = "https://example.com/hook?t=hidden-token", secret = "0123456789abcdef" }'
MAIL = 'email = { host = "mail.example.com", sender = "f@example.com", recipients = ["ops@example.com"]%s }'


def read(lines: str):
    """Read a configuration with these settings of notifications."""
    return loads(f"{SMALL}\n[notify]\n{lines}", Path("/etc"), {"PW": "the password"})


def test_nobody_is_told_by_default():
    """Without a section there is no channel."""
    config = loads(SMALL, Path("/etc"), {})
    assert channel_names(config) == ()
    assert channels_of(config, None, ManualClock()) == []


def test_all_channels():
    """Each has its own table; secrets come from the environment as everywhere."""
    login = ', user = "bridge", password = "env:PW", security = "tls"'
    config = read(
        f"{HOOK}\n{MAIL % login}\n"
        'slack = { url = "https://hooks.slack.com/services/hidden-token" }\n'
        'quiet_from = "22:00"\nquiet_to = "07:30"\ntimezone = "Europe/Berlin"\nafter_minutes = 5\n'
    )
    assert channel_names(config) == ("webhook", "slack", "email")
    assert [one.name for one in channels_of(config, None, ManualClock())] == ["webhook", "slack", "email"]
    quiet = config.notify.quiet
    assert (quiet.zone, str(quiet.begin), str(quiet.end)) == ("Europe/Berlin", "22:00:00", "07:30:00")
    assert "hidden-token" not in str(shown(config))
    assert "the password" not in str(shown(config))


@pytest.mark.parametrize(
    ("lines", "path", "said"),
    [
        ('webhook = { url = "http://example.com/hidden-token", secret = "0123456789abcdef" }', "webhook.url",
         "not encrypted"),
        ('webhook = { url = "hidden-token", secret = "0123456789abcdef" }', "webhook.url", "an http"),
        ('webhook = { url = "ftp://example.com/hidden-token", secret = "0123456789abcdef" }', "webhook.url", "an http"),
        ('webhook = { url = "https:///hidden-token", secret = "0123456789abcdef" }', "webhook.url", "an http"),
        ('webhook = { url = "https://e.com:0/hidden-token", secret = "0123456789abcdef" }', "webhook.url", "an http"),
        ('webhook = { url = "https://e.com/hidden-token\\n", secret = "0123456789abcdef" }', "webhook.url", "an http"),
        ('webhook = { url = "https://example.com/", secret = "short" }', "webhook.secret", "needs 16"),
        ('webhook = { url = "https://example.com/" }', "webhook.secret", "missing"),
        ('slack = { url = "hooks.slack.com/hidden-token" }', "slack.url", "an http"),
        (MAIL % ', user = "bridge"', "email.password", "missing"),
        (MAIL % ', password = "hidden-token"', "email.user", "missing"),
        (MAIL % ', user = "bridge", password = "hidden-token", security = "none"', "email.security", "in clear"),
        (MAIL % ', security = "ssl"', "email.security", "starttls"),
        (MAIL % ", port = 70000", "email.port", "65_535"),
        (MAIL.replace("f@example.com", "f@example.com\\nBcc: x@example.com") % "", "email.sender", "an e-mail address"),
        (MAIL.replace("ops@example.com", "ops") % "", "email.recipients[0]", "an e-mail address"),
        ('quiet_from = "22:00"', "quiet_to", "missing"),
        ('quiet_to = "22:00"', "quiet_from", "missing"),
        ('quiet_from = "24:00"\nquiet_to = "07:00"', "quiet_from", "a time of day"),
        ('timezone = "Mars/Base"', "timezone", "no zone"),
        ("after_minutes = -1", "after_minutes", "at least 0"),
        ("mail = {}", "mail", "no such key"),
    ],
)  # fmt: skip
def test_what_can_not_be_used_is_refused(lines, path, said):
    """With the path of the key, and without an address that may hold a token."""
    with pytest.raises(ConfigError) as found:
        read(lines)
    assert found.value.path == f"notify.{path}"
    assert said in str(found.value)
    assert "hidden-token" not in str(found.value)
