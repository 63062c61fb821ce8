"""Directories, configurations and processes to run flybridge in, for the demo, the crash tests and benchmarks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from flybridge.config.settings import Config, load
from flybridge.demo.cohorts import CohortScenario, section
from flybridge.demo.watch import ServiceFigures, read_all_figures
from flybridge.errors import FlybridgeError
from flybridge.sandbox.client import SandboxClient
from flybridge.sandbox.traffic.postbacks import TrafficApp
from flybridge.sandbox.traffic.products import STREAM
from flybridge.service.backends import local_transport
from flybridge.testing.processes import Process, free_port


class DemoApp(TrafficApp, frozen=True):
    """One app of the demo, with the zone and currency that it has in AppsFlyer, and rates to that currency."""

    route: str
    timezone: str = "UTC"
    currency: str = "USD"
    rates: Mapping[str, float] = {}

    @property
    def api_key(self) -> str:
        """The key of the app's project in the sandbox's Amplitude."""
        return f"key-{self.name}"


APPS: Final = (
    DemoApp("shop-android", "android", "com.example.shop", "http_v2"),
    DemoApp("shop-ios", "ios", "id1234567890", "http_v2", "Europe/Berlin", "EUR", {"USD": 0.92, "GBP": 1.165}),
    DemoApp("game-ios", "ios", "id2345678901", "attribution", "Asia/Tokyo", "JPY"),
)
"""One in dollars, one whose amounts are converted by rates, and one without rates: some are not converted."""


DELIVERY: Final = {
    # An event that makes the server fail is to end while the demo lasts, and not after two days.
    "poison": "max_tries = 4\n",
    "proxy": "gzip = true\n",
}
"""Settings of `[delivery]` that let a fault show, by its name."""


MOST_BYTES: Final = 1 << 30
"""The size of an answer: the sandbox returns all that it holds in one."""


class Environment:
    """Directory, configuration, sandbox, and the processes of flybridge. Ports are free ones, all on the loopback.

    Subclasses define the processes: `intake_origins` are for senders, `metrics_origins` show metrics, in order of
    preference. With `late_refusals`, a message that was refused may have been stored all the same. With `own_clock`,
    flybridge uses the machine's clock, as in production, and not the sandbox's.
    """

    late_refusals = False

    def __init__(
        self,
        directory: Path,
        *,
        faults: str = "none",
        seed: int = 0,
        apps: Sequence[DemoApp] = APPS,
        with_cohort: bool = False,
        own_clock: bool = False,
        message_hours: float = 0.0,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._faults = faults
        self.apps = apps
        self.window_hours = 72.0
        self._own_clock = own_clock
        self._message_hours = message_hours
        self.token = token_hex(12)
        self.cohort = CohortScenario(seed, self.token) if with_cohort else None
        self._secret = token_hex(16)
        self.config_path = directory / "flybridge.toml"
        sandbox = ("flybridge.sandbox", "--port", "0", "--faults", faults, "--seed", str(seed))
        self.sandbox = Process("the sandbox", sandbox, directory / "sandbox.log")
        self.transport = local_transport(MOST_BYTES)
        self.processes: Sequence[Process] = ()
        """The processes of flybridge, in the order in which they stop."""

    @property
    def client(self) -> SandboxClient:
        """The own pages of the sandbox, which must have been started."""
        return SandboxClient(self.transport, self.sandbox.origin)

    async def figures(self) -> ServiceFigures:
        """Read the metrics once. Raises `FlybridgeError` where there are none."""
        return await read_all_figures(self.transport, self.intake_origins, self.metrics_origins)

    @property
    def intake_origins(self) -> Sequence[str]:
        """The origins to send to."""
        return [process.origin for process in self.processes]

    @property
    def metrics_origins(self) -> Sequence[str]:
        """The origins to read metrics from."""
        return self.intake_origins

    def process(self, name: str, *words: str) -> Process:
        """Return a process of flybridge, not started yet. It keeps its port when it is killed and started again."""
        serve = ("flybridge", "serve") if self._own_clock else ("flybridge.demo.serve",)
        options = ("--config", str(self.config_path), "--port", str(free_port()), *words)
        return Process(name, (*serve, *options), self.directory / f"{name.replace(' ', '-')}.log")

    async def start(self) -> None:
        """Start the sandbox, then flybridge."""
        await self.sandbox.start()
        if self.cohort is not None:
            await self.cohort.put(self.client)
        self.config_path.write_text(self.config(self.sandbox.origin), encoding="utf-8")
        for process in () if self._own_clock else self.processes:
            process.follow("--clock-of", self.sandbox.origin)
        await asyncio.gather(*(process.start() for process in self.processes))

    async def close(self) -> None:
        """Stop flybridge in order. Raises `FlybridgeError` if one of its processes does not exit with 0."""
        for process in self.processes:
            if code := await process.stop():
                raise FlybridgeError(f"{process.name} ended with exit code {code}; see its log in {self.directory}.")

    async def stop(self) -> None:
        """Stop everything, the sandbox last."""
        for process in (*self.processes, self.sandbox):
            await process.stop()
        await self.transport.close()

    def shared(self) -> str:
        """Return the configuration of shared servers."""
        return ""

    def delivery(self) -> str:
        """Return the settings of `[delivery]`."""
        return DELIVERY.get(self._faults, "")

    def loaded(self) -> Config:
        """Return the configuration as a command reads it."""
        return load(self.config_path, os.environ)

    def config(self, amplitude: str) -> str:
        """Return the configuration. `amplitude` is the origin of the sandbox."""
        head = f'data_dir = "./data"\nsecret = "{self._secret}"\n{self.shared()}'
        if self.cohort is not None:
            head += section(amplitude, self.token)
        return (
            head
            + "".join(
                f"""
[[apps]]
name = "{app.name}"
appsflyer_app_id = "{app.appsflyer_app_id}"
platform = "{app.platform}"
route = "{app.route}"

[apps.appsflyer]
push_token = "{self.token}"
s2s_key = "s2s-{app.name}"
api_token = "token-{app.name}"
base_url = "{amplitude}"

[apps.history]
gaps = false

[apps.insight]
timezone = "{app.timezone}"
currency = "{app.currency}"
rates = {{ {", ".join(f"{code} = {rate}" for code, rate in app.rates.items())} }}

[apps.amplitude]
api_key = "{app.api_key}"
base_url = "{amplitude}"
webhook_token = "{self.token}"
{STREAM}"""
                for app in self.apps
            )
            + f"\n[retention]\nmessage_hours = {self._message_hours}\n\n[delivery]\n{self.delivery()}"
        )


class LocalEnvironment(Environment):
    """One process with all roles, on a directory. `options` are keyword arguments of every environment."""

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__(directory, **options)
        self.bridge = self.process("flybridge")
        self.processes = (self.bridge,)
