"""What every inbox guarantees (`inbox.protocol`)."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import pytest
import zstandard

from flybridge.errors import InboxUnavailable, SealBroken
from flybridge.inbox.protocol import Depth
from flybridge.records import DAY_MS, Envelope, Media, Source
from flybridge.sealing import Seal

NOW_MS = 1_764_000_000_000  # 2025-11-24
DAY = "2025-11-24"


def envelope(number: int, app: str = "shop", received_ms: int = NOW_MS) -> Envelope:
    """Build an envelope that can be told apart by its body."""
    return Envelope(app, Source.PUSH, Media.JSON, received_ms, b'{"n": %d}' % number)


async def fill(inbox, numbers) -> None:
    """Accept envelopes all at once."""
    await asyncio.gather(*(inbox.accept(envelope(number)) for number in numbers))


async def drain(inbox, now_ms: int = NOW_MS, *, ack: bool = True) -> list[Envelope]:
    """Lease until nothing waits."""
    found = []
    while leased := await inbox.lease(100, now_ms, 60_000):
        found += leased.envelopes
        if ack:
            await inbox.ack(leased)
    return found


async def test_what_was_accepted_is_given_as_it_came(inbox):
    """App, source, media, time and bytes come back unchanged, with a receipt."""
    sent = Envelope("shop", Source.STREAM, Media.QUERY, NOW_MS, b"\x00\xffa=1")
    await inbox.accept(sent)
    (got,) = await drain(inbox)
    assert (sent.app, sent.source, sent.media, sent.received_ms, sent.body) == (
        got.app,
        got.source,
        got.media,
        got.received_ms,
        got.body,
    )
    assert got.receipt


async def test_everything_accepted_together_is_given_once_and_in_order(inbox):
    """A thousand callers at once lose nothing, double nothing, and each envelope has its own receipt."""
    await fill(inbox, range(1000))
    got = await drain(inbox)
    assert [envelope(n).body for n in range(1000)] == [e.body for e in got]
    assert len({e.receipt for e in got}) == 1000


async def test_an_empty_inbox_leases_nothing(inbox):
    """None says that nothing waits."""
    assert await inbox.lease(10, NOW_MS, 1000) is None


async def test_a_lease_holds_until_its_last_millisecond(inbox):
    """A lapsed lease is given again with the same receipts, and not a millisecond early."""
    await fill(inbox, range(5))
    first = await inbox.lease(10, NOW_MS, 500)
    assert await inbox.lease(10, NOW_MS + 499, 500) is None
    again = await inbox.lease(10, NOW_MS + 500, 500)
    assert [(e.receipt, e.body) for e in first.envelopes] == [(e.receipt, e.body) for e in again.envelopes]


@pytest.mark.parametrize("back_ms", [6_000, 6 * 3_600_000, DAY_MS, 400 * DAY_MS])
async def test_a_clock_that_is_set_back_holds_up_no_lease(inbox, back_ms):
    """A lease that would begin in the future is over, so that nothing waits for a day that came twice."""
    await fill(inbox, range(5))
    await inbox.lease(10, NOW_MS, 60_000)
    now_ms = NOW_MS - back_ms
    assert (await inbox.depth(now_ms)).leased == 0
    again = await inbox.lease(10, now_ms, 60_000)
    assert [e.body for e in again.envelopes] == [envelope(n).body for n in range(5)]
    assert await inbox.lease(10, now_ms, 60_000) is None


async def test_a_small_step_of_the_clock_ends_no_lease(inbox):
    """Clocks are corrected by milliseconds all the time."""
    await fill(inbox, range(5))
    await inbox.lease(10, NOW_MS, 60_000)
    assert await inbox.lease(10, NOW_MS - 900, 60_000) is None


async def test_a_lease_says_how_often_its_chunks_were_leased_in_vain(inbox):
    """Each lease that lapses counts."""
    await fill(inbox, range(3))
    for times in range(4):
        leased = await inbox.lease(10, NOW_MS + times * 1000, 1000)
        assert leased.leases == times


async def test_an_acknowledged_envelope_is_never_given_again(inbox):
    """Not even after its lease would have lapsed."""
    await fill(inbox, range(5))
    await inbox.ack(await inbox.lease(10, NOW_MS, 500))
    assert await inbox.lease(10, NOW_MS + DAY_MS, 500) is None


async def test_a_late_acknowledgement_by_a_former_owner_is_harmless(inbox):
    """It ends what its owner has filed, touches nothing else, and the second owner's acknowledgement is empty."""
    await fill(inbox, range(3))
    former = await inbox.lease(10, NOW_MS, 500)
    present = await inbox.lease(10, NOW_MS + 500, 500)
    await inbox.accept(envelope(99))
    await inbox.ack(former)
    await inbox.ack(present)
    await inbox.ack(former)
    assert [envelope(99).body] == [e.body for e in await drain(inbox, NOW_MS + DAY_MS)]


async def test_a_lease_takes_several_groups_up_to_about_its_limit(inbox):
    """Envelopes that came one by one are leased together, but not all of them at once."""
    for number in range(20):
        await inbox.accept(envelope(number))
    leased = await inbox.lease(7, NOW_MS, 500)
    assert [envelope(n).body for n in range(7)] == [e.body for e in leased.envelopes]


async def test_two_processes_never_share_a_lease(open_inbox):
    """Whoever leases, every envelope is given once."""
    first, second = await open_inbox(), await open_inbox()
    for number in range(60):
        await first.accept(envelope(number))

    async def some(inbox):
        found = []
        while leased := await inbox.lease(3, NOW_MS, 60_000):
            found += leased.envelopes
        return found

    one, other = await asyncio.gather(some(first), some(second))
    assert Counter(envelope(n).body for n in range(60)) == Counter(e.body for e in (*one, *other))


async def test_what_one_process_accepts_another_one_leases(open_inbox):
    """Intake and workers may be different processes, and receipts never collide."""
    first, second = await open_inbox(), await open_inbox()
    await asyncio.gather(fill(first, range(30)), fill(second, range(30, 60)))
    got = await drain(second)
    assert {envelope(n).body for n in range(60)} == {e.body for e in got}
    assert len({e.receipt for e in got}) == 60


async def test_what_was_accepted_is_there_after_a_restart(open_inbox, gone):
    """Closing flushes, and opening again finds everything, leases included."""
    first = await open_inbox()
    await fill(first, range(10))
    leased = await first.lease(1, NOW_MS, 500)
    await first.close()
    second = await open_inbox()
    assert [
        e for e in await drain(second, NOW_MS, ack=False) if e.receipt in {x.receipt for x in leased.envelopes}
    ] == []
    await gone()
    assert {envelope(n).body for n in range(10)} == {e.body for e in await drain(second, NOW_MS + DAY_MS)}


async def test_closing_answers_everybody_who_waits(inbox):
    """What was handed over before the close is durable or refused, never left unanswered."""
    answers = [inbox.accept(envelope(number)) for number in range(50)]
    await inbox.close()
    assert await asyncio.gather(*answers) == [None] * 50


async def test_a_closed_inbox_refuses(inbox):
    """After the close the sender is told to try again."""
    await inbox.close()
    with pytest.raises(InboxUnavailable):
        await inbox.accept(envelope(1))


async def test_received_counts_for_ever_and_waiting_until_the_acknowledgement(inbox):
    """Both are per app and day of reception."""
    await inbox.accept(envelope(1))
    await inbox.accept(envelope(2, app="game"))
    await inbox.accept(envelope(3, received_ms=NOW_MS + DAY_MS))
    everything = {("shop", DAY): 1, ("game", DAY): 1, ("shop", "2025-11-25"): 1}
    assert everything == await inbox.received() == await inbox.waiting()
    await inbox.ack(await inbox.lease(2, NOW_MS, 500))
    assert everything == await inbox.received()
    assert await inbox.waiting() == {("shop", "2025-11-25"): 1}


async def test_depth_tells_what_waits_what_is_leased_and_since_when(inbox):
    """An empty inbox has depth zero throughout; a lapsed lease is not leased."""
    assert Depth(0, 0, 0) == await inbox.depth(NOW_MS)
    await inbox.accept(envelope(1, received_ms=NOW_MS + 3))
    await inbox.accept(envelope(2, received_ms=NOW_MS + 5))
    await inbox.lease(1, NOW_MS, 500)
    assert Depth(2, 1, NOW_MS + 3) == await inbox.depth(NOW_MS + 499)
    assert Depth(2, 0, NOW_MS + 3) == await inbox.depth(NOW_MS + 500)


async def until_oldest(inbox, received_ms: int | None) -> None:
    """Wait until this is the oldest: a stream forgets a chunk a moment after it was acknowledged."""
    for _ in range(500):
        if (found := await inbox.oldest_ms()) == received_ms:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(found)


async def test_the_oldest_is_known_until_it_is_acknowledged(inbox):
    """Leased or not."""
    assert await inbox.oldest_ms() is None
    await inbox.accept(envelope(1, received_ms=NOW_MS + 3))
    await inbox.accept(envelope(2, received_ms=NOW_MS + 5))
    first = await inbox.lease(1, NOW_MS, 500)
    assert await inbox.oldest_ms() == NOW_MS + 3
    await inbox.ack(first)
    await until_oldest(inbox, NOW_MS + 5)
    await inbox.ack(await inbox.lease(1, NOW_MS, 500))
    await until_oldest(inbox, None)


async def test_wait_returns_when_something_is_accepted(inbox):
    """A worker that waits for an hour is woken by the first envelope, also if it came just before the wait."""
    waiting = asyncio.create_task(inbox.wait(3600))
    await asyncio.sleep(0)
    await inbox.accept(envelope(1))
    await waiting
    await inbox.accept(envelope(2))
    await inbox.wait(3600)


async def test_wait_returns_after_its_timeout(inbox):
    """Nothing came: back all the same."""
    await inbox.wait(0.001)
    assert await inbox.lease(1, NOW_MS, 500) is None


async def test_a_caller_who_goes_away_does_not_disturb_the_others(inbox):
    """A connection that is cut while its envelope is being stored costs nobody else anything."""
    answers = [asyncio.ensure_future(inbox.accept(envelope(number))) for number in range(10)]
    answers[3].cancel()
    await asyncio.gather(*(answer for answer in answers if not answer.cancelled()), return_exceptions=True)
    await inbox.close()
    assert [answer.result() for answer in answers if not answer.cancelled()] == [None] * 9


SECRET = b"the secret of the contract suite"


class Replacing(Seal):
    """A seal that writes the given bytes in place of every chunk."""

    def __init__(self, written: bytes) -> None:
        super().__init__(SECRET)
        self._written = written

    def seal(self, clear: bytes) -> bytes:
        """Return the bytes given."""
        return self._written


def sealed(clear: bytes) -> bytes:
    """Seal with the secret of the suite."""
    return Seal(SECRET).seal(clear)


UNREADABLE = {
    "empty": lambda: b"",
    "not sealed": lambda: b"neither a nonce nor anything that was sealed",
    "not a list": lambda: sealed(msgspec.msgpack.encode({"app": "shop"})),
    "of another shape": lambda: sealed(msgspec.msgpack.encode([[1, 2, 3]])),
    "ends early": lambda: sealed(msgspec.msgpack.encode([envelope(1)])[:-3]),
    "text that is not UTF-8": lambda: sealed(
        msgspec.msgpack.encode([envelope(1, app="shop")]).replace(b"sh", b"\xff\xfe")
    ),
    "a damaged frame": lambda: sealed(zstandard.compress(b"x" * 1000)[:-2]),
    "a frame of exabytes": lambda: sealed(zstandard.FRAME_HEADER + b"\xe0" + b"\xff" * 7 + b"\x0f" + b"\x01\x00\x00"),
}


async def read_all(inbox, now_ms: int, want: int) -> tuple[list[bytes], list[str]]:
    """Lease and acknowledge as a worker does, for a few times; return the bodies and what was reported."""
    bodies, reported = [], []
    for _ in range(12):
        try:
            leased = await inbox.lease(2, now_ms, 60_000)
        except SealBroken as problem:
            reported.append(str(problem))
            continue
        if leased is not None:
            bodies += [e.body for e in leased.envelopes]
            await inbox.ack(leased)
        elif reported and len(bodies) >= want:
            break
    return bodies, reported


@pytest.mark.parametrize("kind", UNREADABLE)
async def test_a_chunk_that_cannot_be_opened_is_reported_and_kept_while_the_others_go_on(open_inbox, kind):
    """Whatever is wrong with it, its neighbours are leased at once, and an error says whose messages wait."""
    inbox, damaging = await open_inbox(), await open_inbox(Replacing(UNREADABLE[kind]()))
    await inbox.accept(envelope(1))
    await damaging.accept(envelope(2))
    await inbox.accept(envelope(3))
    bodies, reported = await read_all(inbox, NOW_MS, 2)
    assert bodies == [envelope(1).body, envelope(3).body]
    assert reported
    assert all("1 message of shop received on 2025-11-24" in text for text in reported)
    assert await inbox.waiting() == {("shop", DAY): 1}
    assert (await inbox.depth(NOW_MS)).unreadable == 1
    await until_oldest(inbox, None)
    await inbox.accept(envelope(4, received_ms=NOW_MS + 4))
    assert await inbox.oldest_ms() == NOW_MS + 4
    await inbox.ack(await inbox.lease(1, NOW_MS, 500))
    (found,) = await inbox.damaged()
    assert [tuple(one) for one in found.tally] == [("shop", DAY, 1)]
    for _ in range(2):  # the second time it is gone, which is no error
        await inbox.drop(found)
    assert await inbox.damaged() == []
    assert await inbox.waiting() == {}
    assert await inbox.received() == {("shop", DAY): 4}


async def test_chunks_of_another_secret_hold_up_nothing_and_are_given_once_it_is_known(open_inbox, gone):
    """More of them than a lease takes, before and between the others; all are counted, and none is lost."""
    inbox, stranger = await open_inbox(), await open_inbox(Seal(b"another secret"))
    for number in range(15):
        await stranger.accept(envelope(number))
        if number % 5 == 4:
            await inbox.accept(envelope(100 + number))
    bodies, reported = await read_all(inbox, NOW_MS, 3)
    assert bodies == [envelope(n).body for n in (104, 109, 114)]
    assert all("former_secrets" in text for text in reported)
    assert sum(int(text.split()[0]) for text in reported) >= 15
    assert await inbox.waiting() == {("shop", DAY): 15}
    assert (await inbox.depth(NOW_MS)).unreadable == 15
    await inbox.close()
    await gone()
    both = await open_inbox(Seal(SECRET, b"another secret"))
    assert Counter(e.body for e in await drain(both, NOW_MS + DAY_MS)) == Counter(envelope(n).body for n in range(15))
    assert (await both.depth(NOW_MS + DAY_MS)).unreadable == 0
