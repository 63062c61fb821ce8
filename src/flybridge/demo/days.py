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
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec
from msgspec import Struct

from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.demo import streams
from flybridge.demo.environment import LocalEnvironment
from flybridge.demo.in_process import ORIGIN, InProcess, in_process
from flybridge.errors import TransportError
from flybridge.records import DAY_MS
from flybridge.sandbox.faults import Faults, FaultScript
from flybridge.sandbox.server import Sandbox
from flybridge.sandbox.traffic.planned import TrafficMessage
from flybridge.sandbox.traffic.products import Product, products
from flybridge.sandbox.traffic.traffic import generate
from flybridge.testing.clocks import JumpingClock
from flybridge.testing.inside import Inside

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
    # Each day has outages, a broken proxy, a wrong key for an hour and a spent quota; and much of one of them.
    # The first day: the vendors are away, in each way in which one can be.
    Trouble(1, 4, "page", 503),
    Trouble(4, 5, "gzip", 400),
    Trouble(6, 7, "page", 0),
    Trouble(7, 8, "key", 401),
    Trouble(9, 10, "page", 500),
    Trouble(10, 12, "quota", 429),
    Trouble(12, 14, "page", 502, share=0.5),
    Trouble(16, 17, "page", 504),
    Trouble(19, 22, "page", 0, share=0.3),
    # The second: a proxy is in the way.
    Trouble(25, 28, "gzip", 400),
    Trouble(28, 31, "away"),
    Trouble(31, 32, "size", 413, above=4_200),
    Trouble(32, 34, "away"),
    Trouble(34, 36, "size", 0, above=4_200),
    Trouble(36, 37, "page", 503),
    Trouble(37, 38, "page", 407),
    Trouble(39, 40, "page", 302),
    Trouble(41, 43, "page", 400, share=0.5),
    Trouble(43, 44, "key", 401),
    Trouble(45, 46, "page", 404),
    Trouble(46, 48, "quota", 429),
    Trouble(48, 49, "size", 413, above=4_200),
    # The third: a wrong key, a quota that stays spent, a firewall.
    Trouble(49, 50, "key", 401),
    Trouble(50, 51, "gzip", 400),
    Trouble(52, 58, "quota", 429),
    Trouble(58, 60, "page", 503),
    Trouble(60, 61, "page", 403),
    Trouble(63, 64, "page", 429),
    Trouble(66, 67, "key", 401),
)
"""What goes wrong, by the hour."""
POISON: Final = 0.02
"""The share of events that make the vendor fail, all the time: it answers 500, or cuts the connection."""


class Weather:
    """A transport to the sandbox in which the troubles happen."""

    def __init__(self, inner: Inside, clock: JumpingClock, seed: int) -> None:
        self.requests = 0
        self.met: Counter[str] = Counter()
        self._inner = inner
        self._clock = clock
        self._began_ms = clock.now_ms()
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request to the sandbox, unless something happens to it on the way."""
        self.requests += 1
        hour = (self._clock.now_ms() - self._began_ms) / 3_600_000
        for trouble in DAYS:
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
    messages = list(generate(seed, events, environment.apps))
    made = list(products(messages, seed, 0.4))
    clock = JumpingClock(messages[0].send_ms)
    poison = FaultScript(poison_events=POISON)
    sandbox = Sandbox(clock, Faults(poison, seed), appsflyer_faults=Faults(poison, seed))
    weather = Weather(Inside(sandbox), clock, seed)
    opened = in_process(environment, text, sandbox=sandbox, clock=clock, transport=weather, seed=seed)
    async with opened as flybridge:
        await _send(flybridge, list(streams.interleaved(messages, made)))
        await _rest(flybridge)
        verdict = await flybridge.judge(messages, made)
    outcomes, dead = Counter[str](), Counter[str]()
    for count in verdict.counts:
        outcomes[count.outcome] += count.n
        dead[count.reason] += count.n if count.outcome == "dead" else 0
    return DaysResult(
        len(messages) + len(made),
        round(perf_counter() - began, 1),
        weather.requests,
        dict(sorted(weather.met.items())),
        dict(sorted(outcomes.items())),
        dict(sorted((+dead).items())),
        verdict.uncertain,
        len(verdict.wrong),
        verdict.wrong[:20],
    )


async def _send(flybridge: InProcess, line: Sequence[TrafficMessage | Product]) -> None:
    """Let the messages come in over three days, and work."""
    clock = flybridge.clock
    began_ms = clock.now_ms()
    next_number = 0
    while (passed_ms := clock.now_ms() - began_ms) < 3 * DAY_MS:
        due = min(len(line), 1 + int(len(line) * passed_ms / (3 * DAY_MS - 60_000)))
        if due > next_number:
            await flybridge.receive(line[next_number:due])
            next_number = due
        await flybridge.work(STEP_S)


async def _rest(flybridge: InProcess) -> None:
    """Work until nothing waits any more, for some days."""
    ends_ms = flybridge.clock.now_ms() + REST_DAYS * DAY_MS
    while flybridge.clock.now_ms() < ends_ms:
        await flybridge.work(REST_STEP_S)


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
