"""Access to /metrics and /openapi.json, and to the details of /readyz.

With `server.metrics_token` a request needs the token. Without one it has to come from a private network, directly, and
name the host by an address or a local name: a page on the internet must not read the figures through its visitor's
browser (DNS rebinding), nor may a proxy that passes everything publish them.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from flybridge.web.access.hosts import address_of, is_known_host
from flybridge.web.answers import Refusal
from flybridge.web.console.gate import FORWARDED

_REMEDY: Final = "Set server.metrics_token in the configuration, and send it as a bearer token."


def refused(token: bytes | None, headers: Mapping[str, str], peer: str | None) -> Refusal | None:
    """Return why this request is refused, None if it is not. `headers` have lower-case names.

    `peer` is None for calls inside this process.
    """
    if token is not None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        known = compare_digest(sha256(given.strip().encode()).digest(), sha256(token).digest())
        if known and scheme.lower() == "bearer":
            return None
        return Refusal(
            401,
            "The figures need their token.",
            "Send server.metrics_token as a bearer token.",
            (("www-authenticate", "Bearer"),),
        )
    if peer is None:
        return None
    address = address_of(peer.partition("%")[0])
    if address is None or not (address.is_private or address.is_loopback or address.is_link_local):
        return Refusal(403, "Without a token figures are shown in private networks only.", _REMEDY)
    if found := [name for name in FORWARDED if name in headers]:
        return Refusal(403, f"Without a token figures are not shown through a proxy ({found[0]}).", _REMEDY)
    # An address, a name without a domain, or the name of this machine.
    if not is_known_host(headers.get("host", ""), (socket.gethostname(), socket.getfqdn())):
        return Refusal(403, "Without a token figures are shown by address or local name only.", _REMEDY)
    return None
