"""Logging in and out: the page, the password, the identity provider, and the cookies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from secrets import token_urlsafe
from typing import Final

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from flybridge.config.console import Grant
from flybridge.errors import StoreUnavailable
from flybridge.web.access.hosts import host_of, names_this_machine
from flybridge.web.access.identity import Visitor
from flybridge.web.access.oidc import CALLBACK, OidcFlow, OidcProvider, OidcRefused
from flybridge.web.access.sessions import PLAIN_COOKIE, SECURE_COOKIE, cookies_of, set_cookie
from flybridge.web.answers import Refusal
from flybridge.web.console.acting import first, form_of
from flybridge.web.console.deeds import DONE, FAILED
from flybridge.web.console.gate import ConsoleGate
from flybridge.web.console.site import HEADERS, Site

LOGIN: Final = "/login"
LOGOUT: Final = "/logout"
BEGIN: Final = "/oidc/login"
OPEN_PATHS: Final = frozenset({LOGIN, BEGIN, CALLBACK})
"""Paths that nobody needs to be logged in for."""

SECURE_FLOW: Final = "__Host-flybridge-login"
PLAIN_FLOW: Final = "flybridge_login"
FLOW_S: Final = 600
NOT_KEPT: Final = (
    "Browsers keep a login only over https, or on the machine itself. Put a proxy that speaks TLS in front, and open "
    "the console by its https address."
)


class LoginPages(Struct, frozen=True):
    """The pages and answers about logging in. `refuse` makes the page of a refusal."""

    site: Site
    gate: ConsoleGate
    refuse: Callable[[Request, Refusal], Response]
    provider: OidcProvider | None = None

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(LOGIN, self._show, methods=["GET"]),
            Route(LOGIN, self._enter, methods=["POST"]),
            Route(LOGOUT, self._leave, methods=["POST"]),
            Route(BEGIN, self._begin, methods=["GET"]),
            Route(CALLBACK, self._finish, methods=["GET"]),
        ]

    async def _show(self, request: Request) -> Response:
        return self.page(request, back=request.query_params.get("back", ""))

    def page(
        self, request: Request, *, status: int = 200, back: str = "", problem: str = "", user: str = ""
    ) -> Response:
        """Return the login page. A random number in a cookie and in the form binds the two together."""
        nonce = token_urlsafe(18)
        secure = not self.gate.plain(request.headers)
        response = self.site.bare(
            "login.html",
            status,
            back=_local_path(back),
            problem=problem,
            user=user,
            password=bool(self.gate.passwords),
            named=self.gate.passwords.named,
            oidc=self.provider is not None,
            token=self.gate.signer.signature("login", nonce),
        )
        name = SECURE_FLOW if secure else PLAIN_FLOW
        response.headers.append("set-cookie", set_cookie(name + "-form", nonce, seconds=3600))
        return response

    async def _enter(self, request: Request) -> Response:
        headers, form = request.headers, form_of(request)
        back = first(form, "back")
        if refusal := self.gate.foreign(headers):
            return self.refuse(request, refusal)
        secure = headers["origin"].startswith("https:")
        if not secure and not names_this_machine(headers.get("host", "")):
            return self.page(request, status=403, back=back, problem=NOT_KEPT)
        cookies = cookies_of(headers.get("cookie", ""))
        nonce = cookies.get(SECURE_FLOW + "-form") or cookies.get(PLAIN_FLOW + "-form", "")
        if not nonce or not self.gate.signer.fits("login", nonce, first(form, "token")):
            return self.page(request, status=403, back=back, problem="This form was out of date. Please try again.")
        user, address = first(form, "user").strip()[:80], self.gate.address_of(headers, _peer(request))
        tried = await self.gate.try_password(user, first(form, "password"), address)
        if isinstance(tried, Refusal):
            problem = f"{tried.error} {tried.remedy}"
            return self.page(request, status=tried.status, back=back, user=user, problem=problem)
        if tried is None:
            visitor = Visitor(user or "unknown", Grant.READ, "password", address)
            await self.site.deeds.write_login(visitor, FAILED, "The password did not fit.")
            return self.page(request, status=401, back=back, user=user, problem="This name or password does not fit.")
        visitor = self.gate.by_password(user, tried, address)
        return await self._entered(request, visitor, self.gate.proof_of(tried), back=back, secure=secure)

    async def _entered(self, request: Request, visitor: Visitor, proof: str, *, back: str, secure: bool) -> Response:
        """Begin a session; one that the browser had before ends."""
        cookies = cookies_of(request.headers.get("cookie", ""))
        if (former := await self.gate.sessions.find(cookies, plain=True)) is not None:
            with suppress(StoreUnavailable):  # it ends by itself
                await self.gate.sessions.end(former[0])
        cookie = await self.gate.sessions.begin(
            visitor.user, visitor.grant, visitor.way, proof=proof, address=visitor.address
        )
        await self.site.deeds.write_login(visitor, DONE, f"Role {visitor.grant.value}.")
        response = RedirectResponse(_local_path(back) or "/", 303, HEADERS)
        response.headers.append("set-cookie", set_cookie(SECURE_COOKIE if secure else PLAIN_COOKIE, cookie))
        return response

    async def _leave(self, request: Request) -> Response:
        visitor: Visitor = request.scope["visitor"]
        if visitor.session:
            await self.gate.sessions.end(visitor.session)
            await self.site.deeds.write(visitor, "logout", DONE)
        response = RedirectResponse(LOGIN, 303, {**HEADERS, "clear-site-data": '"cache"'})
        for name in (SECURE_COOKIE, PLAIN_COOKIE):
            response.headers.append("set-cookie", set_cookie(name, "", seconds=0))
        return response

    async def _begin(self, request: Request) -> Response:
        if self.provider is None:
            return self.refuse(request, Refusal(404, "No identity provider is configured.", "Log in at /login."))
        base = self._base(request)
        secure = base.startswith("https:")
        if not secure and not names_this_machine(request.headers.get("host", "")):
            return self.page(request, status=403, problem=NOT_KEPT)
        try:
            address, flow = await self.provider.begin(
                base + CALLBACK, _local_path(request.query_params.get("back", ""))
            )
        except OidcRefused as problem:
            return self.page(request, status=502, problem=str(problem))
        response = RedirectResponse(address, 303, HEADERS)
        text = msgspec.json.encode(flow).hex()  # only characters that every client sends back as they are
        name = SECURE_FLOW if secure else PLAIN_FLOW
        cookie = set_cookie(name, self.gate.signer.signed("oidc", text), seconds=FLOW_S)
        response.headers.append("set-cookie", cookie)
        return response

    async def _finish(self, request: Request) -> Response:
        cookies = cookies_of(request.headers.get("cookie", ""))
        text = self.gate.signer.opened("oidc", cookies.get(SECURE_FLOW) or cookies.get(PLAIN_FLOW, ""))
        if self.provider is None or text is None:
            return self.page(request, status=403, problem="This login was not begun here, or took too long.")
        flow = msgspec.json.decode(bytes.fromhex(text), type=OidcFlow)
        base = self._base(request)
        address = self.gate.address_of(request.headers, _peer(request))
        try:
            user = await self.provider.finish(flow, dict(request.query_params), base + CALLBACK)
        except OidcRefused as problem:
            unknown = Visitor("unknown", Grant.READ, "oidc", address)
            await self.site.deeds.write_login(unknown, FAILED, str(problem))
            return self.page(request, status=403, problem=str(problem))
        visitor = Visitor(user.name, user.grant, "oidc", address)
        secure = base.startswith("https:")
        response = await self._entered(request, visitor, self.gate.oidc_proof(), back=flow.back, secure=secure)
        response.headers.append("set-cookie", set_cookie(SECURE_FLOW if secure else PLAIN_FLOW, "", seconds=0))
        return response

    def _base(self, request: Request) -> str:
        """Return the address by which the browser reaches the console."""
        host = request.headers.get("host", "")
        if self.gate.public_url and host_of(self.gate.public_url) == host.lower():
            return self.gate.public_url
        return f"{'http' if names_this_machine(host) else 'https'}://{host}"


def _local_path(back: str) -> str:
    """Return a path of the console to go on to; empty for anything that could lead elsewhere."""
    fits = back.startswith("/") and not back.startswith(("//", "/\\")) and len(back) <= 2000
    return back if fits and back.isprintable() and "\\" not in back else ""


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""
