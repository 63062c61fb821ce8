"""Killed with SIGKILL while it sends to the Attribution API: what Amplitude's stream shows is not sent again."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing

import aiohttp
import pytest

from flybridge.demo.environment import DemoApp, LocalEnvironment

GAME = DemoApp("game-ios", "ios", "id9876543210", "attribution")
INSTALLS = 300
KILLS = 2
ROUND_S = 1_650  # until Amplitude tries again what it streamed in vain, and before flybridge sends again


@pytest.mark.crash
@pytest.mark.timeout(200)
async def test_an_install_in_doubt_is_not_doubled_if_the_stream_shows_it(tmp_path):
    """Without the stream about ten are sent twice after each kill."""
    environment = LocalEnvironment(tmp_path / "stage", apps=(GAME,))
    environment.sandbox.follow("--keep", "full")
    await environment.start()
    ids = [f"{number:08X}-03EE-455A-B3C4-E57283966239" for number in range(INSTALLS)]
    try:
        async with aiohttp.ClientSession() as session:
            opened = [{"event_type": "open", "device_id": one, "idfv": one, "platform": "iOS"} for one in ids]
            body = {"api_key": GAME.api_key, "events": opened}
            async with session.post(f"{environment.sandbox.origin}/2/httpapi", json=body) as response:
                assert response.status == 200
            url = f"{environment.bridge.origin}/v1/stream/{GAME.name}"
            hook = {"project": GAME.api_key, "url": url, "token": environment.token}
            await environment.client.post("stream", **hook)
            sent = [0]
            # That Amplitude shows such events is learnt from the first.
            await _send(session, environment, ids[:1], sent)
            while not _is_learnt(environment):  # noqa: ASYNC110 - another process makes it so
                await asyncio.sleep(0.1)
            sending = asyncio.create_task(_send(session, environment, ids, sent, first=1))
            for kill in range(1, KILLS + 1):
                while sent[0] < INSTALLS * kill / (KILLS + 1):  # noqa: ASYNC110 - nothing tells it
                    await asyncio.sleep(0.005)
                await environment.bridge.kill()
                await environment.bridge.start()
            await sending
            for _ in range(8):
                await asyncio.sleep(2)
                now = await environment.figures()
                if now.in_flight == 0:
                    break
                await environment.client.advance(ROUND_S)
            assert now.in_flight == 0
            rows = await environment.client.record("attributed")
    finally:
        await environment.stop()
    arrived = Counter(row["device_id"] for row in rows if row.get("event_type") == "[AppsFlyer] Install")
    assert set(arrived) == set(ids)
    assert arrived.total() == INSTALLS


def _is_learnt(environment: LocalEnvironment) -> bool:
    """Whether the bridge has noted that Amplitude shows events of the Attribution API."""
    with closing(sqlite3.connect(environment.directory / "data" / "store.db")) as db:
        ((n,),) = db.execute("SELECT count(*) FROM state WHERE name LIKE 'lanes/shown/%'").fetchall()
    return bool(n)


async def _send(
    session: aiohttp.ClientSession, environment: LocalEnvironment, ids: list[str], sent: list[int], first: int = 0
) -> None:
    """Send an install of each device from `first` on, ten at a time, until all are acknowledged.

    `sent` has their number.
    """
    headers = {"Authorization": environment.token, "Content-Type": "application/json"}

    async def one(number: int) -> None:
        install = {
            "event_name": "install",
            "conversion_type": "install",
            "appsflyer_id": f"1790000000000-{number:07d}",
            "event_time": f"2026-11-27 11:00:00.{number:03d}",
            "idfv": ids[number],
            "platform": "ios",
            "media_source": "source_int",
            "app_id": GAME.appsflyer_app_id,
        }
        while True:
            try:
                async with session.post(
                    f"{environment.bridge.origin}/v1/push/{GAME.name}", json=install, headers=headers
                ) as response:
                    if response.status == 200:
                        sent[0] += 1
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)

    for start in range(first, len(ids), 10):
        await asyncio.gather(*(one(number) for number in range(start, min(start + 10, len(ids)))))
