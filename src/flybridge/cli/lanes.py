"""`flybridge lanes`: the state of deliveries, what waits to be sent, and what operators can do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from flybridge.cli.audit import audited, listed
from flybridge.cli.common import LARGEST, AppName, AsJson, ConfigPath, Limit, configured, with_store
from flybridge.cli.printing import complain, print_json, say, show
from flybridge.clock import SystemClock
from flybridge.delivery.lane_reports import LaneReport, Order, give_order, read_reports
from flybridge.errors import ConfigError
from flybridge.store.figures import LedgerEntry
from flybridge.store.protocol import Store
from flybridge.store.records import Lane, LaneDepth, Queued

app = typer.Typer(
    help="Show the state of deliveries of each app and endpoint; retry, send smaller requests, take out.",
    add_completion=False,
)

Endpoint = Annotated[str | None, typer.Option("--endpoint", help="Only this endpoint, as the list names it.")]


@app.callback(invoke_without_command=True)
def lanes(context: typer.Context, config: ConfigPath = None, only_app: AppName = None, as_json: AsJson = False) -> None:
    """Show the state of deliveries of each app and endpoint."""
    if context.invoked_subcommand is not None:
        return

    async def work(store: Store) -> list[dict[str, Any]]:
        now_ms = SystemClock().now_ms()
        depths, reports = await store.depths(now_ms), await read_reports(store, now_ms)
        return [row for row in lane_rows(depths, reports, now_ms) if only_app in (None, row["app"])]

    show(with_store(configured(config, only_app), work), "Sending", "Nothing is to be sent.", as_json)


def lane_rows(depths: Sequence[LaneDepth], reports: Mapping[Lane, LaneReport], now_ms: int) -> list[dict[str, Any]]:
    """Return a row per lane: what waits, whether it is paused and why, and what helps."""
    waiting = {depth.lane: depth for depth in depths}
    rows = []
    for lane in sorted({*waiting, *reports}):
        depth, report = waiting.get(lane), reports.get(lane)
        paused = report.circuit if report and report.circuit.phase != "closed" else None
        row: dict[str, Any] = {
            "app": lane.app,
            "endpoint": lane.endpoint,
            "due": depth.due if depth else 0,
            "later": depth.later if depth else 0,
            "being_sent": depth.leased if depth else 0,
            "oldest_s": (now_ms - depth.oldest_ms) // 1000 if depth and depth.oldest_ms else 0,
            "state": ("halted" if paused.halted else "paused") if paused else "sends",
            "most_items": report.limit if report else 0,
            "reason": paused.reason if paused else "",
            "answer": paused.words if paused else "",
            "what_to_do": paused.remedy if paused else "",
            "tried_again_in_s": max(0, paused.until_ms - now_ms) // 1000 if paused else 0,
        }
        rows.append(row)
    return rows


@app.command()
def queue(
    only_app: AppName = None,
    endpoint: Endpoint = None,
    limit: Limit = 100,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List queued deliveries, those due longest first."""

    async def work(store: Store) -> list[dict[str, Any]]:
        now_ms = SystemClock().now_ms()
        rows: list[dict[str, Any]] = []
        for lane in await _chosen(store, only_app, endpoint, now_ms):
            rows += [_queue_row(lane, one, now_ms) for one in await store.queued(lane, limit)]
        return rows[:limit]

    settings = configured(config, only_app)
    show(with_store(settings, work), "To be sent", "Nothing is to be sent.", as_json)


def _queue_row(lane: Lane, one: Queued, now_ms: int) -> dict[str, Any]:
    return {
        "id": one.id,
        "app": lane.app,
        "endpoint": lane.endpoint,
        "event": one.event_type,
        "state": "being sent" if one.leased else "due" if one.due_ms <= now_ms else "later",
        "due_in_s": max(0, one.due_ms - now_ms) // 1000,
        "tries": one.tries,
        "uncertain": one.uncertain,
        "waits_for_s": (now_ms - one.received_ms) // 1000,
    }


def _command(order: Order, help_text: str) -> None:
    """Make the command that gives an order."""

    def command(
        only_app: AppName = None, endpoint: Endpoint = None, config: ConfigPath = None, as_json: AsJson = False
    ) -> None:
        async def work(store: Store) -> list[Lane]:
            now_ms = SystemClock().now_ms()
            chosen = await _chosen(store, only_app, endpoint, now_ms)
            for lane in chosen:
                await give_order(store, lane, order, now_ms)
            return chosen

        settings = configured(config, only_app)
        with audited(settings, order.value, f"{only_app or 'all apps'}, {endpoint or 'all endpoints'}") as result:
            chosen = with_store(settings, work)
            result.detail, result.ok = f"Lanes: {len(chosen)}.", bool(chosen)
        if as_json:
            lanes = [{"app": lane.app, "endpoint": lane.endpoint} for lane in chosen]
            print_json({"order": order.value, "lanes": lanes})
        else:
            for lane in chosen:
                say(f"{lane.app}, {lane.endpoint}: the workers do it within a few seconds.")
        if not chosen:
            complain("Nothing is to be sent there.")
            raise typer.Exit(1)

    app.command(order.value, help=help_text)(command)


_command(Order.RETRY, "Send again at once, also what is paused, and forget earlier refusals of the vendor.")
_command(Order.FEWER, "Send half as many events in a request, until many requests have been accepted.")


@app.command("take-out")
def take_out(
    ids: Annotated[list[int], typer.Argument(min=1, max=LARGEST, help="Ids that `flybridge lanes queue` lists.")],
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Take events out of the queue. They become dead letters, which `flybridge replay` can send later."""
    settings = configured(config)
    with audited(settings, "take_out", listed(ids)) as result:
        taken = with_store(settings, lambda store: store.take_out(ids, SystemClock().now_ms()))
        result.detail, result.ok = f"Taken out: {len(taken)}.", bool(taken)
    if as_json:
        print_json({"taken_out": list(taken)})
    else:
        say(f"{len(taken)} of {len(set(ids))} were taken out.")
    if len(taken) < len(set(ids)):
        complain("The others do not wait any more, or are being sent just now.")
        raise typer.Exit(1)


@app.command()
def uncertain(only_app: AppName = None, limit: Limit = 100, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List what a vendor may have received twice: an answer was lost, and the vendor does not deduplicate."""
    settings = configured(config, only_app)
    found = with_store(settings, lambda store: store.uncertain(app=only_app, limit=limit))
    show([_uncertain_row(entry) for entry in found], "Possibly sent twice", "Nothing is uncertain.", as_json)


def _uncertain_row(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "app": entry.app,
        "source": entry.source,
        "insert_id": entry.insert_id,
        "outcome": entry.outcome,
        "reason": entry.reason,
        "times": entry.uncertain,
        "received_ms": entry.received_ms,
        "changed_ms": entry.changed_ms,
    }


async def _chosen(store: Store, only_app: str | None, endpoint: str | None, now_ms: int) -> list[Lane]:
    lanes = sorted({depth.lane for depth in await store.depths(now_ms)} | set(await read_reports(store, now_ms)))
    if endpoint is not None and endpoint not in {lane.endpoint for lane in lanes}:
        known = ", ".join(sorted({lane.endpoint for lane in lanes}))
        raise ConfigError(
            "--endpoint",
            f"nothing waits for an endpoint {endpoint!r}.",
            f"Something waits for: {known}." if known else "Nothing waits for any.",
        )
    return [lane for lane in lanes if only_app in (None, lane.app) and endpoint in (None, lane.endpoint)]
