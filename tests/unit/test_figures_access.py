"""Who may see metrics, and the details of what is away."""

from __future__ import annotations

import socket

import pytest

from flybridge.web.figures_access import refused

TOKEN = b"a token for prometheus"
BEARER = {"authorization": f"Bearer {TOKEN.decode()}"}


@pytest.mark.parametrize(
    "peer", ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.7", "172.20.0.4", "::ffff:10.0.0.7", "fd00::7"]
)
@pytest.mark.parametrize(
    "host", ["127.0.0.1:8700", "[::1]:8700", "localhost", "flybridge:8700", "10.1.2.3", "203.0.113.9"]
)
def test_without_a_token_private_networks_see_figures_by_address_or_local_name(peer, host):
    """As Prometheus beside it, in containers too, asks."""
    assert refused(None, {"host": host}, peer) is None


def test_the_machines_own_name_is_local():
    """Whatever domain it has."""
    assert refused(None, {"host": f"{socket.getfqdn()}:8700"}, "10.1.2.3") is None


@pytest.mark.parametrize("peer", ["8.8.8.8", "2001:4860::1", "::ffff:8.8.8.8", "", "unix:"])
def test_without_a_token_the_internet_sees_nothing(peer):
    """The answer names the setting."""
    refusal = refused(None, {"host": "127.0.0.1"}, peer)
    assert refusal is not None
    assert refusal.status == 403
    assert "server.metrics_token" in refusal.remedy


@pytest.mark.parametrize("host", ["", "evil.example.com", "127.0.0.1.evil.example.com", "bridge.example.com:443"])
def test_without_a_token_a_name_of_a_domain_is_refused(host):
    """A page on the internet that is bound to a private address has such a name."""
    assert refused(None, {"host": host}, "127.0.0.1") is not None


@pytest.mark.parametrize("name", ["forwarded", "via", "x-forwarded-for", "x-real-ip"])
def test_without_a_token_a_proxy_is_refused(name):
    """Behind it everyone has its address."""
    assert refused(None, {"host": "127.0.0.1", name: "x"}, "127.0.0.1") is not None


def test_with_a_token_it_is_needed_everywhere_and_enough():
    """From anywhere, under any name, also on the machine itself."""
    assert refused(TOKEN, {**BEARER, "host": "bridge.example.com", "via": "x"}, "203.0.113.9") is None
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN.decode()}"}):
        refusal = refused(TOKEN, {"host": "localhost", **headers}, "127.0.0.1")
        assert refusal is not None
        assert refusal.status == 401
