"""One process per part on one directory: each does its own, says how it is, and ends in order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

CONFIG = """
data_dir = "./data"
secret = "a secret of sixteen characters"

[server]
port = 0
drain_s = {drain_s}

[[apps]]
name = "shop"
appsflyer_app_id = "id1234567890"
platform = "ios"
route = "http_v2"

[apps.appsflyer]
push_token = "push-token"

[apps.amplitude]
api_key = "the-api-key"
base_url = "{origin}"
webhook_token = "stream-token"
"""

INSTALL = {
    "event_name": "install",
    "conversion_type": "install",
    "media_source": "googleadwords_int",
    "appsflyer_id": "1629191854863-7087037",
    "event_time": "2026-01-31 11:59:59.123",
    "install_time": "2026-01-31 11:59:59.123",
    "platform": "ios",
    "custom_data": json.dumps({"amplitude_device_id": "device-of-ann"}),
}


@asynccontextmanager
async def amplitude(gate=None):
    """Run a server that takes uploads, each only once `gate` is set, and keeps them."""
    kept = []

    async def take(request):
        kept.append(await request.json())
        if gate is not None:
            await gate.wait()
        return web.json_response({"code": 200})

    server = web.Application()
    server.router.add_route("*", "/{tail:.*}", take)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}", kept
    finally:
        if gate is not None:
            gate.set()
        await runner.cleanup()


@pytest.fixture
def configured(tmp_path):
    """Give a function that writes a configuration, and gives its path."""

    def write(origin="http://127.0.0.1:9", drain_s=0):
        path = tmp_path / "flybridge.toml"
        path.write_text(CONFIG.format(origin=origin, drain_s=drain_s))
        return path

    return write


class Bridge:
    """A process of flybridge, where it listens, and a session to ask it with."""

    def __init__(self, process, origin, session):
        self.process = process
        self.origin = origin
        self.session = session

    async def get(self, path):
        """Give status and text."""
        async with self.session.get(self.origin + path) as response:
            return response.status, await response.text()

    async def ready(self):
        """Give what /readyz says."""
        status, text = await self.get("/readyz")
        return status, json.loads(text)

    async def push(self, body=None):
        """Send a postback; give the status."""
        headers = {"Authorization": "push-token"}
        async with self.session.post(self.origin + "/v1/push/shop", json=body or INSTALL, headers=headers) as response:
            return response.status

    async def end(self):
        """Ask it to stop, and give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


def environment():
    """Give this environment without a proxy."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


@asynccontextmanager
async def bridge(path, *words):
    """Run `flybridge serve` until the block is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flybridge", "serve", "--config", str(path), *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment(),
    )  # fmt: skip
    try:
        line = (await process.stdout.readline()).decode()
        async with aiohttp.ClientSession() as session:
            yield Bridge(process, line.split()[-1] if line else "", session)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(true):
    """Wait until a condition holds, ten seconds at most."""
    for _ in range(400):
        if found := true():
            return found
        await asyncio.sleep(0.025)
    raise AssertionError("it did not come true")


async def test_each_part_does_its_own(configured):
    """The intake has no store and takes, the worker has no doors and delivers, the console shows both."""
    async with amplitude() as (origin, kept):
        path = configured(origin)
        async with bridge(path, "--only", "intake") as intake:
            assert await intake.push() == 200
            assert await intake.ready() == (200, {"ready": True, "part": "intake", "reasons": []})
            assert (await intake.get("/"))[0] == 404
            assert [file.name for file in (path.parent / "data").glob("*.db")] == ["inbox.db"]
            async with bridge(path, "--only", "work") as worker, bridge(path, "--only", "console") as console:
                await until(lambda: kept)
                assert await worker.ready() == (200, {"ready": True, "part": "work", "reasons": []})
                assert await console.ready() == (200, {"ready": True, "part": "console", "reasons": []})
                assert await worker.push() == 503
                assert await console.push() == 503
                assert (await worker.get("/"))[0] == 404
                status, page = await console.get("/")
                assert status == 200
                assert "shop" in page
                assert await worker.end() == 0
                assert await console.end() == 0
            assert await intake.end() == 0
    assert [event["device_id"] for upload in kept for event in upload["events"]] == ["device-of-ann"]


async def test_a_second_worker_on_a_directory_is_refused_and_a_second_intake_is_not(configured):
    """An embedded directory has one worker; senders may be spread over several doors."""
    path = configured()
    async with (
        bridge(path, "--only", "intake") as first,
        bridge(path, "--only", "intake") as second,
        bridge(path, "--only", "work"),
        bridge(path, "--only", "work") as refused,
    ):
        assert [await first.push(), await second.push({**INSTALL, "event_time": "2026-02-01 00:00:00.000"})] == [
            200,
            200,
        ]
        assert await refused.process.wait() == 2
        assert "works on" in (await refused.process.stderr.read()).decode()


async def test_an_intake_stops_in_order(configured):
    """First /readyz fails while the doors still take, then the process ends; asking twice hurries nothing."""
    path = configured(drain_s=2)
    async with bridge(path, "--only", "intake") as intake:
        intake.process.send_signal(signal.SIGTERM)
        for _ in range(100):
            if (found := await intake.ready())[0] != 200:
                break
            await asyncio.sleep(0.01)
        assert found == (503, {"ready": False, "part": "intake", "reasons": ["flybridge is stopping."]})
        assert await intake.push() == 200
        intake.process.send_signal(signal.SIGTERM)
        intake.process.send_signal(signal.SIGINT)
        assert await intake.process.wait() == 0


async def test_a_worker_finishes_what_is_in_flight(configured):
    """The vendor takes its time; the worker waits for the answer, settles, and leaves nothing leased."""
    gate = asyncio.Event()
    async with amplitude(gate) as (origin, kept):
        path = configured(origin)
        async with bridge(path) as whole:
            assert await whole.push() == 200
            await until(lambda: kept)
            whole.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            whole.process.send_signal(signal.SIGTERM)
            gate.set()
            assert await whole.process.wait() == 0
    from flybridge import service
    from flybridge.config import load

    async with service.opened(load(path, {})) as (inbox, store):
        assert {count.outcome: count.n for count in await store.counts()} == {"delivered": 1}
        assert [depth.leased for depth in await store.depths(0)] in ([], [0])
        assert (await inbox.depth(0)).waiting == 0


async def test_a_process_that_cannot_start_says_why_and_fails(configured, tmp_path):
    """A supervisor starts it again; the log has a sentence."""
    path = configured()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/inbox.db").write_bytes(b"no database, but long enough to look like one" * 100)
    async with bridge(path, "--only", "intake") as broken:
        assert await broken.process.wait() == 1
        assert "inbox" in (await broken.process.stderr.read()).decode()


async def test_the_port_of_a_process_may_be_named_outside_the_file(configured):
    """Processes of one file on one machine need ports of their own."""
    from flybridge.demo.stage import free_port

    port = free_port()
    async with bridge(configured(), "--only", "console", "--port", str(port)) as console:
        assert console.origin == f"http://127.0.0.1:{port}"
