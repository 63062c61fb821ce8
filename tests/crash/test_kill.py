"""The server is killed with SIGKILL under load, again and again; what it acknowledged is neither lost nor doubled."""

import asyncio
import os
import random
from collections import Counter

import pytest

from flybridge.demo.run import Plan, play
from flybridge.demo.stage import Stage

KILLS = int(os.environ.get("FLYBRIDGE_KILLS", "20"))


@pytest.mark.crash
@pytest.mark.timeout(280)
async def test_every_acknowledged_postback_survives_twenty_kills(tmp_path):
    """V2: exactly once in Amplitude. V1: at least once, and what came twice is counted as uncertain by us."""
    plan = Plan(events=KILLS * 400, seed=23, faults="none")
    stage = Stage(tmp_path, faults=plan.faults, seed=plan.seed)
    await stage.start()
    moments = random.Random(5)
    kills = 0

    async def kill_and_start_again():
        nonlocal kills
        while kills < KILLS:
            await asyncio.sleep(0.2 + moments.random() * 0.9)
            await stage.bridge.kill()
            kills += 1
            await stage.bridge.start()

    killer = asyncio.create_task(kill_and_start_again())
    try:
        outcome = await play(stage, plan, lambda now, sent: None, after_sending=killer)
    finally:
        killer.cancel()
        await stage.stop()
    wrong = [found.what for app in outcome.apps for found in app.disagreements]
    assert kills == KILLS
    assert wrong == []
    assert outcome.account.discrepancies == []
    routes = Counter(app.route for app in outcome.apps)
    assert routes == {"http_v2": 2, "attribution": 1}
    assert all(app.doubled == 0 for app in outcome.apps if app.route == "http_v2")
