"""People are notified once until something changes, on every store: over restarts, and by one of many processes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flybridge.errors import StoreUnavailable
from flybridge.notifications.channel import NotSent
from flybridge.notifications.concern import RANK, Concern, Notified, Settling, after, news
from flybridge.notifications.notifier import LOOK_S, TURN_MS, WAITS_MS, Notifier, read_states
from flybridge.notifications.settings import Notify
from flybridge.testing.clocks import ManualClock

STOPPED = Concern("a", "audience", "bad", "The audience buyers of shop has stopped.", "/audiences", "stopped")
DEAD = Concern("d", "dead", "warn", "12 events could not be processed or delivered.", "/dead", "2")
FOUND = Concern("f", "source_silent", "finding", "A source went silent.", "/differences")
SOON = Notify(after_minutes=0)


class Heard:
    """A channel that keeps what it is given. With `broken` nothing arrives."""

    def __init__(self, name: str = "email") -> None:
        self.name = name
        self.messages = []
        self.tried = 0
        self.broken = ""

    async def send(self, message) -> None:
        self.tried += 1
        if self.broken:
            raise NotSent(self.broken)
        self.messages.append(message)


class World:
    """What is wrong at the moment, and processes that tell of it."""

    def __init__(self, store, clock) -> None:
        self.store = store
        self.clock = clock
        self.present = []
        self.channel = Heard()
        self.outcomes = []

    async def read(self):
        return list(self.present)

    def process(self, holder: str = "alone", store=None, settings: Notify = SOON, channels=None) -> Notifier:
        """Return one process."""
        return Notifier(
            store or self.store, channels or [self.channel], self.read, settings, clock=self.clock, holder=holder,
            sent=lambda *one: self.outcomes.append(one),
        )  # fmt: skip

    def said(self):
        """Return what was notified since the last call: what began, changed and ended, of each message."""
        messages, self.channel.messages = self.channel.messages, []
        return [
            (
                [one.key for one in message.news.began],
                [one.key for one in message.news.changed],
                [one.concern.key for one in message.news.ended],
            )
            for message in messages
        ]


@pytest.fixture
def world(store):
    return World(store, ManualClock())


async def test_a_condition_is_told_once_until_it_changes_and_once_when_it_is_over(world):
    """Its numbers may move with every reading."""
    process = world.process()
    world.present = [STOPPED, DEAD]
    await process.look()
    assert world.said() == [(["a", "d"], [], [])]
    for n in (13, 14, 99):
        world.clock.advance(LOOK_S)
        world.present = [STOPPED, Concern("d", "dead", "warn", f"{n} events could not be delivered.", "/dead", "2")]
        await process.look()
    assert world.said() == []
    world.present = [STOPPED, Concern("d", "dead", "warn", "100 events could not be delivered.", "/dead", "3")]
    await process.look()
    assert world.said() == [([], ["d"], [])]
    world.present = []
    await process.look()
    assert world.said() == [([], [], ["a", "d"])]
    await process.look()
    assert world.said() == []


async def test_what_becomes_worse_is_told_and_what_becomes_milder_is_not_over(world):
    """A lane that is halted, tries again after a restart, and is halted again says nothing new."""
    mild, bad = Concern("l", "lane", "warn", "Retries."), Concern("l", "lane", "bad", "Halted.", "", "key")
    process = world.process()
    for present, notified in [
        ([mild], [(["l"], [], [])]),
        ([bad], [([], ["l"], [])]),
        ([mild], []),
        ([bad], []),
        ([Concern("l", "lane", "bad", "Halted.", "", "firewall")], [([], ["l"], [])]),
        ([mild], []),
        ([], [([], [], ["l"])]),
    ]:
        world.present = present
        await process.look()
        assert world.said() == notified


async def test_neither_a_restart_nor_another_process_tells_it_again(world, open_store):
    """What was notified stands in the store."""
    world.present = [STOPPED]
    await world.process("one").look()
    assert world.said() == [(["a"], [], [])]
    await world.process("one").look()
    world.clock.advance(TURN_MS / 1000)
    other = world.process("two", await open_store())
    await other.look()
    assert world.said() == []
    world.present = []
    await other.look()
    assert world.said() == [([], [], ["a"])]


async def test_one_process_of_many_tells(world, open_store):
    """They look at the same time, over and over, and one after the other goes away."""
    processes = [world.process(str(n), await open_store()) for n in range(3)]
    for n in range(4):
        world.present = [Concern(f"c{n}", "dead", "bad", "Another one.")]
        await asyncio.gather(*(one.look() for one in processes))
        assert world.said() == [([f"c{n}"], [], [f"c{n - 1}"] if n else [])]
        if n == 1:
            processes.pop(0)
            world.clock.advance(TURN_MS / 1000)


async def test_a_process_that_ends_in_order_lets_the_next_one_go_on_at_once(world, open_store):
    """Without waiting for its lease to lapse."""
    stop, first = asyncio.Event(), world.process("one")
    world.present = [STOPPED]
    running = asyncio.create_task(first.run(stop, pytest.fail))
    while not world.channel.messages:  # noqa: ASYNC110 - it happens in another task
        await asyncio.sleep(0.01)
    stop.set()
    await running
    world.present = []
    await world.process("two", await open_store()).look()
    assert world.said() == [(["a"], [], []), ([], [], ["a"])]


async def test_the_five_worst_are_told_and_findings_beside_them(world):
    """The others follow when there is room, and are counted meanwhile."""
    process = world.process()
    many = [Concern(f"w{n}", "dead", "warn", "Look.") for n in range(5)]
    bad = [Concern(f"b{n}", "audience", "bad", "Act.") for n in range(2)]
    world.present = [*many, *bad, FOUND]
    await process.look()
    (message,) = world.channel.messages
    assert world.said() == [(["b0", "b1", "w0", "w1", "w2", "f"], [], [])]
    assert message.others == 2
    world.present = [*many, FOUND]
    await process.look()
    assert world.said() == [(["w3", "w4"], [], ["b0", "b1"])]


@pytest.mark.parametrize(
    ("chosen", "notified"),
    [
        ({}, ["a", "d", "f"]),
        ({"warnings": False}, ["a", "f"]),
        ({"findings": False}, ["a", "d"]),
        ({"warnings": False, "findings": False}, ["a"]),
    ],
)
async def test_what_is_told_can_be_chosen(world, chosen, notified):
    """What needs an operator always is."""
    world.present = [STOPPED, DEAD, FOUND]
    await world.process(settings=Notify(after_minutes=0, **chosen)).look()
    assert world.said() == [(notified, [], [])]


async def test_what_comes_and_goes_is_not_told(world):
    """A condition has to last for a while, and to be over for as long."""
    process = world.process(settings=Notify(after_minutes=1))
    for _ in range(10):
        for present in ([STOPPED], []):
            world.present = present
            await process.look()
            world.clock.advance(30)
    assert world.said() == []
    world.present = [STOPPED]
    await process.look()
    world.clock.advance(60)
    await process.look()
    assert world.said() == [(["a"], [], [])]
    for _ in range(10):
        for present in ([], [STOPPED]):
            world.present = present
            await process.look()
            world.clock.advance(30)
    assert world.said() == []


async def test_nothing_is_sent_in_quiet_hours(world):
    """Then it is notified if it is not over; what needs an operator may be excepted."""
    # The clock begins at midnight.
    process = world.process(settings=Notify(after_minutes=0, quiet_from="22:00", quiet_to="07:00"))
    world.present = [STOPPED, DEAD]
    await process.look()
    world.clock.advance(3600)
    world.present = [DEAD]
    await process.look()
    assert world.channel.tried == 0
    world.clock.advance(6 * 3600)
    await process.look()
    assert world.said() == [(["d"], [], [])]


async def test_what_needs_an_operator_may_be_told_in_quiet_hours(world):
    """What only should be looked at waits for their end."""
    chosen = Notify(after_minutes=0, quiet_from="22:00", quiet_to="07:00", urgent_in_quiet_hours=True)
    process = world.process(settings=chosen)
    world.present = [DEAD]
    await process.look()
    assert world.said() == []
    world.present = [DEAD, STOPPED]
    await process.look()
    assert world.said() == [(["a", "d"], [], [])]


async def test_tries_are_bounded_and_survive_a_restart(world):
    """Each after a longer wait, with the same id; then it is given up until something changes."""
    world.channel.broken = "mail.example.com:587 answered 451."
    world.present = [STOPPED]
    tried = []
    for _ in range(int(sum(WAITS_MS) / 1000 / 60) + 120):
        await world.process().look()  # each time as after a restart
        tried.append(world.channel.tried)
        world.clock.advance(60)
    assert world.channel.tried == len(WAITS_MS) + 1
    assert tried[0] == 1
    assert [outcome for _, outcome, _ in world.outcomes] == ["failed"] * len(WAITS_MS) + ["given_up"]
    states = await read_states(world.store)
    assert states["email"].problem == world.channel.broken
    world.channel.broken = ""
    world.present = []
    await world.process().look()
    assert world.said() == [([], [], ["a"])]
    assert (await read_states(world.store))["email"].problem == ""


async def test_the_same_message_has_the_same_id(world):
    """So that a receiver knows one that comes twice because its answer, or the process, was lost."""
    world.present = [STOPPED]

    class Dying(Heard):
        async def send(self, message) -> None:
            await super().send(message)
            raise asyncio.CancelledError

    dying = Dying()
    with pytest.raises(asyncio.CancelledError):
        await world.process(channels=[dying]).look()
    await world.process().look()
    assert dying.messages[0].id == world.channel.messages[0].id
    world.present = []
    await world.process().look()
    assert world.channel.messages[1].id != world.channel.messages[0].id


async def test_channels_do_not_hold_each_other_up(world):
    """One that is broken has a condition of its own, which it can't tell itself."""
    other = Heard("slack")
    world.channel.broken = "no"
    process = world.process(channels=[world.channel, other])
    world.present = [STOPPED]
    await process.look()
    assert [len(world.channel.messages), len(other.messages)] == [0, 1]


async def test_a_store_that_is_away_is_told_from_memory(world):
    """By the process whose turn it was; and that it is back, even if another process has the turn by then."""

    class Away:
        def __init__(self, store) -> None:
            self.store, self.away = store, False

        def __getattr__(self, name):
            if self.away:
                raise StoreUnavailable("no connection")
            return getattr(self.store, name)

    store = Away(world.store)
    process = world.process("one", store)
    world.present = [STOPPED]
    await process.look()
    assert world.said() == [(["a"], [], [])]
    store.away = True
    for _ in range(3):
        world.clock.advance(LOOK_S)
        await process.look()
    (message,) = world.channel.messages
    assert "store" in message.news.began[0].sentence
    assert message.news.ended == []
    world.said()
    store.away = False
    world.clock.advance(TURN_MS / 1000)
    await world.process("two").look()
    await process.look()
    (message,) = world.channel.messages
    assert "store" in message.news.ended[0].concern.sentence


KEYS = st.sampled_from("abcdefgh")
PRESENT = st.dictionaries(KEYS, st.tuples(st.sampled_from(["bad", "warn", "finding"]), st.sampled_from("12")))


@given(st.lists(PRESENT, max_size=8))
def test_what_was_told_always_follows_what_is_there(looks):
    """Nothing is notified that is not new; in the end only what is there, and all of it that may be, is notified."""
    notified: dict[str, Notified] = {}
    settling = Settling(0)
    for now_ms, present in enumerate(looks, 1):
        concerns = [Concern(key, "kind", level, "Text.", "", state) for key, (level, state) in present.items()]
        settled, gone = settling.look(concerns, notified, now_ms)
        found = news(notified, settled, gone, warnings=True, findings=True)
        assert not {one.key for one in found.began} & notified.keys()
        assert all(notified[one.key].concern.standing != one.standing for one in found.changed)
        assert all(one.concern.key not in present for one in found.ended)
        notified = after(notified, found, now_ms)
        assert notified.keys() <= present.keys()
        for key, one in notified.items():
            level, state = present[key]
            assert one.concern.standing == f"{level}/{state}" or RANK[level] > RANK[one.concern.level]
        settled, gone = settling.look(concerns, notified, now_ms)
        assert not news(notified, settled, gone, warnings=True, findings=True)
        assert {one.key for one in concerns if one.level == "finding"} <= notified.keys()
