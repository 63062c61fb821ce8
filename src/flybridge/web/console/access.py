"""Access to the console: with a password, or without one from this machine only.

HTTP Basic rather than a form with a cookie: it works in browsers and scripts, there is no session to share between
processes, and the pages change nothing that a forged request could ask for. Over anything but the loopback it needs
TLS in front, as the intake endpoints do.

Without a password the peer's address must be of this machine. Behind a reverse proxy on the same machine every
request looks like that, so requests that name a proxy or another host than this machine are refused as well. The check
of the host also stops a page on the internet from reading the console through its visitor's browser (DNS rebinding).
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address
from typing import Final

from flybridge.web.answers import Refusal

FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
CHALLENGE: Final = ("www-authenticate", 'Basic realm="flybridge console", charset="UTF-8"')

_REMEDY: Final = "Set console.password in the configuration, restart, and log in with it and any user name."


def refused(password: bytes | None, headers: Mapping[str, str], peer: str) -> Refusal | None:
    """Return why this request is refused, None if it is not. `headers` have lower-case names."""
    if password is not None:
        if _knows(password, headers.get("authorization", "")):
            return None
        return Refusal(401, "The console needs its password.", "Log in with any user name.", (CHALLENGE,))
    if not of_this_machine(peer):
        return Refusal(403, "Without a password the console is shown on its own machine only.", _REMEDY)
    if found := [name for name in FORWARDED if name in headers]:
        return Refusal(403, f"Without a password the console is not shown through a proxy ({found[0]}).", _REMEDY)
    if not names_this_machine(headers.get("host", "")):
        return Refusal(403, "Without a password the console is shown as localhost only.", _REMEDY)
    return None


def of_this_machine(peer: str) -> bool:
    """Whether an address is a loopback address, also one of IPv4 written as IPv6."""
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


def names_this_machine(host: str) -> bool:
    """Whether a Host header names this machine by a loopback address or as localhost."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".") == "localhost" or of_this_machine(name)


def _knows(password: bytes, authorization: str) -> bool:
    scheme, _, encoded = authorization.partition(" ")
    try:
        _, _, given = b64decode(encoded.strip(), validate=True).partition(b":")
    except (Error, ValueError):
        given = b""
    # Hashed, so that the comparison takes the same time whatever the lengths.
    return compare_digest(sha256(given).digest(), sha256(password).digest()) and scheme.lower() == "basic"
