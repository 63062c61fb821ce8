"""The vendors' own endpoints and answers that name no event: what is good arrives and what is bad ends."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from test_lane import MemoryStore

from flybridge.amplitude.attribution import AttributionApi
from flybridge.amplitude.upload import Batch, HttpV2
from flybridge.appsflyer.inapp_event import InAppEvent
from flybridge.delivery.context import Context
from flybridge.delivery.exchange import Endpoint, HttpRequest, HttpResponse
from flybridge.delivery.lifecycle import RetryPolicy
from flybridge.delivery.settings import DeliverySettings
from flybridge.delivery.worker import Worker
from flybridge.errors import TransportError
from flybridge.records import Delivery
from flybridge.store.records import Lane
from flybridge.testing.clocks import JumpingClock

GOOD = "good"
CUT = 0
KIND = re.compile(rb'"kind":"(\w+)"')
JSON = b'{"code":%d,"error":"Something is wrong"}'
PAGE = b"<html><head><title>%d Gateway</title></head></html>"
TEXT = b"no"
MAKE: dict[str, Callable[[int], bytes]] = {
    "json": lambda status: JSON % status,
    "page": lambda status: PAGE % status,
    "text": lambda status: TEXT,
    "empty": lambda status: b"",
    "error": lambda status: b'{"error":"blocked"}',
    "bytes": lambda status: b"\x1f\x8b\x08\x00\x93",
}
STATUSES = [CUT, 302, 400, 401, 403, 404, 405, 406, 408, 410, 413, 415, 418, 422, 425, 429, 431, 451, 500, 501, 502,
            503, 504, 507, 520, 524, 599]  # fmt: skip
ENDPOINTS: dict[str, Callable[[], Endpoint]] = {
    "http_v2": lambda: HttpV2("key-of-app"),
    "batch": lambda: Batch("key-of-app"),
    "few": lambda: tuned(HttpV2("key-of-app"), max_items=7),
    "attribution": lambda: tuned(AttributionApi("key-of-app"), concurrency=3),
    "s2s": lambda: InAppEvent("key-of-app", "id123456789", concurrency=3),
}


def tuned(endpoint: Endpoint, **limits: Any) -> Endpoint:
    """Return an endpoint with the limits of a configuration."""
    endpoint.limits = DeliverySettings(**limits).tuned(endpoint.limits)
    return endpoint


class Vendor:
    """Answers with success unless an item of the request has another answer, or the request is too large."""

    def __init__(
        self, clock: JumpingClock, cut_above: int, cut_status: int, outages: Sequence[tuple[int, int]], down: int
    ) -> None:
        self.requests = 0
        self.share = 0.0
        self.says = "page"
        self._random = random.Random(1)
        self._clock = clock
        self._started_ms = clock.now_ms()
        self._cut_above = cut_above
        self._cut_status = cut_status
        self._outages = outages
        self._down = down

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.requests += 1
        passed_s = (self._clock.now_ms() - self._started_ms) / 1000
        if any(start <= passed_s < end for start, end in self._outages):
            return self._answer(self._down, "json")
        if passed_s < 7_200 and self._random.random() < self.share:
            return self._answer(self._down, self.says)
        kinds = [kind.decode() for kind in KIND.findall(unquote_to_bytes(request.body))]
        for kind in kinds:
            if kind != GOOD:
                status, _, body = kind.partition("_")
                return self._answer(int(status), body)
        if len(kinds) > self._cut_above:
            return self._answer(self._cut_status, "page")
        return HttpResponse(200, {}, b'{"code":200,"events_ingested":%d}' % len(kinds))

    def _answer(self, status: int, body: str) -> HttpResponse:
        if status == CUT:
            raise TransportError("https://vendor.example: cut", maybe_applied=True)
        return HttpResponse(status, {}, MAKE[body](status))

    async def close(self) -> None:
        """Nothing is open."""


def delivery(number: int, kind: str, endpoint: str) -> Delivery:
    body = msgspec.json.encode({"event_type": "x", "kind": kind})
    return Delivery(number, "shop", endpoint, f"i{number}", "x", body, None, f"d-{number}", 0, 0, False, 0)


async def played(
    name: str,
    kinds: Sequence[str],
    *,
    cut_above: int = 10_000,
    cut_status: int = CUT,
    outages: Sequence[tuple[int, int]] = (),
    down: int = 503,
    share: float = 0.0,
    says: str = "page",
    every_s: float = 600,
    more: bool = True,
    days: float = 5,
) -> tuple[MemoryStore, Vendor, list[str]]:
    """Work a backlog of these kinds; with `more`, one more good item comes every `every_s` seconds for two hours.

    The vendor answers with `down` in the `outages`, and for two hours to this `share` of requests, and `says` that.
    """
    clock = JumpingClock(endless_s={0.5})
    endpoint = ENDPOINTS[name]()
    lane = Lane("shop", endpoint.name)
    store, vendor = MemoryStore(lane), Vendor(clock, cut_above, cut_status, outages, down)
    vendor.share, vendor.says = share, says
    filed = list(kinds)
    for number, kind in enumerate(filed):
        store.file(delivery(number, kind, endpoint.name), clock.now_ms())
    worker = Worker(Context(store, vendor, clock, policy=RetryPolicy(), jitter=lambda: 0.5), {lane: endpoint})  # type: ignore[arg-type]
    began_ms = clock.now_ms()
    over_ms = 1000 * max((end for _, end in outages), default=0)
    filed_ms = began_ms
    while clock.now_ms() - began_ms < days * 86_400_000:
        await worker.drain()
        passed_ms = clock.now_ms() - began_ms
        if len(store.ended) == len(filed) and passed_ms > over_ms:
            break
        clock.advance(min(20, every_s) if passed_ms < 7_200_000 else 600)
        if more and clock.now_ms() - filed_ms >= 1000 * (every_s if passed_ms < 7_200_000 else 600):
            filed_ms = clock.now_ms()
            store.file(delivery(len(filed), GOOD, endpoint.name), clock.now_ms())
            filed.append(GOOD)
    return store, vendor, filed


POISON = st.builds("{}_{}".format, st.sampled_from(STATUSES), st.sampled_from(sorted(MAKE))) | st.sampled_from(
    ["200_page", "200_error", "200_bytes"]
)
BACKLOG = st.integers(1, 200).flatmap(
    lambda n: st.dictionaries(st.integers(0, n - 1), POISON, max_size=10).map(
        lambda bad: [bad.get(place, GOOD) for place in range(n)]
    )
)
OUTAGES = st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 3000)), max_size=3)
EACH = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an example has thousands of requests: shrinking takes hours
)


def bound(filed: Sequence[str], outages: Sequence[tuple[int, int]]) -> float:
    """Return the most requests: for each item, for each bad one, and the probes of outages (at last 16 in 300 s)."""
    bad = sum(kind != GOOD for kind in filed)
    return 150 + 4 * len(filed) + 30 * bad + sum(length for _, length in outages) / 10


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
@EACH
@given(
    kinds=BACKLOG,
    cut_above=st.integers(1, 250),
    cut_status=st.sampled_from([CUT, 400, 403, 413, 500, 502]),
    outages=OUTAGES,
    down=st.sampled_from([CUT, 302, 401, 403, 404, 429, 500, 502, 503, 504]),
)
@example(kinds=[GOOD] * 23 + ["422_page"] + [GOOD] * 82 + ["401_page"] + [GOOD] * 5, cut_above=250, cut_status=500,
         outages=[(2057, 4714)], down=404)  # fmt: skip
def test_every_good_item_is_delivered_and_every_bad_one_ends(
    *, name: str, kinds: list[str], cut_above: int, cut_status: int, outages: list[tuple[int, int]], down: int
) -> None:
    """Any answers to any items, any size that is refused, through any outages; and the requests are bounded."""
    times = [(start, start + length) for start, length in outages]
    store, vendor, filed = asyncio.run(
        played(name, kinds, cut_above=cut_above, cut_status=cut_status, outages=times, down=down)
    )
    states = {number: one.state for number, one in store.ended.items()}
    assert [(n, states.get(n)) for n, kind in enumerate(filed) if kind == GOOD and states.get(n) != "delivered"] == []
    assert [(n, kind, states.get(n)) for n, kind in enumerate(filed) if kind != GOOD and states.get(n) != "dead"] == []
    assert not store.leased
    assert vendor.requests <= bound(filed, outages)


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
@pytest.mark.parametrize("down", [400, 413])
@EACH
@given(count=st.integers(1, 200), outages=OUTAGES)
def test_an_outage_in_which_every_item_is_refused_ends_no_more_than_two(
    name: str, down: int, count: int, outages: list[tuple[int, int]]
) -> None:
    """An item alone can't be told from a bad one; after two the lane halts, and the others are kept."""
    times = [(start, start + length) for start, length in outages]
    store, vendor, filed = asyncio.run(played(name, [GOOD] * count, outages=times, down=down))
    assert len(store.ended) == len(filed)
    assert sum(one.state == "dead" for one in store.ended.values()) <= 2 * len(outages)
    assert vendor.requests <= bound(filed, outages)


@pytest.mark.parametrize("says", ["page", "json", "text"])
@pytest.mark.parametrize("name", ["http_v2", "few", "s2s", "attribution"])
@pytest.mark.parametrize("status", [CUT, 302, 400, 401, 403, 404, 407, 413, 415, 422, 429, 500, 503])
def test_a_proxy_that_answers_half_of_all_requests_ends_nothing(name: str, status: int, says: str) -> None:
    """For two hours: such answers say nothing about an item, also where it gets the same one several times."""
    store, _, filed = asyncio.run(played(name, [GOOD] * 300, share=0.5, down=status, says=says))
    assert Counter(one.state for one in store.ended.values()) == {"delivered": len(filed)}


@pytest.mark.parametrize("name", ["http_v2", "s2s", "attribution"])
@pytest.mark.parametrize("status", [400, 413])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("every_s", [3, 40])
def test_single_items_that_come_one_by_one_are_not_ended_by_a_proxy_that_refuses_some(
    name: str, status: int, share: float, every_s: float
) -> None:
    """They used to die at the first answer, up to twenty of a hundred. One that meets many at first may die."""
    store, _, filed = asyncio.run(played(name, [GOOD], share=share, down=status, says="json", every_s=every_s))
    found = Counter(one.state for one in store.ended.values())
    assert found["delivered"] >= len(filed) - (2 if share > 0.5 else 0)
    assert found.total() == len(filed)


@pytest.mark.parametrize("kind", ["0_json", "500_page", "422_text", "400_json", "413_page"])
def test_a_lane_that_holds_nothing_but_bad_items_ends_them(kind: str) -> None:
    """It can't be told from an outage for eight days; then each pays its tries."""
    store, vendor, _ = asyncio.run(played("http_v2", [kind] * 20, more=False, days=13))
    assert {one.state for one in store.ended.values()} == {"dead"}
    assert len(store.ended) == 20
    assert vendor.requests <= 16 * 288 * 11
