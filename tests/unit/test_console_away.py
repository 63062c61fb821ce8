"""The console while a part is away, and how often it asks."""

from __future__ import annotations

from typing import Any

import pytest

from flybridge.config.console import Console
from flybridge.errors import InboxUnavailable, StoreUnavailable
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.records import Dead, Envelope, Filing, Media, Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.clocks import ManualClock
from flybridge.web.console.app import ConsoleApp
from flybridge.web.console.gate import ConsoleGate
from flybridge.web.console.reading import ConsoleReader
from flybridge.web.console.site import Site

NOW_MS = 1_800_000_000_000


class Moody:
    """A backend that is there until it is sent away, and counts what it is asked."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.away: Exception | None = None
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        async def ask(*words: Any, **named: Any) -> Any:
            self.asked += 1
            if self.away is not None:
                raise self.away
            return await getattr(self.inner, name)(*words, **named)

        return ask


@pytest.fixture
async def parts(tmp_path):
    """A console with its clock, inbox and store; the store has filed one dead letter that the inbox has counted."""
    seal = Seal(b"a secret of sixteen characters")
    inbox, store, clock = (
        SqliteInbox(tmp_path / "inbox.db", seal),
        SqliteStore(tmp_path / "store.db", seal),
        ManualClock(NOW_MS),
    )
    await inbox.open()
    await store.open()
    await inbox.accept(Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, b"[]"))
    leased = await inbox.lease(1, NOW_MS, 60_000)
    assert leased is not None
    (envelope,) = leased.envelopes
    await store.file([Filing(envelope, Dead("decode", "not_an_object", "what", "remedy"))], NOW_MS)
    await inbox.ack(leased)
    moody = Moody(inbox), Moody(store)
    gate = ConsoleGate(Console(), moody[1], clock, b"a secret of sixteen characters")
    site = Site(reader=ConsoleReader(*moody, clock), gate=gate, windows={"shop": 72.0})
    yield ConsoleApp(site), clock, *moody
    await store.close()
    await inbox.close()


async def look(console: ConsoleApp, path: str = "/account") -> tuple[int, str]:
    """Return status and page, as who sits at this machine sees it."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": b"", "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"localhost")],
    }  # fmt: skip
    await console(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent).decode()


async def test_a_store_that_is_away_is_said_and_comes_back(parts):
    """503 and a sentence that nothing is lost; the next look after it is back is as before."""
    console, _, _, store = parts
    store.away = StoreUnavailable("gone for a while, says host db.internal")
    status, page = await look(console, "/holds")
    assert status == 503
    assert "Received messages are safe" in page
    assert "db.internal" not in page
    store.away = None
    assert (await look(console, "/holds"))[0] == 200


async def test_without_the_inbox_the_store_is_shown_and_nothing_called_balanced(parts):
    """What the store has counted is worth seeing; that a side is missing is said."""
    console, _, inbox, _ = parts
    inbox.away = InboxUnavailable("no quorum")
    status, page = await look(console)
    assert status == 200
    assert "The inbox can&#39;t be read" in page
    assert "Balanced" not in page
    assert "not_an_object" in (await look(console, "/dead"))[1]
    assert "can't be read" in (await look(console, "/flow"))[1]


async def test_many_who_look_within_a_second_ask_once(parts):
    """The cost of the console does not grow with those who watch it."""
    console, clock, inbox, store = parts
    await look(console)
    asked = inbox.asked, store.asked
    for path in ("/account", "/holds", "/dead", "/flow"):
        assert (await look(console, path))[0] == 200
    assert (inbox.asked, store.asked) == asked
    clock.advance(1)
    await look(console)
    assert store.asked == 2 * asked[1]
