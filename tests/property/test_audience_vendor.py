"""An audience and answers that name no device: what is good arrives, in any run, and what is bad ends."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import NAMESPACE_DNS, uuid5

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from audience_rules import audience_rule
from flybridge.appsflyer.audience import PATH, ImportTarget
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.audiences.plan import AudiencePlan
from flybridge.audiences.run import Runner
from flybridge.audiences.schedule import targets
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.errors import TransportError
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.map import Rules
from flybridge.records import Envelope, Media, Source
from flybridge.sealing import Seal
from flybridge.store.lease import RENEW_S
from flybridge.store.sqlite.store import SqliteCohorts, SqliteStore
from flybridge.testing.clocks import JumpingClock

CUT = 0
SECRET = b"the secret of the property suite"
RULE = audience_rule("shop", "spenders", "c1", "gaid", cadence="hourly", max_shrink_percent=100)
APP = AppFlow(Rules(app="shop", platform="android", route="http_v2"), audiences=(RULE,))
TAKEN = b'{"message":"The request was successful"}'
ANSWERS = {
    "cut": (CUT, b""),
    "500": (500, b"no"),
    "503": (503, b"{}"),
    "403": (403, b"<html>firewall</html>"),
    "404": (404, b"<html>"),
    "413": (413, b""),
    "422": (422, b"{}"),
    "400": (400, b'{"message":"Something else is wrong"}'),
    "invalid": (400, b'{"message":"couldn\'t understand one or more of the device IDs"}'),
    "408": (408, b""),
}
GOOD = ""


class ImportApi:
    """Lists devices, but answers a request with a bad one as that device asks, and cuts off large requests."""

    def __init__(self, clock: JumpingClock, most: int, outages: Sequence[tuple[int, int]]) -> None:
        self.listed: set[str] = set()
        self.requests = 0
        self._kinds: dict[str, str] = {}
        self._most = 1_000_000
        self._fails_above = most
        self._clock = clock
        self._began_ms = clock.now_ms()
        self._outages: Sequence[tuple[int, int]] = ()
        self._later = outages

    def break_for(self, kinds: Sequence[str]) -> None:
        """Begin to fail."""
        self._kinds = {phone(number): kind for number, kind in enumerate(kinds)}
        self._most, self._outages = self._fails_above, self._later
        self.requests, self._began_ms = 0, self._clock.now_ms()

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.requests += 1
        passed_s = (self._clock.now_ms() - self._began_ms) / 1000
        if any(start <= passed_s < end for start, end in self._outages):
            return HttpResponse(503, {}, b"")
        values = [device["gaid"] for device in json.loads(request.body)["devices"]]
        bad = next((kind for value in values if (kind := self._kinds.get(value, GOOD)) != GOOD), GOOD)
        status, body = ANSWERS[bad] if bad else ((502, b"") if len(values) > self._most else (200, TAKEN))
        if status == CUT:
            raise TransportError("https://vendor.example: cut", maybe_applied=True)
        if status == 200 and request.url.endswith(PATH + "add"):
            self.listed.update(values)
        elif status == 200:
            self.listed.difference_update(values)
        return HttpResponse(status, {}, body)

    async def close(self) -> None:
        """Nothing is open."""


def phone(number: int) -> str:
    return str(uuid5(NAMESPACE_DNS, f"{number}"))


async def played(
    kinds: Sequence[str], leaving: Sequence[int], most: int, outages: Sequence[tuple[int, int]], runs: int = 80
) -> tuple[ImportApi, Counter[str]]:
    """Let these people enter the cohort, some leave it, and run the audience until nothing is left to send."""
    clock = JumpingClock(endless_s={RENEW_S})
    with TemporaryDirectory() as directory:
        path, seal = Path(directory) / "store.db", Seal(SECRET)
        store, cohorts = SqliteStore(path, seal), SqliteCohorts(path, seal)
        await store.open()
        await cohorts.open()
        vendor = ImportApi(clock, most, outages)
        audience = ImportTarget(
            AppsFlyerAccount("com.example.shop", "token", "https://vendor.example"), "android", "import"
        )
        plan = AudiencePlan(RULE, audience)
        try:
            runner = Runner(cohorts, vendor, vendor, clock, Keyring(SECRET), jitter=lambda: 0.5)  # type: ignore[arg-type]
            await cohorts.keep(targets({("shop", "spenders"): plan}, clock.now_ms()))
            flow = Flow({"shop": APP}, Keyring(SECRET))
            await _told(store, flow, clock, leaving, entering=True)
            await runner.run(plan)  # those who leave were listed while nothing was wrong
            vendor.break_for(kinds)
            await _told(store, flow, clock, leaving, entering=False)
            staying = sorted(set(range(len(kinds))) - set(leaving))
            await _told(store, flow, clock, staying, entering=True)
            outcomes: Counter[str] = Counter()
            for _ in range(runs):
                run = await runner.run(plan)
                assert run is not None
                outcomes[run.outcome] += 1
                clock.advance(3600)
            return vendor, outcomes
        finally:
            await cohorts.close()
            await store.close()


async def _told(store: SqliteStore, flow: Flow, clock: JumpingClock, numbers: Sequence[int], *, entering: bool) -> None:
    """Take in what Amplitude says about these people."""
    if not numbers:
        return
    clock.advance(2)
    users = [
        {"user_id": f"u{number}", "user_properties": {"gaid": phone(number)} if entering else {}} for number in numbers
    ]
    fields = {"cohort_name": "Spenders", "cohort_id": "c1", "in_cohort": entering, "users": users}
    fields |= {"computed_time": f"{clock.now_ms() // 1000}", "message_id": f"m{clock.now_ms()}"}
    body = json.dumps(fields).encode()
    envelope = Envelope("shop", Source.COHORT, Media.JSON, clock.now_ms(), body, f"r{clock.now_ms()}")
    await store.file(flow.filings([envelope]), clock.now_ms())


KINDS = st.integers(1, 80).flatmap(
    lambda n: st.dictionaries(st.integers(0, n - 1), st.sampled_from(sorted(ANSWERS)), max_size=8).map(
        lambda bad: [bad.get(place, GOOD) for place in range(n)]
    )
)


def check(kinds: Sequence[str], leaving: Sequence[int], vendor: ImportApi) -> None:
    """All good people who stay are listed, those who left are not."""
    gone = set(leaving)
    good = {number for number, kind in enumerate(kinds) if kind == GOOD}
    assert {number for number in good if phone(number) in vendor.listed} == good - gone
    assert not {
        number for number, kind in enumerate(kinds) if kind and number not in gone and phone(number) in vendor.listed
    }


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    kinds=KINDS,
    leaving=st.sets(st.integers(0, 79), max_size=20),
    most=st.sampled_from([1, 3, 20, 1000]),
    outages=st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 40_000)), max_size=2),
)
def test_every_good_device_is_listed_or_removed_whatever_fails_at_others(
    kinds: list[str], leaving: set[int], most: int, outages: list[tuple[int, int]]
) -> None:
    """Any answers to any devices, any size that is refused, through any outages; and the requests are bounded."""
    left = sorted(number for number in leaving if number < len(kinds))
    times = [(start, start + length) for start, length in outages]
    vendor, _ = asyncio.run(played(kinds, left, most, times))
    check(kinds, left, vendor)
    assert vendor.requests <= 80 * 20 + 20 * len(kinds)


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_one_bad_device_holds_up_nobody(kind: str) -> None:
    """Neither among those who enter nor among those who leave; used to hold up all for some of these answers."""
    kinds = [GOOD] * 40
    kinds[7] = kinds[30] = kind
    leaving = range(25, 35)
    vendor, outcomes = asyncio.run(played(kinds, leaving, 1000, (), runs=20))
    check(kinds, leaving, vendor)
    assert outcomes["done"] >= 10
    assert vendor.requests <= 80
