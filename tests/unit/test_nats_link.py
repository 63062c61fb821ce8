"""What is said about the addresses of NATS servers."""

from __future__ import annotations

import pytest

from flybridge.inbox.nats.link import host_of


@pytest.mark.parametrize("password", ["secret", "pa#ss", "pa/ss", "pa?ss", "p@ss", "p:a:ss", "#", "//", "ä#€@"])
@pytest.mark.parametrize("rest", ["", "/", "/path", "?tls=1"])
def test_no_part_of_a_password_is_in_the_host(password, rest):
    """Whatever characters it holds, percent-encoded or not."""
    assert host_of(f"nats://flybridge:{password}@nats-1.internal:4222{rest}") == "nats-1.internal:4222"


@pytest.mark.parametrize(
    ("server", "host"),
    [("nats://nats-1:4222", "nats-1:4222"), ("nats-1:4222", "nats-1:4222"), ("nats://", "?"), ("", "?")],
)
def test_addresses_without_a_password(server, host):
    """The host as it was written."""
    assert host_of(server) == host
