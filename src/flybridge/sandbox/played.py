"""The vendors' APIs, with the scripted faults in front of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import ClassVar, Final, assert_never

from msgspec import Struct, field

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

GARBLED: Final = b"\x1f\x8b garbled"
"""What a body has become that was broken on its way."""


class VendorApi(Struct, eq=False):
    """One API of a vendor. It answers its `pages`, and all that is `below` some paths.

    Pages at `own` and below are the sandbox's own, and never fail. `answers` counts the others by path and status.
    """

    pages: ClassVar[tuple[str, ...]] = ()
    below: ClassVar[tuple[str, ...]] = ()
    own: ClassVar[str] = "/sandbox/"
    max_bytes: ClassVar[int] = 1_000_000
    forbidden: ClassVar[SandboxAnswer] = SandboxAnswer(403, {"message": "Forbidden"})

    clock: Clock
    faults: Faults = field(default_factory=lambda: Faults.named("none"))
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)

    def takes(self, path: str) -> bool:
        """Whether this application answers the path."""
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
        step = self.step(scope, body)
        match step.kind:
            case FaultKind.CUT_BEFORE:
                return await send_nothing(scope, send)
            case FaultKind.PAGE:
                return await send_error_page(send, step.status)
            case FaultKind.ERROR_BEFORE | FaultKind.UNAVAILABLE:
                given = self.failed(step.status)
            case FaultKind.FORBIDDEN:
                given = self.forbidden
            case FaultKind.ERROR_AFTER:
                self.answer(scope, body)
                given = self.failed(step.status)
            case FaultKind.CUT_AFTER:
                self.answer(scope, body)
                return await send_nothing(scope, send)
            case FaultKind.SLOW:
                await asyncio.sleep(step.wait_s)
                given = self.answer(scope, body)
            case FaultKind.HALF_ANSWER | FaultKind.PASS:
                given = self.answer(scope, body)
            case FaultKind.GARBLED:
                given = self.answer(scope, GARBLED)
            case _:
                assert_never(step.kind)
        self.answers[scope["path"], given.status] += 1
        return await send_answer(send, given, half=step.kind is FaultKind.HALF_ANSWER)

    def step(self, _scope: Scope, _body: bytes | None) -> Fault:
        """Return what happens to a request."""
        return self.faults.step(time.monotonic())

    def failed(self, status: int) -> SandboxAnswer:
        """Return what a server that fails answers."""
        return SandboxAnswer(status, {"message": "Internal error"})

    def answer(self, scope: Scope, body: bytes | None) -> SandboxAnswer:
        """Return the vendor's answer. The body is None if it is larger than `max_bytes`."""
        raise NotImplementedError

    def own_page(self, scope: Scope, body: bytes) -> SandboxAnswer:
        """Return a page of the sandbox's own."""
        raise NotImplementedError
