"""The root application: health, readiness, metrics, draining, and the way to the console."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from flybridge.delivery.lane_reports import WorkerReport, write_report
from flybridge.errors import InboxUnavailable, StoreUnavailable
from flybridge.inbox.protocol import Depth
from flybridge.insight.unwritten import note_unwritten
from flybridge.records import Envelope
from flybridge.roles import Role, roles_of
from flybridge.telemetry.metrics import Metrics
from flybridge.testing.clocks import ManualClock
from flybridge.web.app import WebApp
from flybridge.web.intake import Intake, IntakeApp


class Inbox:
    """An inbox whose moods can be set."""

    def __init__(self) -> None:
        self.kept: list[Envelope] = []
        self.raises: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def accept(self, envelope: Envelope) -> None:
        await self.gate.wait()
        if self.raises:
            raise self.raises
        self.kept.append(envelope)

    async def depth(self, now_ms: int) -> Depth:
        if isinstance(self.raises, InboxUnavailable):
            raise self.raises
        return Depth(len(self.kept), 0, 0)


class Store:
    """A store that is there, or away, with named values."""

    def __init__(self) -> None:
        self.raises: Exception | None = None
        self.values: dict[str, bytes] = {}

    async def lanes(self, now_ms: int) -> list[Any]:
        if self.raises:
            raise self.raises
        return []

    async def counts(self) -> list[Any]:
        return await self.lanes(0)

    async def depths(self, now_ms: int) -> list[Any]:
        return await self.lanes(0)

    async def hold_counts(self) -> list[Any]:
        return await self.lanes(0)

    async def covered(self, *, since_day: str) -> list[Any]:
        return await self.lanes(0)

    async def uncertain_counts(self) -> list[Any]:
        return await self.lanes(0)

    async def states(self, prefix: str) -> list[Any]:
        await self.lanes(0)
        return [(name, value) for name, value in self.values.items() if name.startswith(prefix)]

    async def put_state(self, name: str, value: bytes) -> None:
        self.values[name] = value


async def console(scope: Any, receive: Any, send: Any) -> None:
    """A console that says where it was asked, or breaks."""
    if scope["path"] == "/breaks":
        raise RuntimeError("broken page")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(scope["path"]).encode()})


@pytest.fixture
def parts():
    """An application with its inbox, store and clock."""
    inbox, store, clock = Inbox(), Store(), ManualClock(1_000)
    intake = Intake([IntakeApp("shop", b"t")], inbox, clock)
    app = WebApp(intake, inbox, Metrics("1.0", intake.counts), clock, version="1.0", store=store, console=console)
    return app, inbox, store, clock


async def ask(
    app: WebApp, path: str, method: str = "GET", *, peer: str | None = None, host: bytes = b"127.0.0.1"
) -> tuple[int, dict[str, str], bytes]:
    """Send one request as ASGI, from this process or a peer; return status, headers and body."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"authorization", b"t"), (b"host", host)]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    if peer is not None:
        scope["client"] = (peer, 1)
    await app(scope, receive, send)
    return sent[0]["status"], {n.decode(): v.decode() for n, v in sent[0]["headers"]}, sent[1]["body"]


async def test_each_path_leads_where_it_should(parts):
    """Doors, figures and console share one address."""
    app, inbox, _, _ = parts
    assert (await ask(app, "/healthz"))[0] == 200
    assert (await ask(app, "/v1/push/shop", "POST"))[0] == 200
    assert len(inbox.kept) == 1
    assert json.loads((await ask(app, "/openapi.json"))[2])["openapi"] == "3.1.0"
    assert b'flybridge_intake_accepted_total{app="shop",source="push"} 1.0' in (await ask(app, "/metrics"))[2]
    assert (await ask(app, "/holds"))[2] == b'"/holds"'


async def test_without_a_console_other_paths_are_not_found(parts):
    """A process that only takes data in says so."""
    _, inbox, _, clock = parts
    app = WebApp(Intake([], inbox, clock), inbox, Metrics("1"), clock, version="1")
    assert (await ask(app, "/"))[0] == 404
    assert (await ask(app, "/readyz"))[0] == 200


async def test_pages_of_figures_are_for_reading(parts):
    """Other methods are told so; HEAD has no body."""
    status, headers, _ = await ask(parts[0], "/metrics", "POST")
    assert (status, headers["allow"]) == (405, "GET")
    assert (await ask(parts[0], "/healthz", "HEAD"))[2] == b""


@pytest.mark.parametrize("part", ["inbox", "store"])
async def test_a_part_that_is_away_makes_the_process_unready(parts, part):
    """/readyz names the part and its reason; /healthz and /metrics still work."""
    app, inbox, store, _ = parts
    if part == "inbox":
        inbox.raises = InboxUnavailable("The disk is full.")
    else:
        store.raises = StoreUnavailable("The disk is full.")
    status, _, body = await ask(app, "/readyz")
    said = json.loads(body)
    assert (status, said["ready"]) == (503, False)
    assert said["reasons"] == [f"The {part} is away: The disk is full."]
    assert (await ask(app, "/healthz"))[0] == 200
    assert f'flybridge_up{{part="{part}"}} 0.0'.encode() in (await ask(app, "/metrics"))[2]


@pytest.mark.parametrize(("peer", "host"), [("8.8.8.8", b"127.0.0.1"), ("127.0.0.1", b"evil.example.com")])
async def test_strangers_see_no_figures_and_no_reasons_in_detail(parts, peer, host):
    """A load balancer may ask from anywhere whether the process is ready; paths and addresses are not its business."""
    app, inbox, _, _ = parts
    for path in ("/metrics", "/openapi.json"):
        assert (await ask(app, path, peer=peer, host=host))[0] == 403
    inbox.raises = InboxUnavailable("/var/lib/flybridge/inbox.db on db.internal is full.")
    status, _, body = await ask(app, "/readyz", peer=peer, host=host)
    assert (status, json.loads(body)["reasons"]) == (503, ["The inbox is away."])
    assert (await ask(app, "/healthz", peer=peer, host=host))[0] == 200
    intake = Intake([IntakeApp("shop", b"")], inbox, ManualClock())
    open_to_all = WebApp(intake, inbox, Metrics("1"), ManualClock(), version="1")
    status, _, body = await ask(open_to_all, "/v1/push/shop", "POST", peer=peer, host=host)
    assert status == 503
    assert b"internal" not in body
    assert b"/var" not in body


@pytest.mark.parametrize("only", Role)
async def test_that_workers_can_not_write_is_a_warning_in_every_process_with_the_store(parts, only):
    """A console does not become unready by it: its pages say what is wrong. Strangers see no path."""
    app, _, store, clock = parts
    app.roles = roles_of(only)
    assert b"warnings" not in (await ask(app, "/readyz"))[2]
    await note_unwritten(store, "The disk of /var/lib/flybridge is full.", clock.now_ms())
    status, _, body = await ask(app, "/readyz")
    assert status == 200
    assert json.loads(body)["warnings"][0].endswith("nothing is filed or sent: The disk of /var/lib/flybridge is full.")
    _, _, body = await ask(app, "/readyz", peer="8.8.8.8")
    assert json.loads(body)["warnings"] == ["The store can't be written."]
    await write_report(store, WorkerReport("worker-1", clock.now_ms(), ()))
    clock.advance(300)
    (warning,) = json.loads((await ask(app, "/readyz"))[2])["warnings"]
    assert warning.startswith("No worker has written to the store for 5 minutes")


async def test_a_refusal_makes_the_process_unready_for_as_long_as_senders_wait(parts):
    """After a 503 a balancer looks elsewhere, and comes back when the senders do."""
    app, inbox, _, clock = parts
    inbox.raises = InboxUnavailable("full", 5)
    assert (await ask(app, "/v1/push/shop", "POST"))[0] == 503
    inbox.raises = None
    clock.advance(4.999)
    assert (await ask(app, "/readyz"))[0] == 503
    clock.advance(0.001)
    assert (await ask(app, "/readyz"))[0] == 200


async def test_draining_finishes_what_is_in_flight_and_takes_nothing_new(parts):
    """A request that is in when draining begins gets its 200; one that comes after gets 503 and a closed connection."""
    app, inbox, _, _ = parts
    inbox.gate.clear()
    early = asyncio.create_task(ask(app, "/v1/push/shop", "POST"))
    await asyncio.sleep(0)
    app.drain()
    status, headers, _ = await ask(app, "/v1/push/shop", "POST")
    assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "5")
    assert json.loads((await ask(app, "/readyz"))[2])["reasons"] == ["flybridge is stopping."]
    assert (await ask(app, "/healthz"))[0] == 200
    inbox.gate.set()
    assert (await early)[0] == 200
    assert len(inbox.kept) == 1


@pytest.mark.parametrize(("path", "method"), [("/v1/push/shop", "POST"), ("/breaks", "GET")])
async def test_a_failure_is_answered_500_and_not_fatal(parts, path, method):
    """A defect is answered, logged, and the next request is served."""
    app, inbox, _, _ = parts
    inbox.raises = RuntimeError("a defect")
    status, _, body = await ask(app, path, method)
    assert (status, set(json.loads(body))) == (500, {"error", "remedy"})
    inbox.raises = None
    assert (await ask(app, "/v1/push/shop", "POST"))[0] == 200


async def test_taking_plain_values_is_the_same_as_asgi(parts):
    """What the server calls for doors obeys draining and failures like the ASGI way."""
    app, inbox, _, _ = parts

    async def read() -> bytes:
        return b"{}"

    async def take() -> int:
        refusal = await app.take("/v1/push/shop", "POST", b"", {"authorization": "t"}.get, read)
        return refusal.status if refusal else 200

    assert await take() == 200
    inbox.raises = RuntimeError("a defect")
    assert await take() == 500
    app.drain()
    assert await take() == 503


async def test_servers_that_announce_start_and_stop_are_answered(parts):
    """The lifespan protocol is spoken, other protocols are closed."""
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    await parts[0]({"type": "lifespan"}, receive, send)
    await parts[0]({"type": "websocket"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]
