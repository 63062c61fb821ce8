"""One process per part on one directory: each does its own, says how it is, and ends in order."""

from __future__ import annotations

import asyncio
import signal

import pytest
from starting import INSTALL, NOWHERE, amplitude, bridge, devices_of_installs, refusal, until, written


@pytest.fixture
def configured(tmp_path):
    """Return a function that writes a configuration, and gives its path."""

    def write(origin=NOWHERE, drain_s=0):
        return written(tmp_path, origin, server=f"drain_s = {drain_s}")

    return write


async def test_each_part_does_its_own(configured):
    """The intake has no store and takes, the worker has no doors and delivers, the console shows both."""
    async with amplitude() as (origin, kept):
        path = configured(origin)
        async with bridge(path, "--only", "intake") as intake:
            assert await intake.push() == 200
            assert await intake.ready() == (200, {"ready": True, "part": "intake", "reasons": []})
            assert (await intake.get("/"))[0] == 404
            assert [file.name for file in (path.parent / "data").glob("*.db")] == ["inbox.db"]
            async with bridge(path, "--only", "work") as worker, bridge(path, "--only", "console") as console:
                await until(lambda: kept)
                assert await worker.ready() == (200, {"ready": True, "part": "work", "reasons": []})
                assert await console.ready() == (200, {"ready": True, "part": "console", "reasons": []})
                assert await worker.push() == 503
                assert await console.push() == 503
                assert (await worker.get("/"))[0] == 404
                status, page = await console.get("/account")
                assert status == 200
                assert "shop" in page
                assert await worker.end() == 0
                assert await console.end() == 0
            assert await intake.end() == 0
    assert devices_of_installs(kept) == ["device-of-ann"]


async def test_a_second_worker_on_a_directory_is_refused_and_a_second_intake_is_not(configured):
    """An embedded directory has one worker; senders may be spread over several doors."""
    path = configured()
    async with (
        bridge(path, "--only", "intake") as first,
        bridge(path, "--only", "intake") as second,
        bridge(path, "--only", "work"),
    ):
        assert [await first.push(), await second.push({**INSTALL, "event_time": "2026-02-01 00:00:00.000"})] == [
            200,
            200,
        ]
        assert "works on" in await refusal(path, "--only", "work")


async def test_an_intake_stops_in_order(configured):
    """First /readyz fails while the doors still take, then the process ends; asking twice hurries nothing."""
    path = configured(drain_s=2)
    async with bridge(path, "--only", "intake") as intake:
        intake.process.send_signal(signal.SIGTERM)
        for _ in range(100):
            if (found := await intake.ready())[0] != 200:
                break
            await asyncio.sleep(0.01)
        assert found == (503, {"ready": False, "part": "intake", "reasons": ["flybridge is stopping."]})
        assert await intake.push() == 200
        intake.process.send_signal(signal.SIGTERM)
        intake.process.send_signal(signal.SIGINT)
        assert await intake.process.wait() == 0


async def test_a_worker_finishes_what_is_in_flight(configured):
    """The vendor takes its time; the worker waits for the answer, settles, and leaves nothing leased."""
    gate = asyncio.Event()
    async with amplitude(gate) as (origin, kept):
        path = configured(origin)
        async with bridge(path) as whole:
            assert await whole.push() == 200
            await until(lambda: kept)
            whole.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            whole.process.send_signal(signal.SIGTERM)
            gate.set()
            assert await whole.process.wait() == 0
    from flybridge.config.settings import load
    from flybridge.service import backends

    async with backends.opened(load(path, {})) as (inbox, store):
        assert {count.outcome: count.n for count in await store.counts()} == {"delivered": 1}
        assert [depth.leased for depth in await store.depths(0)] in ([], [0])
        assert (await inbox.depth(0)).waiting == 0


async def test_a_process_that_cannot_start_says_why_and_fails(configured, tmp_path):
    """The log has a sentence."""
    path = configured()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/inbox.db").write_bytes(b"no database, but long enough to look like one" * 100)
    assert "inbox" in await refusal(path, "--only", "intake")


async def test_the_port_of_a_process_may_be_named_outside_the_file(configured):
    """Processes of one file on one machine need ports of their own."""
    from flybridge.testing.processes import free_port

    port = free_port()
    async with bridge(configured(), "--only", "console", "--port", str(port)) as console:
        assert console.origin == f"http://127.0.0.1:{port}"
