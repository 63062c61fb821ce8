"""Logging in over HTTP: the page, roles, forged requests, the identity provider, and the audit trail."""

from __future__ import annotations

import csv
import re
from base64 import b64encode
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from argon2 import PasswordHasher
from issuer import CLIENT, Issuer
from joserfc.jwk import OctKey, RSAKey
from starting import serving, written

from flybridge.roles import Role

PAGE = {"Accept": "text/html"}
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""A hash says itself what it costs: these tests log in very often."""

USERS = f"""
[console]
hosts = ["console.example.com"]

[[console.users]]
name = "ann"
password = "{QUICK.hash("the password of ann")}"
role = "operate"

[[console.users]]
name = "bob"
password = "{QUICK.hash("the password of bob")}"
"""


class Browser:
    """What a browser does with cookies, forms and Origin, at one host."""

    def __init__(self, session: aiohttp.ClientSession, origin: str) -> None:
        self.session, self.origin = session, origin

    async def get(self, path: str, status: int = 200, **headers: str) -> str:
        """Return a page."""
        async with self.session.get(path, headers={**PAGE, **headers}, allow_redirects=False) as response:
            assert response.status == status, await response.text()
            self.answer = response
            return await response.text()

    async def post(self, path: str, status: int = 303, *, headers: dict[str, str] | None = None, **form: str) -> str:
        """Send a form."""
        headers = {**PAGE, "Origin": self.origin, **(headers or {})}
        async with self.session.post(path, data=form, headers=headers, allow_redirects=False) as response:
            assert response.status == status, await response.text()
            self.answer = response
            return await response.text()

    async def log_in(self, user: str, password: str, status: int = 303, back: str = "/account") -> str:
        """Log in as a person does."""
        page = await self.get(f"/login?back={back}")
        return await self.post(
            "/login", status, user=user, password=password, token=field(page, "token"), back=field(page, "back")
        )

    async def csrf(self, path: str = "/access") -> str:
        """Return the CSRF token of a page."""
        return field(await self.get(path), "csrf")


def field(page: str, name: str) -> str:
    """Return a hidden field of a page."""
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found[1]


@asynccontextmanager
async def browsers(tmp_path, console=USERS, n=1):
    """Run a console; give browsers with cookie jars of their own."""
    async with serving(written(tmp_path, app=console), Role.CONSOLE) as origin:
        jars = [aiohttp.ClientSession(origin, cookie_jar=aiohttp.CookieJar(unsafe=True)) for _ in range(n)]
        try:
            yield [Browser(jar, origin) for jar in jars]
        finally:
            for jar in jars:
                await jar.close()


async def test_a_login_opens_the_pages_and_leads_back_to_the_one_asked_for(tmp_path):
    """The page of a refusal is the login form; after logging out it is again."""
    async with browsers(tmp_path) as (browser,):
        page = await browser.get("/holds?every=10", 401)
        assert field(page, "back") == "/holds?every=10"
        assert "www-authenticate" not in browser.answer.headers
        await browser.log_in("ann", "the password of ann", back="/holds")
        assert browser.answer.headers["Location"] == "/holds"
        cookie = browser.answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        page = await browser.get("/holds")
        assert "ann" in page
        await browser.post("/logout", csrf=field(page, "csrf"))
        await browser.get("/holds", 401)


@pytest.mark.parametrize(("user", "password"), [("ann", "the password of bob"), ("eve", "x"), ("", ""), ("ann", "")])
async def test_a_wrong_password_says_so_and_keeps_the_name(tmp_path, user, password):
    """Not which of the two was wrong, and no cookie that opens anything."""
    async with browsers(tmp_path) as (browser,):
        page = await browser.log_in(user, password, 401)
        assert "This name or password does not fit." in page
        assert f'name="user" value="{user}"' in page
        await browser.get("/account", 401)


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", "/a\nb"]
)
async def test_a_login_leads_nowhere_else(tmp_path, back):
    """Only paths of the console are gone on to."""
    async with browsers(tmp_path) as (browser,):
        page = await browser.get("/login")
        form = {"user": "ann", "password": "the password of ann", "token": field(page, "token"), "back": back}
        await browser.post("/login", **form)
        assert browser.answer.headers["Location"] == "/"


async def test_a_login_of_another_site_is_refused(tmp_path):
    """Neither without its own page's cookie nor from another origin can somebody be logged in as somebody else."""
    async with browsers(tmp_path, n=2) as (browser, other):
        page = await browser.get("/login")
        form = {"user": "ann", "password": "the password of ann", "token": field(page, "token")}
        await other.post("/login", 403, **form)
        await browser.post("/login", 403, headers={"Origin": "https://evil.example"}, **form)
        await browser.post("/login", 403, **{**form, "token": "x"})


async def test_over_a_network_without_tls_nobody_is_logged_in(tmp_path):
    """The browser would not keep the cookie: the page says what is missing instead of asking again and again."""
    async with browsers(tmp_path) as (browser,):
        page = await browser.get("/login")
        headers = {"Host": "console.example.com", "Origin": "http://console.example.com"}
        form = {"user": "ann", "password": "the password of ann", "token": field(page, "token")}
        assert "https" in await browser.post("/login", 403, headers=headers, **form)


async def test_over_tls_the_cookie_is_bound_to_its_host(tmp_path):
    """`__Host-` and Secure; it opens the pages under the host's own name."""
    async with browsers(tmp_path) as (browser,):
        host = {"Host": "console.example.com", "Origin": "https://console.example.com"}
        page = await browser.get("/login", **host)
        nonce = browser.answer.headers["Set-Cookie"].partition(";")[0]
        form = {"user": "ann", "password": "the password of ann", "token": field(page, "token")}
        await browser.post("/login", headers={**host, "Cookie": nonce}, **form)
        cookie = browser.answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-flybridge=")
        assert "; Secure" in cookie
        await browser.get("/account", Host="console.example.com", Cookie=cookie.partition(";")[0])


async def test_a_wrong_host_sees_nothing(tmp_path):
    """Every path, also that of the login, and the style sheet."""
    async with browsers(tmp_path) as (browser,):
        for path in ("/account", "/login", "/console.css", "/access"):
            page = await browser.get(path, 403, Host="evil.example")
            assert "console.hosts" in page


async def test_who_may_look_can_not_act(tmp_path):
    """The role is checked at every POST, whatever the form says; the try is in the audit trail."""
    async with browsers(tmp_path, n=2) as (ann, bob):
        await ann.log_in("ann", "the password of ann")
        await bob.log_in("bob", "the password of bob")
        page = await bob.get("/access")
        assert 'action="/access/session"' not in page
        token = field(page, "csrf")
        key = field(await ann.get("/access"), "session")
        assert "Not allowed" in await bob.post("/access/session", 403, csrf=token, session=key)
        await ann.get("/account")
        assert "denied" in await ann.get("/audit")


async def test_an_operator_ends_the_session_of_another(tmp_path):
    """At once."""
    async with browsers(tmp_path, n=2) as (ann, bob):
        await bob.log_in("bob", "the password of bob")
        await ann.log_in("ann", "the password of ann")
        page = await ann.get("/access")
        keys = re.findall('name="session" value="([^"]*)"', page)
        assert len(keys) == 2
        await ann.post("/access/session", csrf=field(page, "csrf"), session=keys[1])
        await bob.get("/account", 401)
        await ann.get("/account")


@pytest.mark.parametrize(
    "change",
    [
        {"csrf": ""},
        {"csrf": "x"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"kind": "text/plain"},
        {"kind": "application/json"},
    ],
)
async def test_a_forged_form_changes_nothing(tmp_path, change):
    """Another origin, a wrong token, or a body that no form of ours sends."""
    async with browsers(tmp_path) as (ann,):
        await ann.log_in("ann", "the password of ann")
        page = await ann.get("/access")
        form = {"csrf": field(page, "csrf"), "session": field(page, "session")}
        headers = {}
        if "csrf" in change:
            form["csrf"] = change["csrf"]
        if "origin" in change:
            headers["Origin"] = change["origin"]
        if "kind" in change:
            headers["Content-Type"] = change["kind"]
        await ann.post("/access/session", 415 if "kind" in change else 403, headers=headers, **form)
        await ann.get("/account")


async def test_programs_get_json_and_browsers_pages(tmp_path):
    """The same refusals, each in the form that its reader can use."""
    async with browsers(tmp_path) as (browser,):
        async with browser.session.get("/account") as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"].startswith("Basic ")
            assert "API token" in (await response.json())["remedy"]
        async with browser.session.get("/nowhere") as response:
            assert (response.status, response.content_type) == (404, "application/json")
        assert "There is no such page" in await browser.get("/nowhere", 404)


async def test_passwords_and_tokens_open_the_figures_for_programs(tmp_path):
    """HTTP Basic reads; to change something a program needs a token with the role."""
    async with browsers(tmp_path) as (browser,):
        basic = {"Authorization": "Basic " + b64encode(b"bob:the password of bob").decode()}
        async with browser.session.get("/api/v1/performance", headers=basic) as response:
            assert response.status == 200
        async with browser.session.post("/access/token", data={"token": "x"}, headers=basic) as response:
            assert response.status == 403


async def test_the_audit_trail_is_a_page_and_a_file(tmp_path):
    """Who logged in and who could not; a name that a spreadsheet would run is text."""
    async with browsers(tmp_path) as (browser,):
        await browser.log_in('=HYPERLINK("https://evil.example")', "wrong", 401)
        await browser.log_in("<script>alert(1)</script>", "wrong", 401)
        await browser.log_in("ann", "the password of ann")
        page = await browser.get("/audit")
        assert "Every row is as it was written." in page
        assert "<script>alert" not in page
        lines = list(csv.reader((await browser.get("/audit.csv")).removeprefix("\ufeff").splitlines()))
        assert [line[0] for line in lines] == ["number", "3", "2", "1"]
        assert [line[7] for line in lines[1:]] == ["done", "failed", "failed"]
        assert lines[3][2].startswith("'=")
        assert "the password" not in str(lines)


@asynccontextmanager
async def provided(tmp_path, rules='operate = ["ops"]\nread = ["staff"]'):
    """Run a stand-in issuer and a console that uses it."""
    issuer = Issuer()
    runner = web.AppRunner(issuer.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    issuer.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    console = (
        f'[console.oidc]\nissuer = "{issuer.origin}"\nclient_id = "{CLIENT[0]}"\nclient_secret = "{CLIENT[1]}"\n{rules}'
    )
    try:
        async with browsers(tmp_path, console) as (browser,):
            yield issuer, browser
    finally:
        await runner.cleanup()


async def through(browser: Browser, status: int = 303) -> str:
    """Log in at the issuer, as a browser follows it."""
    await browser.get("/oidc/login?back=/holds", 303)
    async with browser.session.get(browser.answer.headers["Location"], allow_redirects=False) as answer:
        back = answer.headers["Location"]
    return await browser.get(back.removeprefix(browser.origin), status)


@pytest.mark.parametrize(("groups", "role"), [(["ops"], "may act"), (["staff", "x"], "may look"), ("ops", "may act")])
async def test_an_identity_provider_logs_in_with_the_role_of_its_claim(tmp_path, groups, role):
    """Code, PKCE, nonce and signature are checked; the page that was asked for comes next."""
    async with provided(tmp_path) as (issuer, browser):
        issuer.claims["groups"] = groups
        assert "organisation" in await browser.get("/account", 401)
        await through(browser)
        assert browser.answer.headers["Location"] == "/holds"
        page = await browser.get("/holds")
        assert "ann@example.com" in page
        assert role in page


WRONG = {
    "no group": lambda issuer: issuer.claims.pop("groups"),
    "another group": lambda issuer: issuer.claims.update(groups=["others"]),
    "another audience": lambda issuer: issuer.claims.update(aud="another"),
    "another issuer": lambda issuer: issuer.claims.update(iss="https://evil.example"),
    "another nonce": lambda issuer: issuer.claims.update(nonce="x"),
    "expired": lambda issuer: issuer.claims.update(exp=1),
    "signed by somebody else": lambda issuer: setattr(issuer, "signing_key", RSAKey.generate_key(2048)),
    "signed with what all know": lambda issuer: (
        issuer.header.update(alg="HS256"), setattr(issuer, "signing_key", OctKey.import_key(CLIENT[1].encode() * 2))
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
async def test_a_token_that_does_not_fit_lets_nobody_in(tmp_path, what):
    """The page says why, and the trail has it."""
    async with provided(tmp_path) as (issuer, browser):
        WRONG[what](issuer)
        assert 'role="alert"' in await through(browser, 403)
        await browser.get("/account", 401)


async def test_an_answer_without_its_beginning_lets_nobody_in(tmp_path):
    """Another browser's state, none at all, and an answer used a second time."""
    async with provided(tmp_path) as (_, browser):
        await browser.get("/oidc/callback?code=code-0&state=x", 403)
        await browser.get("/oidc/login", 303)
        await browser.get("/oidc/callback?code=code-0&state=x", 403)
        await browser.get("/oidc/callback?error=access_denied", 403)
        await browser.get("/account", 401)


@pytest.mark.parametrize(
    ("email", "verified", "status"),
    [("ann@example.com", True, 303), ("ann@example.com", False, 403), ("ann@evil.example", True, 403)],
)
async def test_only_verified_addresses_of_the_domains_are_let_in(tmp_path, email, verified, status):
    """An address that anybody can enter at the provider proves nothing."""
    async with provided(tmp_path, 'operate = ["ops"]\ndomains = ["Example.com"]') as (issuer, browser):
        issuer.claims.update(email=email, email_verified=verified)
        await through(browser, status)


async def test_a_provider_that_is_away_is_said(tmp_path):
    """A sentence on the login page instead of an error."""
    async with provided(tmp_path) as (issuer, browser):
        issuer.name = "https://another.example"
        assert "another name" in await browser.get("/oidc/login", 502)
