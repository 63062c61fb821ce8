"""How the tests start a whole service, in this process or its own, and a server in place of the vendors."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from click.testing import Result
from typer.testing import CliRunner

from flybridge.cli.app import app as cli
from flybridge.clock import Clock
from flybridge.config.settings import load
from flybridge.errors import FlybridgeError
from flybridge.roles import Role
from flybridge.service.process import Service
from flybridge.testing.processes import environment

NOWHERE = "http://127.0.0.1:9"
"""An origin where nobody answers."""

CONFIG = """
data_dir = "./data"
secret = "a secret of sixteen characters"
{top}

[server]
port = 0
{server}

[[apps]]
name = "shop"
appsflyer_app_id = "id1234567890"
platform = "ios"
route = "{route}"

[apps.appsflyer]
push_token = "push-token"

[apps.amplitude]
api_key = "the-api-key"
base_url = "{origin}"
webhook_token = "stream-token"
{app}
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


def written(
    folder: Path,
    origin: str = NOWHERE,
    *,
    name: str = "flybridge.toml",
    route: str = "http_v2",
    top: str = "",
    server: str = "",
    app: str = "",
) -> Path:
    """Write the configuration of one app whose Amplitude is at `origin`; give its path.

    `top`, `server` and `app` are lines more of the head, of the server's table, and after those of the app.
    """
    path = folder / name
    path.write_text(CONFIG.format(origin=origin, route=route, top=top, server=server, app=app))
    return path


@asynccontextmanager
async def serving(path: Path, only: Role | None = None, clock: Clock | None = None) -> AsyncIterator[str]:
    """Run the service of a configuration in this process; give its origin. What it fails with is raised."""
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    task = asyncio.create_task(Service(load(path, os.environ), only, clock).run(stop, port.set_result))
    done, _ = await asyncio.wait({task, port}, return_when=asyncio.FIRST_COMPLETED)
    if task in done:
        task.result()
    try:
        yield f"http://127.0.0.1:{port.result()}"
    finally:
        stop.set()
        await task


@asynccontextmanager
async def answering(answer: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """Run a foreign HTTP server that answers everything in one way; give its origin."""
    server = web.Application()
    server.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


async def until(true: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until something has come true; give what it is."""
    async with asyncio.timeout(seconds):
        while not (found := true()):  # noqa: ASYNC110 - what is waited for happens in another process or task
            await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def amplitude(gate: asyncio.Event | None = None) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Run a server that takes uploads, each only once `gate` is set, and keeps them."""
    kept: list[dict[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        kept.append(await request.json())
        if gate is not None:
            await gate.wait()
        return web.json_response({"code": 200})

    async with answering(take) as origin:
        try:
            yield origin, kept
        finally:
            if gate is not None:
                gate.set()


def devices_of_installs(uploads: Iterable[dict[str, Any]]) -> list[str]:
    """Return the device ids of the installs among the events of these uploads."""
    events = [event for upload in uploads for event in upload["events"]]
    return [event["device_id"] for event in events if event["event_type"] == "[AppsFlyer] Install"]


async def command(path: Path, *words: str) -> Result:
    """Run a command on a configuration to its end, in this process: one of its own takes a second to start."""
    ran: Result = await asyncio.to_thread(CliRunner().invoke, cli, [*words, "--config", str(path)])
    if ran.exception is not None and not isinstance(ran.exception, SystemExit | FlybridgeError):
        raise ran.exception
    return ran


class Bridge:
    """A process of flybridge, where it listens, and a session to ask it with."""

    def __init__(self, process: asyncio.subprocess.Process, origin: str, session: aiohttp.ClientSession) -> None:
        self.process = process
        self.origin = origin
        self.session = session

    async def get(self, path: str) -> tuple[int, str]:
        """Return status and text."""
        async with self.session.get(self.origin + path) as response:
            return response.status, await response.text()

    async def ready(self) -> tuple[int, dict[str, Any]]:
        """Return what /readyz says."""
        status, text = await self.get("/readyz")
        return status, json.loads(text)

    async def push(self, body: dict[str, Any] | None = None, token: str = "push-token") -> int:
        """Send a postback; give the status."""
        headers = {"Authorization": token}
        async with self.session.post(self.origin + "/v1/push/shop", json=body or INSTALL, headers=headers) as response:
            return response.status

    async def end(self) -> int:
        """Ask it to stop, and give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


async def _started(path: Path, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flybridge", "serve", "--config", str(path), *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment(),
    )  # fmt: skip


@asynccontextmanager
async def bridge(path: Path, *words: str) -> AsyncIterator[Bridge]:
    """Run `flybridge serve` until the block is left. Of a process that does not start, the test says why."""
    process = await _started(path, *words)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = (await process.stdout.readline()).decode()
        assert line, (await process.stderr.read()).decode()
        async with aiohttp.ClientSession() as session:
            yield Bridge(process, line.split()[-1], session)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def refusal(path: Path, *words: str) -> str:
    """Return what `flybridge serve` says as it fails to start, in one line."""
    process = await _started(path, *words)
    try:
        async with asyncio.timeout(30):
            out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 1, out  # a supervisor starts it again
    return " ".join(said.decode().split())
