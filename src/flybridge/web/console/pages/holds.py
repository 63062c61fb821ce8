"""Events that wait for their user to be seen in Amplitude: how many, for how long, and why; ending waits by hand."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.amplitude.event import identifier
from flybridge.insight.account import by_reason
from flybridge.insight.hints import AGES, OLDER, Known, age_of, hint
from flybridge.records import HOUR_MS, OutcomeKind
from flybridge.store.figures import HeldCount
from flybridge.system.counted import plural, span
from flybridge.web.console.acting import act, first, form_of, ids_in
from flybridge.web.console.gate import Form
from flybridge.web.console.operations import Done
from flybridge.web.console.pages.account import MAX_ROWS
from flybridge.web.console.reading import Reading
from flybridge.web.console.site import Answer, Entry, Site
from flybridge.web.console.words import IDENTIFIERS, masked_sentence, shown

ENTRY: Final = Entry("holds", "/holds", "Holds")
LISTED: Final = 50

PAGE: Final = 500
FIELDS: Final = (
    ("user_id", "Amplitude user id that they are sent for (needed where their user is not known)"),
    ("device_id", "Amplitude device id"),
)
LASTS: Final = "This can't be undone: what they hold is erased."


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

    return site.routes(ENTRY, show, _actions(site))


def _actions(site: Site) -> dict[str, Answer]:
    """Return the actions on holds by their paths."""

    async def release(request: Request) -> Response:
        form = form_of(request)
        user_id, device_id = first(form, "user_id").strip() or None, first(form, "device_id").strip() or None
        given = (("user", user_id), ("device", device_id))
        wrong = [name for name, value in given if value and not identifier(value, site.shortest_id)]

        async def some(ids: Sequence[int]) -> tuple[int, int]:
            done = await site.store.release(ids, site.clock.now_ms(), user_id=user_id, device_id=device_id)
            return len(done.released), len(done.nameless)

        async def work() -> Done:
            if wrong:
                return Done(f"Amplitude would refuse this {wrong[0]} id: too short, or a placeholder.", False)
            n, nameless = await _each(site, form, some)
            sentence = f"Released: {n:,}."
            if nameless:
                sentence += f" {plural(nameless, 'event')} can't be delivered: name a user or a device for them, "
                sentence += "for events that go to AppsFlyer an AppsFlyer id as device."
            return Done(sentence, n > 0 and not nameless)

        question = f"Release {await _chosen(site, form)}?"
        return await act(
            site, request, ENTRY, action="release", question=question, button="Release", fields=FIELDS, work=work,
            target=await _target(site, form),
        )  # fmt: skip

    async def expire(request: Request) -> Response:
        form = form_of(request)

        async def some(ids: Sequence[int]) -> tuple[int, int]:
            return len(await site.store.expire_now(ids, site.clock.now_ms())), 0

        async def work() -> Done:
            n, _ = await _each(site, form, some)
            return Done(f"Expired: {n:,}.", n > 0)

        return await act(
            site, request, ENTRY, action="expire", question=f"Expire, without sending, {await _chosen(site, form)}?",
            button="Expire", warning=LASTS, work=work, target=await _target(site, form),
        )  # fmt: skip

    return {"/holds/release": release, "/holds/expire": expire}


def group_of(app: str, media_source: str) -> str:
    """Return a short name of a group of holds for a form: a media source is text from outside, and may be anything."""
    return sha256(f"{app}\0{media_source}".encode("utf-8", "replace")).hexdigest()[:16]


async def _each(site: Site, form: Form, some: Callable[[Sequence[int]], Awaitable[tuple[int, int]]]) -> tuple[int, int]:
    """Do something for the holds that a form names, or for all of its group, a page at a time."""
    if ids := ids_in(form):
        return await some(ids)
    done = left = after = 0
    group = await _group(site, form)
    if group is None:
        return 0, 0
    while held := await site.store.holds(app=group[0], media_source=group[1], after=after, limit=PAGE):
        n, more = await some([one.id for one in held])
        done, left, after = done + n, left + more, held[-1].id
    return done, left


async def _group(site: Site, form: Form) -> tuple[str, str] | None:
    """Return app and media source of the group that a form names; None if nothing of it waits."""
    asked = first(form, "group")
    holds = (await site.reader.read()).holds
    return next(((one.app, one.media_source) for one in holds if group_of(one.app, one.media_source) == asked), None)


async def _chosen(site: Site, form: Form) -> str:
    if ids := ids_in(form):
        return plural(len(ids), "waiting event")
    group = await _group(site, form)
    holds = (await site.reader.read()).holds
    n = sum(one.n for one in holds if (one.app, one.media_source) == group)
    return f"{plural(n, 'waiting event')} of {await _target(site, form)}, all that there are"


async def _target(site: Site, form: Form) -> str:
    if ids := ids_in(form):
        return ", ".join(map(str, ids[:20]))
    group = await _group(site, form)
    return f"{shown(group[0])}, {shown(group[1]) or '(no media source)'}" if group else "a group that is gone"


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
