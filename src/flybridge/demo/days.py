"""Three days in which everything goes wrong, on the sandbox's clock in this process: `python -m flybridge.demo.days`.

The traffic of three days goes through flow, store and delivery to the sandbox, while between them and the vendors
happens what `DAYS` says. Then the clock is moved on until every try is spent and every wait is over. In the end each
message must be where the traffic's truth wants it: delivered, or ended for a reason of its own.

Nothing waits in real time: an hour takes as long as what is sent in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import msgspec
from msgspec import Struct

from flybridge.config.settings import load
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.delivery.worker import Worker
from flybridge.demo import streams
from flybridge.demo.environment import LocalEnvironment
from flybridge.demo.verdict import Evidence, judge
from flybridge.errors import TransportError
from flybridge.flow import Flow
from flybridge.insight.account import balance
from flybridge.records import DAY_MS, Envelope, Media, Source, digest_of
from flybridge.sandbox.faults import Faults, FaultScript
from flybridge.sandbox.server import Sandbox
from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.products import Product, products
from flybridge.sandbox.traffic.traffic import TrafficApp, generate
from flybridge.sandbox.vendors.appsflyer import OWN
from flybridge.service import backends
from flybridge.store.protocol import Store
from flybridge.testing.clocks import JumpingClock
from flybridge.testing.inside import Inside
from flybridge.wiring import build_flow, endpoints_of

ORIGIN: Final = "http://sandbox"
STEP_S: Final = 60.0
REST_STEP_S: Final = 1800.0
REST_DAYS: Final = 14
"""Days after the last message: a held event waits for three. A lane that is left with nothing but bad events can't be
told from an outage for eight; then the last try is up to 49 hours after the first."""

JSON: Final = {"content-type": "application/json"}
PAGE: Final = b"<html><head><title>%d Bad Gateway</title></head></html>"


class Trouble(Struct, frozen=True):
    """What happens to a `share` of all requests from one hour to another. `status` 0 cuts the connection.

    `kind`: `away` refuses connections, `page` answers with a gateway's page, `gzip` breaks compressed bodies, `key`
    refuses the key in each vendor's words, `quota` names all devices of the request as over their daily quota, `size`
    applies to bodies above `above` bytes only.
    """

    first_h: float
    last_h: float
    kind: str
    status: int = 0
    share: float = 1.0
    above: int = 0

    @property
    def name(self) -> str:
        return f"{self.kind} {self.status or 'cut'}"


DAYS: Final = (
    # The first day: the vendors are away, in each way in which one can be.
    Trouble(1, 4, "page", 503),
    Trouble(6, 7, "page", 0),
    Trouble(9, 10, "page", 500),
    Trouble(12, 14, "page", 502, share=0.5),
    Trouble(16, 17, "page", 504),
    Trouble(19, 22, "page", 0, share=0.3),
    # The second: a proxy is in the way.
    Trouble(25, 28, "gzip", 400),
    Trouble(28, 31, "away"),
    Trouble(31, 32, "size", 413, above=4_200),
    Trouble(32, 34, "away"),
    Trouble(34, 36, "size", 0, above=4_200),
    Trouble(37, 38, "page", 407),
    Trouble(39, 40, "page", 302),
    Trouble(41, 43, "page", 400, share=0.5),
    Trouble(45, 46, "page", 404),
    # The third: a wrong key for an hour, a spent quota, a firewall.
    Trouble(49, 50, "key", 401),
    Trouble(52, 58, "quota", 429),
    Trouble(60, 61, "page", 403),
    Trouble(63, 64, "page", 429),
    Trouble(66, 67, "key", 401),
)
"""What goes wrong, by the hour."""
POISON: Final = 0.02
"""The share of events that make the vendor fail, all the time: it answers 500, or cuts the connection."""


class Weather:
    """A transport to the sandbox in which the troubles happen."""

    def __init__(self, inner: Inside, clock: JumpingClock, seed: int, days: Sequence[Trouble] = DAYS) -> None:
        self.requests = 0
        self.met: Counter[str] = Counter()
        self._inner = inner
        self._clock = clock
        self._days = days
        self._began_ms = clock.now_ms()
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request to the sandbox, unless something happens to it on the way."""
        self.requests += 1
        hour = (self._clock.now_ms() - self._began_ms) / 3_600_000
        for trouble in self._days:
            if trouble.first_h <= hour < trouble.last_h and self._random.random() < trouble.share:
                answer = _answer(trouble, request)
                if answer is None:
                    continue
                self.met[trouble.name] += 1
                if not answer.status:
                    raise TransportError(f"{ORIGIN}: no answer", maybe_applied=trouble.kind != "away")
                return answer
        return await self._inner.send(msgspec.structs.replace(request, gzip=False))

    async def close(self) -> None:
        """There is nothing to close."""


def _answer(trouble: Trouble, request: HttpRequest) -> HttpResponse | None:
    """Return what answers a request in place of the vendor, with the status 0 for a cut; None if it passes."""
    status = trouble.status
    match trouble.kind:
        case "size" if len(request.body) <= trouble.above:
            return None
        case "gzip" if not request.gzip:
            return None
        case "gzip":
            return HttpResponse(400, JSON, b'{"code":400,"error":"Invalid JSON request body"}')
        case "key" if "/inappevent/" in request.url:
            return HttpResponse(401, {}, b"Unauthorized")
        case "key":
            return HttpResponse(400, JSON, b'{"code":400,"error":"Invalid API key: abc"}')
        case "quota" if not request.url.endswith("/2/httpapi"):
            return None
        case "quota":
            events = msgspec.json.decode(request.body)["events"]
            devices = {event["device_id"]: 500_001 for event in events if event.get("device_id")}
            users = {event["user_id"]: 500_001 for event in events if event.get("user_id")}
            named = {"exceeded_daily_quota_devices": devices, "exceeded_daily_quota_users": users}
            body = msgspec.json.encode({"code": 429, "error": "Too many requests", **named})
            return HttpResponse(429, JSON, body)
    return HttpResponse(status, {"content-type": "text/html"}, PAGE % status)


class DaysResult(Struct, frozen=True):
    """What three days came to. `unexplained` counts what is not where the truth wants it, `examples` the first."""

    messages: int
    seconds: float
    requests: int
    troubles: Mapping[str, int]
    outcomes: Mapping[str, int]
    dead: Mapping[str, int]
    uncertain: int
    unexplained: int
    examples: Sequence[str]


async def play(events: int, seed: int, directory: Path) -> DaysResult:
    """Play three days with that many postbacks, and what follows from them."""
    began = perf_counter()
    environment = LocalEnvironment(directory)
    text = environment.config(ORIGIN).replace("wait_hours = 24", "wait_hours = 96") + "gzip = true\n"
    environment.config_path.write_text(text, encoding="utf-8")
    config = load(environment.config_path, os.environ)
    apps = [TrafficApp(app.name, app.platform, app.appsflyer_app_id) for app in environment.apps]
    messages = list(generate(seed, events, apps))
    made = list(products(messages, seed, 0.4))
    line = list(streams.interleaved(messages, made))
    clock = JumpingClock(messages[0].send_ms)
    poison = FaultScript(poison_events=POISON)
    sandbox = Sandbox(clock, Faults(poison, seed), appsflyer_faults=Faults(poison, seed))
    weather = Weather(Inside(sandbox), clock, seed)
    async with backends.opened_store(config) as store:
        flow = build_flow(config)
        worker = Worker(
            store,
            weather,
            endpoints_of(config),
            clock,
            policy=config.delivery.policy,
            rules=config.delivery.circuit,
            settings=config.delivery.times,
            jitter=random.Random(seed).random,  # noqa: S311 - repeatable on purpose
        )
        await _send(store, flow, worker, clock, line)
        await _rest(store, worker, clock)
        ledger = [entry async for entry in store.ledger()]
        counts = await store.counts()
        received: defaultdict[tuple[str, str], int] = defaultdict(int)
        for count in counts:
            received[count.app, count.day] += count.n
        account = balance(received, {}, counts, await store.audit())
        uncertain = sum(one.n for one in await store.uncertain_counts())
    wrong = [f"{one.app} {one.day}: {one.what}" for one in account.discrepancies]
    saved, rejected = await _amplitude(sandbox)
    taken, refused = await _appsflyer(sandbox)
    ours: set[bytes] = set()
    for app in environment.apps:
        found = streams.evidence(
            app.name,
            app.appsflyer_app_id,
            made,
            ledger,
            taken=taken,
            rejected=refused,
            repeats=Counter(),
            after_expiry=True,
        )
        ours.update(found.digests)
        wrong += [f"{one.app}: {one.what}" for one in streams.judge_stream(found).disagreements]
    for app in environment.apps:
        own = [message for message in messages if message.truth.app == app.name]
        evidence = Evidence(
            app.name,
            app.route,
            own,
            [digest_of(app.name, message.body) for message in own],
            [entry for entry in ledger if entry.app == app.name and entry.digest not in ours],
            [row for row in saved if row["project"] == app.api_key],
            [row for row in rejected if row["project"] == app.api_key],
            after_expiry=True,
        )
        wrong += [f"{one.app}: {one.what}" for one in judge(evidence).disagreements]
    outcomes, dead = Counter[str](), Counter[str]()
    for count in counts:
        outcomes[count.outcome] += count.n
        dead[count.reason] += count.n if count.outcome == "dead" else 0
    return DaysResult(
        len(line),
        round(perf_counter() - began, 1),
        weather.requests,
        dict(sorted(weather.met.items())),
        dict(sorted(outcomes.items())),
        dict(sorted((+dead).items())),
        uncertain,
        len(wrong),
        wrong[:20],
    )


async def _send(
    store: Store, flow: Flow, worker: Worker, clock: JumpingClock, line: Sequence[TrafficMessage | Product]
) -> None:
    """Let the messages come in over three days, and work."""
    began_ms = clock.now_ms()
    next_number = 0
    while (passed_ms := clock.now_ms() - began_ms) < 3 * DAY_MS:
        due = min(len(line), 1 + int(len(line) * passed_ms / (3 * DAY_MS - 60_000)))
        if due > next_number:
            now_ms = clock.now_ms()
            envelopes = [
                _envelope(message, number, now_ms) for number, message in enumerate(line[next_number:due], next_number)
            ]
            await store.file(flow.filings(envelopes), now_ms)
            next_number = due
        await _work(store, worker, clock, STEP_S)


async def _rest(store: Store, worker: Worker, clock: JumpingClock) -> None:
    """Work until nothing waits any more, for some days."""
    ends_ms = clock.now_ms() + REST_DAYS * DAY_MS
    while clock.now_ms() < ends_ms:
        await _work(store, worker, clock, REST_STEP_S)


async def _work(store: Store, worker: Worker, clock: JumpingClock, seconds: float) -> None:
    while await store.expire(clock.now_ms()):
        pass
    before_ms = clock.now_ms()
    await worker.drain()
    clock.advance(max(0.0, seconds - (clock.now_ms() - before_ms) / 1000))


def _envelope(message: TrafficMessage | Product, number: int, now_ms: int) -> Envelope:
    _, _, door, app = message.path.split("/")[:4]
    return Envelope(app, Source(door), Media.JSON, now_ms, message.body, f"receipt-{number}")


async def _amplitude(sandbox: Sandbox) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what Amplitude has or waits for, and what it rejected."""
    saved: list[dict[str, Any]] = []
    for kind in ("saved", "waiting", "dropped"):
        saved += await _records(sandbox, f"/sandbox/record?kind={kind}")
    return saved, await _records(sandbox, "/sandbox/record?kind=rejected")


async def _appsflyer(sandbox: Sandbox) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return (
        await _records(sandbox, f"{OWN}record"),
        await _records(sandbox, f"{OWN}rejected"),
    )


async def _records(sandbox: Sandbox, path: str) -> list[dict[str, Any]]:
    answer = await Inside(sandbox).send(HttpRequest("GET", ORIGIN + path, {}, b""))
    return [msgspec.json.decode(line) for line in answer.body.splitlines() if line]


def main(arguments: Sequence[str] | None = None) -> int:
    """Play three days and print what they came to. Returns 1 if anything is not where it should be."""
    options = argparse.ArgumentParser(prog="python -m flybridge.demo.days", description=__doc__)
    options.add_argument("--events", type=int, default=20_000, help="postbacks")
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="flybridge-days-") as directory:
        result = asyncio.run(play(chosen.events, chosen.seed, Path(directory)))
    print(json.dumps(msgspec.to_builtins(result), indent=2))  # noqa: T201 - a command
    return 1 if result.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
