"""Reports are pulled, a Data Locker is followed and gaps are filled, from a sandbox that is as unkind as AppsFlyer."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import structs

from far_buckets import unreachable_bucket
from flybridge.appsflyer.postback_time import time_ms
from flybridge.appsflyer.raw_pull import USUAL, PulledReport, PullWindow, windows
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.clock import SystemClock
from flybridge.config.settings import load
from flybridge.delivery.context import Context
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.delivery.worker import Worker
from flybridge.history.files import RawFile
from flybridge.history.gap_report import (
    ALONE,
    BEFORE,
    LATE,
    NO_FOLDER,
    OTHER,
    OUTAGE,
    UNFINISHED,
    GapReport,
    Surplus,
    last_found,
)
from flybridge.history.gaps import KIND, GapFinder
from flybridge.history.locker_folders import Locker, LockerFolder
from flybridge.history.progress import Progress
from flybridge.history.pull import PULL, HistoryPull, PullPlan, standing, taking
from flybridge.history.uptime import FIRST, STATE, Uptime
from flybridge.operations.known_gaps import gaps_of
from flybridge.operations.read_history import HistoryReader
from flybridge.records import DAY_MS, HOUR_MS, Envelope, Media, Source, day_of
from flybridge.sandbox.server import Sandbox, serve_sandbox
from flybridge.sandbox.traffic.traffic import TrafficApp, TrafficOptions, generate
from flybridge.sandbox.vendors import data_locker
from flybridge.service.backends import opened, opened_download
from flybridge.testing.clocks import ManualClock
from flybridge.wiring import build_flow, endpoints_of

APP = "com.example.shop"
CONFIG = """
data_dir = "./data"
secret = "0123456789abcdef0123456789abcdef"

[[apps]]
name = "shop"
appsflyer_app_id = "com.example.shop"
platform = "android"

[apps.appsflyer]
push_token = "a-token"
api_token = "{token}"
base_url = "{origin}"

[apps.amplitude]
api_key = "a-key"
base_url = "{origin}"

[apps.history]
locker = "{locker}"
"""


@asynccontextmanager
async def sandbox() -> AsyncIterator[tuple[Sandbox, str]]:
    """Serve a sandbox in this process."""
    made, stop, port = Sandbox(), asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve_sandbox(made, "127.0.0.1", 0, stop, ready=port.set_result))
    try:
        yield made, f"http://127.0.0.1:{await port}"
    finally:
        stop.set()
        await task


@asynccontextmanager
async def reading(place: Path, origin: str, *, token: str = "token", locker: str = "") -> AsyncIterator[HistoryReader]:
    """Yield a reader of the app's history."""
    path = place / "flybridge.toml"
    path.write_text(CONFIG.format(token=token, origin=origin, locker=locker))
    config = load(path, {})
    async with opened_download() as download, opened(config) as (inbox, store):
        yield HistoryReader(config, inbox, store, download, build_flow(config), SystemClock())


def settled_ms() -> int:
    """Return the time, or the first of the day at which a quota that is used up may not be that of the day before."""
    now_ms = SystemClock().now_ms()
    return max(now_ms, now_ms // DAY_MS * DAY_MS + 901_000)


def happened(n: int = 400) -> list[bytes]:
    """Return push messages of the last two days, none twice."""
    options = TrafficOptions(
        start_ms=SystemClock().now_ms() - 3 * DAY_MS,
        span_ms=int(1.5 * DAY_MS),
        malformed=0,
        odd=0,
        duplicates=0,
        late=0,
    )
    messages = generate(3, n, [TrafficApp("shop", "android", APP)], options)
    bodies = [one.body for one in messages if one.path.startswith("/v1/push")]
    limit = SystemClock().now_ms() - 2 * HOUR_MS
    return [body for body in bodies if json.loads(body)["event_time"] < _text(limit)]


def _text(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _ms(text: str) -> int:
    ms = time_ms(text)
    assert ms is not None
    return ms


async def push(reader: HistoryReader, bodies: list[bytes]) -> None:
    """Receive messages as pushed."""
    now_ms = SystemClock().now_ms()
    await asyncio.gather(
        *(reader.inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, now_ms, body)) for body in bodies)
    )
    await process(reader)


async def process(reader: HistoryReader, now_ms: int = 0) -> Counter[str]:
    """File what is in the inbox, now or at another time. Returns all outcomes so far, and checks the account."""
    now_ms = now_ms or SystemClock().now_ms()
    while leased := await reader.inbox.lease(1000, now_ms, 60_000):
        await reader.store.file(reader.flow.filings(leased.envelopes), now_ms)
        await reader.inbox.ack(leased)
    counts: Counter[str] = Counter()
    for count in await reader.store.counts():
        counts[count.outcome] += count.n
    assert await reader.store.audit() == []
    assert sum((await reader.inbox.received()).values()) == counts.total()
    return counts


def new(counts: Counter[str]) -> int:
    """Return how many events are not duplicates."""
    return counts.total() - counts["duplicate"]


async def test_what_was_pushed_and_is_pulled_is_there_once(tmp_path):
    """All reports, from a sandbox that redirects to an address that takes no token."""
    now_ms = SystemClock().now_ms()
    bodies = happened()
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        vendor.raw_data.add(APP, bodies)
        await push(reader, bodies)
        before = await process(reader)
        app = reader.config.apps[0]
        done = await reader.pull(app, now_ms - 5 * DAY_MS, now_ms)
        assert [one.problem for one in done] == [""] * len(done)
        assert sum(one.rows for one in done) == len(bodies)
        after = await process(reader)
        assert after["duplicate"] - before["duplicate"] == len(bodies)
        assert new(after) == new(before)
        assert not list((tmp_path / "data" / "pulled").glob("*"))


async def test_a_pull_takes_no_more_rows_in_a_second_than_its_rate(tmp_path):
    """Into the inbox, as an import does."""
    now_ms = SystemClock().now_ms()
    bodies = happened(60)
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        vendor.raw_data.add(APP, bodies)
        done = await reader.pull(reader.config.apps[0], now_ms - 5 * DAY_MS, now_ms, rate=100)
        taken = sum(one.taken for one in done)
        assert taken == len(bodies)
        assert SystemClock().now_ms() - now_ms >= taken * 10


async def test_ad_revenue_has_reports_of_its_own(tmp_path):
    """It is pulled where it is asked for. Two impressions of one second that are worth the same are two events."""
    now_ms = SystemClock().now_ms()
    first = json.loads(next(body for body in happened() if b'"af_purchase"' in body))
    first |= {"event_name": "af_ad_revenue", "event_revenue": "0.0125", "monetization_network": "ironsource"}
    first |= {"ad_unit": "Banner", "placement": "home", "impressions": "3", "media_source": "googleadwords_int"}
    sources = {"is_retargeting": "false"}, {"media_source": "organic"}, {"is_retargeting": "true"}
    messages = [first | source | {"appsflyer_id": f"1769-{n}"} for n, source in enumerate(sources)]
    messages.append(messages[0] | {"ad_unit": "Interstitial"})
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        vendor.raw_data.add(APP, [json.dumps(one).encode() for one in messages])
        app = reader.config.apps[0]
        reports = tuple(PulledReport)[-3:]
        for _ in range(2):
            done = await reader.pull(app, now_ms - 5 * DAY_MS, now_ms, (PulledReport.EVENTS, *reports))
            assert [(one.rows, one.problem) for one in done] == [(0, ""), (2, ""), (1, ""), (1, "")]
            assert new(await process(reader)) == len(messages)


async def test_a_full_window_is_halved_until_nothing_is_left_out(tmp_path):
    """The vendor leaves out what is over its limit without a word."""
    now_ms = SystemClock().now_ms()
    bodies = happened()
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        vendor.raw_data.add(APP, bodies)
        vendor.raw_pull.rows, vendor.raw_pull.quota = 30, 10_000
        plan = PullPlan("shop", AppsFlyerAccount(APP, "token", origin), USUAL)
        progress = Progress(tmp_path / "imports.db")
        puller = HistoryPull(
            plan, reader.store, reader.download, data_dir=tmp_path, clock=SystemClock(), kind=PULL, full=30
        )
        read = taking(plan, reader.inbox.accept, progress, SystemClock())
        done = await puller.run(now_ms - 5 * DAY_MS, now_ms, read)
        progress.close()
        assert [one.problem for one in done] == [""] * len(done)
        assert sum(one.rows for one in done) == len(bodies)
        assert max(one.calls for one in done) > 5


async def test_a_quota_that_is_used_up_is_waited_for_and_the_rest_is_read_tomorrow(tmp_path):
    """It is learned from the refusal, kept, and no call is wasted on it before midnight."""
    now_ms = settled_ms()
    bodies = happened()
    async with sandbox() as (vendor, origin):
        vendor.raw_data.add(APP, bodies)
        vendor.raw_pull.quota = 0
        async with reading(tmp_path, origin) as reader:
            app, asks = reader.config.apps[0], structs.replace(reader, clock=ManualClock(now_ms))
            done = await asks.pull(app, now_ms - 5 * DAY_MS, now_ms)
            assert all("quota" in one.problem for one in done)
            assert all(now_ms < one.again_ms <= now_ms + DAY_MS + 60_000 for one in done)
            assert {one.again_ms // DAY_MS for one in done} == {now_ms // DAY_MS + 1}
        vendor.raw_pull.quota = 24
        async with reading(tmp_path, origin) as reader:
            app, asks = reader.config.apps[0], structs.replace(reader, clock=ManualClock(now_ms))
            done = await asks.pull(app, now_ms - 5 * DAY_MS, now_ms)
            assert all("quota" in one.problem for one in done)
            assert sum(vendor.raw_pull.calls.values()) == 0
            assert len(await standing(reader.store, "shop")) == len(done)
            tomorrow = structs.replace(reader, clock=ManualClock(now_ms - now_ms % DAY_MS + DAY_MS + 60_000))
            done = await tomorrow.pull(app, now_ms - 5 * DAY_MS, now_ms)
            assert [one.problem for one in done] == [""] * len(done)
            assert new(await process(reader)) == len(bodies)


@pytest.mark.parametrize(("fault", "word"), [("html", "web page"), ("empty", "nothing in it"), ("503", "503")])
async def test_an_answer_that_is_no_report_is_no_empty_report(tmp_path, fault, word):
    """A page or nothing in a 200 is a fault; the window stays to be read."""
    now_ms = SystemClock().now_ms()
    bodies = happened()
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        vendor.raw_data.add(APP, bodies)
        vendor.raw_pull.scripted.append(fault)
        app = reader.config.apps[0]
        done = await reader.pull(app, now_ms - 5 * DAY_MS, now_ms, (PulledReport.EVENTS,))
        assert word in done[0].problem
        assert done[0].pending


@pytest.mark.parametrize(
    ("token", "app_id", "word"),
    [("invalid", APP, "token"), ("suspended", APP, "suspended"), ("token", "unknown.app", "appsflyer_app_id")],
)
async def test_a_refusal_says_what_to_mend(tmp_path, token, app_id, word):
    """Errors are JSON, text or a page."""
    now_ms = SystemClock().now_ms()
    async with sandbox() as (_, origin), reading(tmp_path, origin) as reader:
        plan = PullPlan("shop", AppsFlyerAccount(app_id, token, origin), (PulledReport.INSTALLS,))
        puller = HistoryPull(plan, reader.store, reader.download, data_dir=tmp_path, clock=SystemClock())

        async def read(*_):
            raise AssertionError

        (done,) = await puller.run(now_ms - DAY_MS, now_ms, read)
        assert word in done.problem


def test_windows_are_the_widest_and_halve_at_days():
    """Quotas count calls, not rows."""
    report = PulledReport.EVENTS
    day = 86_400
    assert windows(report, 0, 31 * day) == [PullWindow(0, 31 * day)]
    assert windows(report, 0, 40 * day) == [PullWindow(0, 31 * day), PullWindow(31 * day, 40 * day)]
    for window in (PullWindow(0, 31 * day), PullWindow(5, 31 * day), PullWindow(0, day), PullWindow(0, 2)):
        first, second = window.halves()
        assert (first.begin_s, first.end_s, second.end_s) == (window.begin_s, second.begin_s, window.end_s)
        assert first.end_s > first.begin_s
        assert second.end_s > second.begin_s
    assert PullWindow(0, 1).halves() == ()


async def test_gaps_are_found_with_their_cause_and_filled(tmp_path):
    """What was pushed in vain is missing; afterwards nothing is, and nothing is there twice."""
    now_ms = SystemClock().now_ms()
    bodies = happened()
    lost = bodies[100:160]
    kept = bodies[:100] + bodies[160:]
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        vendor.raw_data.add(APP, bodies)
        await push(reader, kept)
        never = await reader.gaps(reader.config.apps[0], now_ms - 5 * DAY_MS, now_ms, fill=False)
        assert {gap.cause for gap in never.gaps} == {BEFORE}
        # flybridge ran all the time but in the hours of the lost half.
        times = sorted(json.loads(body)["event_time"] for body in lost)
        begun_ms, ended_ms = (time_ms(time) for time in (times[0], times[len(times) // 2]))
        await reader.store.put_state(FIRST, str(now_ms - 5 * DAY_MS).encode())
        await reader.store.put_state(f"{STATE}{begun_ms}/", str(ended_ms).encode())
        app = reader.config.apps[0]
        found = await reader.gaps(app, now_ms - 5 * DAY_MS, now_ms, fill=False)
        assert (found.rows, found.missing, found.filled) == (len(bodies), len(lost), 0)
        causes = Counter()
        for gap in found.gaps:
            causes[gap.cause] += gap.missing
        assert set(causes) <= {OUTAGE, OTHER, "restricted_source"}
        assert causes[OUTAGE] >= len(lost) // 3
        sources = Counter[str]()
        for gap in found.gaps:
            sources[gap.media_source] += gap.missing
        assert sources == Counter(json.loads(body).get("media_source") or "organic" for body in lost)
        filled = await reader.gaps(app, now_ms - 5 * DAY_MS, now_ms, fill=True)
        assert (filled.missing, filled.filled) == (len(lost), len(lost))
        assert new(await process(reader)) == len(bodies)
        again = await reader.gaps(app, now_ms - 5 * DAY_MS, now_ms, fill=True)
        assert (again.missing, again.filled) == (0, 0)
        assert (await last_found(reader.store))[0] == again
        assert f"AppsFlyer has {len(bodies)} rows, of which 0 were missing here" in again.sentence


async def test_gaps_are_found_and_filled_from_a_data_locker(tmp_path):
    """Without a token. Rows stand in the hour of their processing, and `late`; those of other apps are not ours."""
    now_ms = SystemClock().now_ms()
    bodies = happened()
    bucket = tmp_path / "bucket"
    async with sandbox() as (vendor, origin), reading(tmp_path, origin, locker=str(bucket)) as reader:
        vendor.raw_data.add(APP, bodies)
        other = {"event_name": "install", "event_time": _text(now_ms - 3 * HOUR_MS), "app_id": "com.example.other"}
        vendor.raw_data.add("com.example.other", [json.dumps(other | {"appsflyer_id": "9-9"}).encode()])
        start_s = (now_ms - 5 * DAY_MS) // 1000
        late = data_locker.files(
            vendor.raw_data, start_s, now_ms // 1000 + 3600, is_late=lambda message: message["appsflyer_id"][-1] in "37"
        )
        data_locker.write(bucket, late)
        await push(reader, bodies[:100] + bodies[160:])
        app = reader.config.apps[0]
        found = await reader.gaps(app, now_ms - 5 * DAY_MS, now_ms, fill=False, locker=True)
        assert (found.rows, found.missing, found.filled) == (len(bodies), 60, 0), found.problems
        filled = await reader.gaps(app, now_ms - 5 * DAY_MS, now_ms, fill=True, locker=True)
        assert (filled.missing, filled.filled) == (60, 60)
        assert new(await process(reader)) == len(bodies)
        again = await reader.gaps(app, now_ms - 5 * DAY_MS, now_ms, fill=True, locker=True)
        assert (again.missing, again.filled, again.problems) == (0, 0, ())
        # A file that can't be read costs no other, and is named.
        broken = next(path for path in sorted(bucket.rglob("part-*")) if "t=inapps" in str(path))
        broken.write_bytes(broken.read_bytes()[:50])
        half = await reader.gaps(app, now_ms - 5 * DAY_MS, now_ms, fill=True, locker=True)
        assert 0 < half.rows < len(bodies)
        assert [str(broken) in problem for problem in half.problems] == [True]


async def test_of_a_data_locker_by_app_only_the_folders_of_the_app_are_read(tmp_path):
    """Neither by its follower nor in a search for gaps: rows need not say of which app they are."""
    now_ms, bodies, bucket = SystemClock().now_ms(), happened(), tmp_path / "bucket"
    async with sandbox() as (vendor, origin), reading(tmp_path, origin, locker=str(bucket)) as reader:
        vendor.raw_data.add(APP, bodies)
        others = [
            {**json.loads(body), "app_id": "id123456789", "appsflyer_id": f"9-{n}"} for n, body in enumerate(bodies)
        ]
        vendor.raw_data.add("id123456789", [json.dumps(one).encode() for one in others])
        span = (now_ms - 5 * DAY_MS) // 1000, now_ms // 1000 + 3600
        files = data_locker.files(vendor.raw_data, *span, by_app=True)
        assert any("/app_id=id123456789/" in key for key in files)
        data_locker.write(bucket, files)
        await push(reader, bodies[:100] + bodies[160:])
        app = reader.config.apps[0]
        found = await reader.gaps(app, now_ms - 5 * DAY_MS, now_ms, fill=True, locker=True)
        assert (found.rows, found.missing, found.filled) == (len(bodies), 60, 60), found.problems
        assert new(await process(reader)) == len(bodies)
        done = await reader.follower(app).look()
        assert (done.rows, done.problems) == (len(bodies), [])
        assert new(await process(reader)) == len(bodies)


class FailingLocker(Locker):
    """A Data Locker whose files are listed and can't be reached."""

    def __init__(self, day: str) -> None:
        self.address, self._day = "s3://bucket", day
        self._bucket = unreachable_bucket()

    def folders(self, first_day: str) -> list[LockerFolder]:
        """Return a folder for each hour of the day, of installs at first."""
        files = [RawFile(f"s3://bucket/part-{hour}", f"part-{hour}", 9, "mark", self._bucket) for hour in range(24)]
        reports = ["installs" if hour < 12 else "inapps" for hour in range(24)]
        return [
            LockerFolder(report, self._day, str(hour), files=[file], is_complete=True)
            for hour, (report, file) in enumerate(zip(reports, files, strict=True))
        ]


class HurryingClock(ManualClock):
    """A clock on which a minute passes between any two looks at it."""

    def now_ms(self) -> int:
        """Return the time, and move on."""
        self._now_ms += 60_000
        return self._now_ms


async def test_a_search_in_a_bucket_that_fails_ends_early(tmp_path):
    """Each of thousands of files takes all tries of its client. Nothing is taken for compared, nor for a surplus."""
    now_ms = SystemClock().now_ms()
    day_ms, bodies = sent_installs(now_ms)
    async with sandbox() as (_, origin), reading(tmp_path, origin) as reader:
        await push(reader, bodies)
        await Worker(Context(reader.store, Accepting(), SystemClock()), endpoints_of(reader.config)).drain()
        progress = Progress(tmp_path / "progress.db")
        finder = GapFinder(
            PullPlan("shop", AppsFlyerAccount(APP, "")), reader.flow, reader.store, progress=progress,
            clock=HurryingClock(now_ms), uptime=Uptime([]), day=lambda ms: ms // DAY_MS, platform="android",
        )  # fmt: skip
        found = await finder.run_locker(FailingLocker(day_of(day_ms)), day_ms, day_ms + DAY_MS)
        assert len(found.problems) == 1
        assert "can't be read" in found.problems[0]
        assert (found.rows, found.missing, found.surplus, found.reports) == (0, 0, (), ())
        progress.close()


async def test_gaps_are_found_beside_a_part_that_can_not_be_read(tmp_path):
    """In the other parts of the same folder, too; whatever the broken one would hold is not told."""
    now_ms, bodies, bucket = SystemClock().now_ms(), happened(), tmp_path / "bucket"
    async with sandbox() as (vendor, origin), reading(tmp_path, origin, locker=str(bucket)) as reader:
        vendor.raw_data.add(APP, bodies)
        files = data_locker.files(vendor.raw_data, (now_ms - 5 * DAY_MS) // 1000, now_ms // 1000 + 3600)
        places = {key.rpartition("/")[0] for key in files if "/t=clicks/" not in key}
        data_locker.write(bucket, files | {f"{place}/part-.gz": b"\x1f\x8b\x08\0" for place in places})
        await push(reader, bodies[:100] + bodies[160:])
        app = reader.config.apps[0]
        found = await reader.gaps(app, now_ms - 5 * DAY_MS, now_ms, fill=True, locker=True)
        assert (found.rows, found.missing, found.filled, found.surplus) == (len(bodies), 60, 60, ())
        assert all("part-.gz" in problem for problem in found.problems)
        assert new(await process(reader)) == len(bodies)


@pytest.mark.parametrize("locker", [False, True])
async def test_what_only_flybridge_has_is_found_by_day(tmp_path, locker):
    """Events of whole days that were delivered and that AppsFlyer does not report; not if its side is incomplete."""
    now_ms = SystemClock().now_ms()
    yesterday = now_ms - now_ms % DAY_MS - DAY_MS
    bucket = tmp_path / "bucket"

    def event(n: int, day_ms: int, name: str) -> bytes:
        custom = json.dumps({"amplitude_device_id": f"device-{n:04}"})
        source = "organic" if n == 60 else "tiktok"
        fields = {"appsflyer_id": f"17-{n}", "event_name": name, "media_source": source, "custom_data": custom}
        times = {"event_time": _text(day_ms + n * 1000), "install_time": _text(day_ms + n * 1000)}
        return json.dumps(fields | times | {"app_id": APP}).encode()

    reported = [event(n, yesterday - DAY_MS, "purchase") for n in range(30)]
    reported += [event(n, yesterday - DAY_MS, "install") for n in range(30, 40)]
    reported.append(event(40, yesterday - 3 * DAY_MS, "install"))
    alone = [event(n, yesterday - 2 * DAY_MS, "purchase") for n in range(50, 57)]
    alone += [event(n, yesterday - DAY_MS, "install") for n in range(60, 63)]
    outside = [event(90, now_ms - now_ms % DAY_MS, "purchase")]
    async with sandbox() as (vendor, origin), reading(tmp_path, origin, locker=str(bucket)) as reader:
        vendor.raw_data.add(APP, reported)
        made = data_locker.files(vendor.raw_data, (now_ms - 5 * DAY_MS) // 1000, now_ms // 1000)
        data_locker.write(bucket, made)
        await push(reader, reported + alone + outside)
        endpoints = endpoints_of(reader.config)
        worker = Worker(Context(reader.store, Accepting(), SystemClock()), endpoints)
        assert await worker.drain() == len(reported + alone + outside)
        app = reader.config.apps[0]
        found = await reader.gaps(app, now_ms - 5 * DAY_MS, now_ms, fill=False, locker=locker)
        day = day_of(yesterday - DAY_MS)
        earlier = day_of(yesterday - 2 * DAY_MS)
        installs = (
            Surplus("installs", day, UNFINISHED, 1, "organic"),
            Surplus("installs", day, UNFINISHED, 2, "tiktok"),
        )
        purchases = Surplus("in-app events", earlier, ALONE, 7, "tiktok")
        # The Data Locker has no folder of retargeted events: that all of them were seen can't be known.
        assert found.surplus == (installs if locker else (purchases, *installs))
        assert found.missing == 0
        vendor.raw_pull.quota = 0
        if not locker:
            assert (await reader.gaps(app, now_ms - 5 * DAY_MS, now_ms, fill=False)).surplus == ()


class Accepting:
    """A vendor that accepts everything."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer 200."""
        return HttpResponse(200, {}, b'{"code":200}')


async def test_a_data_locker_is_followed_and_read_once(tmp_path):
    """Hours without padding, `late`, folders without `_SUCCESS`, and files that are written again."""
    now_ms = SystemClock().now_ms()
    bodies = happened()
    bucket = tmp_path / "bucket"
    async with sandbox() as (vendor, origin), reading(tmp_path, origin, locker=str(bucket)) as reader:
        vendor.raw_data.add(APP, bodies)
        other = {"event_name": "install", "event_time": _text(now_ms - HOUR_MS), "app_id": "com.example.other"}
        vendor.raw_data.add("com.example.other", [json.dumps(other | {"appsflyer_id": "9-9"}).encode()])
        found = data_locker.files(
            vendor.raw_data,
            (now_ms - 5 * DAY_MS) // 1000,
            now_ms // 1000 + 3600,
            is_late=lambda message: message["appsflyer_id"].endswith("7"),
        )
        assert any("/h=late/" in key for key in found)
        incomplete = {key for key in found if "/t=installs/" in key and key.endswith("_SUCCESS")}
        clicks = {f"{data_locker.HOME}/t=clicks/dt=2026-01-01/h=1/part-00000.gz": b"no file of rows"}
        data_locker.write(bucket, {key: body for key, body in found.items() if key not in incomplete} | clicks)
        follower = reader.follower(reader.config.apps[0])
        first = await follower.look()
        assert first.problems == []
        assert first.waiting == len(incomplete)
        data_locker.write(bucket, {key: found[key] for key in incomplete})
        second = await follower.look()
        assert (second.waiting, second.bad) == (0, 0)
        assert first.taken + second.taken == len(bodies)
        assert new(await process(reader)) == len(bodies)
        assert (await follower.look()).folders == 0
        await push(reader, bodies)
        assert new(await process(reader)) == len(bodies)
        # AppsFlyer writes a file again, with a row more.
        key = next(key for key in found if "/t=inapps/" in key and key.endswith("part-00001.gz"))
        lines = gzip.decompress(found[key]).decode().splitlines()
        more = lines[-1].replace('"screen_opened"', '"another"') if len(lines) > 1 else None
        data_locker.write(
            bucket, {key: gzip.compress(("\n".join([*lines, *([more] if more else [])]) + "\n").encode())}
        )
        assert (await follower.look()).folders == 1
        assert new(await process(reader)) >= len(bodies)


@pytest.mark.parametrize(
    "broken", [b"\x1f\x8b\x08\0", b"PAR1", b"<html>", b"PK\3\4", b"{}", gzip.compress(b"a,b\n1,2\n", mtime=0)]
)
async def test_a_part_that_can_not_be_read_costs_no_other(tmp_path, broken):
    """It is said, and the folder is read again until the part is whole; what was read before is known by then."""
    bodies, bucket = happened(), tmp_path / "bucket"
    async with sandbox() as (vendor, origin), reading(tmp_path, origin, locker=str(bucket)) as reader:
        vendor.raw_data.add(APP, bodies)
        now_ms = SystemClock().now_ms()
        found = data_locker.files(vendor.raw_data, (now_ms - 5 * DAY_MS) // 1000, now_ms // 1000 + 3600)
        place = next(key.rpartition("/")[0] for key in found if "/t=inapps/" in key)
        data_locker.write(bucket, found | {f"{place}/part-.gz": broken})
        follower = reader.follower(reader.config.apps[0])
        for _ in range(2):
            done = await follower.look()
            assert [f"{place}/part-.gz" in problem for problem in done.problems] == [True]
            assert new(await process(reader)) == len(bodies)
        (bucket / place / "part-.gz").unlink()
        assert (await follower.look()).problems == []
        assert new(await process(reader)) == len(bodies)


def test_hours_are_read_in_their_order(tmp_path):
    """h=2 before h=10, `late` at last, conversions before events of the hour."""
    for report, hour in (("inapps", "10"), ("inapps", "2"), ("inapps", "late"), ("installs", "10")):
        path = tmp_path / f"any/name/t={report}/dt=2099-01-01/h={hour}/part-0"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    folders = Locker(str(tmp_path)).folders("2026-01-01")
    assert [(one.report, one.hour) for one in folders] == [
        ("inapps", "2"),
        ("installs", "10"),
        ("inapps", "10"),
        ("inapps", "late"),
    ]


WAYS = ("a Data Locker", "the rest of a pull", "the rest of a search")


@pytest.mark.parametrize("way", WAYS)
async def test_what_was_pushed_too_long_ago_to_be_recognised_is_not_sent_again(tmp_path, way):
    """Whichever way it comes: keys of pushed events are kept for a week. What was never pushed is read."""
    now_ms, bucket = SystemClock().now_ms(), tmp_path / "bucket"
    options = TrafficOptions(
        start_ms=now_ms - 9 * DAY_MS, span_ms=DAY_MS // 4, malformed=0, odd=0, duplicates=0, late=0
    )
    messages = generate(3, 200, [TrafficApp("shop", "android", APP)], options)
    bodies = [one.body for one in messages if one.path.startswith("/v1/push")]
    bodies = [body for body in bodies if _ms(json.loads(body)["event_time"]) < now_ms - 8 * DAY_MS]
    never = {"event_name": "purchase", "event_time": _text(now_ms - 12 * DAY_MS), "app_id": APP, "appsflyer_id": "1-1"}
    late = never | {"event_time": _text(now_ms - 2 * DAY_MS)}
    async with sandbox() as (vendor, origin), reading(tmp_path, origin, locker=str(bucket)) as reader:
        for body in bodies:
            received_ms = _ms(json.loads(body)["event_time"])
            await reader.inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, received_ms, body))
        before = await process(reader, now_ms - 8 * DAY_MS)
        vendor.raw_data.add(APP, [*bodies, json.dumps(late).encode()])
        app = reader.config.apps[0]
        if way == "a Data Locker":
            vendor.raw_data.add(APP, [json.dumps(never).encode()])
            found = data_locker.files(vendor.raw_data, (now_ms - 13 * DAY_MS) // 1000, now_ms // 1000)
            data_locker.write(bucket, found)
            tasks = {task.name: task for task in reader.tasks(lambda *_: None, lambda *_: None)}
            result = await tasks["locker shop"].run()
            assert result.did.startswith(f"2 rows were new. {len(bodies)} rows were left out: "), result
            assert new(await process(reader)) == new(before) + 2
            return
        vendor.raw_pull.quota = 0
        then = structs.replace(reader, clock=ManualClock(now_ms - 3 * DAY_MS))
        span = now_ms - 9 * DAY_MS, now_ms - 3 * DAY_MS
        await then.pull(app, *span) if way == WAYS[1] else await then.gaps(app, *span, fill=True)
        vendor.raw_pull.quota = 100
        span = now_ms - 3 * DAY_MS, now_ms
        if way == WAYS[1]:
            done = await reader.pull(app, *span)
            assert all("remembered" in one.problem and not one.pending for one in done)
        else:
            searched = await reader.gaps(app, *span, fill=True)
            assert (searched.missing, searched.surplus) == (1, ())
        assert new(await process(reader)) == new(before) + 1


@pytest.mark.parametrize(("dedup_days", "days"), [(7, 6), (2, 1), (30, 9), (1, 0)])
async def test_a_scheduled_pull_begins_where_what_was_pushed_is_remembered(tmp_path, dedup_days, days):
    """With a day to spare, in which what is read may wait in the inbox."""
    async with sandbox() as (_, origin), reading(tmp_path, origin) as reader:
        path = tmp_path / "flybridge.toml"
        more = f"pull_every_hours = 6\ntrailing_days = {min(9, dedup_days)}\nreports = ['installs_report']\n"
        path.write_text(f"{path.read_text()}{more}[retention]\ndedup_days = {dedup_days}\n")
        clock = ManualClock(SystemClock().now_ms())
        scheduled = structs.replace(reader, config=load(path, {}), clock=clock)
        tasks = {task.name: task for task in scheduled.tasks(lambda *_: None, lambda *_: None)}
        result = await tasks["pull shop"].run()
        assert result.problem == ""
        wanted = [one.wanted for one in await standing(reader.store, "shop", "scheduled pull")]
        now_s = clock.now_ms() // 1000
        assert wanted == ([PullWindow(now_s - days * 86_400, now_s)] if days else [])
        assert result.did.startswith("Nothing" if not days else "0 rows")


@pytest.mark.parametrize("days_later", [1, 6, 30, 85, 88])
async def test_a_pull_goes_on_without_what_has_got_out_of_reach(tmp_path, days_later):
    """What is left of days that reports no longer have is said once, and does not keep the rest from coming."""
    now_ms, report = SystemClock().now_ms(), PulledReport.INSTALLS
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        app, vendor.raw_pull.quota = reader.config.apps[0], 0
        (first,) = await reader.pull(app, now_ms - 89 * DAY_MS, now_ms, (report,))
        assert len(first.pending) == 2
        clock = ManualClock(now_ms + days_later * DAY_MS)
        vendor.raw_pull.quota, vendor.raw_pull.clock = 100, clock
        later = structs.replace(reader, clock=clock)
        (done,) = await later.pull(app, min(now_ms, clock.now_ms() - 3 * DAY_MS), clock.now_ms(), (report,))
        assert done.pending == ()
        lost = f"1 day of {report} is" if days_later == 1 else f"{days_later} days of {report} are"
        assert done.problem == f"{lost} out of reach: reports go back 89 days."
        (again,) = await later.pull(app, min(now_ms, clock.now_ms() - 3 * DAY_MS), clock.now_ms(), (report,))
        assert (again.pending, again.problem) == ((), "")


async def test_a_quota_that_is_used_up_is_not_asked_for_by_another_command_or_span(tmp_path):
    """It is of the report, the app and the day: each other command would cost a call and be refused."""
    now_ms = settled_ms()
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as at_once:
        reader = structs.replace(at_once, clock=ManualClock(now_ms))
        vendor.raw_pull.quota = 0
        app, report = reader.config.apps[0], (PulledReport.INSTALLS,)
        used_up = (await reader.pull(app, now_ms - 5 * DAY_MS, now_ms, report))[0].problem
        assert "quota" in used_up
        vendor.raw_pull.quota = 24
        for days in (1, 5, 10, 80):
            (pulled,) = await reader.pull(app, now_ms - days * DAY_MS, now_ms, report)
            assert (pulled.problem, pulled.calls) == (used_up, 0)
            searched = await reader.gaps(app, now_ms - days * DAY_MS, now_ms, fill=False, reports=report)
            assert searched.problems == (used_up,)
        assert sum(vendor.raw_pull.calls.values()) == 0
        (other,) = await reader.pull(app, now_ms - 5 * DAY_MS, now_ms, (PulledReport.REINSTALLS,))
        assert (other.problem, other.calls) == ("", 1)
        midnight_ms = now_ms - now_ms % DAY_MS + DAY_MS
        for clock_ms, problem in ((midnight_ms - 1000, used_up), (midnight_ms + 60_000, "")):
            later = structs.replace(reader, clock=ManualClock(clock_ms))
            (pulled,) = await later.pull(app, now_ms - 5 * DAY_MS, now_ms, report)
            assert pulled.problem == problem


async def test_jobs_wait_until_a_quota_that_another_tool_has_used_up_is_new(tmp_path):
    """They say so once, and not each ten minutes. With another problem beside it they are tried again as usual."""
    day_ms = SystemClock().now_ms() // DAY_MS * DAY_MS
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        clock = ManualClock(day_ms + 18 * HOUR_MS)
        history = structs.replace(
            reader.config.apps[0].history,
            pull_every_hours=2.0,
            reports=(PulledReport.INSTALLS, PulledReport.REINSTALLS),
        )
        app = structs.replace(reader.config.apps[0], history=history)
        await reader.store.put_state(FIRST, str(day_ms - DAY_MS).encode())
        scheduled = structs.replace(reader, config=structs.replace(reader.config, apps=(app,)), clock=clock)
        vendor.raw_pull.quota, vendor.raw_pull.clock = 0, clock
        pulls, gaps = scheduled.tasks(lambda *_: None, lambda *_: None)
        for task, hours in ((pulls, 2), (gaps, 6)):
            result = await task.run()
            assert "quota" in result.problem
            assert result.wait_ms == hours * HOUR_MS
        clock.advance(5.5 * 3600)
        assert (await pulls.run()).wait_ms == HOUR_MS // 2
        clock.advance(0.49 * 3600)
        assert (await pulls.run()).wait_ms == 600_000  # it is not looked for each second
        clock.advance(3600)
        vendor.raw_pull.quota = 100
        done = await pulls.run()
        assert (done.problem, done.wait_ms) == ("", None)
        vendor.raw_pull.scripted.extend(["html"])
        assert (await pulls.run()).wait_ms is None


async def test_what_a_command_has_left_is_left_to_it_while_a_schedule_pulls_and_searches(tmp_path):
    """With a quota too small for its span: what it has pulled or compared is not asked for a second time."""
    now_ms = settled_ms()
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as at_once:
        clock, report = ManualClock(now_ms), (PulledReport.INSTALLS,)
        history = structs.replace(at_once.config.apps[0].history, pull_every_hours=2.0, reports=report)
        app = structs.replace(at_once.config.apps[0], history=history)
        config = structs.replace(at_once.config, apps=(app,))
        reader = structs.replace(at_once, config=config, clock=clock)
        await reader.store.put_state(FIRST, str(now_ms - 9 * DAY_MS).encode())
        tasks = {task.name: task for task in reader.tasks(lambda *_: None, lambda *_: None)}
        vendor.raw_pull.clock = clock

        async def pull() -> str:
            return "".join([one.problem for one in await reader.pull(app, now_ms - 85 * DAY_MS, now_ms)])

        async def fill() -> str:
            return "".join((await reader.gaps(app, now_ms - 85 * DAY_MS, now_ms, fill=True)).problems)

        for asks, task in ((pull, "pull shop"), (fill, "gaps shop")):
            vendor.raw_pull.quota = 1
            assert "quota" in await asks()
            clock.advance(86_400)
            vendor.raw_pull.quota = 24
            assert (await tasks[task].run()).problem == ""
            before = sum(vendor.raw_pull.calls.values())
            assert await asks() == ""
            assert sum(vendor.raw_pull.calls.values()) == before + 1
            clock.advance(86_400)


async def test_what_was_only_looked_at_before_a_quota_was_used_up_is_filled_afterwards(tmp_path):
    """`gaps` today, and `gaps --fill` tomorrow: what the first has compared, and not filled, is compared again."""
    now_ms = settled_ms()
    _, installs = sent_installs(now_ms - 80 * DAY_MS)
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as at_once:
        clock, report = ManualClock(now_ms), (PulledReport.INSTALLS,)
        reader = structs.replace(at_once, clock=clock)
        vendor.raw_data.add(APP, installs)
        vendor.raw_pull.clock, vendor.raw_pull.quota = clock, 1
        app, from_ms = reader.config.apps[0], now_ms - 85 * DAY_MS
        looked = await reader.gaps(app, from_ms, now_ms, fill=False, reports=report)
        assert "quota" in looked.problems[0]
        clock.advance(86_400)
        vendor.raw_pull.quota = 24
        filled = await reader.gaps(app, from_ms, now_ms, fill=True, reports=report)
        assert (filled.missing, filled.filled, filled.problems) == (looked.rows, looked.rows, ())
        assert looked.rows > 0


async def test_a_report_that_breaks_off_is_asked_again_by_another_span(tmp_path):
    """Only a quota of the day is of all commands: what is wrong with one answer says nothing of another."""
    now_ms = SystemClock().now_ms()
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        app, report = reader.config.apps[0], (PulledReport.INSTALLS,)
        vendor.raw_pull.scripted.extend(["html"])
        assert "web page" in (await reader.pull(app, now_ms - 5 * DAY_MS, now_ms, report))[0].problem
        assert (await reader.pull(app, now_ms - 6 * DAY_MS, now_ms, report))[0].problem == ""
        vendor.raw_pull.scripted.extend(["429"])
        assert "quota" in (await reader.pull(app, now_ms - 5 * DAY_MS, now_ms, report))[0].problem
        assert (await reader.pull(app, now_ms - 6 * DAY_MS, now_ms, report))[0].problem == ""


def sent_installs(now_ms: int) -> tuple[int, list[bytes]]:
    """Return the beginning of the day before yesterday, and installs of two of its hours that are sent."""
    day_ms = now_ms - now_ms % DAY_MS - 2 * DAY_MS
    times = [_text(day_ms + hour * HOUR_MS + n * 1000) for hour in (1, 20) for n in range(20)]
    fields = {"event_name": "install", "app_id": APP}
    bodies = [
        fields
        | {"custom_data": json.dumps({"amplitude_device_id": f"device-{n:04}"})}
        | {"appsflyer_id": f"17-{n}", "event_time": time, "install_time": time}
        | {"media_source": "organic" if n % 2 else "tiktok"}
        for n, time in enumerate(times)
    ]
    return day_ms, [json.dumps(body).encode() for body in bodies]


async def test_a_search_that_goes_on_the_next_day_does_not_take_what_it_has_compared_for_surplus(tmp_path):
    """A quota that is used up in the middle: what was compared before it is not compared again, and that is said."""
    now_ms = SystemClock().now_ms()
    day_ms, bodies = sent_installs(now_ms)
    installs = (PulledReport.INSTALLS, PulledReport.ORGANIC_INSTALLS)
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        vendor.raw_data.add(APP, bodies)
        vendor.raw_pull.rows = 15
        await push(reader, bodies)
        await Worker(Context(reader.store, Accepting(), SystemClock()), endpoints_of(reader.config)).drain()

        async def search(clock_ms: int) -> GapReport:
            clock = ManualClock(clock_ms)
            progress = Progress(tmp_path / "progress.db")
            plan = PullPlan("shop", AppsFlyerAccount(APP, "token", origin), installs)
            finder = GapFinder(
                plan, reader.flow, reader.store, progress=progress, clock=clock, uptime=Uptime([]),
                day=lambda ms: ms // DAY_MS, platform="android",
            )  # fmt: skip
            puller = HistoryPull(plan, reader.store, reader.download, tmp_path, clock, kind=KIND, full=15)
            found = await finder.run(puller, day_ms, day_ms + 2 * DAY_MS)
            progress.close()
            return found

        # Two days are full, and so is the first of them: the first half of it is compared, and the rest is left.
        vendor.raw_pull.quota = 3
        first = await search(now_ms)
        assert ["quota" in problem for problem in first.problems] == [True, True]
        assert (first.rows, first.surplus, first.notes) == (len(bodies) // 2, (), ())
        vendor.raw_pull.quota = 1000
        tomorrow = now_ms - now_ms % DAY_MS + DAY_MS + 60_000
        second = await search(tomorrow)
        assert (second.rows, second.surplus, second.problems) == (len(bodies) // 2, (), ())
        assert [note.split(":")[0] for note in second.notes] == list(installs)
        assert "Not all could be compared: installs_report:" in second.sentence
        assert await gaps_of(reader.store, "shop") is None
        third = await search(tomorrow)
        assert (third.rows, third.surplus, third.notes) == (len(bodies), (), ())
        assert await gaps_of(reader.store, "shop") == third


async def test_a_row_that_can_not_be_read_is_said_and_makes_no_surplus(tmp_path):
    """Its event is in AppsFlyer's report, whatever its line is worth."""
    now_ms = SystemClock().now_ms()
    day_ms, bodies = sent_installs(now_ms)
    bucket = tmp_path / "bucket"
    async with sandbox() as (vendor, origin), reading(tmp_path, origin, locker=str(bucket)) as reader:
        vendor.raw_data.add(APP, bodies)
        await push(reader, bodies)
        await Worker(Context(reader.store, Accepting(), SystemClock()), endpoints_of(reader.config)).drain()
        files = data_locker.files(vendor.raw_data, day_ms // 1000, (day_ms + DAY_MS) // 1000, parts=1)
        key = next(key for key in files if "/t=installs/" in key and key.endswith(".gz"))
        lines = gzip.decompress(files[key]).decode().splitlines()
        lines[3] = lines[3][:200]
        data_locker.write(bucket, files | {key: gzip.compress("\n".join([*lines, ""]).encode())})
        app = reader.config.apps[0]
        found = await reader.gaps(app, day_ms, day_ms + DAY_MS, fill=False, locker=True)
        assert (found.rows, found.missing, found.surplus) == (len(bodies) - 1, 0, ())
        assert found.notes == ("installs: 1 row can't be read, and is not compared.",)


@pytest.mark.parametrize(
    "way",
    [
        "whole",
        "the oldest day is gone",
        "later files are not read",
        "just delivered",
        "an hour before it was sent is not there",
        "an hour before it was sent is not finished",
        "an hour after it was sent is not there",
        "an hour before it happened is not there",
    ],
)
async def test_what_a_data_locker_may_have_had_is_no_surplus(tmp_path, way):
    """Files are deleted after some days, and what came late is in files of later days than those that are read."""
    now_ms = SystemClock().now_ms()
    day_ms = now_ms - now_ms % DAY_MS - 5 * DAY_MS
    bucket = tmp_path / "bucket"
    custom = json.dumps({"amplitude_device_id": "device-0001"})

    def install(n: int, at_ms: int) -> bytes:
        fields = {"appsflyer_id": f"17-{n}", "event_name": "install", "app_id": APP, "custom_data": custom}
        return json.dumps(fields | {"event_time": _text(at_ms), "install_time": _text(at_ms)}).encode()

    reported = [install(n, day_ms + n * HOUR_MS) for n in range(-30, (now_ms - day_ms) // HOUR_MS + 1)]
    alone = [install(n, day_ms + n * 1000) for n in range(200, 203)]
    async with sandbox() as (vendor, origin), reading(tmp_path, origin, locker=str(bucket)) as reader:
        vendor.raw_data.add(APP, reported[33:] if way == "the oldest day is gone" else reported)
        data_locker.write(bucket, data_locker.files(vendor.raw_data, (day_ms - 2 * DAY_MS) // 1000, now_ms // 1000))
        if hour := ABSENT.get(way):
            at_ms = now_ms - 5 * HOUR_MS if hour == "now" else day_ms + hour * HOUR_MS
            (folder,) = bucket.rglob(f"t=installs/dt={day_of(at_ms)}/h={at_ms // HOUR_MS % 24}")
            for file in folder.iterdir():
                if file.name == "_SUCCESS" or "finished" not in way:
                    file.unlink()
        delivered_ms = now_ms - 3 * HOUR_MS if way == "just delivered" else now_ms - 8 * HOUR_MS
        for body in reported + alone:
            await reader.inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, delivered_ms, body))
        await process(reader, delivered_ms)
        await Worker(Context(reader.store, Accepting(), ManualClock(delivered_ms)), endpoints_of(reader.config)).drain()
        until_ms = day_ms + DAY_MS if way == "later files are not read" else now_ms
        found = await reader.gaps(reader.config.apps[0], day_ms - HOUR_MS, until_ms, fill=False, locker=True)
        assert found.problems == ()
        expected = {
            "whole": (Surplus("installs", day_of(day_ms), ALONE, 3, "organic"),),
            "just delivered": (Surplus("installs", day_of(day_ms), UNFINISHED, 3, "organic"),),
            "an hour before it was sent is not there": (Surplus("installs", day_of(day_ms), NO_FOLDER, 3, "organic"),),
            "an hour before it was sent is not finished": (
                Surplus("installs", day_of(day_ms), NO_FOLDER, 3, "organic"),
            ),
            "an hour after it was sent is not there": (Surplus("installs", day_of(day_ms), ALONE, 3, "organic"),),
            "an hour before it happened is not there": (Surplus("installs", day_of(day_ms), ALONE, 3, "organic"),),
        }
        assert tuple(one for one in found.surplus if one.day == day_of(day_ms)) == expected.get(way, ())


ABSENT = {
    "an hour before it was sent is not there": 97,
    "an hour before it was sent is not finished": 30,
    "an hour after it was sent is not there": "now",
    "an hour before it happened is not there": -5,
}
"""In which hour there is nothing to read."""


async def test_an_event_that_the_day_before_was_in_no_report_is_late(tmp_path):
    """A report shows no time of reception; that the search before has taken all that it had does."""
    now_ms = SystemClock().now_ms()
    day_ms, bodies = sent_installs(now_ms)
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        await reader.store.put_state(FIRST, str(day_ms - DAY_MS).encode())
        await reader.store.put_state(f"{STATE}{day_ms + 20 * HOUR_MS}", str(day_ms + 21 * HOUR_MS).encode())
        vendor.raw_data.add(APP, bodies[:18])
        app, span = reader.config.apps[0], (day_ms, day_ms + DAY_MS)

        async def searched(*, fill: bool) -> tuple[int, set[str]]:
            found = await reader.gaps(app, *span, fill=fill)
            assert found.problems == ()
            await process(reader)
            return found.missing, {gap.cause for gap in found.gaps}

        assert await searched(fill=False) == (18, {OTHER})
        # What was there and not taken is not late.
        assert await searched(fill=True) == (18, {OTHER})
        assert await searched(fill=True) == (0, set())
        # Two of the first hour, and those of the outage, which were no more than four hours late by then.
        vendor.raw_data.add(APP, bodies[18:])
        assert await searched(fill=False) == (22, {LATE, OUTAGE})
        found = (await last_found(reader.store))[0]
        assert {gap.hour[-5:]: gap.cause for gap in found.gaps} == {"01:00": LATE, "20:00": OUTAGE}


async def test_ad_revenue_of_another_amount_is_not_missing(tmp_path):
    """AppsFlyer has written the day again. To fill it would count both amounts."""
    now_ms = SystemClock().now_ms()
    day_ms = now_ms - now_ms % DAY_MS - 3 * DAY_MS
    bucket = tmp_path / "bucket"

    def write(version: int, amounts: dict[str, str]) -> None:
        folder = bucket / f"t=attributed_ad_revenue/dt={day_of(day_ms)}/h=23/version={version}"
        folder.mkdir(parents=True)
        lines = [
            f"17-{person},af_ad_revenue,{_text(day_ms + HOUR_MS)},{amount},{APP}" for person, amount in amounts.items()
        ]
        names = "appsflyer_id,event_name,event_time,event_revenue,app_id"
        (folder / "part-0.gz").write_bytes(gzip.compress("\n".join([names, *lines, ""]).encode()))
        (folder / "_SUCCESS").touch()

    async with sandbox() as (_, origin), reading(tmp_path, origin, locker=str(bucket)) as reader:
        app = reader.config.apps[0]
        write(1, {"1": "0.5", "2": "0.5"})
        assert (await reader.follower(app).look()).taken == 2
        await process(reader)
        write(2, {"1": "0.5", "2": "0.7", "3": "1"})
        found = await reader.gaps(app, day_ms, day_ms + DAY_MS, fill=True, locker=True)
        assert (found.problems, found.rows, found.missing, found.filled) == ((), 3, 1, 1)
        await process(reader)
        done = await reader.follower(app).look()
        assert (done.problems, done.revised) == ([], 1)
        assert new(await process(reader)) == 3


async def test_what_a_data_locker_has_hours_later_is_late(tmp_path):
    """In the folder of its day that is called so, or in one of a later hour."""
    now_ms = SystemClock().now_ms()
    day_ms, bodies = sent_installs(now_ms)
    bucket = tmp_path / "bucket"
    async with sandbox() as (vendor, origin), reading(tmp_path, origin, locker=str(bucket)) as reader:
        await reader.store.put_state(FIRST, str(day_ms - DAY_MS).encode())
        vendor.raw_data.add(APP, bodies)

        def is_late(message: Mapping[str, str]) -> bool:
            return message["appsflyer_id"] == "17-3"

        files = data_locker.files(vendor.raw_data, day_ms // 1000, now_ms // 1000, is_late=is_late, parts=1)
        # What was processed in the morning, in the evening, and on the next day.
        moved = {key.replace("/h=1/", "/h=8/"): content for key, content in files.items()}
        moved = {key.replace("/h=20/", "/h=21/"): content for key, content in moved.items()}
        data_locker.write(bucket, moved)
        found = await reader.gaps(reader.config.apps[0], day_ms, day_ms + DAY_MS, fill=False, locker=True)
        causes = Counter[tuple[str, str]]()
        for gap in found.gaps:
            causes[gap.hour[-5:], gap.cause] += gap.missing
        assert causes == {("01:00", LATE): 20, ("20:00", OTHER): 20}
        assert found.reports == ("installs",)


async def test_what_was_forgotten_is_not_missing(tmp_path):
    """Its keys went with the person. It would be read each day anew, only to be dropped."""
    now_ms = SystemClock().now_ms()
    day_ms, bodies = sent_installs(now_ms)
    async with sandbox() as (vendor, origin), reading(tmp_path, origin) as reader:
        vendor.raw_data.add(APP, bodies)
        await push(reader, bodies[:-1])
        (filing,) = reader.flow.filings([Envelope("shop", Source.PUSH, Media.JSON, now_ms, bodies[0])])
        await reader.store.forget(filing.persons[0].keys[:1], now_ms, receipt="request")
        for missing in (1, 0):
            found = await reader.gaps(reader.config.apps[0], day_ms, day_ms + DAY_MS, fill=True)
            assert (found.rows, found.missing, found.filled) == (len(bodies), missing, missing)
            assert (await process(reader))["forgotten"] == 1
