"""What is read of AppsFlyer beside its pushes, as the configuration says: pulls, Data Lockers and gaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from msgspec import Struct, structs

from flybridge.appsflyer.raw_pull import PulledReport
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.clock import Clock
from flybridge.config.apps import App
from flybridge.config.settings import Config
from flybridge.delivery.exchange import Download
from flybridge.errors import ConfigError
from flybridge.flow import Flow
from flybridge.history.gap_report import GapReport
from flybridge.history.gaps import KIND, GapFinder
from flybridge.history.live_days import forgotten_live, remembered_ms
from flybridge.history.locker import LockerFollower
from flybridge.history.locker_folders import Locker
from flybridge.history.progress import Progress, opened_progress
from flybridge.history.pull import PULL, QUOTA, HistoryPull, Pulled, PullPlan, Shown, standing, taking
from flybridge.history.pull_preview import PullPreview, preview
from flybridge.history.run import PROGRESS, overlap, refused
from flybridge.history.uptime import read_uptime
from flybridge.inbox.protocol import Inbox
from flybridge.operations.schedule import AGAIN_MS, ScheduledTask, TaskResult
from flybridge.records import DAY_MS, HOUR_MS, day_of
from flybridge.store.protocol import Store
from flybridge.system.counted import plural
from flybridge.wiring import appsflyer_account_of

SETTLED_MS: Final = HOUR_MS
"""The last hour is left out of a search: reports and pushes of it are not complete."""
LOCKER_MS: Final = 600_000
FILL: Final = "fill"
"""The kind of a search that fills. It does not go on with one that only looked, whose gaps would stay."""
SCHEDULED: Final = "scheduled "
"""Begins the kinds of what is done by schedule: it takes nothing from a command that waits for a quota."""

FoundGaps = Callable[[str, int, int, int], None]
"""Told the app of a search, and how many rows there are, are missing, and were filled."""
RowsRead = Callable[[str, str, int], None]
"""Told the app and the source of what was read, and how many rows were taken."""


class HistoryReader(Struct, frozen=True):
    """All that reading needs: the configuration, the backends and the flow."""

    config: Config
    inbox: Inbox
    store: Store
    download: Download
    flow: Flow
    clock: Clock

    async def pull(
        self,
        app: App,
        from_ms: int,
        until_ms: int,
        reports: Sequence[PulledReport] = (),
        shown: Shown = lambda _: None,
        *,
        rate: float = 0.0,
        kind: str = PULL,
    ) -> list[Pulled]:
        """Pull a span of an app's reports into the inbox, at most `rate` rows in a second.

        It goes on with what a pull of the same `kind` has left.
        """
        plan = structs.replace(plan_of(app, reports), rate=rate)
        with self._progress() as progress:
            read = taking(plan, self.inbox.accept, progress, self.clock)
            puller = await self._puller(plan, kind)
            return await puller.run(from_ms, until_ms, read, shown)

    async def preview(
        self, app: App, from_ms: int, until_ms: int, reports: Sequence[PulledReport] = (), shown: Shown = lambda _: None
    ) -> PullPreview:
        """Look at a span of an app's reports, and take nothing. It costs the same calls as the pull."""
        plan = plan_of(app, reports)
        with self._progress() as progress:
            return await preview(
                plan,
                await self._puller(plan, ""),
                (from_ms, until_ms),
                self.flow,
                self.store,
                progress=progress,
                now_ms=self.clock.now_ms(),
                shown=shown,
            )

    async def gaps(
        self,
        app: App,
        from_ms: int,
        until_ms: int,
        *,
        fill: bool,
        reports: Sequence[PulledReport] = (),
        locker: bool = False,
        shown: Callable[[int], None] = lambda _: None,
        kind: str = "",
    ) -> GapReport:
        """Search a span of time for what is missing, and take it if `fill`.

        It is compared with the Pull API, or with the Data Locker if `locker` or if there is no token. It goes on with
        what a search of the same `kind` has left; without one, with what one that filled or did not as well has left.
        """
        locker = self.uses_locker(app, locker=locker)
        plan = plan_of(app, reports, locker=locker)
        with self._progress() as progress:
            finder = GapFinder(
                plan,
                self.flow,
                self.store,
                progress=progress,
                clock=self.clock,
                uptime=await read_uptime(self.store),
                day=app.insight.day,
                platform=app.platform.value,
                accept=self.inbox.accept if fill else None,
                shown=shown,
            )
            if locker:
                return await finder.run_locker(Locker(app.history.locker), from_ms, until_ms)
            return await finder.run(await self._puller(plan, kind or (FILL if fill else KIND)), from_ms, until_ms)

    @staticmethod
    def uses_locker(app: App, *, locker: bool) -> bool:
        """Whether gaps are searched in the app's Data Locker: if it is asked for, or if there is no token."""
        return locker or (app.appsflyer.api_token is None and bool(app.history.locker))

    async def _puller(self, plan: PullPlan, kind: str) -> HistoryPull:
        config = self.config
        before_ms = remembered_ms(config.retention.dedup_days, self.clock.now_ms())
        return HistoryPull(
            plan,
            self.store,
            self.download,
            data_dir=config.data_dir,
            clock=self.clock,
            kind=kind,
            forgotten=await forgotten_live(self.store, plan.app, before_ms),
        )

    def _progress(self) -> AbstractContextManager[Progress]:
        return opened_progress(self.config.data_dir / PROGRESS)

    def follower(self, app: App) -> LockerFollower:
        """Return the follower of an app's Data Locker."""
        return LockerFollower(
            plan_of(app, locker=True),
            Locker(app.history.locker),
            store=self.store,
            accept=self.inbox.accept,
            data_dir=self.config.data_dir,
            clock=self.clock,
            wait_ms=round(app.history.locker_wait_hours * HOUR_MS),
            dedup_days=self.config.retention.dedup_days,
        )

    def tasks(self, found: FoundGaps, read: RowsRead) -> list[ScheduledTask]:
        """Return what is read by schedule."""
        tasks = []
        for app in self.config.apps:
            if refused(app.route.value):
                continue
            has_token = app.appsflyer.api_token is not None
            if has_token and app.history.pull_every_hours:
                every_ms = round(app.history.pull_every_hours * HOUR_MS)
                tasks.append(ScheduledTask(f"pull {app.name}", every_ms, run=partial(self._pulled, app, read)))
            if app.history.locker:
                tasks.append(ScheduledTask(f"locker {app.name}", LOCKER_MS, run=partial(self._followed, app, read)))
            if (has_token or app.history.locker) and app.history.gaps:
                tasks.append(ScheduledTask(f"gaps {app.name}", DAY_MS, run=partial(self._searched, app, found)))
        return tasks

    def _trailing_days(self, app: App) -> int:
        """Return how many days are read again: what was pushed in them is remembered for a day more at least."""
        return min(app.history.trailing_days, self.config.retention.dedup_days - 1)

    async def _pulled(self, app: App, read: RowsRead) -> TaskResult:
        now_ms = self.clock.now_ms()
        days = self._trailing_days(app)
        if not days:
            return TaskResult("Nothing to read: what was received live is remembered for a day only.")
        done = await self.pull(app, now_ms - days * DAY_MS, now_ms, kind=f"{SCHEDULED}{PULL}")
        rows, taken = sum(one.rows for one in done), sum(one.taken for one in done)
        read(app.name, "pull", taken)
        did = f"{plural(rows, 'row')} read, {taken:,} of them new."
        problems = [one.problem for one in done if one.problem]
        every_ms = round(app.history.pull_every_hours * HOUR_MS)
        return TaskResult(did, next(iter(problems), ""), await self._quota_wait_ms(app, problems, every_ms))

    async def _followed(self, app: App, read: RowsRead) -> TaskResult:
        done = await self.follower(app).look()
        read(app.name, "locker", done.taken)
        did = (
            f"{plural(done.taken, 'row was', 'rows were')} new." if done.taken or done.left_out or done.revised else ""
        )
        if done.revised:
            did += (
                f" {plural(done.revised, 'row of ad revenue was', 'rows of ad revenue were')} left out: AppsFlyer has "
                "changed the amount since it was read, and Amplitude can't change an event."
            )
        if done.left_out:
            kept = self.config.retention.dedup_days
            did += (
                f" {plural(done.left_out, 'row was', 'rows were')} left out: of days that were received live, "
                f"which are remembered for {kept} days only, and would be sent a second time."
            )
        return TaskResult(did, next(iter(done.problems), ""))

    async def _searched(self, app: App, found: FoundGaps) -> TaskResult:
        now_ms = self.clock.now_ms()
        # What happened before flybridge ran is history, and is imported only if somebody asks for it.
        from_ms = max(now_ms - self._trailing_days(app) * DAY_MS, (await read_uptime(self.store)).began_ms or now_ms)
        if from_ms >= now_ms - SETTLED_MS:
            return TaskResult("Nothing to compare yet: what happened before flybridge ran is not asked for.")
        report = await self.gaps(app, from_ms, now_ms - SETTLED_MS, fill=True, kind=f"{SCHEDULED}{FILL}")
        found(app.name, report.rows, report.missing, report.filled)
        did = f"{plural(report.rows, 'row')} compared, {report.missing:,} missing, {report.filled:,} filled."
        return TaskResult(did, next(iter(report.problems), ""), await self._quota_wait_ms(app, report.problems, DAY_MS))

    async def _quota_wait_ms(self, app: App, problems: Sequence[str], most_ms: int) -> int | None:
        """Return how long a quota is used up, if nothing but quotas is the problem: there is nothing to try before."""
        now_ms = self.clock.now_ms()
        until_ms = {one.problem: one.again_ms for one in await standing(self.store, app.name, QUOTA)}
        waits = [until_ms.get(problem, 0) - now_ms for problem in problems]
        return min(max(min(waits), AGAIN_MS), most_ms) if waits and min(waits) > 0 else None


async def check_live_days(
    config: Config, store: Store, app: App, days: tuple[str, str], now_ms: int, *, more: str = "", remedy: str
) -> None:
    """Refuse days that were received live and whose keys are gone: their events would be sent again.

    `days` are the first and the last.
    """
    counts = [(count.source, count.day) for count in await store.counts() if count.app == app.name]
    kept = config.retention.dedup_days
    if live := overlap(counts, *days, day_of(remembered_ms(kept, now_ms))):
        problem = f"events of {live} were received live, and are remembered for {kept} days only{more}."
        raise ConfigError("retention.dedup_days", problem, remedy)


def plan_of(app: App, reports: Sequence[PulledReport] = (), *, locker: bool = False) -> PullPlan:
    """Return what is pulled of an app, or with `locker` whose rows of a Data Locker are compared.

    Raises `ConfigError` without a token, without a Data Locker, for reports of one, or where history can't be taken.
    """
    if reason := refused(app.route.value):
        raise ConfigError("route", reason, "Read it for an app of the route `http_v2`.")
    if locker and not app.history.locker:
        raise ConfigError("apps.history.locker", "is needed for this.", "Name the bucket or directory.")
    if locker and reports:
        problem = "names reports of the Pull API, and the files of the Data Locker are compared."
        raise ConfigError("--report", problem, "Leave it out; the Pull API needs an api_token, and no --locker.")
    if locker:
        return PullPlan(app.name, AppsFlyerAccount(app.appsflyer_app_id, ""), by_attribution=app.by_attribution)
    account = appsflyer_account_of(app)
    if account is None:
        raise ConfigError(
            "apps.appsflyer.api_token", "is needed for the Pull API.", "Set it to AppsFlyer's API token V2."
        )
    return PullPlan(app.name, account, tuple(reports) or app.history.reports, app.by_attribution)
