"""`flybridge pull --dry-run` shows what would become of the reports, from a sandbox, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec import structs
from test_read_history import APP, CONFIG, happened, push, reading, sandbox
from typer.testing import CliRunner

from flybridge.appsflyer.raw_pull import PulledReport
from flybridge.cli.app import app as cli
from flybridge.clock import SystemClock
from flybridge.history.pull import QUOTA, standing
from flybridge.records import DAY_MS, day_of
from flybridge.testing.clocks import ManualClock

INSTALLS = (PulledReport.INSTALLS, PulledReport.ORGANIC_INSTALLS)


async def run(place: Path, *words: str):
    """Run a command with the configuration of a directory."""
    return await asyncio.to_thread(CliRunner().invoke, cli, [*words, "--config", str(place / "flybridge.toml")])


def everything_in(place: Path) -> bytes:
    """Return the bytes of all files below a directory."""
    return b"".join(path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file())


async def test_a_preview_says_what_the_pull_then_does(tmp_path):
    """By report and outcome, with what was pushed as duplicates; the pull begins anew and takes the rest."""
    now_ms, bodies = SystemClock().now_ms(), happened()
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        vendor.raw_data.add(APP, bodies)
        await push(reader, bodies[::2])
        app = reader.config.apps[0]
        for _ in range(2):
            found = await reader.preview(app, now_ms - 5 * DAY_MS, now_ms)
            outcomes = found.survey.outcomes
            assert found.survey.rows == len(bodies)
            assert sum(of_report.get("duplicate", 0) for of_report in outcomes.values()) == len(bodies[::2])
            assert [(one.problem, one.pending, one.taken) for one in found.reports] == [("", (), 0)] * 8
            assert found.survey.files == sum(one.calls for one in found.reports) == 8
        assert (await reader.inbox.depth(now_ms)).waiting == 0
        assert await standing(reader.store, "shop") == []
        before = sum(vendor.raw_pull.calls.values())
        done = await reader.pull(app, now_ms - 5 * DAY_MS, now_ms)
        assert sum(one.taken for one in done) == len(bodies)
        assert sum(vendor.raw_pull.calls.values()) == before + 8


async def test_a_preview_leaves_no_row_on_the_disk(tmp_path):
    """No advertising id in clear, and no file of a report, even if reading ends in the middle."""
    now_ms = SystemClock().now_ms()
    marked = [json.dumps(json.loads(body) | {"advertising_id": f"cdda802e-fb9c-47ad-9866-{n:012}"}) for n, body in
              enumerate(happened(100))]  # fmt: skip
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        vendor.raw_data.add(APP, [body.encode() for body in marked])
        vendor.raw_pull.quota = 1
        for _ in range(2):
            await reader.preview(reader.config.apps[0], now_ms - 5 * DAY_MS, now_ms)
            assert list((tmp_path / "data" / "pulled").glob("*")) == []
            assert b"cdda802e" not in everything_in(tmp_path)


async def test_a_preview_that_meets_a_quota_neither_goes_on_nor_disturbs_a_pull(tmp_path):
    """A pull that waits for its quota goes on where it ended; a preview begins anew, but waits for the quota, too."""
    now_ms, bodies = SystemClock().now_ms(), happened()
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        vendor.raw_data.add(APP, bodies)
        vendor.raw_pull.quota = 0
        app, span = reader.config.apps[0], (now_ms - 5 * DAY_MS, now_ms)
        await reader.pull(app, *span, INSTALLS[:1])
        waits = await standing(reader.store, "shop")
        found = await reader.preview(app, *span, INSTALLS)
        assert ["quota" in one.problem for one in found.reports] == [True, True]
        assert found.survey.rows == 0
        assert await standing(reader.store, "shop") == waits
        assert {one.report for one in await standing(reader.store, "shop", QUOTA)} == set(INSTALLS)
        vendor.raw_pull.quota = 100
        clock = ManualClock(now_ms - now_ms % DAY_MS + DAY_MS + 60_000)
        tomorrow = structs.replace(reader, clock=clock)
        found = await tomorrow.preview(app, *span, INSTALLS)
        assert ([one.problem for one in found.reports], found.survey.files) == (["", ""], 2)
        assert await standing(reader.store, "shop") == waits


@pytest.mark.parametrize("is_json", [False, True])
async def test_the_command_prints_the_preview_without_a_question(tmp_path, is_json):
    """However many days are asked for: nothing is taken. It says what it has cost."""
    now_ms, bodies = SystemClock().now_ms(), happened()
    async with sandbox() as (vendor, origin):
        vendor.raw_data.add(APP, bodies)
        (tmp_path / "flybridge.toml").write_text(CONFIG.format(token="token", origin=origin, locker=""))
        words = ["pull", "--dry-run", "--from", day_of(now_ms - 30 * DAY_MS), *(["--json"] if is_json else [])]
        result = await run(tmp_path, *words)
        assert result.exit_code == 0, result.output
        assert "cost 8 calls of AppsFlyer's quotas" in result.stderr
        assert "Amplitude has shown no user" in result.stderr
        if is_json:
            found = json.loads(result.stdout)
            assert found["survey"]["rows"] == len(bodies)
            assert len(found["reports"]) == 8
        else:
            assert f"{len(bodies)} rows in 8 files" in result.stdout
            assert "Persons by month" in result.stdout
            assert "installs_report: " in result.stderr
        vendor.raw_pull.quota = 0
        result = await run(tmp_path, *words)
        assert result.exit_code == 1
        assert "quota of calls for installs_report is used up" in result.stderr
        assert "cost 0 calls" in result.stderr
