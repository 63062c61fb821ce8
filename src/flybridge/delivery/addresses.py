"""Public addresses: where a redirect of a vendor may lead.

An answer that redirects to an address inside the operator's network would make flybridge read what only it can reach
(server-side request forgery). The check is made on resolved addresses, and the connection uses exactly these, so that
a name can't resolve to another address in between.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

_NAT64: Final = ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


class NotPublicError(OSError):
    """A host has no public address."""


def is_public(address: str) -> bool:
    """Whether an IP address is globally reachable; an IPv4 address inside an IPv6 address counts as itself."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(one.is_global and not one.is_multicast for one in _embedded(found))


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [IPv4Address(address.packed[-4:])]
    inner = [*([address.sixtofour] if address.sixtofour else ()), *(address.teredo or ())]
    return [address, *inner]


def is_address(host: str) -> bool:
    """Whether a host is an IP address and no name."""
    try:
        ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only. Raises `NotPublicError` if a name has none."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the public addresses of a host."""
        found = [one for one in await self._resolver.resolve(host, port, family) if is_public(one["host"])]
        if not found:
            raise NotPublicError(f"{host} has no public address")
        return found

    async def close(self) -> None:
        """Close the resolver below."""
        await self._resolver.close()
