"""`flybridge holds`: events that wait for their user, why they wait, and ending a wait by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from msgspec import structs

from flybridge.amplitude.event import identifier
from flybridge.cli.audit import audited, listed
from flybridge.cli.common import LARGEST, AppName, AsJson, ConfigPath, Limit, configured, with_store
from flybridge.cli.printing import complain, print_json, print_rows, say, show
from flybridge.clock import SystemClock
from flybridge.config.settings import Config
from flybridge.insight.coverage import Cover, covers, falls
from flybridge.insight.hints import Known, hint, known_by_app, streaming_apps, summed
from flybridge.records import DAY_MS, day_of
from flybridge.store.figures import Held
from flybridge.store.protocol import Store
from flybridge.system.counted import percent

app = typer.Typer(
    help="List the events that wait for their user, oldest first; release or expire them by hand.", add_completion=False
)

Ids = Annotated[list[int], typer.Argument(min=1, max=LARGEST, help="Ids that `flybridge holds` lists.")]


@app.callback(invoke_without_command=True)
def holds(
    context: typer.Context,
    config: ConfigPath = None,
    only_app: AppName = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    summary: Annotated[bool, typer.Option("--summary", help="Count by app, media source, keys and age.")] = False,
    coverage: Annotated[bool, typer.Option("--coverage", help="Show which share of events carries which key.")] = False,
    days: Annotated[int, typer.Option("--days", min=1, max=36_500, help="How many days --coverage goes back.")] = 14,
) -> None:
    """List the events that wait for their user, oldest first."""
    if context.invoked_subcommand is not None:
        return
    settings = configured(config, only_app)
    if coverage:
        _show_coverage(settings, only_app, days, as_json=as_json)
        return

    async def work(store: Store) -> list[dict[str, Any]]:
        now_ms = SystemClock().now_ms()
        if summary:
            counts = [count for count in await store.hold_counts() if only_app in (None, count.app)]
            names = ("app", "media_source", "keys", "age")
            return [
                {name: getattr(one, name) or "-" for name in names} | {"events": one.n}
                for one in summed(counts, now_ms)
            ]
        known = known_by_app(await store.sighted_kinds(), streaming_apps(await store.counts()))
        return rows(await store.holds(app=only_app, limit=limit), now_ms, known)

    show(with_store(settings, work), "Waiting for their user", "Nothing waits.", as_json)


def rows(held: Iterable[Held], now_ms: int, known: Mapping[str, Known]) -> list[dict[str, Any]]:
    """Return a row per waiting event, with why it probably waits, and without anything that names a person."""
    return [
        {
            "id": hold.id,
            "app": hold.app,
            "event": hold.event_type,
            "media_source": hold.media_source or "-",
            "time_left_s": (hold.expires_ms - now_ms) // 1000,
            "keys": " ".join(hold.key_kinds),
            "waits_for_s": (now_ms - hold.received_ms) // 1000,
            "why": hint(hold.app, hold.key_kinds, now_ms - hold.received_ms, known.get(hold.app, Known())),
        }
        for hold in held
    ]


def _show_coverage(settings: Config, only_app: str | None, days: int, *, as_json: bool) -> None:
    since = day_of(SystemClock().now_ms() - days * DAY_MS)
    found = with_store(settings, lambda store: store.coverage(since_day=since, app=only_app))
    tables = {
        name: [_cover_row(cover, name, as_json=as_json) for cover in covers(found, "app", "platform", name)]
        for name in ("app_version", "media_source", "day")
    }
    warnings = falls(found)
    if as_json:
        fallen = [{"sentence": fall.sentence, **structs.asdict(fall)} for fall in warnings]
        print_json({**{f"by_{name}": table for name, table in tables.items()}, "falls": fallen})
        return
    for name, table in tables.items():
        print_rows(f"Events that carry a key, by {name.replace('_', ' ')}", table, "No event was mapped yet.")
    for fall in warnings:
        say(fall.sentence, "yellow")


def _cover_row(cover: Cover, name: str, *, as_json: bool) -> dict[str, Any]:
    written = "{:.0%}".format if as_json else percent  # what reads JSON expects a number and its sign
    shares = {kind: written(cover.share(kind)) for kind in cover.carried if kind != "any"}
    keys = ", ".join(f"{kind} {share}" for kind, share in sorted(shares.items())) or "none"
    return {
        "app": cover.app,
        "platform": cover.platform,
        name: getattr(cover, name) or "-",
        "events": cover.events,
        "any": written(cover.share("any")),
        "keys": keys,
    }


@app.command()
def release(
    ids: Ids,
    config: ConfigPath = None,
    user_id: Annotated[str | None, typer.Option("--user-id", help="Send them for this Amplitude user.")] = None,
    device_id: Annotated[str | None, typer.Option("--device-id", help="Send them for this Amplitude device.")] = None,
) -> None:
    """Send waiting events now. On the route http_v2 they need a user or a device to be sent for."""
    settings = configured(config)
    for name, value in (("--user-id", user_id), ("--device-id", device_id)):
        if value is not None and identifier(value, settings.shortest_id) is None:
            raise typer.BadParameter(
                f"Amplitude would refuse {value!r} as {name[2:]}: it is too short, or a placeholder."
            )
    with audited(settings, "release", listed(ids)) as result:
        done = with_store(
            settings, lambda store: store.release(ids, SystemClock().now_ms(), user_id=user_id, device_id=device_id)
        )
        result.detail, result.ok = f"Released: {len(done.released)}.", bool(done.released)
    say(f"Released: {len(done.released)}.")
    for hold in done.nameless:
        complain(
            f"Hold {hold} can't be delivered: its user is not known. Name one with --user-id or --device-id, for an "
            "event that goes to AppsFlyer an AppsFlyer id with --device-id."
        )
    _report_gone(done.gone)
    if done.nameless or done.gone:
        raise typer.Exit(1)


@app.command()
def expire(ids: Ids, config: ConfigPath = None) -> None:
    """End the wait of events without sending them. This can't be undone: what they hold is erased."""
    settings = configured(config)
    with audited(settings, "expire", listed(ids)) as result:
        ended = set(with_store(settings, lambda store: store.expire_now(ids, SystemClock().now_ms())))
        result.detail, result.ok = f"Expired: {len(ended)}.", bool(ended)
    say(f"Expired: {len(ended)}.")
    gone = [hold for hold in dict.fromkeys(ids) if hold not in ended]
    _report_gone(gone)
    if gone:
        raise typer.Exit(1)


def _report_gone(ids: Sequence[int]) -> None:
    for hold in ids:
        complain(f"Hold {hold} does not wait, or not any more: see `flybridge holds`.")
