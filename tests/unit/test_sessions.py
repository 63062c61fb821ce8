"""When a login ends, whatever the clock does, and that it goes on while nothing can be written."""

from __future__ import annotations

import pytest

from flybridge.config.console import Grant
from flybridge.records import DAY_MS, HOUR_MS
from flybridge.testing.clocks import ManualClock
from flybridge.web.access.sessions import BRIEF_MS, PLAIN_COOKIE, Sessions, Signer
from flybridge.web.access.tokens import find_token, make_token
from named_values import NamedValues

NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000
IDLE_MS, LONGEST_MS = 30 * MINUTE_MS, 12 * HOUR_MS


class Login:
    """A login, and the requests that follow."""

    def __init__(self):
        self.store, self.clock = NamedValues(), ManualClock(NOW_MS)
        self.problems = []
        self.sessions = Sessions(
            self.store, self.clock, Signer(b"secret"), idle_ms=IDLE_MS, longest_ms=LONGEST_MS,
            failed=lambda problem, at_ms: self.problems.append((str(problem), at_ms)),
        )  # fmt: skip
        self.cookies = {}

    async def begin(self):
        cookie = await self.sessions.begin("ann", Grant.OPERATE, "password", proof="p", address="127.0.0.1")
        self.cookies = {PLAIN_COOKIE: cookie}

    async def goes_on(self, after_ms):
        (self.clock.advance if after_ms > 0 else self.clock.set_back)(abs(after_ms) / 1000)
        return await self.sessions.find(self.cookies, plain=True) is not None


@pytest.mark.parametrize(
    ("steps", "goes_on"),
    [
        ([IDLE_MS - 1], True),
        ([IDLE_MS], False),
        ([IDLE_MS - 1] * 2, True),
        ([IDLE_MS - 1] * 25, False),  # after twelve hours in any case
        ([-MINUTE_MS], True),  # a clock is set right by seconds now and then
        ([-MINUTE_MS, IDLE_MS - 1], True),
        ([MINUTE_MS, -MINUTE_MS, MINUTE_MS * 28], True),
        ([-IDLE_MS], False),
        ([-DAY_MS], False),
        ([-3650 * DAY_MS], False),
    ],
)
async def test_a_login_ends_whatever_the_clock_does(steps, goes_on):
    """One that began while the clock was years ahead would last for years."""
    login = Login()
    await login.begin()
    assert [await login.goes_on(step) for step in steps][-1] is goes_on


async def test_what_was_used_while_the_clock_was_ahead_is_used_from_now_on_once_it_is_back():
    """By the minute as before, and not only once the former time has come."""
    login = Login()
    await login.begin()
    assert await login.goes_on(20 * MINUTE_MS)
    assert await login.goes_on(-15 * MINUTE_MS)
    assert not await login.goes_on(IDLE_MS)


async def test_pages_can_be_read_while_nothing_can_be_written():
    """They say that the disk is full."""
    login = Login()
    await login.begin()
    _, text = await make_token(login.store, "report", Grant.READ, now_ms=NOW_MS, ends_ms=NOW_MS + DAY_MS)
    login.store.is_full = True
    assert await login.goes_on(10 * MINUTE_MS)
    assert await find_token(login.store, text, NOW_MS + 10 * MINUTE_MS) is not None
    assert not await login.goes_on(IDLE_MS)


async def test_logging_in_is_possible_while_nothing_can_be_written():
    """To look and not to act, for ten minutes, as such a session can't be revoked. It leaves nothing in the store."""
    login = Login()
    login.store.is_full = True
    await login.begin()
    key, session = await login.sessions.find(login.cookies, plain=True)
    assert (key, session.user, session.grant) == ("", "ann", Grant.READ)
    assert login.problems == [("The disk is full.", NOW_MS)]
    await login.sessions.end(key)
    assert await login.goes_on(BRIEF_MS - 1)
    login.store.is_full = False
    assert await login.goes_on(-1)
    assert login.store.values == {}
    assert not await login.goes_on(1 + 1)
    assert not await login.goes_on(-BRIEF_MS - MINUTE_MS)


@pytest.mark.parametrize("forged", [lambda text: text[:-2], lambda text: text.replace("72656164", "6f706572")])
async def test_a_session_in_a_cookie_is_none_once_it_was_changed(forged):
    """Nor is the signature of another purpose one."""
    login = Login()
    login.store.is_full = True
    await login.begin()
    text, _, signature = login.cookies[PLAIN_COOKIE].rpartition(".")
    signer = Signer(b"secret")
    for cookie in (f"{forged(text)}.{signature}", signer.signed("session", text), signer.signed("csrf", text)):
        assert await login.sessions.find({PLAIN_COOKIE: cookie}, plain=True) is None
    assert await login.sessions.find(login.cookies, plain=False) is None


async def test_what_the_store_does_not_take_of_a_session_is_reported():
    """A console that writes nothing else learns from it that the disk is full."""
    login = Login()
    await login.begin()
    login.store.is_full = True
    await login.goes_on(MINUTE_MS)
    assert login.problems == [("The disk is full.", NOW_MS + MINUTE_MS)]
