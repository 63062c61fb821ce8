"""Messages to people at real servers: signed webhooks, Slack's JSON, e-mail; and what is refused to be reached."""

from __future__ import annotations

import hmac
import json
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest
from aiohttp import web
from mail_server import MailStand, certificate

from flybridge.delivery.transport import HttpDownload
from flybridge.notifications.channel import HttpTarget, NotSent, SlackChannel, WebhookChannel, signature
from flybridge.notifications.concern import Concern, News, Notified
from flybridge.notifications.mail import MailChannel
from flybridge.notifications.message import SLACK_MOST, Message
from flybridge.notifications.notifier import send_test
from flybridge.notifications.settings import NotifyEmail
from flybridge.system.secret import Secret
from flybridge.testing.clocks import ManualClock

SECRET = b"a secret of sixteen characters"
STOPPED = Concern("a1", "audience", "bad", "The audience buyers & <!channel> of shop has stopped.", "/audiences")
DEAD = Concern("d1", "dead", "warn", "12 events could not be delivered.", "/dead")
MESSAGE = Message(
    "0" * 32,
    1_767_225_600_000,
    News(began=[STOPPED], ended=[Notified(DEAD, 1_767_222_000_000)]),
    others=3,
    address="https://bridge.example.com",
)


@asynccontextmanager
async def receiver(status: int = 200, location: str = ""):
    """Serve an address that keeps what is posted to it."""
    got = []

    async def take(request):
        got.append((request.path, dict(request.headers), await request.read()))
        return web.Response(status=status, headers={"Location": location} if location else {}, text="thanks")

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/hook?token=hidden-token", got
    finally:
        await runner.cleanup()


@pytest.fixture
async def download():
    found = HttpDownload()
    yield found
    await found.close()


@pytest.fixture
def clock():
    return ManualClock()


async def test_a_webhook_is_signed_over_timestamp_and_body(download, clock):
    """As the documentation says; a receiver that computes it anew finds the same, and another secret does not."""
    async with receiver() as (url, got):
        await WebhookChannel(HttpTarget(url, private=True), SECRET, download, clock).send(MESSAGE)
    ((path, headers, body),) = got
    assert path == "/hook"
    stamp = headers["X-Flybridge-Timestamp"]
    assert stamp == str(clock.now_ms() // 1000)
    expected = hmac.new(SECRET, stamp.encode() + b"." + body, sha256).hexdigest()
    assert headers["X-Flybridge-Signature"] == f"sha256={expected}"
    assert signature(b"another secret, as long", stamp, body) != f"sha256={expected}"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "type": "conditions",
        "id": "0" * 32,
        "at": "2026-01-01T00:00:00Z",
        "console": "https://bridge.example.com",
        "summary": "flybridge: 1 problem, action needed",
        "began": [
            {
                "key": "a1", "kind": "audience", "level": "bad", "sentence": STOPPED.sentence,
                "see": "https://bridge.example.com/audiences",
            }
        ],
        "changed": [],
        "ended": [
            {
                "key": "d1", "kind": "dead", "level": "warn", "sentence": DEAD.sentence,
                "see": "https://bridge.example.com/dead", "since": "2025-12-31T23:00:00Z",
            }
        ],
        "still": [],
        "others": 3,
    }  # fmt: skip


async def test_slack_gets_text_that_mentions_nobody(download):
    """What looks like Slack's markup is escaped, and no block is longer than Slack takes."""
    many = News(began=[Concern(str(n), "finding", "finding", "A long sentence. " * 20) for n in range(60)])
    channel_of = lambda url: SlackChannel(HttpTarget(url, private=True), download)  # noqa: E731
    async with receiver() as (url, got):
        await channel_of(url).send(MESSAGE)
        await channel_of(url).send(Message("1", 0, many))
    first, second = (json.loads(body) for _, _, body in got)
    text = "\n".join(block["text"]["text"] for block in first["blocks"])
    assert first["text"] == "flybridge: 1 problem, action needed"
    assert "buyers &amp; &lt;!channel&gt; of shop" in text
    assert "<!" not in text
    assert "https://bridge.example.com/" in text
    assert all(len(block["text"]["text"]) <= SLACK_MOST for block in second["blocks"])


@pytest.mark.parametrize(("status", "said"), [(500, "answered 500"), (404, "answered 404"), (401, "answered 401")])
async def test_a_receiver_that_refuses_is_named_without_its_token(download, clock, status, said):
    """By host and status."""
    async with receiver(status) as (url, _):
        with pytest.raises(NotSent, match=said) as found:
            await WebhookChannel(HttpTarget(url, private=True), SECRET, download, clock).send(MESSAGE)
    assert "hidden-token" not in str(found.value)


async def test_redirects_are_not_followed(download, clock):
    """They would lead a signed message to whoever the receiver names."""
    async with receiver() as (inside, got), receiver(307, location=inside) as (url, _):
        with pytest.raises(NotSent, match="redirects are not followed"):
            await WebhookChannel(HttpTarget(url, private=True), SECRET, download, clock).send(MESSAGE)
        assert got == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.7", "[::ffff:10.0.0.7]"]
)
async def test_addresses_in_the_own_network_are_refused_unless_they_are_allowed(download, clock, host):
    """Judged by the address that is connected to, whatever the name."""
    async with receiver() as (url, got):
        port = url.split(":")[2].split("/")[0]
        target = HttpTarget(f"https://{host}:{port}/hook?token=hidden-token")
        for channel in (WebhookChannel(target, SECRET, download, clock), SlackChannel(target, download)):
            with pytest.raises(NotSent, match="no public address") as found:
                await channel.send(MESSAGE)
            assert "hidden-token" not in str(found.value)
        assert got == []


async def test_a_receiver_that_is_not_there_is_a_sentence(download, clock):
    """And no traceback."""
    async with receiver() as (url, _):
        pass
    with pytest.raises(NotSent, match=r"127\.0\.0\.1"):
        await WebhookChannel(HttpTarget(url, private=True), SECRET, download, clock).send(MESSAGE)


@pytest.fixture
def pem(tmp_path, monkeypatch):
    """Return a certificate that this test trusts."""
    path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


def mail_to(stand: MailStand, security: str, user: str = "", password: str = "") -> MailChannel:
    """Return a channel to the server."""
    return MailChannel(
        NotifyEmail(
            host="127.0.0.1", port=stand.port, security=security, user=user,
            password=Secret(password) if password else None, sender="flybridge@example.com",
            recipients=("ops@example.com", "ann@example.org"),
        )
    )  # fmt: skip


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
async def test_an_e_mail_arrives(pem, security):
    """With subject, text and date; encrypted as it is set."""
    login = ("bridge", "the password") if security != "none" else None
    stand = MailStand(None if security == "none" else pem, login=login)
    async with stand.served(tls=security == "tls"):
        await mail_to(stand, security, *(login or ())).send(MESSAGE)
    (mail,) = stand.mails
    assert mail["Subject"] == "flybridge: 1 problem, action needed"
    assert mail["From"] == "flybridge@example.com"
    assert stand.recipients == ["ops@example.com", "ann@example.org"]
    text = mail.get_content()
    assert "Act: The audience buyers & <!channel> of shop has stopped." in text
    assert "Well again" in text
    assert "https://bridge.example.com/" in text
    if security == "starttls":
        assert [line.split(" ")[0].upper() for line in stand.clear] == ["EHLO", "STARTTLS"]
    if security == "tls":
        assert stand.clear == []


async def test_no_password_goes_to_a_server_without_starttls(pem):
    """One in between could have taken the offer away."""
    stand = MailStand(None, login=("bridge", "the password"))
    async with stand.served():
        with pytest.raises(NotSent, match="does not offer what is set: STARTTLS"):
            await mail_to(stand, "starttls", "bridge", "the password").send(MESSAGE)
    assert not [line for line in stand.clear if line.upper().startswith(("AUTH", "MAIL", "RCPT"))]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_no_password_goes_to_a_server_that_is_not_known(tmp_path, security):
    """A certificate that nobody trusts ends the connection."""
    stand = MailStand(certificate(tmp_path), login=("bridge", "the password"))
    async with stand.served(tls=security == "tls"):
        with pytest.raises(NotSent, match="certificate that can't be trusted"):
            await mail_to(stand, security, "bridge", "the password").send(MESSAGE)
    assert stand.mails == []
    assert not [line for line in stand.clear if line.upper().startswith(("AUTH", "MAIL", "RCPT"))]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"RCPT": "550 no such user ann@example.org"}, "refuses 2 of the recipients"),
        ({"MAIL": "451 try later, bridge"}, "answered 451"),
        ({"DATA": "552 too much"}, "answered 552"),
    ],
)
async def test_what_a_mail_server_refuses_is_told_by_its_code(pem, answers, said):
    """Not in its words, which may name people."""
    stand = MailStand(pem)
    stand.answers = answers
    async with stand.served():
        with pytest.raises(NotSent, match=said) as found:
            await mail_to(stand, "starttls").send(MESSAGE)
    assert "ann@" not in str(found.value)


async def test_a_wrong_password_is_a_sentence(pem):
    """Without the user, whom the server names."""
    stand = MailStand(pem, login=("bridge", "the password"))
    async with stand.served():
        with pytest.raises(NotSent, match=r"refuses the user or the password \(535\)") as found:
            await mail_to(stand, "starttls", "bridge", "wrong").send(MESSAGE)
    assert "secret-user" not in str(found.value)


async def test_a_mail_server_that_is_not_there_is_a_sentence():
    """And no traceback."""
    stand = MailStand()
    async with stand.served():
        pass
    with pytest.raises(NotSent, match="no connection"):
        await mail_to(stand, "none").send(MESSAGE)


async def test_a_sentence_can_add_no_header():
    """Text of conditions stands in the body; subjects are our own."""
    nasty = Concern("n", "dead", "bad", "x\r\nBcc: all@example.com\r\n\r\n.\r\nRCPT TO:<all@example.com>")
    stand = MailStand()
    async with stand.served():
        await mail_to(stand, "none").send(Message("2", 0, News(began=[nasty])))
    (mail,) = stand.mails
    assert mail["Bcc"] is None
    assert stand.recipients == ["ops@example.com", "ann@example.org"]


async def test_a_test_message_says_what_arrived_and_what_did_not(download, clock):
    """Channel by channel."""
    async with receiver() as (url, got), receiver(500) as (broken, _):
        results = await send_test(
            [
                WebhookChannel(HttpTarget(url, private=True), SECRET, download, clock),
                SlackChannel(HttpTarget(broken, private=True), download),
            ],
            clock.now_ms(),
            "https://bridge.example.com",
        )
    assert results == {"webhook": "", "slack": "127.0.0.1 answered 500."}
    assert json.loads(got[0][2])["type"] == "test"


@pytest.mark.parametrize(
    ("message", "subject"),
    [
        (Message("1", 0, News(began=[DEAD])), "flybridge: 1 thing to check"),
        (Message("1", 0, News(began=[DEAD, STOPPED], changed=[STOPPED])), "flybridge: 2 problems, action needed"),
        (Message("1", 0, News(ended=[Notified(DEAD, 0)])), "flybridge: all is well again"),
        (Message("1", 0, News(ended=[Notified(DEAD, 0)]), still=[STOPPED]), "flybridge: some is well again"),
        (Message("1", 0, test=True), "flybridge: a test message"),
    ],
)
def test_subjects(message, subject):
    """The message in a few words."""
    assert message.subject == subject
