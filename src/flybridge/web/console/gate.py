"""The checks of a request to the console: which host it names, who it is from, and whether a page of ours made it.

Without any way to log in the console is shown on its own machine only. Behind a reverse proxy on the same machine every
request comes from a loopback address, so requests that name a proxy or another host than this machine are refused as
well. The check of the host also stops a page on the internet from reading the console through its visitor's browser
(DNS rebinding). Headers of a proxy that logs users in are believed from its own addresses alone.
"""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from flybridge.clock import Clock
from flybridge.config.console import Console, Grant
from flybridge.errors import StoreUnavailable
from flybridge.store.protocol import Store
from flybridge.web.access.hosts import (
    host_of,
    is_known_host,
    is_listed,
    names_this_machine,
    of_this_machine,
)
from flybridge.web.access.identity import LOCAL, Visitor
from flybridge.web.access.oidc import grant_of
from flybridge.web.access.passwords import Guesses, Login, Passwords, TooBusy
from flybridge.web.access.sessions import Session, Sessions, Signer, cookies_of
from flybridge.web.access.tokens import find_token
from flybridge.web.answers import Refusal

FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
CHALLENGE: Final = ("www-authenticate", 'Basic realm="flybridge console", charset="UTF-8"')
CSRF: Final = "csrf"
"""The field of a form that holds the CSRF token."""

SHARED: Final = "shared password"
_REMEDY: Final = "Set console.password or console.users in the configuration, restart, and log in."
_LOG_IN: Final = "Log in, or send an API token as bearer token, or a user name and password (HTTP Basic)."

Form = Mapping[str, Sequence[str]]


class ConsoleGate:
    """Finds out who a request is from, and refuses those that may not be answered. `headers` have lower-case names.

    `failed` is called with what the store did not take of a login, and when.
    """

    def __init__(
        self,
        console: Console,
        store: Store,
        clock: Clock,
        secret: bytes,
        *,
        public_url: str = "",
        failed: Callable[[StoreUnavailable, int], None] = lambda _, __: None,
    ) -> None:
        self.console = console
        self.signer = Signer(secret)
        self.passwords = Passwords(console)
        self.sessions = Sessions(
            store,
            clock,
            self.signer,
            idle_ms=round(console.idle_minutes * 60_000),
            longest_ms=round(console.session_hours * 3_600_000),
            failed=failed,
        )
        self._store = store
        self._clock = clock
        self._guesses = Guesses()
        self.public_url = public_url
        self._names = (*console.hosts, host_of(public_url)) if public_url else console.hosts

    def wrong_host(self, headers: Mapping[str, str]) -> Refusal | None:
        """Return the refusal of a request to another name than the console's."""
        host = headers.get("host", "")
        if self.console.open_to_all:
            fits = names_this_machine(host)
            error, remedy = "Without a password the console is shown as localhost only.", _REMEDY
        else:
            fits = is_known_host(host, self._names)
            error = "The console is not known by the name that this request has in `Host`."
            remedy = "Use its own name, or add this one to console.hosts in the configuration."
        return None if fits else Refusal(403, error, remedy)

    async def visitor(self, headers: Mapping[str, str], peer: str) -> Visitor | Refusal:
        """Return who a request is from, or why that is not known."""
        address = self.address_of(headers, peer)
        if self.console.open_to_all:
            return self._local(headers, peer) if "authorization" not in headers else await self._given(headers, address)
        if "authorization" in headers:
            return await self._given(headers, address)
        found = await self.sessions.find(cookies_of(headers.get("cookie", "")), plain=self.plain(headers))
        if found is not None and (visitor := self._of_session(*found, address)) is not None:
            return visitor
        if (named := self._of_proxy(headers, peer, address)) is not None:
            return named
        return Refusal(401, "The console needs you to log in.", _LOG_IN, (CHALLENGE,))

    def address_of(self, headers: Mapping[str, str], peer: str) -> str:
        """Return where a request comes from: what a listed proxy says, else the address of the connection."""
        proxy = self.console.proxy
        if proxy is None or not is_listed(peer, proxy.addresses):
            return peer
        last = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return last[:64] or peer

    def plain(self, headers: Mapping[str, str]) -> bool:
        """Whether a cookie without TLS may count: the browser runs on this machine."""
        return names_this_machine(headers.get("host", ""))

    def _local(self, headers: Mapping[str, str], peer: str) -> Visitor | Refusal:
        if not of_this_machine(peer):
            return Refusal(403, "Without a password the console is shown on its own machine only.", _REMEDY)
        if found := [name for name in FORWARDED if name in headers]:
            return Refusal(403, f"Without a password the console is not shown through a proxy ({found[0]}).", _REMEDY)
        return Visitor(LOCAL, Grant.OPERATE, "local", peer)

    async def _given(self, headers: Mapping[str, str], address: str) -> Visitor | Refusal:
        """Check the header Authorization: an API token, or a password."""
        if wait := self._wait(address):
            return wait
        scheme, _, given = headers["authorization"].partition(" ")
        if scheme.lower() == "bearer":
            token = await find_token(self._store, given.strip(), self._clock.now_ms())
            if token is not None:
                return Visitor(token.name, token.grant, "token", address, scripted=True)
            self._failed(address)
            return Refusal(
                401,
                "This API token is not known, or it has ended.",
                "Make one with `flybridge tokens create`.",
                (("www-authenticate", "Bearer"),),
            )
        user, password = _basic(scheme, given)
        tried = await self.try_password(user, password, address, remember=True)
        if isinstance(tried, Login):
            return self.by_password(user, tried, address)
        return tried or Refusal(401, "This password does not fit.", _LOG_IN, (CHALLENGE,))

    async def try_password(
        self, user: str, password: str, address: str, *, remember: bool = False
    ) -> Login | Refusal | None:
        """Return the login that a password fits; None if it fits none, which makes its address wait for the next."""
        if wait := self._wait(address):
            return wait
        try:
            login = await self.passwords.check(user, password, remember=remember)
        except TooBusy:
            return _too_many(1.0)
        if login is None:
            self._failed(address)
        return login

    def proof_of(self, login: Login) -> str:
        """Return the fingerprint of a password, by which a session shows that it was begun with it."""
        return self.signer.signature("proof", f"{login.name}\0{login.secret.reveal()}")

    def oidc_proof(self) -> str:
        """Return the fingerprint of the identity provider's settings."""
        oidc = self.console.oidc
        return "" if oidc is None else self.signer.signature("proof", f"{oidc.issuer}\0{oidc.client_id}")

    def csrf_of(self, visitor: Visitor) -> str:
        """Return the token that forms for this visitor have to carry."""
        return self.signer.signature(CSRF, visitor.session or f"{visitor.way}\0{visitor.user}")

    def forged(self, visitor: Visitor, headers: Mapping[str, str], form: Form) -> Refusal | None:
        """Return the refusal of a POST that no page of ours made."""
        if visitor.scripted:
            return None
        if refusal := self.foreign(headers):
            return refusal
        given = form.get(CSRF, ("",))[0]
        if not self.signer.fits(CSRF, visitor.session or f"{visitor.way}\0{visitor.user}", given):
            return Refusal(
                403,
                "This form is out of date, or not one of the console's.",
                "Go back, reload the page, and try again.",
            )
        return None

    def foreign(self, headers: Mapping[str, str]) -> Refusal | None:
        """Return the refusal of a POST that a page of another site made."""
        origin = headers.get("origin", "").lower()
        ours = {f"{scheme}://{headers.get('host', '').lower()}" for scheme in ("http", "https")}
        if origin and origin in {*ours, self.public_url.lower()}:
            return None
        return Refusal(
            403,
            "This request does not come from a page of the console (`Origin`).",
            "Use the console's own pages, or send an API token as bearer token.",
        )

    def _of_session(self, key: str, session: Session, address: str) -> Visitor | None:
        """Return whose session it is, with the role they have now; None if what it was begun with has changed."""
        if session.way == "oidc":
            if self.console.oidc is None or session.proof != self.oidc_proof():
                return None
            return _visiting(session, session.grant, "oidc", address, key)
        login = self.passwords.login_of(session.user, shared=session.way == SHARED)
        if login is None or self.proof_of(login) != session.proof:
            return None
        return _visiting(session, login.grant, session.way, address, key)

    def by_password(self, user: str, login: Login, address: str) -> Visitor:
        """Return who has given this login."""
        return Visitor(login.name or user or "operator", login.grant, "password" if login.name else SHARED, address)

    def _of_proxy(self, headers: Mapping[str, str], peer: str, address: str) -> Visitor | None:
        proxy = self.console.proxy
        if proxy is None or not self.console.proxy_logs_in or not is_listed(peer, proxy.addresses):
            return None
        user = headers.get(proxy.user_header.lower(), "").strip()[:80]
        groups = {one.strip() for one in headers.get(proxy.groups_header.lower(), "").split(",") if one.strip()}
        grant = grant_of({user, *groups}, proxy.read, proxy.operate) if user else None
        return None if grant is None else Visitor(user, grant, "proxy", address)

    def _wait(self, address: str) -> Refusal | None:
        wait_s = self._guesses.wait_s(address, time.monotonic())
        return _too_many(wait_s) if wait_s else None

    def _failed(self, address: str) -> None:
        n = self._guesses.failed(address, time.monotonic())
        structlog.get_logger("flybridge").warning("console_password", problem="A wrong password.", peer=address, n=n)


def _visiting(session: Session, grant: Grant, way: str, address: str, key: str) -> Visitor:
    """Return whose session it is. With one that the store could not take they look, and no more."""
    if not key:
        return Visitor(session.user, Grant.READ, way, address, brief=True)
    return Visitor(session.user, grant, way, address, key)


def _basic(scheme: str, encoded: str) -> tuple[str, str]:
    """Return user name and password of basic authentication; empty ones if they can't be read."""
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = b64decode(encoded.strip(), validate=True).partition(b":")
    except ValueError:
        return "", ""
    return user.decode("utf-8", "replace"), password.decode("utf-8", "replace")


def _too_many(wait_s: float) -> Refusal:
    """Return the refusal of a try that comes too early. The password is not looked at."""
    seconds = str(max(1, -int(-wait_s // 1)))
    return Refusal(429, "Too many wrong passwords.", f"Try again in {seconds} seconds.", (("retry-after", seconds),))
