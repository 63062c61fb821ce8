"""An import is killed with SIGKILL, again and again, and goes on: each row is one event, and all are accounted for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from flybridge.demo.environment import DemoApp, LocalEnvironment
from flybridge.demo.run import account_and_ledger

ROWS = int(os.environ.get("FLYBRIDGE_IMPORT_ROWS", "12000"))
KILLS = 3
APP = DemoApp("shop", "android", "com.example.shop", "http_v2")
HEADER = "AppsFlyer ID,Event Name,Event Time,Event Value,Custom Data\n"


def write(path: Path, first: int, last: int) -> None:
    """Write rows of many people. Every tenth happened twice in its second."""
    with path.open("w") as file:
        file.write(HEADER)
        for number in range(first, last):
            second, person = number % 40_000, number % 500
            time = f"2026-0{1 + number // 40_000 % 9}-02 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
            custom = '"{""amplitude_device_id"":""device-' + f"{person:05}" + '""}"'
            line = f'176722{person:07}-1234567,level_{number},{time},"{{""n"":{number}}}",{custom}\n'
            file.write(line * (2 if number % 10 == 0 else 1))


@pytest.mark.crash
@pytest.mark.timeout(max(900, ROWS // 100))
async def test_every_row_of_an_import_that_is_killed_is_there_once(tmp_path):
    """Three overlapping files, three kills, and the same command again each time."""
    third = ROWS // 3
    files = []
    for number in range(3):
        path = tmp_path / f"part-{number}.csv"
        write(path, max(0, number * third - third // 4), (number + 1) * third)
        files.append(str(path))
    happened = Counter({f"level_{n}": 2 if n % 10 == 0 else 1 for n in range(3 * third)})
    environment = LocalEnvironment(tmp_path / "bridge", apps=(APP,))
    words = ["import", *files, "--timezone", "UTC", "--yes", "--app", "shop", "--config", str(environment.config_path)]
    killed = 0
    try:
        await environment.start()
        while True:
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "flybridge", *words)
            if killed < KILLS:
                before = await _received(environment)
                while process.returncode is None and await _received(environment) < before + ROWS // 6:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                if process.returncode is None:
                    os.kill(process.pid, signal.SIGKILL)
                    killed += 1
            code = await process.wait()
            if code == 0:
                break
        quiet = 0
        while quiet < 3:
            now = await environment.figures()
            quiet = quiet + 1 if now.in_flight == 0 else 0
            await asyncio.sleep(0.3)
        saved = await environment.client.record("saved")
        await environment.close()
        account, ledger = await account_and_ledger(environment)
    finally:
        await environment.stop()
    assert killed == KILLS
    found = Counter(row["event_type"] for row in saved)
    assert found == happened, json.dumps([found.total(), happened.total()])
    assert account.balanced
    outcomes = Counter(entry.outcome for entry in ledger)
    assert set(outcomes) == {"delivered", "duplicate"}
    assert outcomes["delivered"] == happened.total()


async def _received(environment: LocalEnvironment) -> int:
    """Return how many rows have arrived at the store or wait for it."""
    now = await environment.figures()
    return sum(now.outcomes.values()) + now.in_inbox
