"""Turns on every store: one holder at a time, whoever asks, and nobody for longer than it said."""

from __future__ import annotations

import asyncio

from filings import NOW_MS

LEASE_MS = 60_000


async def test_one_holder_has_a_turn_until_it_lapses(store):
    """It is renewed by its holder, and free afterwards. Turns of other names are other turns."""
    assert await store.take_turn("notify", "a", NOW_MS, LEASE_MS)
    assert not await store.take_turn("notify", "b", NOW_MS + LEASE_MS - 1, LEASE_MS)
    assert await store.take_turn("other", "b", NOW_MS, LEASE_MS)
    assert await store.take_turn("notify", "a", NOW_MS + 50_000, LEASE_MS)
    assert not await store.take_turn("notify", "b", NOW_MS + LEASE_MS, LEASE_MS)
    assert await store.take_turn("notify", "b", NOW_MS + 50_000 + LEASE_MS, LEASE_MS)
    assert not await store.take_turn("notify", "a", NOW_MS + 50_000 + LEASE_MS, LEASE_MS)


async def test_a_turn_is_given_back(store):
    """A process that ends in order does not let others wait."""
    assert await store.take_turn("notify", "a", NOW_MS, LEASE_MS)
    assert await store.take_turn("notify", "a", NOW_MS + 1, 0)
    assert await store.take_turn("notify", "b", NOW_MS + 1, LEASE_MS)


async def test_a_clock_that_was_set_back_blocks_nobody(store):
    """A turn that ends later than any turn can was taken by the clock before."""
    assert await store.take_turn("notify", "a", NOW_MS + 10 * LEASE_MS, LEASE_MS)
    assert await store.take_turn("notify", "b", NOW_MS, LEASE_MS)


async def test_a_clock_that_is_a_little_behind_takes_no_turn_of_another(store):
    """As of two machines, or of a process that has waited for the other's renewal since it looked at its clock."""
    assert await store.take_turn("notify", "a", NOW_MS, LEASE_MS)
    for behind_ms in (1, 500, LEASE_MS):
        assert not await store.take_turn("notify", "b", NOW_MS - behind_ms, LEASE_MS)


async def test_of_many_that_ask_at_once_one_gets_it(store, open_store):
    """From any number of processes, as one wins in each round."""
    other = await open_store()
    for round_ in range(10):
        now_ms = NOW_MS + round_ * LEASE_MS
        asked = [(one, f"{number}") for number, one in enumerate([store, other] * 5)]
        won = await asyncio.gather(*(one.take_turn("notify", holder, now_ms, LEASE_MS) for one, holder in asked))
        assert won.count(True) == 1
