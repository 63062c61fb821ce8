"""Who may see the console and change something there: hosts, passwords, sessions, tokens, proxies and forged forms."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator

import argon2
import pytest

from flybridge.config.console import Console, ConsoleUser, Grant, OidcLogin, TrustedProxy
from flybridge.errors import StoreUnavailable
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.system.secret import Secret
from flybridge.testing.clocks import ManualClock
from flybridge.web.access.identity import Visitor
from flybridge.web.access.passwords import FORGET_S, FREE, LONGEST_S, PEERS, Guesses, hash_password
from flybridge.web.access.sessions import PLAIN_COOKIE, SECURE_COOKIE, cookies_of, set_cookie
from flybridge.web.access.tokens import list_tokens, make_token, revoke_token
from flybridge.web.answers import Refusal
from flybridge.web.console.gate import ConsoleGate

NOW_MS = 1_800_000_000_000
LOCAL = {"host": "127.0.0.1:8700"}
NAMED = {"host": "bridge.example.com"}
PASSWORD = "pässword: with a colon"
SECRET = b"a secret of sixteen characters"
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
WITH_PASSWORD = Console(password=Secret(PASSWORD))
USERS = Console(
    users=(
        ConsoleUser(name="ann", password=Secret("ann's password"), role=Grant.OPERATE),
        ConsoleUser(name="bob", password=Secret(QUICK.hash("bob's password"))),
    )
)


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch) -> None:
    """Hash passwords at the least cost: what a hash costs is the concern of one test alone."""
    monkeypatch.setattr(argon2, "PasswordHasher", lambda: QUICK)


@pytest.fixture
async def store(tmp_path) -> AsyncIterator[SqliteStore]:
    """Return an empty store."""
    store = SqliteStore(tmp_path / "store.db", Seal(SECRET))
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that stands."""
    return ManualClock(NOW_MS)


@pytest.fixture
def gate_of(store, clock):
    """Return a function that builds a gate."""
    return lambda console=Console(), **named: ConsoleGate(console, store, clock, SECRET, **named)  # noqa: B008 - frozen


def basic(password: str, user: str = "anyone", scheme: str = "Basic") -> dict[str, str]:
    """Return the header that a client sends."""
    return {"authorization": f"{scheme} {b64encode(f'{user}:{password}'.encode()).decode()}"}


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:8700", "LOCALHOST.", "127.0.0.1:8700", "[::1]:8700", "[::1]"])
async def test_without_a_password_this_machine_may_look_and_act(gate_of, peer, host):
    """Every loopback address is this machine, under every name it has. Contents need somebody who is known."""
    gate = gate_of()
    assert gate.wrong_host({"host": host}) is None
    visitor = await gate.visitor({"host": host}, peer)
    assert (visitor.operates, visitor.sees_content) == (True, False)


@pytest.mark.parametrize("peer", ["10.0.0.7", "192.168.1.2", "2001:db8::1", "::ffff:10.0.0.7", "", "unix:"])
async def test_without_a_password_nobody_else_may(gate_of, peer):
    """The peer's address decides, and the answer says what to do."""
    refusal = await gate_of().visitor(LOCAL, peer)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 403
    assert "console.password" in refusal.remedy


@pytest.mark.parametrize("name", ["forwarded", "via", "x-forwarded-for", "x-real-ip", "x-forwarded-proto"])
async def test_without_a_password_a_proxy_on_this_machine_opens_nothing(gate_of, name):
    """Behind it everybody has the loopback's address."""
    refusal = await gate_of().visitor({**LOCAL, name: "203.0.113.9"}, "127.0.0.1")
    assert isinstance(refusal, Refusal)
    assert name in refusal.error


@pytest.mark.parametrize(
    "host", ["", "bridge.example.com", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.7", "bridge"]
)
def test_without_a_password_another_name_opens_nothing(gate_of, host):
    """A silent proxy passes its own name on, and a page on the internet that is bound to 127.0.0.1 has one, too."""
    assert gate_of().wrong_host({"host": host}) is not None


@pytest.mark.parametrize(
    ("host", "fits"),
    [
        ("bridge.example.com", True),
        ("BRIDGE.example.com:443", True),
        ("console.example.com", True),
        ("localhost:8700", True),
        ("10.0.0.7:8700", True),
        ("[2001:db8::1]:8700", True),
        ("bridge", True),
        ("evil.example", False),
        ("bridge.example.com.evil.example", False),
        ("", False),
    ],
)
def test_with_a_password_the_console_answers_to_its_names(gate_of, host, fits):
    """Its public name, those that are listed, addresses, and names that no page on the internet can have."""
    console = Console(password=Secret(PASSWORD), hosts=("console.example.com",))
    gate = gate_of(console, public_url="https://bridge.example.com")
    assert (gate.wrong_host({"host": host}) is None) is fits


def test_a_hash_costs_what_rfc_9106_recommends(monkeypatch):
    """Where memory is short: 64 MiB, gone through three times."""
    monkeypatch.undo()
    assert hash_password(PASSWORD).startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_a_password_opens_from_anywhere_with_any_user_name(gate_of):
    """Any user name, any address, through any proxy."""
    gate = gate_of(WITH_PASSWORD)
    headers = {**NAMED, "x-forwarded-for": "203.0.113.9", **basic(PASSWORD)}
    for given in (headers, basic(PASSWORD, user="", scheme="basic")):
        visitor = await gate.visitor(given, "10.0.0.7")
        assert visitor.operates
        assert visitor.sees_content


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("wrong"),
        basic(""),
        basic(PASSWORD[:-1]),
        basic(PASSWORD + "x"),
        basic(PASSWORD * 100),
        {"authorization": "Basic"},
        {"authorization": "Basic ***"},
        {"authorization": "Basic " + b64encode(PASSWORD.encode()).decode()},
        {"authorization": "Digest " + b64encode(PASSWORD.encode()).decode()},
    ],
)
async def test_with_a_password_nobody_else_may_not_even_here(gate_of, headers):
    """A wrong one, none, or something else altogether asks for it, from this machine as well."""
    refusal = await gate_of(WITH_PASSWORD).visitor({**LOCAL, **headers}, "127.0.0.1")
    assert isinstance(refusal, Refusal)
    assert refusal.status == 401
    assert dict(refusal.headers)["www-authenticate"].startswith("Basic ")


async def test_users_have_their_own_passwords_and_roles(gate_of):
    """In the clear or as a hash; the password of one opens nothing for another, nor for a name that is unknown."""
    gate = gate_of(USERS)
    ann = await gate.visitor({**NAMED, **basic("ann's password", "ann")}, "10.0.0.7")
    bob = await gate.visitor({**NAMED, **basic("bob's password", "bob")}, "10.0.0.7")
    assert (ann.grant, ann.actor, bob.grant) == (Grant.OPERATE, "ann", Grant.READ)
    for user, password in (("bob", "ann's password"), ("eve", "ann's password"), ("", "ann's password")):
        assert isinstance(await gate.visitor({**NAMED, **basic(password, user)}, "10.0.0.7"), Refusal)


async def test_who_uses_the_shared_password_is_not_taken_for_a_user(gate_of):
    """The name is what was typed: the trail says that anybody could have typed it."""
    gate = gate_of(Console(password=Secret(PASSWORD), users=USERS.users))
    visitor = await gate.visitor({**NAMED, **basic(PASSWORD, "bob")}, "10.0.0.7")
    assert visitor.actor == "bob (shared password)"


async def begun(gate: ConsoleGate, user: str, password: str) -> dict[str, str]:
    """Begin a session as the login page does. Returns its cookie."""
    login = await gate.try_password(user, password, "10.0.0.7")
    session = await gate.sessions.begin(
        login.name or user, login.grant, "password" if login.name else "shared password",
        proof=gate.proof_of(login), address="10.0.0.7",
    )  # fmt: skip
    return {"cookie": f"{SECURE_COOKIE}={session}"}


async def test_a_session_lasts_while_it_is_used_and_no_longer_than_its_time(gate_of, clock):
    """Idle for half an hour it ends, and after twelve hours in any case."""
    gate = gate_of(USERS)
    cookie = {**NAMED, **await begun(gate, "ann", "ann's password")}
    for _ in range(28):
        clock.advance(25 * 60)
        visitor = await gate.visitor(cookie, "10.0.0.7")
        assert visitor.user == "ann"
    clock.advance(25 * 60)  # 12 h 5 min after its beginning
    assert isinstance(await gate.visitor(cookie, "10.0.0.7"), Refusal)
    cookie = {**NAMED, **await begun(gate, "ann", "ann's password")}
    clock.advance(31 * 60)
    assert isinstance(await gate.visitor(cookie, "10.0.0.7"), Refusal)


async def test_a_session_that_was_ended_does_not_come_back(gate_of, clock, store):
    """Not by a request that was on its way, and nothing of it stays in the store."""
    gate = gate_of(USERS)
    cookie = {**NAMED, **await begun(gate, "ann", "ann's password")}
    visitor = await gate.visitor(cookie, "10.0.0.7")
    clock.advance(120)
    await gate.sessions.end(visitor.session)
    await store.put_state(f"console/session/{visitor.session}/seen", str(clock.now_ms()).encode())  # it was on its way
    assert isinstance(await gate.visitor(cookie, "10.0.0.7"), Refusal)
    assert await gate.sessions.running() == []
    await begun(gate, "bob", "bob's password")
    assert not any(visitor.session in name for name, _ in await store.states("console/"))


async def test_a_session_ends_with_the_password_it_was_begun_with(gate_of):
    """Another password, another role or no user of that name: the configuration decides at every request."""
    cookie = {**NAMED, **await begun(gate_of(USERS), "ann", "ann's password")}

    def users(password: str, role: Grant) -> Console:
        return Console(users=(ConsoleUser(name="ann", password=Secret(password), role=role),))

    demoted = await gate_of(users("ann's password", Grant.READ)).visitor(cookie, "10.0.0.7")
    assert demoted.grant is Grant.READ
    for console in (users("another password", Grant.OPERATE), WITH_PASSWORD):
        assert isinstance(await gate_of(console).visitor(cookie, "10.0.0.7"), Refusal)


class FullStore:
    """A store that can be read alone."""

    async def states(self, beginning: str) -> list[tuple[str, bytes]]:
        return []

    async def put_state(self, name: str, value: bytes) -> None:
        raise StoreUnavailable("The disk is full.")


async def test_who_logs_in_while_the_store_is_full_looks_whatever_their_role_is(clock, gate_of):
    """The password and the user have to be those of the configuration all the same."""
    full = ConsoleGate(USERS, FullStore(), clock, SECRET)
    cookie = {**NAMED, **await begun(full, "ann", "ann's password")}
    visitor = await full.visitor(cookie, "10.0.0.7")
    assert (visitor.user, visitor.grant, visitor.session, visitor.brief) == ("ann", Grant.READ, "", True)
    form = {"csrf": [full.csrf_of(visitor)]}
    assert full.forged(visitor, {"origin": "https://bridge.example.com", **NAMED}, form) is None
    assert (await gate_of(USERS).visitor(cookie, "10.0.0.7")).grant is Grant.READ  # and once it is not full any more
    other = Console(users=(ConsoleUser(name="ann", password=Secret("another"), role=Grant.OPERATE),))
    assert isinstance(await gate_of(other).visitor(cookie, "10.0.0.7"), Refusal)


@pytest.mark.parametrize(
    "change",
    [lambda c: c[:-1], lambda c: ("y" if c[0] == "x" else "x") + c[1:], lambda c: "", lambda c: c.split(".")[0]],
)
async def test_a_cookie_that_was_tampered_with_is_none(gate_of, change):
    """Its signature does not fit, and the store is not even asked."""
    gate = gate_of(USERS)
    given = (await begun(gate, "ann", "ann's password"))["cookie"].partition("=")[2]
    cookie = {**NAMED, "cookie": f"{SECURE_COOKIE}={change(given)}"}
    assert isinstance(await gate.visitor(cookie, "10.0.0.7"), Refusal)


async def test_the_cookie_without_tls_counts_on_this_machine_alone(gate_of):
    """Over a network it could have been planted or overheard."""
    gate = gate_of(USERS)
    given = (await begun(gate, "ann", "ann's password"))["cookie"].partition("=")[2]
    plain = {"cookie": f"{PLAIN_COOKIE}={given}"}
    assert isinstance(await gate.visitor({**NAMED, **plain}, "10.0.0.7"), Refusal)
    assert isinstance(await gate.visitor({**LOCAL, **plain}, "127.0.0.1"), Visitor)


def test_cookies_are_kept_from_scripts_and_other_sites():
    """`__Host-` needs Secure, the whole path and no domain."""
    assert set_cookie(SECURE_COOKIE, "v") == "__Host-flybridge=v; Path=/; HttpOnly; SameSite=Lax; Secure"
    assert set_cookie(PLAIN_COOKIE, "", seconds=0).endswith("SameSite=Lax; Max-Age=0")
    assert cookies_of(" a=1; b ;a=2;c=3=4") == {"a": "1", "c": "3=4"}


async def test_a_token_opens_until_it_ends_or_is_revoked(gate_of, store, clock):
    """Its text is kept nowhere; its last use is."""
    gate = gate_of(USERS)
    token, text = await make_token(store, "ci", Grant.READ, now_ms=NOW_MS, ends_ms=NOW_MS + 86_400_000)
    _, other = await make_token(store, "dump", Grant.OPERATE, now_ms=NOW_MS, ends_ms=NOW_MS + 86_400_000)
    bearer = {**NAMED, "authorization": f"Bearer {text}"}
    visitor = await gate.visitor(bearer, "10.0.0.7")
    assert (visitor.actor, visitor.grant, visitor.scripted) == ("ci (token)", Grant.READ, True)
    assert not any(text.split("_", 2)[2].encode() in value for _, value in await store.states("console/"))
    assert {one.name: one.used_ms for one in await list_tokens(store)} == {"ci": NOW_MS, "dump": 0}
    for wrong in (text[:-1], text.upper(), "", "fbt_", f"fbt_{token.id}_", other.split("_", 2)[2], "fbt_x/used_y"):
        assert isinstance(await gate.visitor({**NAMED, "authorization": f"Bearer {wrong}"}, "10.0.0.8"), Refusal)
    assert await revoke_token(store, token.id) is not None
    assert await revoke_token(store, token.id) is None
    assert isinstance(await gate.visitor(bearer, "10.0.0.7"), Refusal)
    clock.advance(86_400)
    assert isinstance(await gate.visitor({**NAMED, "authorization": f"Bearer {other}"}, "10.0.0.7"), Refusal)


PROXY = Console(proxy=TrustedProxy(addresses=("10.0.0.0/24",), operate=("ops",), read=("*",)))


@pytest.mark.parametrize(
    ("peer", "headers", "grant"),
    [
        ("10.0.0.7", {"x-forwarded-user": "ann"}, Grant.READ),
        ("10.0.0.7", {"x-forwarded-user": "ann", "x-forwarded-groups": "dev, ops"}, Grant.OPERATE),
        ("::ffff:10.0.0.7", {"x-forwarded-user": "ann"}, Grant.READ),
        ("10.0.0.7", {}, None),
        ("10.0.0.7", {"x-forwarded-user": " "}, None),
        ("10.0.1.7", {"x-forwarded-user": "ann", "x-forwarded-groups": "ops"}, None),
        ("127.0.0.1", {"x-forwarded-user": "ann", "x-forwarded-groups": "ops"}, None),
        ("", {"x-forwarded-user": "ann"}, None),
    ],
)
async def test_headers_of_a_proxy_count_from_its_addresses_alone(gate_of, peer, headers, grant):
    """Who reaches the console around the proxy is nobody, whatever the headers say."""
    found = await gate_of(PROXY).visitor({**NAMED, **headers}, peer)
    assert getattr(found, "grant", None) == grant


async def test_behind_a_listed_proxy_each_client_has_an_address_of_its_own(gate_of):
    """The last entry is the proxy's; those before may be invented. From other peers the header means nothing."""
    gate = gate_of(PROXY)
    headers = {**NAMED, "x-forwarded-user": "ann", "x-forwarded-for": "1.2.3.4, 203.0.113.9"}
    assert gate.address_of(headers, "10.0.0.7") == "203.0.113.9"
    assert gate.address_of(headers, "10.0.1.7") == "10.0.1.7"


async def test_a_form_needs_a_page_of_ours_and_its_visitors_token(gate_of):
    """Another site's page, another session's token, none at all: refused. A program with a token needs neither."""
    gate = gate_of(USERS)
    cookies = [{**NAMED, **await begun(gate, user, f"{user}'s password")} for user in ("ann", "bob")]
    ann, bob = [await gate.visitor(cookie, "10.0.0.7") for cookie in cookies]
    ours = {**NAMED, "origin": "https://bridge.example.com"}
    right = {"csrf": [gate.csrf_of(ann)]}
    assert gate.forged(ann, ours, right) is None
    for form in ({}, {"csrf": [""]}, {"csrf": [gate.csrf_of(bob)]}, {"csrf": [gate.csrf_of(ann)[:-1]]}):
        assert gate.forged(ann, ours, form).status == 403
    for origin in ("https://evil.example", "null", "", "https://bridge.example.com.evil.example", "bridge.example.com"):
        assert gate.forged(ann, {**NAMED, "origin": origin}, right).status == 403
    assert gate.forged(ann, NAMED, right).status == 403
    assert gate.forged(Visitor("ci", Grant.OPERATE, "token", scripted=True), NAMED, {}) is None


def test_all_processes_of_an_installation_know_each_others_forms(store, clock):
    """A second console with the same secret takes the token; one with another secret does not."""
    visitor = Visitor("this machine", Grant.OPERATE, "local")
    first, second, other = (
        ConsoleGate(Console(), store, clock, one) for one in (SECRET, SECRET, b"another secret here")
    )
    assert first.csrf_of(visitor) == second.csrf_of(visitor) != other.csrf_of(visitor)


async def test_wrong_passwords_make_their_address_wait_and_are_not_compared(gate_of):
    """After ten, even the right one has to wait; another address has not."""
    gate = gate_of(USERS)
    for _ in range(FREE):
        assert await gate.try_password("bob", "wrong", "10.0.0.7") is None
    tried = await gate.try_password("bob", "bob's password", "10.0.0.7")
    assert tried.status == 429
    refusal = await gate.visitor({**NAMED, **basic("bob's password", "bob")}, "10.0.0.7")
    assert refusal.status == 429
    assert int(dict(refusal.headers)["retry-after"]) >= 1
    assert (await gate.try_password("bob", "bob's password", "10.0.0.8")).name == "bob"


def test_wrong_passwords_make_their_peer_wait_longer_and_longer():
    """A few are free, others are not held up, and after an hour all is forgotten."""
    guesses, now_s, waits = Guesses(), 1000.0, []
    for n in range(1, FREE + 10):
        now_s += guesses.wait_s("10.0.0.7", now_s)
        assert guesses.failed("10.0.0.7", now_s) == n
        waits.append(guesses.wait_s("10.0.0.7", now_s))
    assert waits[: FREE - 1] == [0.0] * (FREE - 1)
    assert waits[FREE - 1 :] == sorted(waits[FREE - 1 :])
    assert waits[-1] == LONGEST_S
    assert guesses.wait_s("10.0.0.8", now_s) == 0
    assert guesses.failed("10.0.0.7", now_s + FORGET_S) == 1


def test_many_peers_take_no_more_memory():
    """The oldest are forgotten."""
    guesses = Guesses()
    for number in range(3 * PEERS):
        guesses.failed(str(number), 1.0)
    assert len(guesses._failed) == PEERS


def test_with_any_way_to_log_in_the_console_is_not_open():
    """A proxy that only passes addresses on is none."""
    oidc = OidcLogin(issuer="https://login.example.com", client_id="c", client_secret=Secret("s"))
    for console in (WITH_PASSWORD, USERS, PROXY, Console(oidc=oidc)):
        assert not console.open_to_all
    assert Console(proxy=TrustedProxy(addresses=("10.0.0.7",), user_header="")).open_to_all
