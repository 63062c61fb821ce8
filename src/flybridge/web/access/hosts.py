"""Names of hosts and addresses of peers: which machine a request comes from, and which name it was sent to."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit


def address_of(peer: str) -> IPv4Address | IPv6Address | None:
    """Return an address, one of IPv4 that is written as IPv6 as what it is; None if it is none."""
    try:
        address = ip_address(peer)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def of_this_machine(peer: str) -> bool:
    """Whether an address is a loopback address."""
    address = address_of(peer)
    return address is not None and address.is_loopback


def name_in(host: str) -> str:
    """Return the name or address in a Host header, without the port, in lower case."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")


def names_this_machine(host: str) -> bool:
    """Whether a Host header names this machine by a loopback address or as localhost."""
    name = name_in(host)
    return name == "localhost" or of_this_machine(name)


def is_known_host(host: str, names: Iterable[str]) -> bool:
    """Whether a Host header names the console: by one of `names`, an address, or a name without a domain.

    A page on the internet can bind a name of its own to this machine's address (DNS rebinding), but neither an address
    nor a name without a domain.
    """
    name = name_in(host)
    if not name:
        return False
    if "." not in name and ":" not in name:
        return True
    try:
        ip_address(name)
    except ValueError:
        return name in {name_in(one) for one in names}
    return True


def host_of(origin: str) -> str:
    """Return the host and port of an origin, as a Host header has them; empty if it is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def is_listed(peer: str, networks: Iterable[str]) -> bool:
    """Whether an address is one of these addresses, or in one of these networks."""
    address = address_of(peer)
    return address is not None and any(address in ip_network(network, strict=False) for network in networks)
