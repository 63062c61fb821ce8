"""Who may see the console, and how what came from outside is shown there."""

from __future__ import annotations

from base64 import b64encode

import pytest

from flybridge.web.console.access import FORGET_S, FREE, LONGEST_S, PEERS, Guesses, refused, too_many_guesses
from flybridge.web.console.words import share, shown, span, ticked

LOCAL = {"host": "127.0.0.1:8700"}
PASSWORD = "pässword: with a colon".encode()


def basic(password: bytes, user: bytes = b"anyone", scheme: str = "Basic") -> dict[str, str]:
    """Return the header that a browser sends after asking."""
    return {"authorization": f"{scheme} {b64encode(user + b':' + password).decode()}"}


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:8700", "LOCALHOST.", "127.0.0.1:8700", "[::1]:8700", "[::1]"])
def test_without_a_password_this_machine_may_look(peer, host):
    """Every loopback address is this machine, under every name it has."""
    assert refused(None, {"host": host}, peer) is None


@pytest.mark.parametrize("peer", ["10.0.0.7", "192.168.1.2", "2001:db8::1", "::ffff:10.0.0.7", "", "unix:"])
def test_without_a_password_nobody_else_may(peer):
    """The peer's address decides, and the answer says what to do."""
    refusal = refused(None, LOCAL, peer)
    assert refusal is not None
    assert refusal.status == 403
    assert "console.password" in refusal.remedy


@pytest.mark.parametrize("name", ["forwarded", "via", "x-forwarded-for", "x-real-ip", "x-forwarded-proto"])
def test_without_a_password_a_proxy_on_this_machine_opens_nothing(name):
    """Behind it everybody has the loopback's address."""
    refusal = refused(None, {**LOCAL, name: "203.0.113.9"}, "127.0.0.1")
    assert refusal is not None
    assert name in refusal.error


@pytest.mark.parametrize("host", ["", "bridge.example.com", "127.0.0.1.example.com", "localhost.example.com"])
def test_without_a_password_another_name_opens_nothing(host):
    """A silent proxy passes its own name on, and a page on the internet that is bound to 127.0.0.1 has one, too."""
    assert refused(None, {"host": host}, "127.0.0.1") is not None


def test_with_a_password_who_knows_it_may_look_from_anywhere():
    """Any user name, any address, through any proxy."""
    headers = {"host": "bridge.example.com", "x-forwarded-for": "203.0.113.9", **basic(PASSWORD)}
    assert refused(PASSWORD, headers, "10.0.0.7") is None
    assert refused(PASSWORD, basic(PASSWORD, user=b"", scheme="basic"), "10.0.0.7") is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic(b"wrong"),
        basic(b""),
        basic(PASSWORD[:-1]),
        basic(PASSWORD + b"x"),
        basic(PASSWORD, scheme="Bearer"),
        {"authorization": "Basic"},
        {"authorization": "Basic ***"},
        {"authorization": "Basic " + b64encode(PASSWORD).decode()},
    ],
)
def test_with_a_password_nobody_else_may_not_even_here(headers):
    """A wrong one, none, or something else altogether asks for it, from this machine as well."""
    refusal = refused(PASSWORD, {**LOCAL, **headers}, "127.0.0.1")
    assert refusal is not None
    assert refusal.status == 401
    assert dict(refusal.headers)["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "personal",
    ["BCCE52E7-03EE-321A-B3D4-E57123966239", "1629191854863-7087037", "ann@example.com"],
)
def test_an_identifier_in_a_media_source_is_masked(personal):
    """Macros of networks put anything into such a field."""
    assert personal not in shown(f"network_{personal}_x")


def test_text_from_outside_can_neither_hide_nor_flood():
    """Signs that turn the direction or can't be printed become marks, and a long text is cut."""
    assert shown("a\u202eb\x00c\nd") == "a\ufffdb\ufffdc\ufffdd"
    assert len(shown("x" * 10_000)) == 80
    assert shown("São Paulo 広告") == "São Paulo 広告"


def test_backticks_are_code_and_everything_is_escaped():
    """Ours are words of the configuration; from outside they open nothing."""
    assert ticked("see `hold.at_expiry` & <b>") == "see <code>hold.at_expiry</code> &amp; &lt;b&gt;"
    assert ticked("`<script>` ` alone") == "`&lt;script&gt;` ` alone"
    assert ticked("") == ""


@pytest.mark.parametrize(
    ("n", "of", "text"),
    [(0, 0, "0 %"), (9, 9, "100 %"), (1, 1000, "< 1 %"), (999, 1000, "> 99 %"), (1, 3, "33 %")],
)
def test_a_share_of_something_is_never_nothing(n, of, text):
    """Rounding hides neither the few nor that some are missing."""
    assert share(n, of) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(-5, "0 s"), (59_999, "59 s"), (3_660_000, "1 h 1 min"), (259_100_000, "2 d 23 h")],
)
def test_spans_are_in_the_units_that_matter(ms, text):
    """Two units at most."""
    assert span(ms) == text


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
    assert too_many_guesses(0.2).headers == (("retry-after", "1"),)


def test_many_peers_take_no_more_memory():
    """The oldest are forgotten."""
    guesses = Guesses()
    for number in range(3 * PEERS):
        guesses.failed(str(number), 1.0)
    assert len(guesses._failed) == PEERS
