"""The sandbox's Amplitude streaming what it has ingested to a webhook, retries included.

    POST /sandbox/stream?project=&url=&token=     stream this project's events to that address from now on
    GET  /sandbox/stream                          what was sent, retried and given up, per project

Each event is one call in the Export API's format, user properties as text, with `User-Agent: Amplitude/Webhook/1.0` and
the token as `Authorization`. A call is tried once and, on failure, nine more times over four hours of the sandbox's
clock, whatever the failure; on 5xx and 429 each of these tries is repeated at once up to three times, after 100 ms,
doubling, with a jitter of half, within four seconds. After that the event is given up.

https://amplitude.com/docs/data/destination-catalog/webhooks (read 2026-11-24). How the nine are spread over the four
hours is not said: here evenly. Properties are there only if the sandbox keeps everything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from random import Random
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Struct, field

from flybridge.records import HOUR_MS
from flybridge.sandbox.http import SandboxAnswer, Scope, query_of
from flybridge.sandbox.played import VendorApi
from flybridge.sandbox.vendors.amplitude import AmplitudeServer
from flybridge.sandbox.vendors.ledger import Saved
from flybridge.sandbox.vendors.record import export_row

PATH: Final = "/sandbox/stream"
RETRIES: Final = 9
SPACING_MS: Final = 4 * HOUR_MS // RETRIES
AT_ONCE: Final = 3
FIRST_S: Final = 0.1
GIVE_UP_S: Final = 4.0
LOOK_S: Final = 0.02
CONNECTIONS: Final = 32


class StreamCounts(Struct):
    """What was done for one project. `sent` were answered 2xx; `tries` counts every call."""

    sent: int = 0
    tries: int = 0
    given_up: int = 0


class _Sync(Struct):
    """One project's stream: where it goes, how far it has got, and what is to be tried again."""

    url: str
    headers: Mapping[str, str]
    tally: StreamCounts
    position: int = 0
    again: list[tuple[int, int, bytes]] = []  # when (of the sandbox's clock), how many retries are left, the body


class Streamer(VendorApi, kw_only=True):
    """Follows the projects' ledgers. Events saved before a stream was set up are not sent."""

    pages = (PATH,)

    amplitude: AmplitudeServer
    _random: Random = field(default_factory=lambda: Random("streamer 0"))  # noqa: S311 - repeatable on purpose
    _syncs: dict[str, _Sync] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def own_page(self, scope: Scope, _: bytes) -> SandboxAnswer:
        """Set up a stream, or report on the streams."""
        if scope["method"] == "POST":
            asked = query_of(scope)
            if not asked.get("project") or not asked.get("url", "").startswith(("http://", "https://")):
                problem = "The query has no `project`, or no `url` of a webhook."
                remedy = f"Post to {PATH}?project=API_KEY&url=http://127.0.0.1:8700/v1/stream/my-app&token=..."
                return SandboxAnswer(400, {"error": problem, "remedy": remedy})
            self.follow(asked["project"], asked["url"], asked.get("token", ""))
        return SandboxAnswer(200, self.counts())

    def follow(self, project: str, url: str, token: str = "") -> None:
        """Stream a project's events to a webhook from now on. To be called from a running event loop."""
        headers = {"Content-Type": "application/json", "User-Agent": "Amplitude/Webhook/1.0"}
        if token:
            headers["Authorization"] = token
        position = len(self.amplitude.ledger(project).saved)
        self._syncs[project] = _Sync(url, headers, StreamCounts(), position)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End streaming; what waits for a retry is dropped with the sandbox."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def counts(self) -> dict[str, Any]:
        """Return the counts of every stream; `waiting` are events not sent yet and those that will be tried again."""
        return {
            project: {
                **msgspec.to_builtins(sync.tally),
                "waiting": len(self.amplitude.ledger(project).saved) - sync.position + len(sync.again),
            }
            for project, sync in self._syncs.items()
        }

    async def _run(self) -> None:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
            while True:
                due = [job for project, sync in self._syncs.items() for job in self._due(project, sync)]
                if due:
                    await asyncio.gather(*(self._attempt(session, *job) for job in due))
                else:
                    await asyncio.sleep(LOOK_S)

    def _due(self, project: str, sync: _Sync) -> list[tuple[_Sync, int, bytes]]:
        now_ms = self.clock.now_ms()
        saved = self.amplitude.ledger(project).saved
        fresh = saved[sync.position : sync.position + CONNECTIONS]
        sync.position += len(fresh)
        jobs = [(sync, RETRIES, message(event, project)) for event in fresh]
        ready = [one for one in sync.again if one[0] <= now_ms]
        sync.again = [one for one in sync.again if one[0] > now_ms]
        return jobs + [(sync, left, body) for _, left, body in ready]

    async def _attempt(self, session: aiohttp.ClientSession, sync: _Sync, left: int, body: bytes) -> None:
        began, wait_s = time.monotonic(), FIRST_S
        for _ in range(AT_ONCE):
            sync.tally.tries += 1
            status = await _post(session, sync, body)
            if 200 <= status < 300:
                sync.tally.sent += 1
                return
            if (status != 429 and status < 500) or time.monotonic() - began > GIVE_UP_S:
                break
            await asyncio.sleep(wait_s * (0.5 + self._random.random()))
            wait_s *= 2
        if left:
            sync.again.append((self.clock.now_ms() + SPACING_MS, left - 1, body))
        else:
            sync.tally.given_up += 1


async def _post(session: aiohttp.ClientSession, sync: _Sync, body: bytes) -> int:
    """Return the status, 0 for none."""
    try:
        async with session.post(sync.url, data=body, headers=sync.headers) as response:
            await response.read()
            return response.status
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        return 0


def message(event: Saved, project: str) -> bytes:
    """Write an event as the webhook's default payload: an exported event, user properties as text."""
    row = export_row(event, project)
    row["user_properties"] = {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in row["user_properties"].items()
    }
    return msgspec.json.encode(row)
