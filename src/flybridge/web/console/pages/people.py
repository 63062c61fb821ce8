"""Who is logged in, which API tokens there are, and ending either."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from flybridge.records import clock_time
from flybridge.web.access.tokens import list_tokens, revoke_token
from flybridge.web.console.deeds import DONE, FAILED, visitor_of
from flybridge.web.console.site import HEADERS, Entry, Site
from flybridge.web.console.words import printable

ENTRY: Final = Entry("access", "/access", "Access")


def routes(site: Site) -> list[Route]:
    """Return the page and its actions."""

    async def show(request: Request) -> Response:
        visitor, now_ms = visitor_of(request), site.clock.now_ms()
        sessions = [
            {
                "key": key[:16],
                "user": printable(one.user),
                "way": one.way,
                "role": one.grant.value,
                "address": printable(one.address),
                "began": clock_time(one.began_ms),
                "seen": clock_time(one.seen_ms),
                "own": key == visitor.session,
            }
            for key, one in await site.gate.sessions.running()
        ]
        tokens = [
            {
                "id": one.id,
                "name": printable(one.name),
                "role": one.grant.value,
                "made": clock_time(one.made_ms),
                "ends": clock_time(one.ends_ms),
                "over": now_ms >= one.ends_ms,
                "used": clock_time(one.used_ms) if one.used_ms else "never",
            }
            for one in await list_tokens(site.store)
        ]
        return await site.page(request, ENTRY, "access.html", sessions=sessions, tokens=tokens)

    async def end_session(request: Request) -> Response:
        """End the session whose key begins like this."""
        asked, visitor = request.scope["form"].get("session", [""])[0], visitor_of(request)
        found = [
            (key, one) for key, one in await site.gate.sessions.running() if len(asked) == 16 and key[:16] == asked
        ]
        for key, _ in found:
            await site.gate.sessions.end(key)
        detail = f"Session of {found[0][1].user}." if found else "There is no such session."
        await site.deeds.write(visitor, "end_session", DONE if found else FAILED, detail=detail)
        return RedirectResponse(ENTRY.path, 303, HEADERS)

    async def end_token(request: Request) -> Response:
        asked, visitor = request.scope["form"].get("token", [""])[0], visitor_of(request)
        token = await revoke_token(site.store, asked)
        detail = f"API token {token.name}." if token else "There is no such token."
        target = token.id if token else ""
        await site.deeds.write(visitor, "revoke_token", DONE if token else FAILED, target=target, detail=detail)
        return RedirectResponse(ENTRY.path, 303, HEADERS)

    return site.routes(ENTRY, show, {"/access/session": end_session, "/access/token": end_token})
