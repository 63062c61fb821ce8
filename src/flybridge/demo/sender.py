"""Sends messages as AppsFlyer and Amplitude would, many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from time import perf_counter
from typing import Final

import aiohttp
from msgspec import Struct

from flybridge.clock import Clock, SystemClock
from flybridge.records import digest_of

RETRIES: Final = 4
SPACING_S: Final = 900.0
AT_ONCE_S: Final = 0.05


class PushRetries(StrEnum):
    """When a push message that was not taken is sent again. `ALWAYS` is for tests that kill the receiver.

    An older version of Push API's page says that AppsFlyer does not, and the present one says nothing
    (https://support.appsflyer.com/hc/en-us/articles/207034356, read 2026-11-27). Partner postbacks, elsewhere in
    AppsFlyer, are sent again after a 5xx: four times, 15 minutes apart
    (https://support.appsflyer.com/hc/en-us/articles/360001376085, read 2026-11-27).
    """

    NEVER = "never"
    ON_5XX = "5xx"
    ALWAYS = "always"

    def wait_s(self, status: int, tries: int) -> float | None:
        """Return the wait in seconds before the next try, after `tries` of them; None if the message is lost.

        `status` is that of the last answer, 0 if there was none.
        """
        match self:
            case PushRetries.NEVER:
                return None
            case PushRetries.ON_5XX:
                return SPACING_S if status >= 500 and tries <= RETRIES else None
            case PushRetries.ALWAYS:
                return AT_ONCE_S


class Outgoing(Struct, frozen=True):
    """One message: where it goes, and the bytes."""

    path: str
    body: bytes
    headers: Mapping[str, str]


class Sent(Struct):
    """What the sender saw. `latencies_s` is of acknowledged tries, in seconds; `again` counts repeated tries.

    `lost` counts the postbacks that were not taken and are not sent again.
    """

    acknowledged: int = 0
    again: int = 0
    lost: int = 0
    latencies_s: list[float] = []
    refused: dict[int, int] = {}

    def p(self, share: float) -> float:
        """Return a percentile of the latencies, in seconds; 0.0 when there are none."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Sender:
    """Sends over `connections` connections, as AppsFlyer sends postbacks and Amplitude its stream.

    A postback that is not acknowledged is sent again as `push_retries` says, by `clock`, or is lost. Other messages are
    repeated until they are answered 200 or refused. A connection that breaks before the answer leaves the message in
    doubt. `repeated` holds the digest of each message that may have been stored by a try before the last.

    With several origins, connections are spread over them, and the next try goes to the next one. `late` is set where a
    refusal leaves a message in doubt, too: servers that were asked may have stored it.
    """

    def __init__(
        self,
        *intake_origins: str,
        connections: int = 64,
        patience_s: float = 60.0,
        late: bool = False,
        push_retries: PushRetries = PushRetries.ALWAYS,
        clock: Clock | None = None,
    ) -> None:
        self._origins: Sequence[str] = intake_origins
        self._late = late
        self._connections = connections
        self._patience_s = patience_s
        self._push_retries = push_retries
        self._clock = clock or SystemClock()
        self.sent = Sent()
        self.repeated: list[bytes] = []

    async def send(self, messages: Iterable[Outgoing]) -> Sent:
        """Send all messages. Raises `TimeoutError` when one is not acknowledged within the patience."""
        line = iter(messages)
        connector = aiohttp.TCPConnector(limit=self._connections)
        timeout = aiohttp.ClientTimeout(total=self._patience_s)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
            for number in range(self._connections):
                group.create_task(self._work(session, line, number))
        return self.sent

    async def _work(self, session: aiohttp.ClientSession, line: Iterator[Outgoing], number: int) -> None:
        for message in line:
            number = await self._deliver(session, message, number)

    async def _deliver(self, session: aiohttp.ClientSession, message: Outgoing, number: int) -> int:
        """Send one message until it is taken, refused or lost; return the number of the origin that was asked last."""
        began, tries = perf_counter(), 0
        while True:
            tries += 1
            started = perf_counter()
            status, in_doubt = await self._try(session, message, self._origins[number % len(self._origins)])
            if status == 200:
                self.sent.acknowledged += 1
                self.sent.latencies_s.append(perf_counter() - started)
                return number
            if status not in (0, 500, 502, 503, 504):
                self.sent.refused[status] = self.sent.refused.get(status, 0) + 1
                return number
            is_push = message.path.startswith("/v1/push/")
            wait_s = self._push_retries.wait_s(status, tries) if is_push else AT_ONCE_S
            if wait_s is None:
                self.sent.lost += 1
                return number
            if wait_s == AT_ONCE_S and perf_counter() - began > self._patience_s:
                raise TimeoutError(f"A message to {message.path} was not acknowledged within {self._patience_s} s.")
            if in_doubt or (status and self._late):
                self.repeated.append(digest_of(message.path.rpartition("/")[2], message.body))
            number += 1
            self.sent.again += 1
            await self._clock.sleep(wait_s)

    async def _try(self, session: aiohttp.ClientSession, message: Outgoing, origin: str) -> tuple[int, bool]:
        """Return the status, 0 for none, and whether the message may have been stored without an answer."""
        try:
            async with session.post(origin + message.path, data=message.body, headers=message.headers) as response:
                await response.read()
                return response.status, False
        except aiohttp.ClientConnectorError:
            return 0, False
        except (aiohttp.ClientError, ConnectionError):
            return 0, True
