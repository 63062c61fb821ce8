"""What a run of an audience downloads, what it makes of a file that lacks members, and what it spends of the month."""

from __future__ import annotations

import gzip
import json
from contextlib import asynccontextmanager

import pytest

from audience_rules import audience_rule
from flybridge.amplitude.cohort import Credentials, Usage, read_usage
from flybridge.appsflyer.audience import ImportTarget
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.audiences.plan import AudiencePlan, RunOptions
from flybridge.audiences.run import Runner
from flybridge.audiences.schedule import targets
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.errors import ForbiddenAddress, TransportError
from flybridge.identity import Keyring
from flybridge.sandbox.server import Sandbox
from flybridge.sandbox.vendors.cohorts import CohortMember, SandboxCohort, written
from flybridge.sealing import Seal
from flybridge.store.lease import RENEW_S
from flybridge.store.sqlite.store import SqliteCohorts, SqliteStore
from flybridge.testing.clocks import JumpingClock
from flybridge.testing.inside import Inside

SECRET = b"the secret of the download suite"
NAME = ("shop", "vips")
HOUR_S = 3600


def people(n: int) -> list[CohortMember]:
    return [CohortMember(f"user-{i}", 1000 + i, {"gaid": f"38400000-8cf0-41bd-b23e-{i:012d}"}) for i in range(n)]


class Bridge:
    """One audience, the sandbox, and what was asked of Amplitude."""

    def __init__(self, directory, *, cadence: str = "hourly", reserve: int = 0) -> None:
        self.clock = JumpingClock(endless_s={RENEW_S})
        self.sandbox = Sandbox(self.clock)
        self.sandbox.cohorts.job_s = 0.0
        self.inside = Inside(self.sandbox)
        self.key = "import"
        self.cadence, self.reserve = cadence, reserve
        self.store = SqliteStore(directory / "store.db", Seal(SECRET))
        self.cohorts = SqliteCohorts(directory / "store.db", Seal(SECRET))
        self.runner = Runner(self.cohorts, self.inside, self.inside, self.clock, Keyring(SECRET), jitter=lambda: 0.5)
        self.put(10)

    @property
    def plan(self) -> AudiencePlan:
        target = ImportTarget(AppsFlyerAccount("com.example.shop", "token", "http://sandbox"), "android", self.key)
        rule = audience_rule(*NAME, "c1", "gaid", cadence=self.cadence)
        credentials = Credentials("http://sandbox", "key", "secret")
        return AudiencePlan(rule, target, credentials, reserve=self.reserve)

    def put(self, n: int) -> None:
        self.sandbox.cohorts.put("key", SandboxCohort("c1", "VIPs", people(n)))

    async def run(self, *, due: bool = True, options: RunOptions | None = None):
        return await self.runner.run(self.plan, options or RunOptions(), due=due)

    async def next_run(self):
        """Wait until the audience is due, and run it."""
        (standing,) = await self.cohorts.standings(self.clock.now_ms())
        self.clock.advance(max(0.001, (standing.next_ms - self.clock.now_ms()) / 1000))
        return await self.run()

    @property
    def listed(self) -> int:
        return len(self.sandbox.audiences.listed["import"])


@asynccontextmanager
async def bridged(directory, **settings):
    bridge = Bridge(directory, **settings)
    await bridge.store.open()
    await bridge.cohorts.open()
    await bridge.cohorts.keep(targets({NAME: bridge.plan}, bridge.clock.now_ms()))
    try:
        yield bridge
    finally:
        await bridge.cohorts.close()
        await bridge.store.close()


class _Whole:
    def __init__(self, body: bytes) -> None:
        self.status, self.headers, self._body = 200, {}, body

    async def pieces(self):
        for start in range(0, len(self._body), 100):
            yield self._body[start : start + 100]


def serve(bridge: Bridge, body: bytes) -> None:
    """Give out this file instead of the sandbox's."""
    usual = bridge.inside.open

    @asynccontextmanager
    async def opened(request, *, public=False):
        if request.url.endswith("/cohorts"):
            async with usual(request) as answer:
                yield answer
        else:
            yield _Whole(body)

    bridge.inside.open = opened


def members_file(*counts: int) -> bytes:
    """One gzip member for each range of people, as a writer that appends makes them."""
    lines = written(people(sum(counts)), ["gaid"]).splitlines(keepends=True)
    parts, at = [lines[:1]], 1
    for count in counts:
        parts.append(lines[at : at + count])
        at += count
    return b"".join(gzip.compress(b"".join(part)) for part in parts)


async def test_every_member_of_a_compressed_file_is_read(tmp_path):
    """Sixty people in one gzip member and forty in the next are a hundred."""
    async with bridged(tmp_path) as bridge:
        bridge.put(100)
        serve(bridge, members_file(60, 40))
        run = await bridge.next_run()
        assert (run.outcome, run.rows, bridge.listed) == ("done", 100, 100)


@pytest.mark.parametrize("file", [members_file(60), members_file(60)[:-3], members_file(60) + b"\0\0\0", b"user_id\n"])
async def test_a_file_that_lacks_members_changes_nothing(tmp_path, file):
    """However it lacks them: fewer rows than Amplitude lists, bytes after it, an end that is missing."""
    async with bridged(tmp_path) as bridge:
        bridge.put(100)
        await bridge.next_run()
        serve(bridge, file)
        run = await bridge.next_run()
        assert run.outcome in {"held", "failed"}
        assert (run.left, run.removed, bridge.listed) == (0, 0, 100)


async def test_the_size_of_a_cohort_is_known_however_long_the_list_is(tmp_path):
    """A list has the definition of each cohort, and is megabytes of many: a file that lacks members is one still."""
    async with bridged(tmp_path) as bridge:
        bridge.put(100)
        await bridge.next_run()
        serve(bridge, members_file(60))
        usual = bridge.inside.open
        others = [{"id": f"o{n}", "name": "Other", "definition": {"andClauses": ["x" * 2_000]}} for n in range(1_500)]
        listed = json.dumps({"cohorts": [*others, {"id": "c1", "name": "VIPs", "size": 100}]}).encode()
        assert len(listed) > 2 * 2**20

        @asynccontextmanager
        async def opened(request, *, public=False):
            if request.url.endswith("/cohorts"):
                yield _Whole(listed)
            else:
                async with usual(request) as answer:
                    yield answer

        async def send(request, sent=bridge.inside.send):
            assert not request.url.endswith("/cohorts"), "answers of deliveries are read up to a megabyte"
            return await sent(request)

        bridge.inside.open, bridge.inside.send = opened, send
        run = await bridge.next_run()
        assert (run.outcome, run.reason) == ("held", "incomplete_file")


async def test_an_operator_may_accept_a_file_that_lacks_members(tmp_path):
    """The detail says how many are missing, and what to do."""
    async with bridged(tmp_path) as bridge:
        bridge.put(100)
        await bridge.next_run()
        serve(bridge, members_file(60))
        run = await bridge.next_run()
        assert (run.outcome, run.reason) == ("held", "incomplete_file")
        assert "60 members and Amplitude lists 100" in run.detail
        run = await bridge.run(due=False, options=RunOptions(accept_shrink=True))
        assert (run.outcome, run.left, bridge.listed) == ("done", 40, 60)


async def test_a_cohort_that_has_really_shrunk_is_no_incomplete_file(tmp_path):
    """The size is looked at before the request and after it: the smaller counts."""
    async with bridged(tmp_path) as bridge:
        bridge.put(100)
        await bridge.next_run()
        bridge.put(70)
        run = await bridge.next_run()
        assert (run.outcome, run.left, bridge.listed) == ("done", 30, 70)


async def test_a_wrong_import_key_costs_no_downloads(tmp_path):
    """A day of it downloads each hour's cohort once, and asks AppsFlyer once an hour."""
    async with bridged(tmp_path) as bridge:
        refuse(bridge)
        began_ms = bridge.clock.now_ms()
        while bridge.clock.now_ms() < began_ms + 24 * HOUR_S * 1000:
            run = await bridge.next_run()
            assert run.outcome == "stopped"
        assert bridge.sandbox.cohorts.asked <= 26


async def test_what_was_applied_is_not_downloaded_again_because_the_sync_failed(tmp_path):
    """AppsFlyer is away for a while after the download: the next tries sync only."""
    async with bridged(tmp_path, cadence="daily") as bridge:
        away(bridge)
        for _ in range(5):
            assert (await bridge.next_run()).outcome == "failed"
        assert bridge.sandbox.cohorts.asked == 1
        del bridge.inside.send
        assert (await bridge.next_run()).outcome == "done"
        assert (bridge.sandbox.cohorts.asked, bridge.listed) == (1, 10)
        await bridge.next_run()
        assert bridge.sandbox.cohorts.asked == 2


async def test_a_stopped_audience_runs_at_once_after_a_restart(tmp_path):
    """A process reads its configuration when it starts: it may be corrected by then."""
    async with bridged(tmp_path, cadence="daily") as bridge:
        refuse(bridge)
        assert (await bridge.next_run()).outcome == "stopped"
        now_ms = bridge.clock.now_ms()
        assert not await bridge.cohorts.due(now_ms + 3_600_000)
        await bridge.cohorts.keep(targets({NAME: bridge.plan}, now_ms, [NAME]))
        assert [one.name for one in await bridge.cohorts.due(now_ms)] == ["vips"]


async def test_scheduled_runs_leave_the_reserve(tmp_path):
    """Runs by hand may use it."""
    async with bridged(tmp_path, reserve=498) as bridge:
        runs = [await bridge.next_run() for _ in range(4)]
        assert [run.outcome for run in runs] == ["done", "done", "stopped", "stopped"]
        assert runs[0].detail == "0 of 500 cohort downloads of this month are used."
        assert runs[2].reason == "monthly_limit"
        assert "2 of 500" in runs[2].detail
        assert bridge.sandbox.cohorts.asked == 2
        assert (await bridge.run(due=False)).outcome == "done"
        assert bridge.sandbox.cohorts.asked == 3


async def test_a_project_without_a_count_is_downloaded(tmp_path):
    """The count is a help and no condition."""
    async with bridged(tmp_path, reserve=400) as bridge:
        sent = bridge.inside.send

        async def send(request):
            return HttpResponse(404, {}, b"") if request.url.endswith("/usage") else await sent(request)

        bridge.inside.send = send
        assert (await bridge.next_run()).outcome == "done"


async def test_a_file_that_stays_broken_waits_for_the_cadence(tmp_path):
    """Each try costs a download of the month."""
    async with bridged(tmp_path, cadence="daily") as bridge:
        serve(bridge, b"\x1f\x8bnonsense")
        began_ms = bridge.clock.now_ms()
        while bridge.clock.now_ms() < began_ms + 5 * 24 * HOUR_S * 1000:
            assert (await bridge.next_run()).outcome == "failed"
        assert bridge.sandbox.cohorts.asked <= 10


def _lost(_: HttpRequest) -> HttpResponse:
    raise TransportError("The answer was lost.", maybe_applied=True)


def _is_asking(request: HttpRequest) -> bool:
    return "/api/5/cohorts/request/" in request.url and not request.url.endswith("/file")


def _is_status(request: HttpRequest) -> bool:
    return "/request-status/" in request.url


FAILURES = {
    "the answer is lost": (_is_asking, _lost),
    "no id": (_is_asking, lambda _: HttpResponse(202, {}, b"{}")),
    "500": (_is_asking, lambda _: HttpResponse(500, {}, b"")),
    "a page": (_is_asking, lambda _: HttpResponse(200, {}, b"<html>")),
    "the state is lost": (_is_status, _lost),
    "the state is unknown": (_is_status, lambda _: HttpResponse(404, {}, b"")),
    "the job fails": (_is_status, lambda _: HttpResponse(200, {}, b'{"async_status":"JOB FAILED"}')),
    "the job lasts": (_is_status, lambda _: HttpResponse(202, {}, b'{"async_status":"JOB INPROGRESS"}')),
}


@pytest.mark.parametrize("what", FAILURES)
async def test_a_download_that_fails_for_ever_costs_no_more_than_its_cadence(tmp_path, what):
    """Amplitude counts each request for a cohort, answered or not; the first tries come sooner."""
    async with bridged(tmp_path, cadence="daily") as bridge:
        is_hit, answer = FAILURES[what]
        sent = bridge.inside.send

        async def send(request: HttpRequest) -> HttpResponse:
            answered = await sent(request)  # it has arrived all the same
            return answer(request) if is_hit(request) else answered

        bridge.inside.send = send
        began_ms = bridge.clock.now_ms()
        while bridge.clock.now_ms() < began_ms + 5 * 24 * HOUR_S * 1000:
            assert (await bridge.next_run()).outcome in {"failed", "stopped"}
        assert bridge.sandbox.cohorts.asked <= 10


async def test_a_redirect_into_the_own_network_is_not_followed(tmp_path):
    """It is asked for as public, and what is not public stops the run with a sentence."""
    async with bridged(tmp_path) as bridge:
        asked = []

        class Redirect(_Whole):
            def __init__(self) -> None:
                super().__init__(b"")
                self.status, self.headers = 302, {"location": "https://metadata.internal/latest"}

        @asynccontextmanager
        async def opened(request, *, public=False):
            if request.url.endswith("/cohorts"):
                yield _Whole(b"{}")
                return
            asked.append((request.url, public))
            if "metadata" in request.url:
                raise ForbiddenAddress("metadata.internal")
            yield Redirect()

        bridge.inside.open = opened
        run = await bridge.next_run()
        assert (run.outcome, run.reason) == ("stopped", "wrong_address")
        assert "metadata.internal has no public address" in run.detail
        assert [public for _, public in asked] == [False, True]
        assert "latest" not in run.detail


async def test_who_logs_in_stays(tmp_path):
    """An anonymous member gets a user id: nobody comes or leaves, in a download and by message."""
    async with bridged(tmp_path) as bridge:
        anonymous = [CohortMember("", one.amplitude_id, one.properties) for one in people(10)]
        bridge.sandbox.cohorts.put("key", SandboxCohort("c1", "VIPs", anonymous))
        await bridge.next_run()
        bridge.put(10)
        run = await bridge.next_run()
        assert (run.outcome, run.joined, run.left, run.added, run.removed) == ("done", 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"rest_download": {"limit": 500, "usage": 7, "resets_at": "2026-12-01"}}', Usage(7, 500)),
        (b'{"usage": 7, "limit": null}', Usage(7, 0)),
        (b'{"rest_download": {"usage": "7"}}', None),
        (b'{"rest_download": 7}', None),
        (b"[]", None),
        (b"<html>", None),
    ],
)
def test_the_count_is_read_or_it_is_not_known(body, usage):
    """Nothing else than numbers counts."""
    assert read_usage(HttpResponse(200, {}, body)) == usage
    assert read_usage(HttpResponse(500, {}, body)) is None


def refuse(bridge: Bridge) -> None:
    """Let AppsFlyer refuse the key."""
    _answer(bridge, 403)


def away(bridge: Bridge) -> None:
    """Let AppsFlyer be away."""
    _answer(bridge, 503)


def _answer(bridge: Bridge, status: int) -> None:
    sent = bridge.inside.send

    async def send(request):
        return HttpResponse(status, {}, b"Forbidden") if "audience" in request.url else await sent(request)

    bridge.inside.send = send
