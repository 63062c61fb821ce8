"""Messages that could not be processed or delivered: by reason with the remedy, one by one, and replaying them."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flybridge.records import DeadLetter, OutcomeKind, clock_time
from flybridge.system.counted import plural
from flybridge.web.console.acting import act, first, form_of, ids_in
from flybridge.web.console.pages.account import reasons
from flybridge.web.console.site import Entry, Site
from flybridge.web.console.words import STAGES, masked_sentence, shown

ENTRY: Final = Entry("dead", "/dead", "Dead letters")
LISTED: Final = 100


def routes(site: Site) -> list[Route]:
    """Return the page, the list of single letters, and the action."""

    async def show(request: Request) -> Response:
        app, reason = (request.query_params.get(name) or None for name in ("app", "reason"))
        letters = await site.store.dead(app=app, reason=reason, limit=LISTED) if app or reason else []
        rows = reasons(await site.reader.read(), only="dead")
        return await site.page(
            request, ENTRY, "dead.html", rows=rows, letters=[_row(letter) for letter in letters], most=LISTED,
            app=app or "", reason=reason or "",
        )  # fmt: skip

    async def replay(request: Request) -> Response:
        form = form_of(request)
        ids, app, reason = ids_in(form), first(form, "app") or None, first(form, "reason") or None
        operations = site.operations
        if ids:
            return await act(
                site, request, ENTRY, action="replay", question=f"Replay {plural(len(ids), 'dead letter')}?",
                button="Replay", work=lambda: operations.replay(ids), target=", ".join(map(str, ids[:20])),
            )  # fmt: skip
        n = sum(
            count.n
            for count in (await site.reader.read()).counts
            if count.outcome == OutcomeKind.DEAD and app in (None, count.app) and reason in (None, count.reason)
        )
        of_app = f" of {shown(app)}" if app else ""
        with_reason = f" with the reason {shown(reason)}" if reason else ""
        return await act(
            site, request, ENTRY, action="replay", button="Replay all",
            question=f"Replay {plural(n, 'dead letter')}{of_app}{with_reason}: all that there are?",
            work=lambda: operations.replay_all(app, reason), target=f"{app or 'all apps'}, {reason or 'all reasons'}",
        )  # fmt: skip

    return site.routes(ENTRY, show, {"/dead/replay": replay})


def _row(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "app": shown(letter.app),
        "stage": STAGES.get(letter.stage, letter.stage),
        "reason": letter.reason,
        "detail": masked_sentence(letter.detail),
        "remedy": masked_sentence(letter.remedy),
        "died": clock_time(letter.died_ms),
    }
