"""`flybridge doctor`: checking a bridge."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import typer

from flybridge.amplitude.cohort import ORIGINS
from flybridge.amplitude.upload import origin
from flybridge.appsflyer.report import ORIGIN
from flybridge.cli.common import AsJson, ConfigPath, configured, within
from flybridge.cli.printing import print_json, print_rows, say
from flybridge.clock import SystemClock
from flybridge.config.apps import Route
from flybridge.config.settings import Config
from flybridge.delivery.lane_reports import read_reports, reporting
from flybridge.errors import FlybridgeError
from flybridge.insight.account import read_account
from flybridge.insight.heard import read_heard
from flybridge.insight.native import native_warnings
from flybridge.insight.standstill import RECENT_RUNS, read_refused_starts
from flybridge.insight.unwritten import read_unwritten
from flybridge.insight.ways import reach
from flybridge.notifications.notifier import read_states
from flybridge.operations import doctor as look
from flybridge.operations.clear_ids import Find, search
from flybridge.operations.credentials import locker_checks, quota_checks, vendor_checks
from flybridge.operations.doctor import Check
from flybridge.operations.stuck import sealed_checks, sending_checks
from flybridge.records import DAY_MS, day_of
from flybridge.service import backends
from flybridge.store.protocol import Store
from flybridge.store.server_clock import ServerClock
from flybridge.system.running import run
from flybridge.wiring import channel_names, endpoints_of

MIN_ID = 8
"""Characters of an id that is searched for in files: a shorter one is found by chance."""
SHOWN = 100
"""Places that are listed."""

DAYS: Final = 7
"""How many days of data `doctor` looks at."""


def doctor(
    config: ConfigPath = None,
    privacy: Annotated[
        bool, typer.Option("--privacy", help="Search the data directory for identifiers in the clear.")
    ] = False,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Search for this id, too; repeatable.")] = None,
    no_vendors: Annotated[bool, typer.Option("--no-vendors", help="Don't ask the vendors about credentials.")] = False,
    resolve: Annotated[
        bool, typer.Option("--resolve", help="Look up the vendors' addresses; nothing is sent.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the bridge. Exit code 1 if a check fails, or if an identifier is stored in the clear."""
    if short := [one for one in ids or () if len(one) < MIN_ID]:
        raise typer.BadParameter(
            f"{short[0]!r} is found by chance: an id to search for has {MIN_ID} characters or more."
        )
    settings = configured(config)
    checks = [look.startable(settings), *quota_checks(settings.apps)]
    if settings.cluster is None:
        checks.append(look.writable(settings.data_dir))
    if checks[-1].ok:
        checks += run(_running(settings))
    if not no_vendors:
        checks += within(backends.opened_transport(), lambda transport: vendor_checks(settings, transport))
        checks += run(locker_checks(settings.apps, SystemClock().now_ms()))
    if resolve:
        checks += run(look.resolvable(_origins(settings)))
    finds: list[Find] = []
    if (privacy or ids) and settings.cluster is not None:
        where = "What is stored lies on the servers of NATS and PostgreSQL, where this command can't look."
        checks.append(Check("privacy", False, where))
    elif privacy or ids:
        finds = search(settings.data_dir, ids or ())
        found = f"{len(finds)} places hold what looks like an identifier, in the clear."
        checks.append(Check("privacy", not finds, found if finds else "No identifier lies in the clear."))
    if as_json:
        print_json(
            {"ok": all(check.ok for check in checks), "checks": checks, "finds": finds[:SHOWN], "found": len(finds)}
        )
    else:
        for check in checks:
            mark = "BAD " if not check.ok else "WARN" if check.warning else "ok  "
            say(f"{mark} {check.what}: {check.detail}", "red" if not check.ok else "yellow" if check.warning else "")
        if finds:
            print_rows("In the clear", [msgspec.structs.asdict(find) for find in finds[:SHOWN]], "")
        if len(finds) > SHOWN:
            say(f"And {len(finds) - SHOWN:,} more places.")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


async def _audiences(settings: Config) -> list[Check]:
    """Check the audiences, if any is configured."""
    if not any(app.audiences for app in settings.apps):
        return []
    async with backends.opened_cohorts(settings) as cohorts:
        return look.running_audiences(await cohorts.history(limit=RECENT_RUNS))


async def _running(settings: Config) -> list[Check]:
    """Check inbox and account, and by which ways each app's messages are matched."""
    try:
        async with backends.opened(settings) as (inbox, store):
            drawn, _ = await read_account(inbox, store, audit=True)
            depth = await inbox.depth(SystemClock().now_ms())
            server = ServerClock(SystemClock())
            await server.measure(store)
            return [
                look.readable(depth),
                look.roomy(await inbox.room()),
                look.balanced(drawn),
                *look.started(await read_refused_starts(store, SystemClock().now_ms())),
                *look.written(await read_unwritten(store, SystemClock().now_ms())),
                *look.in_step(server.ahead_ms),
                *look.listening(await read_heard(store), SystemClock().now_ms()),
                *await _audiences(settings),
                *await _stuck(settings, store),
                *look.notified(channel_names(settings), await read_states(store)),
                *await _matching(settings, store),
            ]
    except FlybridgeError as problem:
        return [Check("account", False, str(problem))]


async def _stuck(settings: Config, store: Store) -> list[Check]:
    """Check what may be stuck, as the processes that run report it."""
    now_ms = SystemClock().now_ms()
    sending = sending_checks(
        await store.depths(now_ms),
        await read_reports(store, now_ms),
        endpoints_of(settings).keys(),
        now_ms,
        workers=await reporting(store, now_ms),
    )
    return [*sending, *sealed_checks(await store.counts())]


async def _matching(settings: Config, store: Store) -> list[Check]:
    now_ms = SystemClock().now_ms()
    since_ms = now_ms - DAYS * DAY_MS
    since_day = day_of(since_ms)
    covered, sighted = await store.coverage(since_day=since_day), await store.sighted_kinds()
    counts = await store.counts()
    native = [Check("native integration", True, one, warning=True) for one in native_warnings(counts, now_ms)]
    # On the Attribution API Amplitude matches by itself.
    apps = [app.name for app in settings.apps if app.route is Route.HTTP_V2]
    found = [reach(app, covered, sighted, counts, since_day=since_day, since_ms=since_ms) for app in apps]
    return [*native, *(Check(f"matching of {one.app}", one.works, one.sentence) for one in found)]


def _origins(settings: Config) -> set[str]:
    uploads = set()
    for app in settings.apps:
        uploads.add(origin(app.amplitude.region.value, app.amplitude.base_url))
        uploads.add(app.amplitude.base_url or ORIGINS[app.amplitude.region.value])
        uploads.add(app.appsflyer.base_url or ORIGIN)
    return uploads
