"""The sender of the demo sends again what the vendors would send again, and nothing else."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from flybridge.demo.sender import RETRIES, SPACING_S, Outgoing, PushRetries, Sender
from flybridge.testing.clocks import JumpingClock
from flybridge.testing.processes import free_port

PUSH, STREAM = "/v1/push/shop", "/v1/stream/shop"


@asynccontextmanager
async def answering(*statuses: int):
    """Answer with these statuses, then with 200; yield the origin and the paths that were asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        status = statuses[len(asked) - 1] if len(asked) <= len(statuses) else 200
        return web.Response(status=status)

    application = web.Application()
    application.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}", asked
    finally:
        await runner.cleanup()


async def sent(path: str, retries: PushRetries, *statuses: int) -> tuple[Sender, list[str], list[float]]:
    """Send one message; return the sender, what was asked, and how long it slept in between."""
    clock = JumpingClock()
    async with answering(*statuses) as (origin, asked):
        sender = Sender(origin, connections=1, push_retries=retries, clock=clock)
        await sender.send([Outgoing(path, b"{}", {})])
    return sender, asked, clock.slept


@pytest.mark.parametrize(
    ("retries", "statuses", "tries", "lost"),
    [
        (PushRetries.NEVER, (), 1, 0),
        (PushRetries.NEVER, (503,), 1, 1),
        (PushRetries.ON_5XX, (503,), 2, 0),
        (PushRetries.ON_5XX, (500,) * RETRIES, RETRIES + 1, 0),
        (PushRetries.ON_5XX, (500,) * 9, RETRIES + 1, 1),
        (PushRetries.ON_5XX, (400,), 1, 0),
        (PushRetries.ALWAYS, (503,) * 9, 10, 0),
    ],
)
async def test_a_postback_is_sent_again_as_the_setting_says(retries, statuses, tries, lost):
    """Never, or after a 5xx four times, or until it is taken; what is given up is counted as lost."""
    sender, asked, slept = await sent(PUSH, retries, *statuses)
    assert (len(asked), sender.sent.lost) == (tries, lost)
    assert sender.sent.refused == ({400: 1} if 400 in statuses else {})
    if retries is PushRetries.ON_5XX:
        assert slept == [SPACING_S] * (tries - 1)


async def test_amplitude_sends_again_whatever_appsflyer_does():
    """Its webhook has retries of its own."""
    sender, asked, _ = await sent(STREAM, PushRetries.NEVER, 503, 503)
    assert (len(asked), sender.sent.lost, sender.sent.acknowledged) == (3, 0, 1)


@pytest.mark.parametrize("retries", [PushRetries.NEVER, PushRetries.ON_5XX])
async def test_a_postback_that_meets_nobody_is_lost(retries):
    """A closed port gives no status."""
    sender = Sender(f"http://127.0.0.1:{free_port()}", connections=1, push_retries=retries)
    await sender.send([Outgoing(PUSH, b"{}", {})])
    assert (sender.sent.lost, sender.sent.acknowledged) == (1, 0)
