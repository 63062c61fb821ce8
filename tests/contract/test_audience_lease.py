"""The lease of an audience, on every store: renewed it keeps others out, lapsed it is another's, lost it is noticed."""

from __future__ import annotations

import asyncio

import pytest
from filings import NOW_MS, envelope, key

from audience_rules import audience_rule
from flybridge.appsflyer.audience import ImportTarget
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.audiences.download import TAKE_OVER_MS
from flybridge.audiences.plan import AudiencePlan
from flybridge.audiences.run import Runner
from flybridge.delivery.exchange import HttpRequest, HttpResponse
from flybridge.identity import Keyring
from flybridge.records import Apply, Filing, Member, MemberChange, Person, Source
from flybridge.store.lease import LEASE_MS, RENEW_S, Lease, LeaseLost
from flybridge.testing.clocks import ManualClock

PLAN = AudiencePlan(
    audience_rule("shop", "spenders", "c1", "gaid", cadence="realtime", max_devices=1),
    ImportTarget(AppsFlyerAccount("com.example.shop", "token", "https://appsflyer.invalid"), "android", "import"),
)


class Watched(ManualClock):
    """A clock that can wait for the sleepers it woke."""

    def __init__(self) -> None:
        super().__init__(NOW_MS)

    async def pass_by(self, seconds: float) -> None:
        """Move forward, and wait until a woken sleeper has done its work and sleeps again."""
        self.asleep.clear()
        self.advance(seconds)
        await asyncio.wait_for(self.asleep.wait(), 30)


async def claimed(cohorts, owner: str, now_ms: int):
    """Try to take the audience."""
    return await cohorts.claim("shop", "spenders", owner, now_ms, LEASE_MS)


async def lease_of(cohorts, clock: Watched) -> Lease:
    """Take the audience."""
    claim = await claimed(cohorts, "me", clock.now_ms())
    assert claim is not None
    return Lease(lambda lease_ms: cohorts.renew(claim, clock.now_ms(), lease_ms), clock)


async def test_renewing_keeps_others_out_for_as_long_as_the_work_lasts(cohorts):
    """Much longer than the lease, and nobody does anything but wait."""
    clock = Watched()
    lease = await lease_of(cohorts, clock)
    async with lease.renewed():
        await asyncio.wait_for(clock.asleep.wait(), 30)
        for _ in range(10):
            await clock.pass_by(RENEW_S)
            assert await claimed(cohorts, "another", clock.now_ms() + LEASE_MS - 1) is None
        lease.check()
    assert await claimed(cohorts, "another", clock.now_ms() + LEASE_MS - 1) is None
    assert await claimed(cohorts, "another", clock.now_ms() + LEASE_MS) is not None


async def test_a_lease_that_is_not_renewed_lapses_after_a_minute(cohorts):
    """The process is gone: nothing is said, and the next one has it."""
    clock = Watched()
    await lease_of(cohorts, clock)
    assert await claimed(cohorts, "another", NOW_MS + LEASE_MS - 1) is None
    assert await claimed(cohorts, "another", NOW_MS + LEASE_MS) is not None


async def test_who_waits_notices_that_the_lease_is_lost(cohorts):
    """At the next renewal, and from then on at every step; a confirmation notices by itself."""
    clock = Watched()
    lease = await lease_of(cohorts, clock)
    async with lease.renewed() as renewing:
        await asyncio.wait_for(clock.asleep.wait(), 30)
        assert await claimed(cohorts, "another", NOW_MS + LEASE_MS) is not None
        lease.check()
        clock.advance(RENEW_S)
        await asyncio.wait_for(renewing, 30)
        with pytest.raises(LeaseLost):
            lease.check()
        with pytest.raises(LeaseLost):
            await lease.confirm()


async def test_taking_over_holds_without_a_word_and_then_as_ever(cohorts):
    """Nothing is renewed meanwhile, which would wait behind the rows that are taken over."""
    clock = Watched()
    lease = await lease_of(cohorts, clock)
    async with lease.extended(TAKE_OVER_MS):
        assert await claimed(cohorts, "another", NOW_MS + TAKE_OVER_MS - 1) is None
    assert await claimed(cohorts, "another", NOW_MS + LEASE_MS) is not None
    with pytest.raises(LeaseLost):
        async with lease.extended(TAKE_OVER_MS):
            raise AssertionError("not reached")


class AppsFlyer:
    """Takes everything and writes it down; `during` happens while the first request is under way."""

    def __init__(self, during=None):
        self.sent: list[bytes] = []
        self.during = during

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Take a request."""
        self.sent.append(request.body)
        if self.during is not None and len(self.sent) == 1:
            await self.during()
        return HttpResponse(200, {}, b'{"message":"The request was successful"}')


def runner(cohorts, door: AppsFlyer, clock: ManualClock, owner: str) -> Runner:
    """Return what runs audiences in a process of that name."""
    return Runner(cohorts, door, door, clock, Keyring(b"a secret of sixteen characters"), owner=owner)


async def test_a_run_that_lost_its_lease_sends_nothing_more_and_another_goes_on(store, cohorts):
    """Its first request was answered; the answer changes nothing, the other sends that member again, and all are in."""
    members = [Member((key(n),), (key(f"phone {n}"),), "gaid", f"gaid-{n}", who=n) for n in ("ada", "bob")]
    changes = tuple(MemberChange("shop", "spenders", NOW_MS, True, one) for one in members)
    persons = tuple(Person(one.persons + one.marks) for one in members)
    await store.file(
        [Filing(envelope(source=Source.COHORT), Apply("cohort"), members=changes, persons=persons)], NOW_MS
    )
    later = ManualClock(NOW_MS + LEASE_MS)
    other = AppsFlyer()
    ran = []

    async def stand_still() -> None:
        run = asyncio.create_task(runner(cohorts, other, later, "another").run(PLAN))
        while not run.done():
            await asyncio.sleep(0.01)
            later.advance(1)  # it waits between two requests
        ran.append(run.result())

    first = AppsFlyer(stand_still)
    assert await runner(cohorts, first, ManualClock(NOW_MS), "me").run(PLAN) is None
    (run,) = ran
    assert (len(first.sent), len(other.sent), run.outcome, run.added) == (1, 2, "done", 2)
    assert first.sent[0] in other.sent
    (standing,) = await cohorts.standings(NOW_MS)
    assert (standing.listed, standing.to_add, standing.running) == (2, 0, False)
