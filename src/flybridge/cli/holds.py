"""`flybridge holds`: what waits and why, what it could be matched by, and ending a wait by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flybridge.amplitude.event import identifier
from flybridge.cli import inspect
from flybridge.cli.common import AppName, AsJson, ConfigPath, Limit, configured, run, show
from flybridge.clock import SystemClock
from flybridge.insight.coverage import Cover, covers, falls
from flybridge.insight.hints import Known, hint, known_by_app, streaming_apps, summed
from flybridge.records import DAY_MS, day_of
from flybridge.service import backends
from flybridge.store.figures import CoverageRow, Held
from flybridge.store.protocol import Released, Store

app = typer.Typer(help="List the events that wait for their user, oldest first; release or expire them by hand.")

Ids = Annotated[list[int], typer.Argument(help="Ids that `flybridge holds` shows.")]


@app.callback(invoke_without_command=True)
def holds(  # noqa: PLR0917 - Typer gives every argument by name
    context: typer.Context,
    config: ConfigPath = None,
    only_app: AppName = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    summary: Annotated[bool, typer.Option("--summary", help="Count by app, media source, keys and age.")] = False,
    coverage: Annotated[bool, typer.Option("--coverage", help="Show how many events carry which key.")] = False,
    days: Annotated[int, typer.Option("--days", min=1, help="How many days --coverage goes back.")] = 14,
) -> None:
    """List the events that wait for their user, oldest first."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    if coverage:
        _show_coverage(config, only_app, days, as_json=as_json)
    elif summary:
        show(run(_summary(config, only_app)), "Waiting for their user", "Nothing waits.", as_json)
    else:
        show(run(_listing(config, only_app, limit)), "Waiting for their user", "Nothing waits.", as_json)


async def _listing(config: Path | None, only_app: str | None, limit: int) -> list[dict[str, Any]]:
    async with backends.opened_store(configured(config)) as store:
        held, known = await store.holds(app=only_app, limit=limit), await what_amplitude_told(store)
        return rows(held, SystemClock().now_ms(), known)


async def _summary(config: Path | None, only_app: str | None) -> list[dict[str, Any]]:
    async with backends.opened_store(configured(config)) as store:
        counts = [count for count in await store.hold_counts() if only_app in (None, count.app)]
        return [
            {"app": row.app, "media source": row.media_source or "-", "keys": row.keys, "age": row.age, "events": row.n}
            for row in summed(counts, SystemClock().now_ms())
        ]


async def what_amplitude_told(store: Store) -> dict[str, Known]:
    """Ask the store by what identifiers Amplitude has shown people, per app."""
    return known_by_app(await store.sighted_kinds(), streaming_apps(await store.counts()))


def rows(held: Iterable[Held], now_ms: int, known: Mapping[str, Known]) -> list[dict[str, Any]]:
    """Return a row per waiting event, with why it probably waits."""
    held = list(held)
    return [
        row | {"why": hint(hold.app, hold.key_kinds, now_ms - hold.received_ms, known.get(hold.app, Known()))}
        for hold, row in zip(held, inspect.hold_rows(held, now_ms), strict=True)
    ]


def _show_coverage(config: Path | None, only_app: str | None, days: int, *, as_json: bool) -> None:
    async def work() -> Sequence[CoverageRow]:
        async with backends.opened_store(configured(config)) as store:
            since = day_of(SystemClock().now_ms() - days * DAY_MS)
            return await store.coverage(since_day=since, app=only_app)

    found = run(work())
    tables = {
        name: [_cover_row(cover, name) for cover in covers(found, "app", "platform", name)]
        for name in ("app_version", "media_source", "day")
    }
    warnings = falls(found)
    if as_json:
        fallen = [{"sentence": fall.sentence, **_fields(fall)} for fall in warnings]
        inspect.print_json({**{f"by_{name}": table for name, table in tables.items()}, "falls": fallen})
        return
    for name, table in tables.items():
        inspect.print_rows(f"Events that carry a key, by {name.replace('_', ' ')}", table, "No event was mapped yet.")
    for fall in warnings:
        inspect.console.print(fall.sentence, style="yellow", markup=False)


def _cover_row(cover: Cover, name: str) -> dict[str, Any]:
    shares = {kind: f"{cover.share(kind):.0%}" for kind in cover.carried if kind != "any"}
    told = ", ".join(f"{kind} {share}" for kind, share in sorted(shares.items(), key=lambda one: one[0])) or "none"
    return {
        "app": cover.app,
        "platform": cover.platform,
        name.replace("_", " "): getattr(cover, name) or "-",
        "events": cover.events,
        "any": f"{cover.share('any'):.0%}",
        "keys": told,
    }


def _fields(fall: Any) -> dict[str, Any]:
    return {name: getattr(fall, name) for name in fall.__struct_fields__}


@app.command()
def release(
    context: typer.Context,
    ids: Ids,
    config: ConfigPath = None,
    user_id: Annotated[str | None, typer.Option("--user-id", help="Send them as of this Amplitude user.")] = None,
    device_id: Annotated[str | None, typer.Option("--device-id", help="Send them as of this Amplitude device.")] = None,
) -> None:
    """Send waiting events now. On the route http_v2 they need a user or a device to be sent as."""
    for name, value in (("--user-id", user_id), ("--device-id", device_id)):
        if value is not None and identifier(value) is None:
            raise typer.BadParameter(
                f"Amplitude would refuse {value!r} as {name[2:]}: it is too short, or a placeholder."
            )

    async def work() -> Released:
        async with backends.opened_store(configured(config or context.obj)) as store:
            return await store.release(ids, SystemClock().now_ms(), user_id=user_id, device_id=device_id)

    done = run(work())
    typer.echo(f"Released: {len(done.released)}.")
    for hold in done.nameless:
        typer.echo(
            f"Hold {hold} can't be delivered: nobody is known to be its user. Say who with --user-id or --device-id.",
            err=True,
        )
    _tell_gone(done.gone)
    if done.nameless or done.gone:
        raise typer.Exit(1)


@app.command()
def expire(context: typer.Context, ids: Ids, config: ConfigPath = None) -> None:
    """End the wait of events without sending them. This can't be undone: what they hold is erased."""

    async def work() -> Sequence[int]:
        async with backends.opened_store(configured(config or context.obj)) as store:
            return await store.expire_now(ids, SystemClock().now_ms())

    ended = set(run(work()))
    typer.echo(f"Expired: {len(ended)}.")
    gone = [hold for hold in dict.fromkeys(ids) if hold not in ended]
    _tell_gone(gone)
    if gone:
        raise typer.Exit(1)


def _tell_gone(ids: Sequence[int]) -> None:
    for hold in ids:
        typer.echo(f"Hold {hold} does not wait (any more): see `flybridge holds`.", err=True)
