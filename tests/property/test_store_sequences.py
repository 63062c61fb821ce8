"""Whatever the order of what happens, the store stands where a dictionary of thirty lines says it stands."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from flybridge.records import Apply, Dead, Deliver, Envelope, Filing, Filter, Hold, Media, Sighting, Source, content_key
from flybridge.store.records import Capacity, Lane, Settlement

START_MS = 1_764_000_000_000
LANE = Lane("shop", "http_v2")
LEASE_MS = 10
STATES = Path(__file__).parents[2] / "docs" / "states.md"

names = st.sampled_from("abc")
decisions = st.one_of(
    st.tuples(st.just("deliver")),
    st.tuples(st.just("hold"), st.sets(names, min_size=1), st.integers(0, 30)),
    st.tuples(st.just("see"), st.sets(names)),
    st.tuples(st.just("filter")),
    st.tuples(st.just("dead")),
)
verdicts = st.sampled_from(("delivered", "due", "dead", "parked"))
filings = st.tuples(st.integers(0, 40), decisions, st.none() | names, st.sampled_from((0, 1, 7, 1000)))
rooms = st.none() | st.tuples(st.sampled_from("xy"), st.integers(1, 4), st.booleans())


def key(name: str) -> bytes:
    """Build a matching key."""
    return content_key(name.encode())


def filing(receipt: str, what: tuple, now_ms: int, **fields) -> Filing:
    """Build a filing whose item, if it has one, is named by its receipt."""
    item = Deliver("http_v2", receipt, "install", receipt.encode(), "direct")
    sightings: tuple[Sighting, ...] = ()
    match what:
        case ("deliver",):
            decision = item
        case ("hold", keys, window_ms):
            decision = Hold(item, tuple(map(key, sorted(keys))), ("idfa",), now_ms, now_ms + window_ms)
        case ("see", keys):
            decision = Apply()
            sightings = tuple(Sighting("shop", key(k), "idfa", now_ms, f"user-{k}", None) for k in keys)
        case ("filter",):
            decision = Filter("f")
        case ("dead",):
            decision = Dead("map", "m", "", "")
    envelope = Envelope("shop", Source.PUSH, Media.JSON, now_ms, b"{}", receipt)
    return Filing(envelope, decision, sightings=sightings, **fields)


def documented() -> set[tuple[str, str]]:
    """Read the moves between outcomes that docs/states.md allows."""
    section = STATES.read_text().split("## Envelopes")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \| .* \| `(\w+)` \|$", section, re.MULTILINE))


class Sequences(RuleBasedStateMachine):
    """Drives a store and a model of it through the same sequence."""

    def __init__(self, new_place) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.place = new_place()
        self.store = self.do(self.place.__aenter__())()
        self.do(self.store.open())
        self.now_ms = START_MS
        self.lines: dict[str, str] = {}
        self.before: dict[str, str] = {}
        self.seen: dict[str, int] = {}
        self.sighted: set[str] = set()
        self.holds: dict[str, tuple[set[str], int]] = {}
        self.leased: dict[int, list] = {}  # id -> [receipt, owner, until_ms, begun]
        self.delivered: Counter[str] = Counter()
        self.allowed = documented()

    def do(self, verb):
        """Run one verb to its end."""
        return self.runner.run(verb)

    def file(self, batch: list[tuple[str, tuple, str | None, int]], *, replayed: bool, room=None) -> None:
        """File into store and model, with room for some at a worker, or with none."""
        built = [
            filing(
                receipt,
                what,
                self.now_ms,
                key=None if same is None else key(same),
                key_until_ms=self.now_ms + remembered,
                replayed=replayed,
            )
            for receipt, what, same, remembered in batch
        ]
        capacity = [] if room is None else [Capacity(LANE, room[1], room[0], self.now_ms + LEASE_MS, begins=room[2])]
        filed = self.do(self.store.file(built, self.now_ms, capacity))
        effective, met = [], set()
        for receipt, what, same, remembered in batch:
            if receipt in met or (self.lines.get(receipt) != "dead" if replayed else receipt in self.lines):
                continue
            met.add(receipt)
            if same is not None and self.seen.get(same, 0) > self.now_ms and not replayed:
                self.lines[receipt] = "duplicate"
                continue
            if same is not None:
                self.seen[same] = max(self.seen.get(same, 0), self.now_ms + remembered)
            effective.append((receipt, what))
        for _, what in effective:
            if what[0] == "see":
                self.sighted |= what[1]
        released = [
            receipt
            for receipt, (keys, expires_ms) in self.holds.items()
            if keys & self.sighted and expires_ms > self.now_ms
        ]
        for receipt in released:
            self.lines[receipt] = "pending"
            del self.holds[receipt]
        for receipt, what in effective:
            self.lines[receipt] = self.outcome(receipt, what)
        there = [receipt for receipt, what in effective if what[0] == "deliver"]
        matched = [receipt for receipt, what in effective if what[0] == "hold" and self.lines[receipt] == "pending"]
        there += [] if replayed or released else matched
        assert [one.insert_id for one in filed.leased] == (there[: room[1]] if room else [])
        assert filed.matched == len(released) + len(matched)
        for one in filed.leased:
            assert (one.body, one.tries) == (one.insert_id.encode(), 0)
            assert one.user_id == "direct" or (one.insert_id in matched and one.user_id.startswith("user-"))
            self.leased[one.id] = [one.insert_id, room[0], self.now_ms + LEASE_MS, False]

    def outcome(self, receipt: str, what: tuple) -> str:
        """Say where an effective filing stands at first."""
        if what[0] != "hold":
            return {"deliver": "pending", "see": "applied", "filter": "filtered", "dead": "dead"}[what[0]]
        _, keys, window_ms = what
        if keys & self.sighted:
            return "pending"
        if window_ms == 0:
            return "expired"
        self.holds[receipt] = (keys, self.now_ms + window_ms)
        return "held"

    @rule(batch=st.lists(filings, min_size=1, max_size=6), room=rooms)
    def files(self, batch, room) -> None:
        """Envelopes arrive; some of them were filed before."""
        self.file([(f"r{number}", *rest) for number, *rest in batch], replayed=False, room=room)

    @rule(batch=st.lists(filings, min_size=1, max_size=3), room=rooms)
    def replays(self, batch, room) -> None:
        """Somebody replays letters, dead ones or not."""
        letters = self.do(self.store.take_dead([letter.id for letter in self.do(self.store.dead())]))
        receipts = [letter.receipt for letter in letters]
        chosen = [receipts[number % len(receipts)] if receipts else f"r{number}" for number, *_ in batch]
        again = [(receipt, *rest) for receipt, (_, *rest) in zip(chosen, batch, strict=True)]
        self.file(again, replayed=True, room=room)

    @rule(ms=st.integers(1, 15))
    def time_passes(self, ms: int) -> None:
        """The clock goes on."""
        self.now_ms += ms

    @rule(limit=st.integers(1, 4), owner=st.sampled_from("xy"))
    def leases(self, limit: int, owner: str) -> None:
        """A worker takes work: only what is pending, and what nobody has."""
        for delivery in self.do(self.store.lease(LANE, limit, self.now_ms, LEASE_MS, owner)):
            assert self.lines[delivery.insert_id] == "pending"
            assert delivery.insert_id not in {held[0] for held in self.leased.values()}
            assert delivery.body == delivery.insert_id.encode()
            assert delivery.user_id
            self.leased[delivery.id] = [delivery.insert_id, owner, self.now_ms + LEASE_MS, False]

    @rule(owner=st.sampled_from("xy"))
    def begins(self, owner: str) -> None:
        """A worker is about to send all it has."""
        owned = [i for i, held in self.leased.items() if held[1] == owner]
        assert self.do(self.store.begin(list(self.leased), owner)) == owned
        for i in owned:
            self.leased[i][3] = True

    @rule(
        states=st.lists(st.sampled_from(("delivered", "due", "dead", "parked")), max_size=4),
        owner=st.sampled_from("xy"),
    )
    def settles(self, states: list[str], owner: str) -> None:
        """A worker settles, its own deliveries and by mistake somebody else's."""
        given = [Settlement(i, state, due_ms=self.now_ms + 3) for i, state in zip(self.leased, states, strict=False)]
        settled = self.do(self.store.settle(given, owner, self.now_ms))
        own = [verdict for verdict in given if self.leased[verdict.id][1] == owner]
        assert (settled.settled, settled.stale) == (len(own), len(given) - len(own))
        for verdict in own:
            receipt = self.leased.pop(verdict.id)[0]
            outcome = {"delivered": "delivered", "due": "pending"}.get(verdict.state, "dead")
            self.lines[receipt] = outcome
            self.delivered[receipt] += outcome == "delivered"

    @rule(owner=st.sampled_from("xy"), but=st.none() | st.integers(0, 5))
    def delivers(self, owner: str, but: int | None) -> None:
        """All that a worker has is delivered, or all but one."""
        mine = [i for i, held in self.leased.items() if held[1] == owner]
        given = [Settlement(i, "delivered") for at, i in enumerate(mine) if at != but]
        assert self.do(self.store.settle(given, owner, self.now_ms)).settled == len(given)
        for one in given:
            receipt = self.leased.pop(one.id)[0]
            self.lines[receipt] = "delivered"
            self.delivered[receipt] += 1

    @rule(resend=st.booleans(), owner=st.none() | st.sampled_from("xy"))
    def rescues(self, resend: bool, owner: str | None) -> None:
        """Leases are taken back, exactly those that lapsed or were the owner's."""
        rescued = self.do(self.store.rescue(self.now_ms, owner=owner, resend_uncertain=resend))
        back = {i: h for i, h in self.leased.items() if (h[2] <= self.now_ms if owner is None else h[1] == owner)}
        begun = {i for i, held in back.items() if held[3]}
        parked = set() if resend else begun
        expected = (len(back) - len(begun), len(begun) - len(parked), len(parked))
        assert (rescued.returned, rescued.uncertain, rescued.parked) == expected
        for i in back:
            receipt = self.leased.pop(i)[0]
            if i in parked:
                self.lines[receipt] = "dead"

    @rule()
    def expires(self) -> None:
        """Holds end exactly when their window does."""
        over = [receipt for receipt, (_, expires_ms) in self.holds.items() if expires_ms <= self.now_ms]
        assert self.do(self.store.expire(self.now_ms)) == len(over)
        for receipt in over:
            del self.holds[receipt]
            self.lines[receipt] = "expired"

    @rule()
    def redelivers(self) -> None:
        """Every dead delivery is tried once more, and nothing else."""
        letters = self.do(self.store.dead())
        dead = [letter.receipt for letter in letters if letter.stage == "deliver"]
        assert self.do(self.store.redeliver([letter.id for letter in letters], self.now_ms)) == len(dead)
        for receipt in dead:
            self.lines[receipt] = "pending"

    @invariant()
    def stands_where_the_model_stands(self) -> None:
        """Line by line; the counters add up to the receipts; nothing moved in a way the documentation lacks."""
        ledger = self.do(self.read())
        assert self.lines == ledger
        counts = self.do(self.store.counts())
        totals: Counter[str] = Counter()
        for count in counts:
            totals[count.outcome] += count.n
        assert totals == Counter(ledger.values())
        assert self.do(self.store.audit()) == []
        moves = {(self.before.get(receipt, "received"), outcome) for receipt, outcome in ledger.items()}
        assert {move for move in moves if move[0] != move[1]} <= self.allowed
        self.before = ledger

    async def read(self) -> dict[str, str]:
        """Read the ledger."""
        return {line.receipt: line.outcome async for line in self.store.ledger()}

    def teardown(self) -> None:
        """Send all that is left: nothing was lost and nothing doubled."""
        pending = {receipt for receipt, outcome in self.lines.items() if outcome == "pending"}
        self.do(self.store.rescue(self.now_ms + 10**6))
        rest = self.do(self.store.lease(LANE, 10**6, self.now_ms + 10**6, LEASE_MS, "last"))
        self.do(self.store.close())
        self.do(self.place.__aexit__(None, None, None))
        self.runner.close()
        assert Counter(delivery.insert_id for delivery in rest) == Counter(pending)
        assert all(n <= 1 for n in self.delivered.values())


def test_any_sequence_of_events(new_place, request):
    """Nothing is lost, doubled or miscounted, and no line moves in a way that is not documented."""
    run_state_machine_as_test(
        lambda: Sequences(new_place),
        settings=settings(
            # A database of PostgreSQL takes a second for each, and differs from SQLite in its statements only.
            max_examples=15 if "postgres" in request.node.callspec.id else 40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


facts = st.lists(
    st.tuples(st.sampled_from(("hold", "see")), st.sets(names, min_size=1)),
    min_size=1,
    max_size=8,
)


async def released(new_place, batches: list[list[Filing]]) -> dict[str, str]:
    """File the batches one after the other; give the outcome of every hold."""
    async with new_place() as make:
        store = make()
        await store.open()
        for batch in batches:
            await store.file(batch, START_MS)
        outcomes = {line.receipt: line.outcome async for line in store.ledger()}
        await store.close()
        return outcomes


@given(facts=facts, data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_hold_then_sight_equals_sight_then_hold(new_place, facts, data):
    """The same holds and sightings, shuffled and cut into other batches, end the same."""
    built = [
        filing(f"r{i}", (kind, keys, 1000) if kind == "hold" else (kind, keys), START_MS)
        for i, (kind, keys) in enumerate(facts)
    ]
    shuffled = data.draw(st.permutations(built))
    cut = data.draw(st.integers(0, len(built)))
    in_order = asyncio.run(released(new_place, [[one] for one in built]))
    assert in_order == asyncio.run(released(new_place, [shuffled[:cut], shuffled[cut:]]))
