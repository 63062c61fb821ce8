"""The vendors' APIs, with the scripted faults in front of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import ClassVar, Final, assert_never

from flybridge.clock import Clock
from flybridge.sandbox.faults import Fault, FaultKind, Faults
from flybridge.sandbox.http import (
    Receive,
    SandboxAnswer,
    Scope,
    Send,
    read_body,
    send_answer,
    send_error_page,
    send_nothing,
)

FORBIDDEN: Final = SandboxAnswer(403, {"message": "Forbidden"})


class VendorApi:
    """One API of a vendor. It answers its `pages`, and all that is `below` some paths.

    Pages at `own` and below are the sandbox's own, and never fail.
    """

    pages: ClassVar[tuple[str, ...]] = ()
    below: ClassVar[tuple[str, ...]] = ()
    own: ClassVar[str] = "/sandbox/"
    max_bytes: ClassVar[int] = 1_000_000

    def __init__(self, clock: Clock, faults: Faults | None = None) -> None:
        self.clock = clock
        self.faults = faults or Faults.named("none")

    def takes(self, path: str) -> bool:
        """Return whether this application answers the path."""
        return path in self.pages or path.startswith(self.below)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or fail it as scripted."""
        body = await read_body(scope, receive, self.max_bytes)
        if scope["path"].startswith(self.own):
            await send_answer(send, self.own_page(scope, body or b""))
        else:
            await self.play(scope, send, body)

    async def play(self, scope: Scope, send: Send, body: bytes | None) -> None:
        """Answer one request to the vendor, or fail it as scripted: before or after it is applied."""
        step = self.faults.step(time.monotonic())
        failed = SandboxAnswer(step.status, {"message": "Internal error"})
        await play_step(step, scope, send, lambda: self.answer(scope, body), failed=failed, forbidden=FORBIDDEN)

    def answer(self, scope: Scope, body: bytes | None) -> SandboxAnswer:
        """Return the vendor's answer. The body is None if it is larger than `max_bytes`."""
        raise NotImplementedError

    def own_page(self, scope: Scope, body: bytes) -> SandboxAnswer:
        """Return a page of the sandbox's own."""
        raise NotImplementedError


async def play_step(
    step: Fault,
    scope: Scope,
    send: Send,
    answer: Callable[[], SandboxAnswer],
    *,
    failed: SandboxAnswer,
    forbidden: SandboxAnswer,
    garbled: Callable[[], SandboxAnswer] | None = None,
    count: Callable[[int], None] = lambda _: None,
) -> None:
    """Answer one request as `step` says.

    `failed` and `forbidden` are what the vendor answers then, `garbled` what it answers to a body that was garbled on
    its way; without it a gateway answers. `count` is called with the status of each answer of the vendor.
    """
    match step.kind:
        case FaultKind.CUT_BEFORE:
            return await send_nothing(scope, send)
        case FaultKind.ERROR_BEFORE | FaultKind.UNAVAILABLE:
            given = failed
        case FaultKind.FORBIDDEN:
            given = forbidden
        case FaultKind.ERROR_AFTER:
            answer()
            given = failed
        case FaultKind.CUT_AFTER:
            answer()
            return await send_nothing(scope, send)
        case FaultKind.SLOW:
            await asyncio.sleep(step.wait_s)
            given = answer()
        case FaultKind.HALF_ANSWER | FaultKind.PASS:
            given = answer()
        case FaultKind.GARBLED if garbled is not None:
            given = garbled()
        case FaultKind.PAGE | FaultKind.GARBLED:
            return await send_error_page(send, step.status)
        case _:
            assert_never(step.kind)
    count(given.status)
    return await send_answer(send, given, half=step.kind is FaultKind.HALF_ANSWER)
