"""Events that wait for their user to be seen in Amplitude: how many, for how long, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.insight.account import by_reason
from flybridge.insight.hints import AGES, OLDER, Known, age_of, hint
from flybridge.records import HOUR_MS, OutcomeKind
from flybridge.store.figures import HeldCount
from flybridge.web.console.pages.account import MAX_ROWS
from flybridge.web.console.pages.hold_actions import action_routes, group_of
from flybridge.web.console.reading import Reading
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.words import IDENTIFIERS, masked_sentence, shown, span

ENTRY: Final = Entry("holds", "/holds", "Holds")
LISTED: Final = 50


def routes(site: Site) -> list[Route]:
    """Return the page."""

    async def show(request: Request) -> Response:
        values = shown_holds(await site.reader.read(), site.windows)
        now_ms = site.clock.now_ms()
        oldest = [
            {
                "id": one.id,
                "app": shown(one.app),
                "event": shown(one.event_type),
                "source": shown(one.media_source) or "-",
                "keys": ", ".join(IDENTIFIERS.get(kind, kind) for kind in one.key_kinds) or "none",
                "waits": span(now_ms - one.received_ms),
                "left": span(one.expires_ms - now_ms),
            }
            for one in (await site.store.holds(limit=LISTED) if request.query_params.get("single") else ())
        ]
        return await site.page(request, ENTRY, "holds.html", oldest=oldest, most=LISTED, **values)

    return [Route(ENTRY.path, show, methods=["GET"]), *action_routes(site, ENTRY)]


def shown_holds(reading: Reading, windows: Mapping[str, float]) -> dict[str, Any]:
    """Return held events by app, media source and kinds of identifier: their ages, the reason, and the time left."""
    groups: defaultdict[tuple[str, str, tuple[str, ...]], list[HeldCount]] = defaultdict(list)
    for held in reading.holds:
        groups[held.app, held.media_source, held.key_kinds].append(held)
    rows = [_held(*cell, own, reading=reading, windows=windows) for cell, own in groups.items()]
    rows.sort(key=lambda row: (-row["n"], row["app"], row["source"]))
    return {
        "rows": rows[:MAX_ROWS],
        "left_out": max(0, len(rows) - MAX_ROWS),
        "total": sum(row["n"] for row in rows),
        "ages": [name for name in (*(name for _, name in AGES), OLDER) if any(row["ages"][name] for row in rows)],
        "warnings": [masked_sentence(fall.sentence) for fall in reading.falls],
        "expired": by_reason(reading.counts, OutcomeKind.EXPIRED),
    }


def _held(
    app: str,
    source: str,
    kinds: tuple[str, ...],
    own: Sequence[HeldCount],
    *,
    reading: Reading,
    windows: Mapping[str, float],
) -> dict[str, Any]:
    ages: Counter[str] = Counter()
    for held in own:
        ages[age_of(held.hour_ms, reading.at_ms)] += held.n
    oldest_ms = min(held.hour_ms for held in own)
    waited_ms = reading.at_ms - oldest_ms
    window = windows.get(app)
    left = "" if window is None else span(oldest_ms + int(window * HOUR_MS) - reading.at_ms)
    return {
        "app": shown(app),
        "group": group_of(app, source),
        "source": shown(source) or "-",
        "keys": ", ".join(IDENTIFIERS.get(kind, kind) for kind in kinds) or "none",
        "n": sum(held.n for held in own),
        "ages": ages,
        "left": left,
        "why": hint(shown(app), kinds, waited_ms, reading.known.get(app, Known()), IDENTIFIERS),
    }
