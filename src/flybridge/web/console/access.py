"""Access to the console: with a password, or without one from this machine only.

HTTP Basic rather than a form with a cookie: it works in browsers and scripts, there is no session to share between
processes, and the pages change nothing that a forged request could ask for. Over anything but the loopback it needs
TLS in front, as the intake endpoints do.

Without a password the peer's address must be of this machine. Behind a reverse proxy on the same machine every
request looks like that, so requests that name a proxy or another host than this machine are refused as well. The check
of the host also stops a page on the internet from reading the console through its visitor's browser (DNS rebinding).
"""

from __future__ import annotations

import math
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

FREE: Final = 10
LONGEST_S: Final = 60.0
FORGET_S: Final = 3600.0
PEERS: Final = 1000

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


class Guesses:
    """Wrong passwords by peer. After `FREE` of them a peer has to wait, twice as long each time, up to `LONGEST_S`.

    Behind a proxy all clients are one peer.
    """

    def __init__(self) -> None:
        self._failed: dict[str, tuple[int, float]] = {}

    def wait_s(self, peer: str, now_s: float) -> float:
        """Return how long this peer has to wait before its next try, in seconds."""
        n, last_s = self._failed.get(peer, (0, 0.0))
        if n < FREE:
            return 0.0
        return max(0.0, last_s + min(2.0 ** min(n - FREE, 10), LONGEST_S) - now_s)

    def failed(self, peer: str, now_s: float) -> int:
        """Note a wrong password. Return how many there were; after `FORGET_S` without one they are forgotten."""
        n, last_s = self._failed.pop(peer, (0, now_s))
        n = n + 1 if now_s - last_s < FORGET_S else 1
        self._failed[peer] = (n, now_s)
        if len(self._failed) > PEERS:
            del self._failed[next(iter(self._failed))]
        return n


def too_many_guesses(wait_s: float) -> Refusal:
    """Return the refusal of a try that comes too early. The password is not looked at."""
    seconds = str(math.ceil(wait_s))
    return Refusal(429, "Too many wrong passwords.", f"Try again in {seconds} seconds.", (("retry-after", seconds),))


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
