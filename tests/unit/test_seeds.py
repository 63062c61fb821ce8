"""The comparisons of the demo hold for traffic, faults, zones, currencies and routes of several seeds."""

from __future__ import annotations

import pytest

from flybridge.demo.seeds import apps_of, faults_of, main, play
from flybridge.sandbox.faults import SCRIPTS


@pytest.mark.parametrize("seed", [2, 3, 6, 9, 10, 12])
async def test_nothing_differs_and_nothing_is_unexplained(tmp_path, seed):
    """Every event, metric and count: also after a replay, and when people were forgotten."""
    result = await play(seed, 150, faults_of(seed), tmp_path)
    assert list(result.wrong) == []
    assert result.compared > 20_000


def test_seeds_differ():
    """All scripts of faults come in turn, and apps of each zone, currency and route."""
    assert {faults_of(seed) for seed in range(len(SCRIPTS))} == set(SCRIPTS)
    apps = [app for seed in range(20) for app in apps_of(seed)]
    assert {app.route for app in apps} == {"http_v2", "attribution"}
    assert len({app.timezone for app in apps}) > 4
    assert len({app.currency for app in apps}) > 4


def test_the_command_says_what_each_seed_came_to(capsys):
    assert main(["--first", "4", "--seeds", "1", "--events", "20"]) == 0
    assert capsys.readouterr().out.startswith("seed 4, outage: ")
