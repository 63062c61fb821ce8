"""Whatever comes in whatever order, and wherever it breaks off: in the end AppsFlyer's audience is the last truth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import NAMESPACE_DNS, uuid5

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audience_rules import audience_rule
from flybridge.amplitude.cohort import Credentials
from flybridge.appsflyer.audience import ImportTarget
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.audiences.plan import AudiencePlan
from flybridge.audiences.run import Runner
from flybridge.audiences.schedule import targets
from flybridge.delivery.exchange import HttpRequest
from flybridge.errors import TransportError
from flybridge.flow import AppFlow, Flow
from flybridge.identity import Keyring
from flybridge.mapping.to_amplitude.map import Rules
from flybridge.records import Envelope, Media, Source
from flybridge.sandbox.server import Sandbox
from flybridge.sandbox.vendors.cohorts import CohortMember, SandboxCohort
from flybridge.store.audiences.protocol import CohortStore
from flybridge.store.lease import LEASE_MS, RENEW_S
from flybridge.store.postgres.store import PostgresCohorts, PostgresStore
from flybridge.store.protocol import Store
from flybridge.store.sqlite.store import SqliteCohorts, SqliteStore
from flybridge.testing.clocks import JumpingClock
from flybridge.testing.inside import Inside

SECRET = b"the secret of the property suite"
ORIGIN = "http://sandbox"
RULE = audience_rule("shop", "spenders", "c1", "gaid", cadence="hourly", max_shrink_percent=100)
APP = AppFlow(Rules(app="shop", platform="android", route="http_v2"), audiences=(RULE,))
PEOPLE = "abcdefg"
PHONES = {name: str(uuid5(NAMESPACE_DNS, "fg" if name in "fg" else name)) for name in PEOPLE}  # f and g share one


MakeStore = Callable[[], Store]
NewPlace = Callable[[], AbstractAsyncContextManager[MakeStore]]


class Killed(Exception):
    """The process died in the middle of a request."""


class World:
    """Amplitude, AppsFlyer, and a flybridge between them that may die at any request."""

    def __init__(self, make: MakeStore, *, downloads: bool) -> None:
        self.clock = JumpingClock(endless_s={RENEW_S})
        self.sandbox = Sandbox(self.clock)
        self.sandbox.audiences.max_devices = 3
        self.sandbox.cohorts.small_rows = 2
        self.doors = Inside(self.sandbox, piece=40)
        account = Credentials(ORIGIN, "key", "secret") if downloads else None
        audience = ImportTarget(AppsFlyerAccount("com.example.shop", "token", ORIGIN), "android", "import")
        self.plan = AudiencePlan(RULE, audience, account)
        self.truth: set[str] = set()
        self.late: list[bytes] = []
        self.receipts = 0
        self._make = make
        self._flow = Flow({"shop": APP}, Keyring(SECRET))

    async def start(self) -> None:
        """Start flybridge, as after a crash: under another name, when the lease of the former has lapsed."""
        self.store = self._make()
        self.cohorts = cohorts_of(self.store)
        await self.store.open()
        await self.cohorts.open()
        self.clock.advance(LEASE_MS / 1000)
        self.runner = Runner(self.cohorts, self.doors, self.doors, self.clock, Keyring(SECRET), jitter=lambda: 0.5)
        await self.cohorts.keep(targets({("shop", "spenders"): self.plan}, self.clock.now_ms()))

    async def stop(self) -> None:
        """Close the files; whatever was not committed is gone."""
        await self.cohorts.close()
        await self.store.close()

    def change(self, names: str) -> None:
        """Let people enter who were out and leave who were in; Amplitude will say so at some time."""
        self.clock.advance(2)
        for entering in (True, False):
            moved = [name for name in sorted(set(names)) if (name in self.truth) is not entering]
            if moved:
                self.late.append(self.message(moved, entering=entering))
        self.truth ^= set(names)
        members = [CohortMember(name, ord(name), {"gaid": PHONES[name]}) for name in sorted(self.truth)]
        self.sandbox.cohorts.put("key", SandboxCohort("c1", "Spenders", members))

    def message(self, names: list[str], *, entering: bool) -> bytes:
        """Build what Amplitude's webhook sends."""
        self.receipts += 1
        users = [{"user_id": name, "user_properties": {"gaid": PHONES[name]} if entering else {}} for name in names]
        fields = {"cohort_name": "Spenders", "cohort_id": "c1", "in_cohort": entering, "users": users}
        fields |= {"computed_time": str(self.clock.now_ms() // 1000), "message_id": f"m{self.receipts}"}
        return json.dumps(fields).encode()

    async def deliver(self, body: bytes) -> None:
        """Take a message in, as often as it comes."""
        self.receipts += 1
        envelope = Envelope("shop", Source.COHORT, Media.JSON, self.clock.now_ms(), body, f"r{self.receipts}")
        await self.store.file(self._flow.filings([envelope]), self.clock.now_ms())

    async def run(self, trouble: Callable[[HttpRequest], None] | None = None, *, after: bool = False) -> None:
        """Run the audience once; `trouble` raises before a request arrives, or when its answer is lost."""
        calm: Callable[[HttpRequest], None] = lambda _: None  # noqa: E731 - nothing
        self.doors.before, self.doors.after = calm, calm
        if trouble is not None:
            setattr(self.doors, "after" if after else "before", trouble)
        try:
            await self.runner.run(self.plan)
        except Killed:
            await self.stop()
            await self.start()
        self.clock.advance(1)

    @property
    def listed(self) -> set[str]:
        """Return what AppsFlyer has."""
        return {value for _, value in self.sandbox.audiences.listed["import"]}


def at(number: int, error: Exception) -> Callable[[HttpRequest], None]:
    """Raise at the request of that number."""
    seen = 0

    def trouble(_: HttpRequest) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise error

    return trouble


names = st.text(PEOPLE, min_size=1, max_size=5)
steps = st.one_of(
    st.tuples(st.just("change"), names),
    st.tuples(st.just("deliver"), st.integers(0, 20), st.booleans()),
    st.tuples(st.just("run")),
    st.tuples(st.just("lost"), st.integers(1, 8), st.booleans()),
    st.tuples(st.just("killed"), st.integers(1, 8), st.booleans()),
)


def cohorts_of(store: Store) -> CohortStore:
    """Return the cohorts that lie beside a store."""
    if isinstance(store, PostgresStore):
        return PostgresCohorts(store._place, store._seal)
    assert isinstance(store, SqliteStore)
    return SqliteCohorts(store._place, store._seal)


async def play(sequence: list[tuple], new_place: NewPlace, *, downloads: bool) -> None:
    """Play a sequence; then let everything arrive, run without trouble, and compare."""
    async with new_place() as make:
        world = World(make, downloads=downloads)
        await world.start()
        try:
            for step in sequence:
                match step:
                    case ("change", people):
                        world.change(people)
                    case ("deliver", number, again) if world.late:
                        body = world.late[number % len(world.late)]
                        await world.deliver(body)
                        if not again:
                            world.late.remove(body)
                    case ("run",):
                        await world.run()
                    case ("lost", number, after):
                        lost = TransportError("lost", maybe_applied=after)
                        await world.run(at(number, lost), after=after)
                    case ("killed", number, after):
                        await world.run(at(number, Killed()), after=after)
            for body in world.late:
                await world.deliver(body)
            world.clock.advance(3600)
            await world.run()
            assert world.listed == {PHONES[name] for name in world.truth}
            (standing,) = await world.cohorts.standings(world.clock.now_ms())
            assert (standing.to_add, standing.to_remove, standing.people) == (0, 0, len(world.truth))
            assert standing.listed == len(world.listed)
            assert await world.cohorts.audit() == []
            assert await world.store.audit() == []
        finally:
            await world.stop()


FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


sqlite = pytest.mark.parametrize("new_place", ["sqlite"], indirect=True)
postgres = pytest.mark.parametrize("new_place", [pytest.param("postgres", marks=pytest.mark.service)], indirect=True)


@sqlite
@FEW
@given(sequence=st.lists(steps, max_size=25))
def test_what_amplitude_sends_converges(sequence, new_place):
    """Increments in any order, repeated, with crashes and lost answers between them."""
    asyncio.run(play(sequence, new_place, downloads=False))


@sqlite
@FEW
@given(sequence=st.lists(steps, max_size=25))
def test_what_is_downloaded_converges_with_what_is_sent(sequence, new_place):
    """The same with whole cohorts in between: a snapshot and a message about the same person agree in the end."""
    asyncio.run(play(sequence, new_place, downloads=True))


@postgres
@settings(FEW, max_examples=20)
@given(sequence=st.lists(steps, max_size=25), downloads=st.booleans())
def test_it_converges_on_a_server_as_well(sequence, new_place, downloads):
    """Both ways; a server takes longer for each step, so there are fewer."""
    asyncio.run(play(sequence, new_place, downloads=downloads))
