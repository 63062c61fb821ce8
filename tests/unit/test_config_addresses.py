"""What is an address that flybridge may call is the same for the identity provider and for webhooks."""

from __future__ import annotations

import pytest

from flybridge.config.check import check_console, check_notify
from flybridge.config.console import Console, OidcLogin
from flybridge.errors import ConfigError
from flybridge.notifications.settings import Notify, NotifySlack
from flybridge.system.secret import Secret

NONE = (
    "", "a.example", "ftp://a.example", "https://", "https:///x", "https://:443", "https://[", "https://[x]",
    "https://a.example:port", "https://a.example:0", "https://a.example:99999", "https://a b", "https://a.example\n",
    "https://\u00e9.example", "http://a.example",
)  # fmt: skip


def issuer(address: str) -> None:
    check_console(Console(oidc=OidcLogin(issuer=address, client_id="c", client_secret=Secret("s"))))


def hook(address: str) -> None:
    check_notify(Notify(slack=NotifySlack(url=Secret(address))))


@pytest.mark.parametrize("check", [issuer, hook])
@pytest.mark.parametrize("address", NONE)
def test_what_can_not_be_called_is_a_fault_of_the_configuration(check, address):
    """Said at the start, not at the first call, and never as a fault of flybridge."""
    with pytest.raises(ConfigError):
        check(address)


@pytest.mark.parametrize("check", [issuer, hook])
@pytest.mark.parametrize(
    "address", ["https://a.example", "HTTPS://a.example", "https://a.example:8443/realms/x/", "https://[2001:db8::1]/x"]
)
def test_an_https_address_can_be_called(check, address):
    """With a port and a path, too."""
    check(address)


@pytest.mark.parametrize("address", ["http://localhost:8080/x", "http://127.0.0.1", "http://[::1]:80"])
def test_a_provider_on_this_machine_needs_no_tls(address):
    """As people try it out."""
    issuer(address)


@pytest.mark.parametrize("address", ["https://a.example?x=1", "https://a.example/x#y", "https://user:word@a.example"])
def test_an_issuer_is_no_more_than_host_and_path(address):
    """OpenID Connect Discovery 1.0, section 3: "with no query or fragment component"."""
    with pytest.raises(ConfigError):
        issuer(address)
