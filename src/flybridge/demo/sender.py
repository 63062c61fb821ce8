"""Sends messages as AppsFlyer and Amplitude would, many at a time, and tries again until each is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import perf_counter

import aiohttp
from msgspec import Struct

from flybridge.records import digest_of


class Outgoing(Struct, frozen=True):
    """One message: where it goes, and the bytes."""

    path: str
    body: bytes
    headers: Mapping[str, str]


class Sent(Struct):
    """What the sender saw. `latencies_s` is of acknowledged tries, in seconds; `again` counts repeated tries."""

    acknowledged: int = 0
    again: int = 0
    latencies_s: list[float] = []
    refused: dict[int, int] = {}

    def p(self, share: float) -> float:
        """Return a percentile of the latencies, in seconds; 0.0 when there are none."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Sender:
    """Sends over `connections` connections. A message is repeated until the server answers 200, or refuses it.

    A connection that breaks before the answer leaves the message in doubt; it is sent again, as AppsFlyer does, and
    the receiver has to find out that it is a repeat. `repeated` holds the digest of each message so sent again.

    With several `doors`, connections are spread over them, and a message goes on at the next one when one is away
    or refuses. `late` is set where a refusal leaves it in doubt, too: servers that were asked may have stored it.
    """

    def __init__(
        self, *intake_origins: str, connections: int = 64, patience_s: float = 60.0, late: bool = False
    ) -> None:
        self._origins: Sequence[str] = intake_origins
        self._late = late
        self._connections = connections
        self._patience_s = patience_s
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
            number = await asyncio.wait_for(self._deliver(session, message, number), self._patience_s)

    async def _deliver(self, session: aiohttp.ClientSession, message: Outgoing, number: int) -> int:
        """Send one message until it is answered; give the number of the door that did."""
        while True:
            started, door = perf_counter(), self._origins[number % len(self._origins)]
            try:
                async with session.post(door + message.path, data=message.body, headers=message.headers) as response:
                    await response.read()
                    status = response.status
            except aiohttp.ClientConnectorError:
                status = 0
            except (aiohttp.ClientError, ConnectionError):
                self.repeated.append(digest_of(message.path.rpartition("/")[2], message.body))
                status = 0
            if status == 200:
                self.sent.acknowledged += 1
                self.sent.latencies_s.append(perf_counter() - started)
                return number
            if status not in (0, 500, 502, 503, 504):
                self.sent.refused[status] = self.sent.refused.get(status, 0) + 1
                return number
            if status and self._late:
                self.repeated.append(digest_of(message.path.rpartition("/")[2], message.body))
            number += 1
            self.sent.again += 1
            await asyncio.sleep(0.05)
