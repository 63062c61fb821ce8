"""A stage: a directory, a configuration, and the processes on it. Used by the demo, the crash tests and benchmarks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex
from typing import Final, TypedDict, Unpack

from msgspec import Struct

from flybridge.demo.cohorts import CohortPlay, section
from flybridge.errors import FlybridgeError
from flybridge.sandbox.traffic.products import STREAM
from flybridge.testing.processes import Process, free_port


class StageApp(Struct, frozen=True):
    """One app of the demo."""

    name: str
    platform: str
    appsflyer_app_id: str
    route: str

    @property
    def api_key(self) -> str:
        """Name the app's project in the sandbox's Amplitude."""
        return f"key-{self.name}"


APPS: Final = (
    StageApp("shop-android", "android", "com.example.shop", "http_v2"),
    StageApp("shop-ios", "ios", "id1234567890", "http_v2"),
    StageApp("game-ios", "ios", "id2345678901", "attribution"),
)


class Playbill(TypedDict, total=False):
    """What is given on a stage, whatever stands on it: script of faults and its seed, apps, a cohort, whose clock."""

    faults: str
    seed: int
    apps: Sequence[StageApp]
    with_cohort: bool
    own_clock: bool


class Scene:
    """Directory, configuration, sandbox, and the processes of flybridge. Ports are free ones, all on the loopback.

    Subclasses say which processes there are: `doors` are the origins that senders may use, `windows` those where
    figures are to be seen, in order of preference; `late_refusals` where what was refused may be stored all the
    same. With `own_clock`, flybridge goes by the machine's clock, as in earnest, and not by the sandbox's.
    """

    late_refusals = False

    def __init__(
        self,
        directory: Path,
        *,
        faults: str = "none",
        seed: int = 0,
        apps: Sequence[StageApp] = APPS,
        with_cohort: bool = False,
        own_clock: bool = False,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.apps = apps
        self.window_hours = 72.0
        self._own_clock = own_clock
        self.token = token_hex(12)
        self.cohort = CohortPlay(seed, self.token) if with_cohort else None
        self._secret = token_hex(16)
        self.config_path = directory / "flybridge.toml"
        sandbox = ("flybridge.sandbox", "--port", "0", "--faults", faults, "--seed", str(seed))
        self.sandbox = Process("the sandbox", sandbox, directory / "sandbox.log")
        self.parts: Sequence[Process] = ()
        """The processes of flybridge, in the order in which they start; they stop in this order, too."""

    @property
    def doors(self) -> Sequence[str]:
        """Return the origins to send to."""
        return [part.origin for part in self.parts]

    @property
    def windows(self) -> Sequence[str]:
        """Return the origins to look at."""
        return self.doors

    def part(self, name: str, *words: str) -> Process:
        """Return a process of flybridge. It keeps its port when it is killed and started again, so that it is found."""
        serve = ("flybridge", "serve", "--config", str(self.config_path), "--port", str(free_port()), *words)
        return Process(name, serve, self.directory / f"{name.replace(' ', '-')}.log")

    async def start(self) -> None:
        """Start everything."""
        await self.sandbox.start()
        if self.cohort is not None:
            await self.cohort.begin(self.sandbox.origin)
        self.config_path.write_text(self.config(self.sandbox.origin), encoding="utf-8")
        for part in () if self._own_clock else self.parts:
            part.follow("--clock-of", self.sandbox.origin)
        await asyncio.gather(*(part.start() for part in self.parts))

    async def close(self) -> None:
        """Let flybridge end in order. Raises `FlybridgeError` if one of its processes fails at that."""
        for part in self.parts:
            if code := await part.stop():
                raise FlybridgeError(f"{part.name} ended with exit code {code}; see its log in {self.directory}.")

    async def stop(self) -> None:
        """Stop everything, the sandbox last."""
        for part in (*self.parts, self.sandbox):
            await part.stop()

    def shared(self) -> str:
        """Return what the configuration says about shared servers."""
        return ""

    def config(self, amplitude: str) -> str:
        """Write the configuration. `amplitude` is the origin that all calls to the vendors go to."""
        head = f'data_dir = "./data"\nsecret = "{self._secret}"\n{self.shared()}'
        if self.cohort is not None:
            head += section(amplitude, self.token)
        return head + "".join(
            f"""
[[apps]]
name = "{app.name}"
appsflyer_app_id = "{app.appsflyer_app_id}"
platform = "{app.platform}"
route = "{app.route}"

[apps.appsflyer]
push_token = "{self.token}"
s2s_key = "s2s-{app.name}"
base_url = "{amplitude}"

[apps.amplitude]
api_key = "{app.api_key}"
base_url = "{amplitude}"
webhook_token = "{self.token}"
{STREAM}"""
            for app in self.apps
        )


class Stage(Scene):
    """One process that does everything, on a directory."""

    def __init__(self, directory: Path, **playbill: Unpack[Playbill]) -> None:
        super().__init__(directory, **playbill)
        self.bridge = self.part("flybridge")
        self.parts = (self.bridge,)
