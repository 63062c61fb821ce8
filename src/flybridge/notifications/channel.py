"""Where messages go: a signed webhook, and Slack's incoming webhooks.

Redirects are not followed, and addresses that are not public are refused unless they are allowed: what is entered as an
address must not make flybridge reach into its own network (see `delivery.addresses`).
"""

from __future__ import annotations

import asyncio
import hmac
from hashlib import sha256
from typing import Final, Protocol
from urllib.parse import urlsplit

from msgspec import Struct

from flybridge.clock import Clock
from flybridge.delivery.exchange import Download, HttpRequest
from flybridge.errors import FlybridgeError, ForbiddenAddress
from flybridge.notifications.message import Message

TIMEOUT_S: Final = 30.0
SIGNATURE: Final = "X-Flybridge-Signature"
TIMESTAMP: Final = "X-Flybridge-Timestamp"


class NotSent(FlybridgeError):
    """A message did not arrive, as far as is known. The text says why, without an address or a secret."""


class Channel(Protocol):
    """A way to reach people."""

    name: str

    async def send(self, message: Message) -> None:
        """Send a message. Raises `NotSent`."""
        ...


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return the signature of a body: HMAC-SHA256 of the timestamp, a dot and the body, in hexadecimal."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, sha256).hexdigest()


class HttpTarget(Struct, frozen=True):
    """An address to post to. It may hold a token, and is not printed. `private` allows one in the own network."""

    url: str
    private: bool = False


class WebhookChannel:
    """Posts the message as JSON, signed with a secret."""

    name = "webhook"

    def __init__(self, target: HttpTarget, secret: bytes, download: Download, clock: Clock) -> None:
        self._target = target
        self._secret = secret
        self._download = download
        self._clock = clock

    async def send(self, message: Message) -> None:
        body, timestamp = message.as_json(), str(self._clock.now_ms() // 1000)
        headers = {TIMESTAMP: timestamp, SIGNATURE: signature(self._secret, timestamp, body)}
        await _post(self._download, self._target, headers, body)


class SlackChannel:
    """Posts the message as Slack's incoming webhooks take it."""

    name = "slack"

    def __init__(self, target: HttpTarget, download: Download) -> None:
        self._target = target
        self._download = download

    async def send(self, message: Message) -> None:
        await _post(self._download, self._target, {}, message.as_slack())


async def _post(download: Download, target: HttpTarget, headers: dict[str, str], body: bytes) -> None:
    host = urlsplit(target.url).hostname
    request = HttpRequest("POST", target.url, {"Content-Type": "application/json", **headers}, body)
    try:
        async with asyncio.timeout(TIMEOUT_S), download.open(request, public=not target.private) as answer:
            status = answer.status
    except ForbiddenAddress:
        raise NotSent(f"{host} has no public address. If it is meant, set `private = true` beside its url.") from None
    except TimeoutError:
        raise NotSent(f"{host} did not answer within {TIMEOUT_S:.0f} s.") from None
    except FlybridgeError as problem:
        raise NotSent(f"{problem}.") from None
    if 300 <= status < 400:
        raise NotSent(f"{host} answered {status}: redirects are not followed, enter the final address.")
    if not 200 <= status < 300:
        raise NotSent(f"{host} answered {status}.")
