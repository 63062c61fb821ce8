"""Puts the sandbox together and serves it on one port: Amplitude's paths as they are, its own under `/sandbox/`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

from granian.constants import Interfaces

from flybridge.errors import ConfigError
from flybridge.sandbox.clock import FastClock, MovableClock
from flybridge.sandbox.faults import Faults
from flybridge.sandbox.http import Receive, Scope, Send
from flybridge.sandbox.played import VendorApi
from flybridge.sandbox.vendors.amplitude import AmplitudeServer
from flybridge.sandbox.vendors.appsflyer import AppsFlyerServer
from flybridge.sandbox.vendors.audiences import Audiences
from flybridge.sandbox.vendors.cohorts import CohortServer
from flybridge.sandbox.vendors.dashboard import Dashboard
from flybridge.sandbox.vendors.deletion import Deletions
from flybridge.sandbox.vendors.exports import Exports
from flybridge.sandbox.vendors.opendsr import Subjects
from flybridge.sandbox.vendors.push_config import PushConfig
from flybridge.sandbox.vendors.raw_data import RawData
from flybridge.sandbox.vendors.raw_pull import RawPull
from flybridge.sandbox.vendors.record import records_app
from flybridge.sandbox.vendors.reports import Reports
from flybridge.sandbox.vendors.streamer import Streamer
from flybridge.system.embedded_server import EmbeddedServer, listening


class Sandbox:
    """The whole sandbox as one ASGI application. Tests in the same process can read `amplitude` directly."""

    def __init__(
        self,
        clock: MovableClock | None = None,
        faults: Faults | None = None,
        *,
        api_keys: Collection[str] | None = None,
        keep_bodies: bool = False,
        appsflyer_faults: Faults | None = None,
    ) -> None:
        self.clock: MovableClock = clock or FastClock()
        faults = faults or Faults.named("none")
        self.amplitude = AmplitudeServer(self.clock, faults, api_keys=api_keys, keep_bodies=keep_bodies)
        self.cohorts = CohortServer(self.clock, faults)
        self.dashboard = Dashboard(self.clock, faults, ledgers=self.amplitude.projects)
        self.exports = Exports(self.clock, faults, ledgers=self.amplitude.projects)
        self.audiences = Audiences(self.clock, faults)
        self.deletions = Deletions(self.clock, users_of=lambda project: self.amplitude.ledger(project).users)
        self.subjects = Subjects(self.clock)
        appsflyer_faults = appsflyer_faults or Faults.named("none")
        self.appsflyer = AppsFlyerServer(self.clock, appsflyer_faults)
        self.reports = Reports(self.clock, appsflyer_faults)
        self.raw_data = RawData()
        self.raw_pull = RawPull(self.clock, appsflyer_faults, data=self.raw_data, apps=self.reports.apps)
        self.push_config = PushConfig(self.clock)
        self.streamer = Streamer(self.clock, amplitude=self.amplitude)
        self._records: Any = records_app(self.amplitude, self.clock)
        self._apis: Sequence[VendorApi] = (
            self.cohorts, self.dashboard, self.exports, self.audiences, self.appsflyer, self.reports, self.raw_pull,
            self.push_config, self.streamer, self.deletions, self.subjects,
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        api = next((api for api in self._apis if api.takes(scope["path"])), None)
        if api is None and (scope["path"].startswith("/sandbox/") or scope["path"] == "/healthz"):
            await self._records(scope, receive, send)
        else:
            await (api or self.amplitude)(scope, receive, send)


async def serve_sandbox(
    sandbox: Sandbox,
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    ready: Callable[[int], None],
) -> None:
    """Serve until `stop` is set. `ready` is called with the port, which port 0 leaves to the system.

    Requests that are not finished two seconds after `stop` are given up. Raises `errors.ConfigError` when the
    address can't be opened.
    """
    try:
        listener = listening(host, port)
    except OSError as problem:
        raise ConfigError(
            "", f"The sandbox can't listen on {host}:{port} ({problem.strerror}).", "Give it another host or port."
        ) from problem
    bound: int = listener.getsockname()[1]
    server = EmbeddedServer(sandbox, listener, interface=Interfaces.ASGINL, grace_s=2)
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    ready(bound)  # a client that connects before the server is up waits in the backlog
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving
    finally:
        stopping.cancel()
        await sandbox.streamer.stop()
        server.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait({serving})


@asynccontextmanager
async def running(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve within the calling event loop for as long as the context lasts. Yield the origin, `http://host:port`."""
    stop = asyncio.Event()
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve_sandbox(sandbox, host, port, stop, ready=bound.set_result))
    try:
        either: set[asyncio.Future[Any]] = {serving, bound}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not bound.done():
            await serving
        yield f"http://{host}:{bound.result()}"
    finally:
        stop.set()
        await serving
