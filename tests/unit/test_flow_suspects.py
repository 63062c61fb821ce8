"""Envelopes whose processing never came to an end: processed one by one, and interrupted."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from flybridge.errors import SealBroken
from flybridge.flow import AppFlow, Flow, loop
from flybridge.identity import Keyring
from flybridge.inbox.sqlite import SqliteInbox
from flybridge.mapping.to_amplitude.map import Rules
from flybridge.records import Envelope, Media, Source
from flybridge.sealing import Seal
from flybridge.store.sqlite.store import SqliteStore
from flybridge.system.cpu_limit import CpuLimitExceeded, cpu_limit
from flybridge.testing.clocks import ManualClock

NOW_MS = 1_769_904_000_000
SEAL = Seal(b"a secret for the tests")


class Hanging(Flow):
    """A flow that never ends with a message that says so."""

    def filing(self, envelope):
        """Process one envelope."""
        if b"hang" in envelope.body:
            re.fullmatch(r"(a+)+b", "a" * 60)
        return super().filing(envelope)


def envelope(body: bytes) -> Envelope:
    """Build an envelope."""
    return Envelope("shop", Source.PUSH, Media.JSON, NOW_MS, body)


@pytest.fixture
async def backends(tmp_path: Path):
    """Return an inbox and a store in one directory."""
    inbox, store = SqliteInbox(tmp_path / "inbox.db", SEAL), SqliteStore(tmp_path / "store.db", SEAL)
    await inbox.open()
    await store.open()
    yield inbox, store
    await inbox.close()
    await store.close()


async def run(inbox, store, clock, until: int, failed=lambda _: None) -> None:
    """Run the flow until so many envelopes were filed."""
    stop, n = asyncio.Event(), 0

    def filed(filings, _):
        nonlocal n
        n += len(filings)
        if n >= until:
            stop.set()

    built = Hanging({"shop": AppFlow(Rules(app="shop", platform="ios", route="http_v2"))}, Keyring(b"0123456789abcdef"))
    async with asyncio.timeout(20):
        await loop.run(built, inbox, store, clock=clock, confirmed=clock, stop=stop, filed=filed, failed=failed)


async def test_the_message_that_hangs_becomes_a_dead_letter_and_its_neighbours_go_on(backends, monkeypatch):
    """After two leases without an end, which is what a killed process leaves."""
    monkeypatch.setattr(loop, "CPU_S", 0.2)
    inbox, store = backends
    await asyncio.gather(*(inbox.accept(envelope(body)) for body in (b'{"n": 1}', b'{"hang": 1}', b'{"n": 2}')))
    for _ in range(2):
        await inbox.lease(100, NOW_MS, 60_000)
        await inbox.reclaim()
    await run(inbox, store, ManualClock(NOW_MS), 3)
    letters = await store.dead()
    assert sorted(letter.reason for letter in letters) == ["no_event_name", "no_event_name", "too_slow"]
    assert await inbox.waiting() == {}


async def test_chunks_that_cannot_be_opened_do_not_slow_the_others(backends, tmp_path):
    """A report of them is no reason to pause."""
    inbox, store = backends
    stranger = SqliteInbox(tmp_path / "inbox.db", Seal(b"another secret"))
    await stranger.open()
    for number in range(10):
        await stranger.accept(envelope(b'{"stranger": %d}' % number))
        await inbox.accept(envelope(b'{"n": %d}' % number))
    await stranger.close()
    problems: list[Exception] = []
    began = asyncio.get_running_loop().time()
    await run(inbox, store, ManualClock(NOW_MS), 10, problems.append)
    await inbox.accept(envelope(b'{"n": 11}'))
    await run(inbox, store, ManualClock(NOW_MS), 1, problems.append)
    assert asyncio.get_running_loop().time() - began < 1
    assert problems
    assert {type(problem) for problem in problems} == {SealBroken}


def test_the_limit_interrupts_what_uses_too_much_processor_time():
    """Also inside a regular expression, and whatever the code catches."""

    def endless() -> None:
        try:
            re.fullmatch(r"(a+)+b", "a" * 60)
        except Exception:
            pytest.fail("the limited code caught its limit")

    with pytest.raises(CpuLimitExceeded), cpu_limit(0.1):
        endless()


def test_the_limit_is_gone_after_its_block():
    """What follows may take as long as it needs."""
    with cpu_limit(0.05):
        pass
    assert sum(i * i for i in range(2_000_000)) > 0
