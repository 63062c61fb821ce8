"""Attribution events that may have arrived: Amplitude's stream shows those that did, and they are not sent again."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from flybridge.amplitude.attribution import AttributionApi, is_shown
from flybridge.delivery.context import Context
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.delivery.lifecycle import RetryPolicy, Uncertain
from flybridge.delivery.shown import WAIT_MS
from flybridge.delivery.worker import Worker
from flybridge.errors import TransportError
from flybridge.flow.app import AppFlow
from flybridge.flow.filing import Flow
from flybridge.flow.shown import ShownEvents
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.rules import Rules
from flybridge.records import Deliver, Envelope, Filing, Media, Shown, Source
from flybridge.sealing import Seal
from flybridge.store.records import Lane
from flybridge.store.sqlite.store import SqliteStore
from flybridge.testing.clocks import ManualClock

LANE = Lane("shop", "attribution")
NOW_MS = 1_769_860_811_311
IDFV = "AEBE52E7-03EE-455A-B3C4-E57283966239"
TIME = "2026-01-31 12:00:11.311000"


def item(number: int, **fields: object) -> bytes:
    """Return the body of an Attribution event. Each is another device's."""
    idfv = f"{number:08d}{IDFV[8:]}"
    event = {"event_type": "[AppsFlyer] Install", "time": NOW_MS, "platform": "ios", "idfv": idfv} | fields
    return msgspec.json.encode(event)


def streamed(number: int, **fields: object) -> bytes:
    """Return what Amplitude shows of that event."""
    device = f"{number:08d}{IDFV[8:]}"
    event = {"event_type": "[AppsFlyer] Install", "event_time": TIME, "device_id": device, "platform": "iOS",
             "is_attribution_event": True, "$insert_id": f"made-by-amplitude-{number}"} | fields  # fmt: skip
    return msgspec.json.encode(event)


def message(receipt: str, source: Source, received_ms: int, body: bytes) -> Envelope:
    """Return a message of the app."""
    return Envelope(receipt=receipt, app="shop", source=source, media=Media.JSON, body=body, received_ms=received_ms)


class Amplitude:
    """Takes every event, and cuts the connection before it answers while `cuts` is true."""

    def __init__(self) -> None:
        self.cuts = True
        self.taken: Counter[str] = Counter()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Count the event by its id."""
        self.taken[request.body.decode().partition("idfv%22%3A%22")[2][:8]] += 1
        if self.cuts:
            raise TransportError("https://vendor.example: cut", maybe_applied=True)
        return HttpResponse(200, {}, b"success")

    async def close(self) -> None:
        """Nothing is open."""


class Bridge:
    """A store, a worker and a flow on one clock."""

    def __init__(self, store: SqliteStore, clock: ManualClock) -> None:
        self.store, self.clock, self.amplitude = store, clock, Amplitude()
        endpoint = AttributionApi("key")
        self.worker = Worker(Context(store, self.amplitude, clock), {LANE: endpoint})  # type: ignore[arg-type]
        self._flow = Flow({"shop": AppFlow(Rules(app="shop", platform="ios", route="attribution"))}, Keyring(b"k" * 32))
        self._shown = ShownEvents(store, clock)
        self._messages = 0

    async def show(self, *bodies: bytes) -> int:
        """Take messages of the stream."""
        self._messages += len(bodies)
        envelopes = [
            message(f"m{self._messages}-{at}", Source.STREAM, self.clock.now_ms(), body)
            for at, body in enumerate(bodies)
        ]
        filings = self._flow.filings(envelopes)
        await self.store.file(filings, self.clock.now_ms())
        return await self._shown.settle(filings)

    async def file(self, *numbers: int) -> None:
        """File Attribution events."""
        filings = [
            Filing(
                message(f"p{number}", Source.PUSH, self.clock.now_ms(), b"{}"),
                Deliver("attribution", f"i{number}", "[AppsFlyer] Install", item(number), None, None),
            )
            for number in numbers
        ]
        await self.store.file(filings, self.clock.now_ms())

    async def delivered(self) -> int:
        """Return how many events are delivered."""
        counts = await self.store.counts()
        return sum(one.n for one in counts if one.outcome == "delivered")


@pytest.fixture
async def bridge(tmp_path):
    """Return a bridge in which nothing has happened."""
    clock = ManualClock(NOW_MS)
    store = SqliteStore(tmp_path / "store.db", Seal(b"s" * 32))
    await store.open()
    yield Bridge(store, clock)
    await store.close()


async def test_what_the_stream_shows_is_not_sent_again(bridge):
    """Three of six are shown; the others are sent again when the time is over, once each."""
    await bridge.show(streamed(99))
    await bridge.file(1, 2, 3, 4, 5, 6)
    await bridge.worker.drain()
    bridge.amplitude.cuts = False
    bridge.clock.advance(20)
    await bridge.worker.drain()
    assert set(bridge.amplitude.taken.values()) == {1}
    assert await bridge.show(streamed(1), streamed(2), streamed(3)) == 3
    assert await bridge.delivered() == 3
    bridge.clock.advance(WAIT_MS / 1000 + 1)
    await bridge.worker.drain()
    assert await bridge.delivered() == 6
    assert {name: n for name, n in bridge.amplitude.taken.items() if n > 1} == {
        "00000004": 2, "00000005": 2, "00000006": 2,
    }  # fmt: skip
    assert [(one.n, one.app) for one in await bridge.store.uncertain_counts()] == [(3, "shop")]
    assert await bridge.store.audit() == []


@pytest.mark.parametrize("policy", [RetryPolicy(uncertain=Uncertain.PARK), RetryPolicy(tries=1)])
async def test_a_dead_letter_that_the_stream_shows_is_delivered(bridge, policy):
    """It was parked, or its answers were lost to the last; what is not shown stays a dead letter."""
    bridge.worker = Worker(
        Context(bridge.store, bridge.amplitude, bridge.clock, policy=policy), {LANE: AttributionApi("key")}
    )
    await bridge.file(1, 2, 3)
    for _ in range(3):
        await bridge.worker.drain()
        bridge.clock.advance(3600)
    bridge.amplitude.cuts = False
    await bridge.worker.drain()
    letters = await bridge.store.dead()
    before = await bridge.delivered()
    shown = [number for number in (1, 2, 3) if any(f"{number:08d}".encode() in letter.body for letter in letters)]
    assert shown
    assert await bridge.show(streamed(shown[0]), streamed(99)) == 1
    assert await bridge.delivered() == before + 1
    assert len(await bridge.store.dead()) == len(letters) - 1
    assert await bridge.store.audit() == []


async def test_where_nothing_is_shown_nothing_waits(bridge):
    """An app without such a stream sends again at once, as before."""
    await bridge.file(1)
    await bridge.worker.drain()
    bridge.amplitude.cuts = False
    bridge.clock.advance(20)
    await bridge.worker.drain()
    assert await bridge.delivered() == 1
    assert bridge.amplitude.taken == {"00000001": 2}


@pytest.mark.parametrize(
    "message",
    [
        streamed(2),  # another device
        streamed(1, is_attribution_event=False),  # sent by another way
        streamed(1, event_time="2026-01-31 12:00:11.312000"),
        streamed(1, event_type="[AppsFlyer] Re-engagement"),
        streamed(1, device_id="another-device-id"),
        b"[]",
        b'{"event_type":"[AppsFlyer] Install","is_attribution_event":true,"device_id":"x"}',
    ],
)
async def test_only_the_very_event_counts_as_shown(bridge, message):
    """What may be another's is sent again: in doubt nothing is lost."""
    await bridge.show(streamed(99))
    await bridge.file(1)
    await bridge.worker.drain()
    bridge.clock.advance(20)
    await bridge.worker.drain()
    assert await bridge.show(message) == 0
    assert await bridge.delivered() == 0


def test_a_body_of_any_kind_is_compared() -> None:
    """What can't be read is nobody's."""
    shown = Shown("[AppsFlyer] Install", NOW_MS, frozenset({IDFV.lower()}))
    assert is_shown(item(1, idfv=IDFV), shown)
    assert is_shown(item(1, idfv="", adid=IDFV.lower()), shown)
    for body in (b"", b"[]", b"{", item(1, time="x"), item(1, idfv=None), item(1, idfv="")):
        assert not is_shown(body, shown)
