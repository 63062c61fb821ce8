"""On real servers of NATS and PostgreSQL: every command works, the demo agrees, and a directory moves there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex

import aiohttp
import pytest
import pytest_asyncio
from starting import INSTALL, NOWHERE, amplitude, bridge, devices_of_installs, environment, serving, until, written
from starting import command as here

from flybridge.clock import SystemClock
from flybridge.config.settings import load
from flybridge.demo.cluster import ClusterEnvironment
from flybridge.demo.environment import LocalEnvironment
from flybridge.demo.run import Scenario, run_scenario, started
from flybridge.demo.sender import Outgoing, Sender
from flybridge.demo.watch import read_figures
from flybridge.errors import FlybridgeError
from flybridge.notifications.notifier import TURN, TURN_MS
from flybridge.operations.schedule import STATE, task_state
from flybridge.roles import Role
from flybridge.sandbox.traffic.traffic import TrafficApp, generate
from flybridge.service.backends import opened_cohorts, opened_store, opened_transport
from flybridge.store.core.turns import TURNS
from flybridge.testing.nats import NatsCluster, binary
from flybridge.testing.processes import Process, free_port

pytestmark = pytest.mark.service

NOBODY = {
    **INSTALL,
    "appsflyer_id": "1629191854863-7087038",
    "custom_data": "",
    "idfa": "a" * 8 + "-0000-1111-2222-" + "b" * 12,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def nats():
    """Return one NATS server."""
    try:
        binary()
    except FlybridgeError as missing:
        pytest.skip(str(missing))
    with tempfile.TemporaryDirectory(prefix="flybridge-nats-") as directory:
        async with NatsCluster(Path(directory), nodes=1) as cluster:
            yield cluster


@pytest.fixture
async def shared(nats, new_database):
    """Return a section of a configuration that names a stream and a database of this test."""
    async with new_database("template1") as dsn:
        servers = f'nats = ["{nats.urls[0]}"]\npostgres = "{dsn}"\nreplicas = 1\nstream = "test-{token_hex(4)}"'
        yield f"\n[cluster]\n{servers}\n"


async def command(path, *words):
    """Run a command to its end; give exit code, standard output and the rest."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flybridge", *words, "--config", str(path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment(),
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def configured(tmp_path, shared):
    """Return a function that writes the configuration of a cluster, and gives its path."""

    def write(origin):
        return written(tmp_path, origin, name="cluster.toml", top=shared)

    return write


@asynccontextmanager
async def parts(path, *names):
    """Run one process for each part."""
    running = [bridge(path, "--only", name) for name in names]
    try:
        yield await asyncio.gather(*(one.__aenter__() for one in running))
    finally:
        await asyncio.gather(*(one.__aexit__(None, None, None) for one in running))


async def soon(ask, fits, seconds=20.0):
    """Ask until the answer fits; give it."""
    async with asyncio.timeout(seconds):
        while not fits(found := await ask()):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.1)
    return found


async def account(path):
    """Return what `flybridge account` says."""
    ran = await here(path, "account", "--json")
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


async def test_each_part_does_its_own_and_no_directory_is_made(configured):
    """Two intakes take, two workers deliver once, the console shows; each is ready."""
    async with amplitude() as (origin, kept):
        path = configured(origin)
        async with parts(path, "intake", "intake", "work", "work", "console") as (first, second, *rest):
            assert [await first.push(), await second.push(), await rest[0].push()] == [200, 200, 503]
            await until(lambda: kept)
            assert [(await one.ready())[1]["reasons"] for one in (first, second, *rest)] == [[]] * 5
            status, page = await rest[-1].get("/account")
            assert (status, "shop" in page) == (200, True)
            assert [await one.end() for one in (first, second, *rest)] == [0] * 5
        assert devices_of_installs(kept) == ["device-of-ann"]
        assert not (path.parent / "data").exists()
        (line,) = (await account(path))["days"]
        assert (line["received"], line["delivered"], line["duplicate"]) == (2, 1, 1)


async def test_what_an_intake_refuses_is_known_to_all(configured):
    """An intake alone needs no store, and writes its refusals there: console and doctor say so."""
    path = configured("http://127.0.0.1:9")
    async with parts(path, "work", "console", "intake", "intake") as (_, console, *intakes):
        for intake in intakes:
            assert await intake.push(token="wrong") == 401
        async with intakes[0].session.post(f"{intakes[0].origin}/v1/push/nobody", json=INSTALL) as answer:
            assert answer.status == 404
        pages = await soon(lambda: console.get("/account"), lambda found: "2 requests of AppsFlyer" in found[1])
        assert "to an address that belongs to no app and got 404" in pages[1]
        code, out, _ = await command(path, "doctor", "--no-vendors")
        assert code == 1
        assert "2 requests of AppsFlyer came with a wrong token" in out
        assert [await one.end() for one in intakes] == [0, 0]


async def test_every_command_works(configured, tmp_path):
    """What is held, dead, replayed, imported and forgotten on the servers is seen and changed from anywhere."""
    async with amplitude() as (origin, kept):
        path = configured(origin)

        async def ran(*words):
            done = await here(path, *words)
            return done.exit_code, done.stdout

        assert await ran("migrate") == (0, "Inbox and store are up to date.\n")
        async with bridge(path) as whole:
            assert await whole.push(NOBODY) == 200
            assert await whole.push({**INSTALL, "event_name": "", "conversion_type": ""}) == 200
            assert (await at_rest(whole.origin, 2)).outcomes == {"held": 1, "dead": 1}
            code, out = await ran("holds", "--json")
            assert (code, len(json.loads(out))) == (0, 1)
            code, out = await ran("dead", "--json")
            (letter,) = json.loads(out)
            assert (code, letter["app"]) == (0, "shop")
            code, out = await ran("replay", "--all", "--json")
            assert (code, json.loads(out)["outcomes"]) == (0, {"dead": 1})
            message = tmp_path / "message.json"
            message.write_text(json.dumps(INSTALL))
            assert (await ran("explain", str(message)))[0] == 0
            sightings = tmp_path / "seen.csv"
            sightings.write_text(f"device_id,idfa\ndevice-of-bob,{NOBODY['idfa']}\n")
            code, out = await ran("import", "--sightings", str(sightings))
            assert code == 0, out
            await until(lambda: kept)
            assert devices_of_installs(kept) == ["device-of-bob"]
            code, out = await ran("forget", "--device-id", "device-of-bob", "--no-vendors", "--json")
            assert code == 0, out
            assert json.loads(out)["removed"]["tombstones"] > 0
            code, out = await ran("doctor", "--json")
            assert (code, json.loads(out)["ok"]) == (0, True)
            code, out = await ran("doctor", "--privacy")
            assert (code, "can't look" in out) == (1, True)
            assert await whole.end() == 0
        assert not (path.parent / "data").exists()


async def test_the_demo_of_a_cluster_agrees_and_leaves_nothing_behind(nats):
    """Both directions, with faults; every record agrees about every event, and all that was started has ended."""
    scenario = Scenario(events=400, seed=3, faults="flaky", hurries=True)
    async with started(scenario, ClusterEnvironment) as environment:
        outcome = await run_scenario(environment, scenario, lambda now, sent: None)
        servers = [node.process for node in environment.nats.nodes]
    assert [one.what for found in (*outcome.apps, *outcome.streams) for one in found.disagreements] == []
    assert outcome.account.discrepancies == []
    assert sum(app.delivered for app in outcome.apps) > 100
    assert (len(environment.intake_origins), len(environment.metrics_origins)) == (2, 3)
    assert all(server.returncode is not None for server in servers)
    assert environment.postgres.pid is None
    assert not environment.directory.exists()


@pytest.mark.parametrize("role", Role)
async def test_a_clock_that_differs_from_the_servers_is_named(configured, monkeypatch, role):
    """By the process itself, whatever its role, and by the doctor on the same machine."""
    path = configured("http://127.0.0.1:9")
    right = SystemClock.now_ms
    async with bridge(path, "--only", role) as process:
        await asyncio.sleep(0.5)  # an intake opens the store after its start
        assert "warnings" not in (await process.ready())[1]
        assert await process.end() == 0
    monkeypatch.setattr(SystemClock, "now_ms", lambda clock: right(clock) + 300_000)
    async with serving(path, role) as origin, aiohttp.ClientSession() as session:

        async def ask(page):
            async with session.get(f"{origin}/{page}") as answer:
                return await answer.text()

        async def ready():
            return json.loads(await ask("readyz"))

        found = await soon(ready, lambda state: state.get("warnings"))
        metrics = await ask("metrics")
        doctor = await here(path, "doctor", "--no-vendors")
    assert (found["ready"], len(found["warnings"])) == (True, 1)
    assert "300 seconds ahead of that of PostgreSQL's server" in found["warnings"][0]
    assert "NTP" in found["warnings"][0]
    (seconds,) = re.findall(r"^flybridge_clock_ahead_seconds (.+)$", metrics, re.MULTILINE)
    assert 299 < float(seconds) < 301
    assert doctor.exit_code == 1
    assert "BAD  clock: This machine's clock is 300 seconds ahead" in doctor.stdout


NOTIFY = '[notify]\nwebhook = { url = "http://127.0.0.1:9/hook", secret = "sixteen characters", private = true }\n'
AUDIENCE = """
secret_key = "secret"
[[apps.audiences]]
cohort = "c1"
identifier = "idfv"
import_key = "import"
cadence = "hourly"
name = "buyers"
"""


@pytest.mark.parametrize("ahead_ms", [-20 * 60_000, 20 * 60_000])
async def test_what_one_process_does_at_a_time_is_claimed_by_the_servers_clock(tmp_path, shared, monkeypatch, ahead_ms):
    """Else a process whose clock is ahead does once more what another is doing: a job, an audience, a notification."""
    path = written(tmp_path, name="cluster.toml", top=shared + NOTIFY, app=AUDIENCE)
    token = 'push_token = "push-token"'
    path.write_text(path.read_text().replace(token, f'{token}\napi_token = "token"\nbase_url = "{NOWHERE}"'))
    settings, right = load(path, os.environ), SystemClock().now_ms
    monkeypatch.setattr(SystemClock, "now_ms", lambda clock: right() + ahead_ms)
    async with opened_store(settings) as store, opened_cohorts(settings) as cohorts:

        async def began():
            jobs = [ran_ms for _, value in await store.states(STATE) if (ran_ms := task_state(value).ran_ms)]
            turns = [int(value.split()[0]) - TURN_MS for _, value in await store.states(TURNS + TURN)]
            return jobs, turns, [run.began_ms for *_, run in await cohorts.history()]

        async with serving(path, Role.WORK):
            found = await soon(began, all)
        assert (await here(path, "cohorts", "run", "buyers")).exit_code == 1  # AppsFlyer does not answer
        by_hand = max((await began())[2]) if ahead_ms > 0 else min((await began())[2])
        for name, moments in zip(("job", "turn", "run", "run by hand"), (*found, [by_hand]), strict=True):
            assert [(name, moment - right()) for moment in moments if abs(moment - right()) > 60_000] == []


async def at_rest(origin, n):
    """Wait until `n` messages have an outcome and none is on its way."""
    async with opened_transport() as transport:
        for _ in range(600):
            now = await read_figures(transport, origin)
            if not now.in_flight and sum(now.outcomes.values()) >= n:
                return now
            await asyncio.sleep(0.1)
    raise AssertionError("it does not come to rest")


async def test_a_directory_moves_to_a_cluster_with_its_account(tmp_path, shared):
    """A day embedded, a move, a day in the cluster: what was held is matched, repeats are known, both days balance."""
    environment = LocalEnvironment(tmp_path / "stage")
    embedded, cluster = environment.config_path, tmp_path / "stage/cluster.toml"
    apps = [TrafficApp(app.name, app.platform, app.appsflyer_app_id) for app in environment.apps]
    headers = {"Authorization": environment.token, "Content-Type": "application/json"}
    messages = [Outgoing(m.path, m.body, headers) for m in generate(5, 300, apps)]
    port = str(free_port())
    serve = ("flybridge.demo.serve", "--config", str(cluster), "--port", port)
    moved = Process("the cluster", serve, tmp_path / "stage/cluster.log")
    try:
        await environment.start()
        text = embedded.read_text()
        cluster.write_text(text.replace("\n[[apps]]", shared + "\n[[apps]]", 1))
        await Sender(environment.bridge.origin).send(messages)
        await at_rest(environment.bridge.origin, 300)
        code, _, err = await command(embedded, "migrate", "--to", str(cluster))
        assert (code, "works on" in err) == (1, True)
        assert await environment.bridge.stop() == 0
        before = await account(embedded)
        assert sum(line["held"] for line in before["days"]) > 5

        code, out, err = await command(embedded, "migrate", "--to", str(cluster))
        assert code == 0, out + err
        assert "300 messages received" in out
        assert await account(cluster) == before
        code, _, err = await command(embedded, "migrate", "--to", str(cluster))
        assert (code, "filed messages already" in err) == (1, True)

        await environment.client.advance(86_400)
        moved.follow("--clock-of", environment.sandbox.origin)
        await moved.start()
        await Sender(moved.origin).send(messages)
        await at_rest(moved.origin, 600)
        assert await moved.stop() == 0
    finally:
        await moved.stop()
        await environment.stop()
    after = await account(cluster)
    days = Counter()
    for line in after["days"]:
        days[line["day"]] += line["received"]
    assert sorted(days.values()) == [300, 300]
    assert sum(line.get("duplicate", 0) for line in after["days"] if line["day"] == max(days)) == 300
    assert all(line["missing"] == 0 for line in after["days"])


async def test_what_does_not_fit_is_not_moved(tmp_path, shared):
    """Messages that wait, other secrets and missing apps are refused with a remedy, and the cluster stays empty."""
    embedded, cluster = written(tmp_path), written(tmp_path, name="cluster.toml", top=shared)
    text = embedded.read_text()
    code, _, err = await command(embedded, "migrate", "--to", str(cluster))
    assert (code, "there is no store" in err) == (2, True)
    assert (await command(embedded, "migrate"))[0] == 0
    async with bridge(embedded, "--only", "intake") as intake:
        assert await intake.push() == 200
        assert await intake.end() == 0
    code, _, err = await command(embedded, "migrate", "--to", str(cluster))
    assert (code, "1 message waits" in err) == (1, True)
    for wrong, sentence in (
        (text, "is missing in the configuration of --to"),
        (cluster.read_text().replace("a secret of sixteen", "another secret of sixteen"), "other secrets"),
        (cluster.read_text().replace('name = "shop"', 'name = "other"'), "does not have shop"),
    ):
        other = tmp_path / "other.toml"
        other.write_text(wrong)
        code, _, err = await command(embedded, "migrate", "--to", str(other))
        assert (code, sentence in err) == (2, True), err
    code, _, err = await command(cluster, "migrate", "--to", str(cluster))
    assert (code, "embedded directory" in err) == (2, True)
    assert (await account(cluster))["days"] == []
