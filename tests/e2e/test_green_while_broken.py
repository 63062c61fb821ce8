"""What looks well from elsewhere and is not: each case turns the console's banner, `flybridge doctor` and a metric."""

from __future__ import annotations

import asyncio
import re
import resource
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from starting import INSTALL, NOWHERE, answering, bridge, command, refusal, written

from flybridge.clock import SystemClock
from flybridge.insight.heard import Heard, write_heard
from flybridge.records import DAY_MS, HOUR_MS
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore

AUDIENCE = """
[[apps.audiences]]
cohort = "c1"
identifier = "idfv"
cadence = "realtime"
name = "buyers"
"""


async def doctor(path):
    """Return the exit code of `flybridge doctor`, and all that it prints."""
    ran = await command(path, "doctor", "--no-vendors")
    return ran.exit_code, " ".join(ran.output.split())


async def soon(ask, fits):
    """Ask until the answer fits; give it."""
    async with asyncio.timeout(30):
        while not fits(found := await ask()):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.1)
    return found


class Case:
    """A bridge in trouble: how it comes about, and what has to be said."""

    def __init__(self, folder, origin, app):
        self.path = written(folder, origin, app=app)
        text = self.path.read_text()
        self.path.write_text(text.replace('push_token = "push-token"', 'push_token = "push-token"\napi_token = "t"'))

    async def wrong_token(self, intake):
        """Somebody has entered another token at AppsFlyer."""
        assert await intake.push(token="wrong") == 401

    async def wrong_address(self, intake):
        """Somebody has entered the address of an app that is not there."""
        async with intake.session.post(f"{intake.origin}/v1/push/nobody", json=INSTALL) as answer:
            assert answer.status == 404

    async def stopped_audience(self, _):
        """AppsFlyer's import key of an audience is missing: it stops in its first run, after the start."""

    async def lane_in_retry(self, intake):
        """Amplitude fails now and then: nothing is halted."""
        assert await intake.push() == 200

    async def nothing_heard(self, _):
        """AppsFlyer has sent all day for ten days, and nothing for five hours."""
        store = SqliteStore(self.path.parent / "data/store.db", Seal(b"a secret of sixteen characters"))
        await store.open()
        now_ms, heard = SystemClock().now_ms(), Heard("shop", "push")
        for at in range(now_ms - 10 * DAY_MS, now_ms - 5 * HOUR_MS, 10 * 60_000):
            heard.hear(at)
        await write_heard(store, "another", [heard], now_ms)
        await store.close()


CASES = {
    "wrong_token": (
        "1 request of AppsFlyer came with a wrong token and got 401", "BAD",
        r'flybridge_intake_refused_total\{app="shop",source="push",status="401"\} 1.0',
    ),
    "wrong_address": (
        "1 request came to an address that belongs to no app and got 404", "BAD",
        r'flybridge_intake_refused_total\{app="",source="[a-z]*",status="404"\} 1.0',
    ),
    "stopped_audience": (
        "The audience buyers of shop has stopped.", "BAD",
        r'flybridge_audience_stopped\{app="shop",audience="buyers"\} 1.0',
    ),
    "lane_in_retry": (
        "1 event could not be sent, and wait", "WARN", r'flybridge_lane_later\{app="shop",endpoint="http_v2"\} 1.0',
    ),
    "nothing_heard": (
        "nothing has come from AppsFlyer for", "WARN", r'flybridge_silent\{app="shop",source="push"\} 1.0',
    ),
}  # fmt: skip


@asynccontextmanager
async def processes(path, apart):
    """Run one process, or one for each role. Yields where messages are taken, worked on, and looked at."""
    if not apart:
        async with bridge(path) as whole:
            yield whole, whole, whole
        return
    roles = [bridge(path, "--only", role) for role in ("work", "console", "intake")]
    async with roles[0] as work, roles[1] as console, roles[2] as intake:
        yield intake, work, console


@pytest.mark.parametrize("apart", [False, True], ids=["one process", "a process for each role"])
@pytest.mark.parametrize("case", CASES)
async def test_each_turns_banner_doctor_and_metric(tmp_path, case, apart):
    """Green before, with a sentence after, and the same sentence in doctor."""
    sentence, mark, metric = CASES[case]

    async def fails(_):
        return web.Response(status=503, text="busy")

    async with answering(fails) as origin:
        trouble = Case(tmp_path, origin, AUDIENCE if case == "stopped_audience" else "")
        async with processes(trouble.path, apart) as (intake, work, console):
            if case != "stopped_audience":
                await soon(lambda: console.get("/account"), lambda found: "All is well" in found[1])
            await getattr(trouble, case)(intake)
            escaped = sentence.replace("'", "&#39;")
            page = (await soon(lambda: console.get("/account"), lambda found: escaped in found[1]))[1]
            assert re.search(rf'class="banner {"bad" if mark == "BAD" else "warn"}"', page)
            # What a process knows at once, others read from its next report.
            code, said = await soon(lambda: doctor(trouble.path), lambda found: sentence in found[1])
            assert re.search(rf"\b{mark}\b", said)
            assert code == (1 if mark == "BAD" else 0), said
            of = intake if case.startswith("wrong") else work
            await soon(lambda: of.get("/metrics"), lambda found: re.search(metric, found[1]))


async def refused(path, *role):
    """Try to start a process with another secret; it has to say what to do."""
    wrong = path.with_name("wrong.toml")
    wrong.write_text(path.read_text().replace("a secret of sixteen", "another secret of sixteen"))
    said = await refusal(wrong, *role)
    assert "The configured secret does not open what the store holds." in said
    assert "put the former one into `former_secrets`" in said
    return wrong


async def test_a_wrong_secret_is_refused_at_the_start_and_shown_by_those_that_run(tmp_path):
    """By each role, and by doctor, with what to do; banner, doctor and metric of the running process say so."""
    path = written(tmp_path, NOWHERE)
    async with bridge(path) as whole:
        assert await whole.push() == 200
        assert await whole.end() == 0
    wrong = await refused(path, "--only", "work")
    await refused(path)
    code, said = await doctor(wrong)
    assert code == 1
    assert "BAD account: The configured secret does not open what the store holds." in said
    async with bridge(path) as whole:
        await refused(path, "--only", "console")
        await refused(path, "--only", "intake")
        page = (await soon(lambda: whole.get("/account"), lambda found: "role intake was not started" in found[1]))[1]
        assert 'class="banner bad"' in page
        assert "role work was not started" in page
        assert "A process was not started" not in page  # it has started since
        code, said = await doctor(path)
        assert code == 1
        assert "BAD secret: A process with the role console was not started" in said
        figures = (await whole.get("/metrics"))[1]
        for role, value in {"all": 0, "work": 1, "console": 1, "intake": 1}.items():
            assert f'flybridge_wrong_secret{{role="{role}"}} {value}.0' in figures


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are set on Linux only")
async def test_a_full_disk_is_shown_though_nothing_can_be_noted_on_it(tmp_path):
    """Inbox and store are on one disk: what is refused is known to the process alone, and said by it."""
    async with bridge(written(tmp_path, NOWHERE)) as whole:
        assert await whole.push() == 200
        await soon(lambda: whole.get("/account"), lambda found: "Balanced." in found[1])
        resource.prlimit(whole.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        assert await whole.push(INSTALL | {"appsflyer_id": "1629191854863-7087038"}) == 503
        sentences = (
            "shop: 1 request to /v1/push got 503, because the inbox does not store:",
            "The store can&#39;t be written, so that nothing is filed or sent:",
        )
        page = (await soon(lambda: whole.get("/account"), lambda found: all(one in found[1] for one in sentences)))[1]
        assert 'class="banner bad"' in page
        await soon(
            lambda: whole.get("/metrics"), lambda found: 'flybridge_unstored{app="shop",source="push"} 1.0' in found[1]
        )
        resource.prlimit(whole.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert await whole.push(INSTALL | {"appsflyer_id": "1629191854863-7087038"}) == 200
