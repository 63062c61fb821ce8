"""Whether every difference between AppsFlyer's, flybridge's and Amplitude's counts of the demo is explained.

The three are asked over HTTP as `flybridge reconcile` does it. What the generator has planted is counted from its own
truth, and must be found under its cause with the same number; nothing may be left unexplained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct, structs

from flybridge.amplitude.dashboard import BUDGET_S
from flybridge.config.settings import Config
from flybridge.delivery.exchange import Download
from flybridge.demo.planted import AmplitudeRecord, planted
from flybridge.insight.causes import AMPLITUDE, APPSFLYER, CAUSES
from flybridge.insight.comparison import ALL_EVENTS, ComparedRow, DayComparison
from flybridge.operations.count_amplitude import QueryBudget
from flybridge.operations.reconcile import Reconciler
from flybridge.operations.reconcile_plan import ReconcilePlan, reconcile_plans_of
from flybridge.records import DAY_MS
from flybridge.sandbox.client import SandboxClient
from flybridge.sandbox.traffic.planned import MessageKind, TrafficMessage
from flybridge.sandbox.traffic.postbacks import written
from flybridge.store.protocol import Store
from flybridge.system.secret import Secret
from flybridge.testing.clocks import JumpingClock

CENT: Final = 10_000
EVENTS: Final = 200
"""All in-app events of the traffic are compared, and not the most frequent only."""
TRIES: Final = 10
YEARS: Final = 4_000
"""Days that raw data reaches back here: the traffic plays when it plays."""
PUSH: Final = "/v1/push/"


class CauseFound(Struct, frozen=True):
    """How many events one cause has: as planted, and as found."""

    code: str
    title: str
    planted: int
    found: int


class ReconciliationVerdict(Struct, frozen=True):
    """How one app's counts compare. `rows` were compared, `money` of them in revenue; what is wrong is a sentence.

    `currencies` are paid events whose amount Amplitude adds up as it is, by their currency.
    """

    app: str
    rows: int
    money: int
    causes: Sequence[CauseFound]
    currencies: Mapping[str, int]
    wrong: Sequence[str] = ()


class SandboxTime:
    """A clock in the time of the traffic, whose waits move the time of a sandbox in another process."""

    def __init__(self, sandbox: SandboxClient) -> None:
        self._sandbox, self._now_ms = sandbox, 0

    def now_ms(self) -> int:
        """Return the time in milliseconds."""
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        """Move the sandbox's time."""
        await self._sandbox.advance(seconds)
        self._now_ms += round(seconds * 1000)

    async def move(self, now_ms: int) -> None:
        """Move to a time. What was spent of Amplitude's budget is given back."""
        await self.sleep(BUDGET_S)
        self._now_ms = now_ms


class JumpingTime(JumpingClock):
    """A clock that the sandbox has, too, and that only moves forward."""

    async def move(self, now_ms: int) -> None:
        """Move to a time, or as far as Amplitude's budget needs."""
        self.advance(max(BUDGET_S, (now_ms - self.now_ms()) / 1000))


MovableTime = SandboxTime | JumpingTime
"""A clock in the time of the traffic, which the sandbox follows, and whose waits take no time."""


async def tell_raw_data(sandbox: SandboxClient, config: Config, messages: Sequence[TrafficMessage]) -> None:
    """Hand the sandbox what was pushed: AppsFlyer has it in its raw data, however long ago the traffic plays."""
    await sandbox.post("raw/pull", lookback=f"{YEARS}", quota=f"{YEARS}")
    for app in config.apps:
        own = [_as_known(one) for one in messages if one.truth.app == app.name and one.path.startswith(PUSH)]
        await sandbox.post("raw/happened", b"\n".join(own), app=app.appsflyer_app_id)


def _as_known(message: TrafficMessage) -> bytes:
    """Return a message as AppsFlyer knows it: what is wrong with its form is wrong in what was pushed alone."""
    fact, pushed = message.reported, msgspec.json.decode(message.body)
    if isinstance(pushed, list):
        pushed = pushed[0]
    if fact is not None:
        if fact.kind != MessageKind.IN_APP:
            pushed.setdefault("event_name", fact.kind)
        pushed["event_time"] = written(fact.time_ms)
    return msgspec.json.encode(pushed)


async def judge_reconciliation(
    config: Config,
    store: Store,
    vendors: tuple[SandboxClient, Download],
    clock: MovableTime,
    messages: Sequence[TrafficMessage],
) -> list[ReconciliationVerdict]:
    """Compare all days of all apps."""
    config = structs.replace(
        config,
        apps=[
            structs.replace(app, amplitude=structs.replace(app.amplitude, secret_key=Secret(f"secret-{app.name}")))
            for app in config.apps
        ],
        insight=structs.replace(config.insight, reconcile_events=EVENTS),
    )
    sandbox, download = vendors
    reconciler = Reconciler(store, QueryBudget(sandbox.transport, clock), download, clock)
    found = []
    for made in reconcile_plans_of(config):
        plan = made
        own = [one for one in messages if one.truth.app == plan.app and one.path.startswith(PUSH)]
        facts = [one.reported for one in own if one.reported is not None]
        if not facts:
            continue
        days = [plan.insight.day(ms) for fact in facts for ms in (fact.install_ms, fact.time_ms)]
        if plan.raw is not None:
            plan = structs.replace(plan, raw=structs.replace(plan.raw, lookback_days=YEARS))
        compared = await _compared(reconciler, clock, plan, min(days), max(days))
        assert plan.credentials is not None, "each app has a secret key"
        project = plan.credentials.api_key
        record = AmplitudeRecord(
            await sandbox.record("saved", "waiting", project=project), await sandbox.record("rejected", project=project)
        )
        found.append(_verdict(plan, compared, own, record))
    return found


async def _compared(
    reconciler: Reconciler, clock: MovableTime, plan: ReconcilePlan, first: int, last: int
) -> list[DayComparison]:
    """Compare, again where the sandbox fails as it is scripted to."""
    await clock.move((last + 4) * DAY_MS)  # all figures are final
    for _ in range(TRIES):
        days = await reconciler.run(plan, first, last)
        if not any(day.notes for day in days):
            break
    return days


def _verdict(
    plan: ReconcilePlan,
    days: Sequence[DayComparison],
    messages: Sequence[TrafficMessage],
    record: AmplitudeRecord,
) -> ReconciliationVerdict:
    rows = [row for day in days for row in day.rows if row.key.event != ALL_EVENTS]
    whole = [row for day in days for row in day.rows if row.key.event == ALL_EVENTS]
    money = [row for day in days for row in day.revenue]
    found: Counter[str] = Counter()
    for row in (*rows, *whole):
        for part in row.parts:
            # All in-app events together are those of the other rows, but for the day on which they are booked.
            if part.n < 0 and (row.key.event != ALL_EVENTS or part.code == "booking_day"):
                found[part.code] -= part.n
    currencies: Counter[str] = Counter()
    for row in money:
        for part in row.parts:
            if part.code == "currency":
                currencies[part.detail] += part.events
    true = planted(plan, messages, record)
    causes = [
        CauseFound(code, CAUSES[code].title, true.get(code, 0), found[code])
        for code in CAUSES
        if found[code] or true.get(code)
    ]
    wrong = list(dict.fromkeys(note for day in days for note in day.notes))
    wrong += [f"{one.title}: {one.planted} were planted, and {one.found} found." for one in causes
              if one.planted != one.found]  # fmt: skip
    for kind, some, least in (("events", rows, 1), ("events", whole, 1), ("millionths in revenue", money, CENT)):
        wrong += [_unexplained(row, step, kind) for row in some for step in (APPSFLYER, AMPLITUDE)
                  if abs(row.unexplained(step) or 0) >= least]  # fmt: skip
    return ReconciliationVerdict(plan.app, len(rows) + len(whole), len(money), causes, dict(currencies), wrong)


def _unexplained(row: ComparedRow, step: str, kind: str) -> str:
    key = row.key
    return f"{row.unexplained(step)} {kind} of {key.kind} {key.event} of {key.media_source} are unexplained ({step})."
