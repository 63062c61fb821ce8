"""Finding an event and telling what became of it: lists by what it is, by whose it is, one event's story, a live tail.

Ids of people come in the body of a POST, are hashed on arrival, and stand in no address, store or log. Pages mask them;
the content of a message is shown on demand only, to the role `operate`, and that is written to the audit trail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.insight.reasons import UNKNOWN, Reason, reason_of
from flybridge.records import DAY_MS, Envelope, Media, OutcomeKind, Source, clock_time
from flybridge.store.events import MOST_ATTEMPTS, EventDelivery, EventFilter, EventItem, EventRow, EventStory
from flybridge.store.performance import day_number
from flybridge.system.counted import plural, span
from flybridge.web.answers import Refusal
from flybridge.web.console.acting import first, form_of, number_in
from flybridge.web.console.deeds import DONE, REFUSED, visitor_of
from flybridge.web.console.pages.event_tail import FILTERS, chosen_by, tail
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.words import (
    ENDPOINTS,
    IDENTIFIERS,
    OUTCOMES,
    SOURCES,
    STAGES,
    masked_sentence,
    printable,
    shown,
)

ENTRY: Final = Entry("events", "/events", "Events")
FIND: Final = "/events/find"
KINDS: Final = {
    "appsflyer_id": "AppsFlyer id",
    "customer_user_id": "Customer user id, or Amplitude user id",
    "device_id": "Device or advertising id",
    "amplitude_id": "Amplitude id",
    "insert_id": "insert_id",
}
CHOICES: Final = {one.value: OUTCOMES[one.value] for one in OutcomeKind}
LISTED: Final = 50
FIELDS: Final = ("source", "raw", "target", "value", "note")


def routes(site: Site) -> list[Route]:
    """Return the pages, the search, the content of one event, and the live tail."""

    async def show(request: Request) -> Response:
        wanted = filter_of(request.query_params)
        before = number_in(request.query_params.get("before", ""))
        page = await site.store.find_events(wanted, before=before or None, limit=LISTED)
        chosen = {
            name: request.query_params[name] for name in (*FILTERS, "since", "until") if request.query_params.get(name)
        }
        return await _listed(
            site, request, page.rows, read=page.read, given=chosen,
            older=urlencode({**chosen, "before": page.following}) if page.following else "",
            query=urlencode({k: v for k, v in chosen.items() if k in FILTERS}),
        )  # fmt: skip

    async def find(request: Request) -> Response:
        form = form_of(request)
        kind, value = first(form, "kind"), first(form, "id").strip()
        more: Mapping[str, str] | None = None
        note = ""
        if kind == "insert_id":
            wanted = EventFilter(insert_id=value or "-")
            page = await site.store.find_events(wanted, before=number_in(first(form, "before")) or None, limit=LISTED)
            rows: Sequence[EventRow] = page.rows
            if page.following and not rows:
                more = {"kind": kind, "id": value, "before": str(page.following)}
        else:
            keys: Sequence[bytes] = ()
            if kind == "amplitude_id":
                keys, note = await site.operations.keys_of_amplitude_id(value)
            elif kind in KINDS:
                keys = site.operations.keys_of(kind, value)
            rows = await site.store.events_of(keys)
        return await _listed(site, request, rows, searched=KINDS.get(kind, "id"), more=more, note=note)

    async def story(request: Request) -> Response:
        return await _story(site, request, content=False)

    async def content(request: Request) -> Response:
        visitor, number = visitor_of(request), request.path_params["number"]
        if not visitor.sees_content:
            await site.deeds.write(visitor, "see_content", REFUSED, target=f"event {number}")
            refusal = Refusal(
                403, "The content of messages is shown to those who are logged in with the role `operate` only.",
                "Set console.users or another way to log in, and log in.",
            )  # fmt: skip
            return site.bare("refused.html", 403, refusal=refusal)
        await site.deeds.write(visitor, "see_content", DONE, target=f"event {number}")
        return await _story(site, request, content=True)

    return [
        *site.routes(ENTRY, show, {FIND: find, "/events/{number:int}/content": content}),
        Route("/events/tail", tail(site, row_of), methods=["GET"]),
        Route("/events/{number:int}", story, methods=["GET"]),
    ]


async def _listed(site: Site, request: Request, rows: Sequence[EventRow], **values: Any) -> Response:
    """Return the page with a list of events: found by what they are, or by whose."""
    usual: dict[str, Any] = {"read": 0, "older": "", "query": "", "given": {}, "searched": "", "more": None, "note": ""}
    return await site.page(
        request, ENTRY, "events.html", rows=[row_of(row) for row in rows], sources=SOURCES, outcomes=CHOICES,
        kinds=KINDS, apps=[app.name for app in site.operations.config.apps], **usual | values,
    )  # fmt: skip


def filter_of(query: Mapping[str, str]) -> EventFilter:
    """Return what an address asks for. Days are UTC; what can't be read does not matter."""
    until_ms = _day_ms(query.get("until", ""))
    return structs.replace(
        chosen_by(query),
        since_ms=_day_ms(query.get("since", "")),
        until_ms=until_ms + DAY_MS - 1 if until_ms else 0,
    )


def row_of(row: EventRow) -> dict[str, Any]:
    """Return an event as a row of a list."""
    return {
        "id": row.id,
        "received": clock_time(row.received_ms),
        "app": shown(row.app),
        "source": SOURCES.get(row.source, row.source),
        "name": shown(row.event or row.kind) or "-",
        "media_source": shown(row.media_source) or "-",
        "campaign": shown(row.campaign) or "-",
        "outcome": OUTCOMES.get(row.outcome, row.outcome),
        "reason": row.reason,
        "why": reason_of(row.outcome, row.reason).meaning.replace("`", "") if row.reason else "",
    }


async def _story(site: Site, request: Request, *, content: bool) -> Response:
    number = number_in(str(request.path_params["number"]))
    found = await site.store.story(number) if number is not None else None
    if found is None:
        return await site.page(request, ENTRY, "missing.html", 404, what="event")
    row, now_ms = found.row, site.clock.now_ms()
    known = reason_of(row.outcome, row.reason)
    if known is UNKNOWN and not row.reason:  # that it was delivered needs no reason
        known = Reason("", "")
    return await site.page(
        request, ENTRY, "event.html", row=row_of(row), steps=_steps(found, now_ms), meaning=known.meaning,
        remedy=known.remedy if found.dead is None and known.remedy != "nothing" else "",
        insert_id=f"{row.insert_id[:6]}…" if row.insert_id else "",
        has_content=not (found.dead is None and found.item is None and found.message is None),
        is_kept=site.operations.config.retention.message_hours > 0,
        content=_content(site, found) if content else None, changed=clock_time(row.changed_ms), raw=row,
        dead=found.dead is not None and not found.dead.is_sealed, attempts=_attempts(found), most=MOST_ATTEMPTS,
    )  # fmt: skip


def _steps(found: EventStory, now_ms: int) -> list[tuple[str, str, str]]:
    """Return what happened, step by step: a heading, a sentence, and a level."""
    row = found.row
    steps = [("Received", f"{clock_time(row.received_ms)} UTC, by {SOURCES.get(row.source, row.source)}.", "")]
    if row.kind:
        parts = (row.event or row.kind, row.media_source, row.campaign, row.country)
        steps.append(("Counted", f"As {', '.join(shown(part) for part in parts if part)}.", ""))
    if found.item is not None and found.item.event_type:
        whom = _for(found.item.user_id, found.item.device_id)
        steps.append(("Mapped", f"To {shown(found.item.event_type)}, {whom}.", ""))
    if found.held is not None:
        kinds = ", ".join(IDENTIFIERS.get(kind, kind) for kind in found.held.key_kinds) or "no identifier"
        steps.append(
            (
                "Held",
                f"Waits for its user, to be matched by {kinds}; expires in {span(found.held.expires_ms - now_ms)}.",
                "warn",
            )
        )
    if row.reason in {"matched", "conflict"}:
        steps.append(("Matched", "Amplitude has shown its user; the event is sent as that user's.", ""))
    if found.delivery is not None:
        steps.append(_sending(found.delivery, now_ms))
    if row.outcome == OutcomeKind.DELIVERED and not found.attempts:
        vendor = "AppsFlyer" if row.source == Source.STREAM else "Amplitude"
        steps.append(("Sent", f"{vendor} accepted it at the first attempt.", "good"))
    if found.dead is not None:
        where = f"{clock_time(found.dead.died_ms)} UTC, {STAGES.get(found.dead.stage, found.dead.stage)}"
        steps.append(("Failed", f"{where}: {masked_sentence(found.dead.detail)}", "bad"))
        steps.append(("What to do", masked_sentence(found.dead.remedy), ""))
    if row.uncertain:
        lost = f"An answer was lost {plural(row.uncertain, 'time')}: the vendor may have it more than once."
        steps.append(("Uncertain", lost, "warn"))
    outcome = OUTCOMES.get(row.outcome, row.outcome)
    steps.append(("Outcome", f"{outcome}, since {clock_time(row.changed_ms)} UTC.", ""))
    return steps


def _sending(one: EventDelivery, now_ms: int) -> tuple[str, str, str]:
    if one.leased:
        state = "is being sent"
    else:
        state = "is due" if one.due_ms <= now_ms else f"is tried again in {span(one.due_ms - now_ms)}"
    level = "warn" if one.tries else ""
    return (
        "Sending",
        f"Through {ENDPOINTS.get(one.endpoint, one.endpoint)}: {state}, after {plural(one.tries, 'try', 'tries')}.",
        level,
    )


def _attempts(found: EventStory) -> list[dict[str, str]]:
    """Return every attempt to deliver, oldest first. That which was accepted is known by the event's outcome."""
    rows = [
        {
            "at": clock_time(one.at_ms),
            "endpoint": ENDPOINTS.get(one.endpoint, one.endpoint),
            "status": str(one.status) if one.status else "none",
            "words": masked_sentence(one.words) or "No words came with it.",
            "reason": one.reason,
            "level": "warn",
        }
        for one in found.attempts
    ]
    if rows and found.row.outcome == OutcomeKind.DELIVERED:
        accepted = {"status": "accepted", "words": "The vendor has taken it.", "reason": "", "level": "good"}
        rows.append({"at": clock_time(found.row.changed_ms), "endpoint": rows[-1]["endpoint"], **accepted})
    return rows


def _for(user_id: str | None, device_id: str | None) -> str:
    parts = [
        f"{name} {printable(value[:2])}…{len(value)} characters" if len(value) > 4 else f"{name} …"
        for name, value in (("user", user_id), ("device", device_id)) if value
    ]  # fmt: skip
    return f"for {' and '.join(parts)}" if parts else "for a user that is not known"


def _content(site: Site, found: EventStory) -> dict[str, Any]:
    """Return the content of an event: the message with what becomes of each field, and the item that is to be sent."""
    message = _envelope_of(found)
    content: dict[str, Any] = {"message": "", "said": [], "rows": [], "item": "", "who": [], "is_sealed": False}
    if message is not None:
        explained = site.operations.explain(message)
        content["message"] = _pretty(message.body)
        content["said"] = [printable(f"{one['sentence']} {one['remedy']}".strip()) for one in explained]
        fields = (row for one in explained for row in one["rows"])
        content["rows"] = [
            {name: printable("" if row.get(name) is None else row[name]) for name in FIELDS} for row in fields
        ]
    item = found.item
    if found.dead is not None and found.dead.stage == "deliver":
        item = EventItem(found.dead.body, is_sealed=found.dead.is_sealed)
    if item is not None:
        content["item"] = _pretty(item.body)
        given = (("user_id", item.user_id), ("device_id", item.device_id))
        content["who"] = [(name, printable(value)) for name, value in given if value]
    content["is_sealed"] = any(one is not None and one.is_sealed for one in (item, found.dead, found.message))
    return content


def _envelope_of(found: EventStory) -> Envelope | None:
    """Return the message that an event came in, if it is kept and can be opened."""
    row, message = found.row, found.message
    if message is not None and not message.is_sealed:
        return Envelope(row.app, Source(row.source), Media(message.media), row.received_ms, message.body)
    if found.dead is not None and found.dead.stage != "deliver" and not found.dead.is_sealed:
        return found.dead.envelope
    return None


def _pretty(body: bytes) -> str:
    lines = []
    for line in body.splitlines() or [b""]:
        try:
            lines.append(msgspec.json.format(line, indent=2).decode())
        except (msgspec.DecodeError, UnicodeDecodeError):
            lines.append(line.decode("utf-8", "replace"))
    return "\n".join(printable(part) for line in lines for part in line.split("\n"))


def _day_ms(text: str) -> int:
    try:
        # Also a day before there were such events: none is of it.
        return day_number(date.fromisoformat(text)) * DAY_MS
    except ValueError:
        return 0
