"""The whole service between a flaky Amplitude and a flaky AppsFlyer: the audience is the cohort."""

from __future__ import annotations

import asyncio
import json

from starting import command

from flybridge.demo.cohorts import APP, IMPORT_KEY
from flybridge.demo.environment import LocalEnvironment


async def run(environment: LocalEnvironment, *words: str) -> tuple[int, str]:
    """Run a command on the stage's configuration; give its exit code and what it printed."""
    ran = await command(environment.config_path, *words)
    return ran.exit_code, ran.stdout


async def devices(environment: LocalEnvironment) -> set[str]:
    """Return what AppsFlyer has."""
    found = await environment.client.get("audiences", import_key=IMPORT_KEY)
    return {value for _, value in found["devices"]}


async def test_an_audience_is_kept_in_step_and_the_forgotten_leave_it(tmp_path):
    """Hour by hour, by download and webhook; then one person asks to be forgotten and is out at once, for good."""
    environment = LocalEnvironment(tmp_path / "stage", faults="flaky", seed=3, apps=(), with_cohort=True)
    assert environment.cohort is not None
    await environment.start()
    try:
        await environment.cohort.move(environment.client, environment.bridge.origin)
        verdict = await environment.cohort.judge(environment.client, environment.bridge.origin)
        assert (verdict.people, verdict.listed, verdict.differences) == (1000, 1000, 0)
        name, gaid = next(iter(environment.cohort._members.items()))
        code, printed = await run(environment, "forget", "--customer-user-id", name, "--no-vendors", "--json")
        assert (code, json.loads(printed)["removed"]["audiences"]) == (0, 1)
        assert name not in printed
        for _ in range(600):
            if gaid not in await devices(environment):
                break
            await asyncio.sleep(0.1)
        assert gaid not in await devices(environment)
        code, printed = await run(environment, "cohorts", "--json")
        (row,) = json.loads(printed)
        assert (row["app"], row["cohort"], row["people"]) == (APP, "VIPs vip", 999)
        code, printed = await run(environment, "doctor", "--privacy", "--id", name, "--id", gaid, "--json")
        assert (code, json.loads(printed)["finds"]) == (0, [])
    finally:
        await environment.stop()
