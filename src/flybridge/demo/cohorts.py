"""A cohort that changes while the traffic runs, partly announced by webhook, and is compared at the end.

It belongs to an app of its own, so that it does not affect how the events of the others are judged. The sandbox's
Amplitude is compared with the sandbox's AppsFlyer; flybridge is asked only whether it has finished.
"""

from __future__ import annotations

import asyncio
from random import Random
from time import perf_counter
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from flybridge.delivery.exchange import HttpRequest, Transport
from flybridge.demo.watch import samples
from flybridge.errors import FlybridgeError
from flybridge.sandbox.client import SandboxClient
from flybridge.sandbox.vendors.cohorts import CohortMember, SandboxCohort

APP: Final = "loyalty-android"
PROJECT: Final = "key-loyalty"
COHORT: Final = "vip"
IMPORT_KEY: Final = "import-vip"
PEOPLE: Final = 1_000
ROUNDS: Final = 4
HOURS: Final = 2
MOVED: Final = 40
REST_S: Final = 240.0
IMPATIENCE_S: Final = 1.5


class CohortVerdict(Struct, frozen=True):
    """How the audience compares with the cohort, in devices. `runs` and `failed` are from flybridge's metrics."""

    app: str
    people: int
    listed: int
    missing: int
    extra: int
    runs: int
    failed: int

    @property
    def differences(self) -> int:
        """The number of devices that are missing or listed wrongly."""
        return self.missing + self.extra


def section(origin: str, token: str) -> str:
    """Return the app's section of the configuration."""
    return f"""
[[apps]]
name = "{APP}"
appsflyer_app_id = "com.example.loyalty"
platform = "android"

[apps.appsflyer]
push_token = "{token}"
api_token = "token-loyalty"
base_url = "{origin}"

[apps.amplitude]
api_key = "{PROJECT}"
secret_key = "secret-loyalty"
base_url = "{origin}"
webhook_token = "{token}"

[[apps.audiences]]
cohort = "{COHORT}"
import_key = "{IMPORT_KEY}"
identifier = "gaid"
cadence = "hourly"
"""


class CohortScenario:
    """Changes the cohort and compares the audience with it. The same seed moves the same people."""

    def __init__(self, seed: int, token: str) -> None:
        self._random = Random(f"cohort {seed}")  # noqa: S311 - repeatable on purpose
        self._token = token
        self._number = 0
        self._members: dict[str, str] = {}
        for _ in range(PEOPLE):
            self._add_person()

    def _add_person(self) -> str:
        name = f"vip-{self._number:05}@example.com"
        self._number += 1
        self._members[name] = str(UUID(int=self._random.getrandbits(128), version=4))
        return name

    async def put(self, sandbox: SandboxClient) -> None:
        """Store the cohort in Amplitude as it is now."""
        members = [
            CohortMember(name, number, {"gaid": gaid}) for number, (name, gaid) in enumerate(self._members.items(), 1)
        ]
        body = msgspec.json.encode(SandboxCohort(COHORT, "VIPs", members))
        await sandbox.post("cohorts", body, project=PROJECT)

    async def move(self, sandbox: SandboxClient, bridge: str) -> None:
        """Let people leave and join; the webhook announces every other round, partly twice and late."""
        late: list[bytes] = []
        for number in range(ROUNDS):
            await asyncio.sleep(1.1)  # Amplitude gives times in whole seconds
            leaving = self._random.sample(sorted(self._members), MOVED)
            announced = [self._message(number, leaving, entering=False)]
            for name in leaving:
                del self._members[name]
            announced.append(self._message(number, [self._add_person() for _ in range(MOVED)], entering=True))
            await self.put(sandbox)
            if number % 2 == 0:
                late += [announced[0], *announced]
        self._random.shuffle(late)
        headers = {"Authorization": self._token, "Content-Type": "application/json"}
        for body in late:
            answer = await sandbox.transport.send(HttpRequest("POST", f"{bridge}/v1/cohorts/{APP}", headers, body))
            if answer.status != 200:
                raise FlybridgeError(f"flybridge answered {answer.status} to a cohort's webhook.")

    def _message(self, number: int, names: list[str], *, entering: bool) -> bytes:
        users = [{"user_id": name, "user_properties": {"gaid": self._members[name]}} for name in names]
        message: dict[str, Any] = {"cohort_name": "VIPs", "cohort_id": COHORT, "in_cohort": entering, "users": users}
        message["message_id"] = f"round-{number}::{'enter' if entering else 'exit'}::0"
        return msgspec.json.encode(message)

    async def judge(self, sandbox: SandboxClient, bridge: str) -> CohortVerdict:
        """Change the cohort and advance the clock by an hour, twice; wait each time for the sync; compare.

        Raises `FlybridgeError` if the audience does not match within `REST_S` seconds.
        """
        for _ in range(HOURS):
            for name in self._random.sample(sorted(self._members), MOVED):
                del self._members[name]
                self._add_person()
            await self.put(sandbox)
            moved_ms = await sandbox.advance(3700) - 3_700_000
            figures = await self._in_step(sandbox, bridge, moved_ms)
        listed = {value for _, value in (await sandbox.get("audiences", import_key=IMPORT_KEY))["devices"]}
        wanted = set(self._members.values())
        return CohortVerdict(
            APP, len(wanted), len(listed), len(wanted - listed), len(listed - wanted), figures.runs, figures.failed
        )

    async def _in_step(self, sandbox: SandboxClient, bridge: str, moved_ms: int) -> _AudienceFigures:
        deadline, impatient, step_s = perf_counter() + REST_S, perf_counter() + IMPATIENCE_S, 120
        while True:
            figures = await _read_figures(sandbox.transport, bridge)
            if figures.in_step_ms >= figures.snapshot_ms > moved_ms and not figures.pending:
                return figures
            if perf_counter() > deadline:
                raise FlybridgeError(f"After {REST_S:.0f} seconds the audience does not match its cohort.")
            if perf_counter() > impatient:  # retries and the next hourly run wait for the sandbox's clock
                await sandbox.advance(step_s)
                impatient, step_s = perf_counter() + IMPATIENCE_S, min(3700, step_s * 8)
            await asyncio.sleep(0.3)


class _AudienceFigures(Struct):
    """What flybridge's metrics say about the audience."""

    in_step_ms: float = 0.0
    snapshot_ms: float = 0.0
    pending: float = 0.0
    runs: int = 0
    failed: int = 0


async def _read_figures(transport: Transport, bridge: str) -> _AudienceFigures:
    found = _AudienceFigures()
    for sample in await samples(transport, bridge):
        if sample.labels.get("app") != APP:
            continue
        match sample.name:
            case "flybridge_audience_in_step_timestamp_seconds":
                found.in_step_ms = sample.value * 1000
            case "flybridge_audience_snapshot_timestamp_seconds":
                found.snapshot_ms = sample.value * 1000
            case "flybridge_audience_pending":
                found.pending += sample.value
            case "flybridge_audience_runs_total":
                found.runs += int(sample.value)
                found.failed += int(sample.value) if sample.labels["outcome"] != "done" else 0
    return found
