"""Addresses that a redirect may lead to."""

from __future__ import annotations

import socket

import pytest

from flybridge.delivery.addresses import is_public
from flybridge.delivery.exchange import HttpRequest
from flybridge.delivery.transport import HttpDownload
from flybridge.errors import ForbiddenAddress, TransportError


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:a00:1::", "192.0.2.1", "name", "",
    ],
)  # fmt: skip
def test_what_is_not_public_is_told_apart(address):
    """Private, local, shared, reserved, and all of these inside an IPv6 address."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "52.216.0.1", "2600:1f18::1", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public_addresses_are_public(address):
    """Also an IPv4 address inside an IPv6 address."""
    assert is_public(address)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/file", "https://[::1]/file", "https://localhost/file", "https://[::ffff:7f00:1]:8443/f"]
)
async def test_a_request_to_a_public_address_goes_to_no_other(url):
    """Whether it is an address or a name that resolves to one."""
    download = HttpDownload()
    try:
        with pytest.raises(ForbiddenAddress, match="no public address"):
            async with download.open(HttpRequest("GET", url, {}, b""), public=True):
                pass
    finally:
        await download.close()


async def test_an_address_at_which_nothing_answers_is_no_download_that_broke_off():
    """What a test message, a report or a login is told: that there is no connection, and with which host."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    download = HttpDownload()
    try:
        with pytest.raises(TransportError, match=r"^127\.0\.0\.1: no connection \(") as failed:
            async with download.open(HttpRequest("POST", f"http://127.0.0.1:{port}/path?secret", {}, b"{}")):
                pass
        assert "secret" not in str(failed.value)
    finally:
        await download.close()
