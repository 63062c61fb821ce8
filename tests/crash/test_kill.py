"""The server is killed with SIGKILL under load, again and again; what it acknowledged is neither lost nor doubled."""

import asyncio
import os
import random
from collections import Counter

import pytest

from flybridge.demo.environment import LocalEnvironment
from flybridge.demo.run import Scenario, run_scenario
from flybridge.demo.sender import PushRetries, Sent

KILLS = int(os.environ.get("FLYBRIDGE_KILLS", "20"))


@pytest.mark.crash
@pytest.mark.timeout(600)
async def test_every_acknowledged_postback_survives_twenty_kills(tmp_path):
    """V2: exactly once in Amplitude. V1: at least once, and no more repeats than we counted as uncertain."""
    scenario = Scenario(events=KILLS * 400, seed=23, faults="none", push_retries=PushRetries.ALWAYS)
    environment = LocalEnvironment(tmp_path, faults=scenario.faults, seed=scenario.seed)
    await environment.start()
    # At random moments of the load, not of the clock: the last kill, too, meets messages that come in.
    moments = sorted(random.Random(5).sample(range(scenario.events // 20, scenario.events * 19 // 20), KILLS))
    sending: list[Sent] = []
    killed: list[int] = []

    async def kill_and_start_again():
        for moment in moments:
            while not sending or sending[0].acknowledged < moment:  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0.005)
            killed.append(sending[0].acknowledged)
            await environment.bridge.kill()
            await environment.bridge.start()

    killer = asyncio.create_task(kill_and_start_again())
    try:
        outcome = await run_scenario(
            environment, scenario, lambda now, sent: sending.append(sent), after_sending=killer
        )
    finally:
        killer.cancel()
        await environment.stop()
    wrong = [found.what for app in outcome.apps for found in app.disagreements]
    assert len(killed) == KILLS
    assert max(killed) < scenario.events
    assert wrong == []
    # The other way round: AppsFlyer recognises no repeat, so a copy is right only where the ledger is in doubt.
    assert [found.what for stream in outcome.streams for found in stream.disagreements] == []
    assert sum(stream.delivered for stream in outcome.streams) > 0
    assert outcome.account.discrepancies == []
    routes = Counter(app.route for app in outcome.apps)
    assert routes == {"http_v2": 2, "attribution": 1}
    assert all(app.doubled == 0 for app in outcome.apps if app.route == "http_v2")
