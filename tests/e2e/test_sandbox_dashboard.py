"""The sandbox's Dashboard REST and Export APIs over real HTTP: counts by zone, budgets, and exported hours."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from flybridge.records import DAY_MS, HOUR_MS
from flybridge.sandbox.server import Sandbox, running
from flybridge.testing.clocks import ManualClock

NOON_MS = 1_772_452_800_000  # 2026-03-02 12:00 UTC
INSTALL = "[AppsFlyer] Install"
BY_SOURCE = [{"type": "event", "value": "[AppsFlyer] media source"}]


class Asker:
    """A client of one project, and the clock that it can move."""

    def __init__(self, sandbox: Sandbox, origin: str, session: aiohttp.ClientSession, clock: ManualClock) -> None:
        self.sandbox, self.origin, self.session, self.clock = sandbox, origin, session, clock

    async def upload(self, *times_ms: int, source: str | None = "tiktok", user: str = "ann-1", **fields: Any) -> None:
        """Upload an install for each time."""
        events = [
            {"event_type": INSTALL, "user_id": user, "time": time_ms, "insert_id": f"{source}-{user}-{time_ms}",
             "event_properties": {} if source is None else {"[AppsFlyer] media source": source}} | fields
            for time_ms in times_ms
        ]  # fmt: skip
        async with self.session.post(f"{self.origin}/2/httpapi", json={"api_key": "key", "events": events}) as answer:
            assert answer.status == 200

    async def ask(self, path: str, auth: str = "key:secret", **query: Any) -> tuple[int, Any]:
        """Return status and body."""
        headers = {"Authorization": f"Basic {b64encode(auth.encode()).decode()}"}
        async with self.session.get(self.origin + path, params=query, headers=headers) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.read()

    async def count(self, event: str = INSTALL, day: str = "20260302", **query: Any) -> tuple[int, Any]:
        """Ask for one event of one day."""
        given = {"e": json.dumps({"event_type": event} | query.pop("e", {})), "start": day, "end": day, "m": "totals"}
        return await self.ask("/api/2/events/segmentation", **given | query)


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    """Return a client of a sandbox that keeps everything."""
    clock = ManualClock(NOON_MS + DAY_MS)
    sandbox = Sandbox(clock, keep_bodies=True)
    async with running(sandbox) as origin, aiohttp.ClientSession() as session:
        yield Asker(sandbox, origin, session, clock)


async def test_totals_by_source_are_what_was_saved(asker):
    """Repeats count once; the answer has the documented keys."""
    await asker.upload(NOON_MS, NOON_MS + 1, NOON_MS)
    await asker.upload(NOON_MS, source="organic", user="bob-1")
    await asker.upload(NOON_MS, source=None, user="cat-1")
    await asker.upload(NOON_MS - DAY_MS)
    status, found = await asker.count(e={"group_by": BY_SOURCE})
    assert status == 200
    assert found["data"] == {
        "series": [[2], [1], [1]],
        "seriesLabels": [[0, "tiktok"], [0, "(none)"], [0, "organic"]],
        "seriesCollapsed": [[{"setId": "", "value": n}] for n in (2, 1, 1)],
        "xValues": ["2026-03-02"],
    }
    assert (await asker.count(m="uniques"))[1]["data"]["series"] == [[3]]
    assert (await asker.count("nothing"))[1]["data"]["series"] == [[0]]
    assert (await asker.count("_all"))[1]["data"]["series"] == [[4]]


async def test_days_and_hours_are_those_of_the_projects_zone(asker):
    """In Tokyo the second of March began at 15:00 UTC on the first."""
    await asker.upload(NOON_MS, NOON_MS - 21 * HOUR_MS, NOON_MS - 22 * HOUR_MS, NOON_MS + 3 * HOUR_MS)
    assert (await asker.count())[1]["data"]["series"] == [[2]]
    async with asker.session.post(f"{asker.origin}/sandbox/zone?project=key&timezone=Asia/Tokyo") as answer:
        assert answer.status == 200
    found = (await asker.count(i="-3600000"))[1]["data"]
    assert (len(found["xValues"]), sum(found["series"][0])) == (24, 2)
    assert found["xValues"][0] == "2026-03-02T00:00:00+09:00"
    assert found["series"][0][0] == 1  # 15:00 UTC the day before


async def test_a_day_with_a_change_of_clocks_has_its_own_hours(asker):
    """23 in spring."""
    asker.sandbox.dashboard.zones["key"] = "Europe/Berlin"
    found = (await asker.count(day="20260329", i="-3600000"))[1]["data"]
    assert len(found["xValues"]) == 23


async def test_a_budget_of_costs_is_kept(asker):
    """20 for an event of a day by a property: 50 queries in five minutes."""
    for _ in range(50):
        assert (await asker.count(e={"group_by": BY_SOURCE}))[0] == 200
    status, found = await asker.count()
    assert (status, found["error"]["http_code"]) == (429, 429)
    asker.clock.advance(300)
    assert (await asker.count())[0] == 200
    assert asker.sandbox.dashboard.asked == 51


async def test_no_more_than_five_queries_run_at_once(asker):
    """Over all of the API."""
    asker.sandbox.dashboard.running = 5
    assert (await asker.count())[0] == 429
    asker.sandbox.dashboard.running = 4
    assert (await asker.count())[0] == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"start": "2026-03-02"}, 400),
        ({"end": "20260301"}, 400),
        ({"e": {"event_type": 7}}, 400),
        ({"m": "medians"}, 400),
        ({"i": "-3600000", "end": "20260309"}, 400),
        ({"auth": "key:"}, 401),
        ({"auth": "invalid:secret"}, 401),
    ],
)
async def test_what_is_wrong_is_refused(asker, query, status):
    """And costs nothing."""
    assert (await asker.count(**query))[0] == status
    assert asker.sandbox.dashboard.asked == 0


def lines(packed: bytes) -> dict[str, list[dict[str, Any]]]:
    """Return the events of an export by file."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {
            name: [json.loads(line) for line in gzip.decompress(archive.read(name)).splitlines()]
            for name in archive.namelist()
        }


async def test_an_export_has_the_events_of_the_hours_of_their_upload(asker):
    """Two hours after the hour is over, whenever they happened."""
    await asker.upload(NOON_MS)
    hours = {"start": "20260303T12", "end": "20260303T12"}
    assert await asker.ask("/api/2/export", **hours) == (404, b"No data available for the time range requested.")
    asker.clock.advance(3 * 3600)
    status, found = await asker.ask("/api/2/export", **hours)
    assert status == 200
    ((name, (event,)),) = lines(found).items()
    assert name == "key/key_2026-03-03_12#0.json.gz"
    assert (event["$insert_id"], event["event_type"]) == (f"tiktok-ann-1-{NOON_MS}", INSTALL)
    assert event["event_time"] == "2026-03-02 12:00:00.000000"
    assert event["event_properties"] == {"[AppsFlyer] media source": "tiktok"}
    assert (await asker.ask("/api/2/export", start="20260303T13", end="20260303T15"))[0] == 404


async def test_an_export_that_is_too_large_is_refused(asker):
    """With the documented text."""
    await asker.upload(NOON_MS)
    asker.clock.advance(3 * 3600)
    asker.sandbox.exports.most_bytes = 10
    status, text = await asker.ask("/api/2/export", start="20260303T00", end="20260303T23")
    assert (status, text.split(b".")[0]) == (400, b"The file size of the exported data is too large")
    assert (await asker.ask("/api/2/export", start="x", end="20260303T23"))[0] == 400
    assert (await asker.ask("/api/2/export", auth="key:", start="20260303T00", end="20260303T23"))[0] == 401
