"""The operations of the console, by the functions that the commands use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct

from flybridge.amplitude import activity
from flybridge.amplitude.activity import AmplitudeUser
from flybridge.amplitude.cohort import Credentials
from flybridge.audiences.plan import RunOptions
from flybridge.audiences.run import Runner
from flybridge.audiences.schedule import register
from flybridge.clock import Clock
from flybridge.config.apps import App
from flybridge.config.settings import Config
from flybridge.delivery.exchange import Download, Transport
from flybridge.errors import FlybridgeError
from flybridge.flow import Flow
from flybridge.history.gap_report import last_found
from flybridge.identity import IdKind, Keyring
from flybridge.inbox.protocol import Inbox
from flybridge.insight.account import read_account
from flybridge.notifications.channel import Channel
from flybridge.notifications.notifier import ChannelState, read_states, send_test
from flybridge.operations import doctor
from flybridge.operations.cost_schedule import cost_tasks
from flybridge.operations.credentials import locker_checks, quota_checks, vendor_checks
from flybridge.operations.explain import explain
from flybridge.operations.forget import PersonIds, keys_of
from flybridge.operations.jobs import make_due, read_jobs
from flybridge.operations.messages import GivenMessage
from flybridge.operations.pull_costs import cost_plans_of
from flybridge.operations.read_history import HistoryReader
from flybridge.operations.replay import Replayed, replay, replay_all
from flybridge.records import Envelope, Media, Source
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.protocol import Store
from flybridge.web.console.operations import AudienceState, CheckResult, Done, JobState
from flybridge.wiring import build_flow, cohort_credentials_of, plans_of

HISTORY = 10

OpenCohorts = Callable[[], AbstractAsyncContextManager[CohortStore]]
OpenRunner = Callable[[CohortStore], AbstractAsyncContextManager[Runner]]


class ConsoleOperations(Struct, frozen=True, dict=True):
    """Operations on one bridge. `open_cohorts` and `open_runner` open what an audience needs, for one run."""

    config: Config
    inbox: Inbox
    store: Store
    transport: Transport
    clock: Clock
    open_cohorts: OpenCohorts
    open_runner: OpenRunner
    download: Download
    channels: Sequence[Channel] = ()

    @cached_property
    def _flow(self) -> Flow:
        return build_flow(self.config)

    @cached_property
    def _keyring(self) -> Keyring:
        return Keyring(*self.config.secrets)

    async def replay(self, ids: Sequence[int]) -> Done:
        return _replayed(await replay(self.store, self._flow, ids, self.clock.now_ms()))

    async def replay_all(self, app: str | None, reason: str | None) -> Done:
        return _replayed(await replay_all(self.store, self._flow, self.clock, app=app, reason=reason))

    async def audiences(self) -> Sequence[AudienceState]:
        plans, now_ms = plans_of(self.config), self.clock.now_ms()
        async with self.open_cohorts() as cohorts:
            if plans:
                await register(cohorts, plans, now_ms)
            found = []
            for one in await cohorts.standings(now_ms):
                plan = plans.get((one.app, one.name))
                runs = [run for _, _, run in await cohorts.history(one.app, one.name, HISTORY)]
                found.append(AudienceState(one, plan.cadence if plan else "", runs))
            return found

    async def run_audience(self, app: str, name: str, *, accept_shrink: bool = False) -> Done:
        plans = plans_of(self.config)
        if (app, name) not in plans:
            return Done(f"No audience {name} of {app} is configured.", False)
        async with self.open_cohorts() as cohorts:
            await register(cohorts, plans, self.clock.now_ms())
            async with self.open_runner(cohorts) as runner:
                run = await runner.run(plans[app, name], RunOptions(accept_shrink=accept_shrink, download=True))
        if run is None:
            return Done("Another process runs this audience just now: see its history in a minute.", False)
        return Done(f"The run ended as {run.outcome}: {run.changes} {run.detail}".strip(), run.outcome == "done")

    async def jobs(self) -> Sequence[JobState]:
        reader = HistoryReader(self.config, self.inbox, self.store, self.download, self._flow, self.clock)
        tasks = reader.tasks(lambda *_: None, lambda *_: None)
        tasks += cost_tasks(cost_plans_of(self.config), self.store, self.download, self.clock)
        return await read_jobs(self.config, self.store, tasks)

    async def run_job(self, job: JobState) -> Done:
        await make_due(self.store, job)
        return Done("A worker begins it within a few seconds.")

    async def doctor(self) -> Sequence[CheckResult]:
        account, _ = await read_account(self.inbox, self.store, audit=True)
        depth = await self.inbox.depth(self.clock.now_ms())
        checks = [doctor.startable(self.config), doctor.balanced(account), doctor.readable(depth)]
        if fault := await self.store.trail_fault():
            checks.append(doctor.Check("audit trail", False, fault))
        checks += [*quota_checks(self.config.apps), *await vendor_checks(self.config, self.transport)]
        checks += await locker_checks(self.config.apps, self.clock.now_ms())
        return [
            CheckResult(one.what, "bad" if not one.ok else "warn" if one.warning else "good", one.detail)
            for one in checks
        ]

    def explain(self, envelope: Envelope) -> list[dict[str, Any]]:
        app = self.config.app(envelope.app)
        if app is None:
            return []
        form = "event of Amplitude" if envelope.source is Source.STREAM else "postback"
        message = GivenMessage(
            form, envelope.source, envelope.media, envelope.body, envelope.ordinal, newest=envelope.newest
        )
        return [msgspec.to_builtins(one) for one in explain(self.config, app, message, envelope.received_ms)]

    def keys_of(self, kind: str, value: str) -> Sequence[bytes]:
        # What a person calls a device id may be Amplitude's, a vendor's, or an advertising id.
        names = ("device_id", "advertising_id") if kind == "device_id" else (kind,)
        return keys_of(PersonIds(**dict.fromkeys(names, value)), self.config.apps, self._keyring)

    async def keys_of_amplitude_id(self, value: str) -> tuple[Sequence[bytes], str]:
        apps = self.config.apps
        keys = [key for app in apps for key in self._keyring.keys(app.name, IdKind.AMPLITUDE_ID, value)]
        if not (value.isascii() and value.isdigit()):
            return keys, "An Amplitude id is a number."
        projects = {known for app in apps if (known := cohort_credentials_of(app)) is not None}
        problems = [] if projects else ["Amplitude is not asked whose id it is: no app has a secret_key."]
        for user in await asyncio.gather(*(self._user_of(project, value) for project in projects)):
            for device in user.device_ids or ("",):
                ids = PersonIds(customer_user_id=user.user_id, device_id=device, advertising_id=device)
                keys += keys_of(ids, apps, self._keyring)
            problems += [user.problem] if user.problem else []
        return sorted(set(keys)), " ".join(dict.fromkeys(problems))

    async def _user_of(self, project: Credentials, amplitude_id: str) -> AmplitudeUser:
        try:
            return activity.read(await self.transport.send(activity.request(project, amplitude_id)))
        except FlybridgeError as problem:
            return AmplitudeUser(problem=f"Amplitude could not be asked: {problem}.")

    async def send_test(self, app: App) -> str:
        """Put a test install into the inbox. Its ids are made up and never used again. Returns its AppsFlyer id."""
        now_ms = self.clock.now_ms()
        at = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        appsflyer_id = f"{now_ms}-{uuid4().int % 10**19:019d}"
        body = msgspec.json.encode(
            {
                "event_name": "install",
                "conversion_type": "install",
                "media_source": "flybridge_test",
                "campaign": "test event from the console",
                "app_id": app.appsflyer_app_id,
                "platform": app.platform.value,
                "appsflyer_id": appsflyer_id,
                "custom_data": {app.mapping.device_id_key: f"flybridge-test-{uuid4().hex[:12]}"},
                "event_time": at,
                "install_time": at,
            }
        )
        await self.inbox.accept(Envelope(app.name, Source.PUSH, Media.JSON, now_ms, body))
        return appsflyer_id

    async def gaps(self) -> Sequence[str]:
        return [found.sentence for found in await last_found(self.store)]

    async def notifications(self) -> Mapping[str, ChannelState]:
        states = await read_states(self.store) if self.channels else {}
        return {one.name: states.get(one.name, ChannelState()) for one in self.channels}

    async def send_test_notification(self) -> Done:
        results = await send_test(self.channels, self.clock.now_ms(), self.config.server.public_url)
        sentences = [f"{name}: {problem or 'sent'}" for name, problem in results.items()]
        return Done(". ".join(one.rstrip(".") for one in sentences) + ".", not any(results.values()))


def _replayed(done: Replayed) -> Done:
    sentence = f"{done.redelivered} are due for delivery again, {done.processed} were processed again"
    if done.outcomes:
        sentence += f" ({', '.join(f'{outcome} {n}' for outcome, n in sorted(done.outcomes.items()))})"
    return Done(f"{sentence}.", bool(done.redelivered + done.processed))
