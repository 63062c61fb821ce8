"""Every metric of performance is the true one: under faults, after a replay, and when somebody was forgotten."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from flybridge.cli.app import app
from flybridge.demo.cluster import ClusterEnvironment
from flybridge.demo.environment import Environment, LocalEnvironment
from flybridge.demo.performance import truth_of
from flybridge.demo.run import Scenario, judge_figures, run_scenario
from flybridge.records import DAY_MS
from flybridge.sandbox.traffic.traffic import TrafficApp, generate


async def flybridge(environment: Environment, *words: str) -> Any:
    """Run a command on the stage's configuration, and return the JSON that it printed."""
    given = [*words, "--json", "--config", str(environment.config_path)]
    done = await asyncio.to_thread(CliRunner().invoke, app, given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.service
@pytest.mark.timeout(280)
@pytest.mark.parametrize("kind", [LocalEnvironment, ClusterEnvironment])
async def test_every_metric_stays_the_true_one(tmp_path, kind):
    """Under all faults but those that only one script has: `test_true_under_faults` plays these on both stores."""
    scenario = Scenario(events=300, seed=5, faults="all", reconciles=True, hurries=True)
    environment = kind(tmp_path, faults="all", seed=5)
    await environment.start()
    try:
        outcome = await run_scenario(environment, scenario, lambda now, sent: None)
        assert [what for one in outcome.performance for what in one.differences] == []
        assert len(outcome.performance) == 3
        assert sum(one.compared for one in outcome.performance) > 10_000
        assert [what for one in outcome.reconciliation for what in one.wrong] == []
        assert len(outcome.reconciliation) == 3

        apps = [TrafficApp(app.name, app.platform, app.appsflyer_app_id) for app in environment.apps]
        messages = list(generate(scenario.seed, scenario.events, apps, scenario.options))
        truth = truth_of(messages)
        now_ms = max(message.send_ms for message in messages) + 300 * DAY_MS

        assert (await flybridge(environment, "replay", "--all"))["processed"] > 0
        somebody = next(m.truth.appsflyer_id for m in messages if m.truth.kind == "install" and m.reported.readable)
        forgotten = await flybridge(environment, "forget", "--appsflyer-id", somebody, "--no-vendors")
        assert forgotten["removed"]["tombstones"] > 0
        later, _ = await judge_figures(environment, truth, now_ms)
        assert [what for one in later for what in one.differences] == []
    finally:
        await environment.stop()
