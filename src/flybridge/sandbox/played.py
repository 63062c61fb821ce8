"""Answers of the vendors' APIs, with the scripted faults in front of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, assert_never

from flybridge.sandbox.faults import Fault, FaultKind, Faults
from flybridge.sandbox.http import SandboxAnswer, Scope, Send, send_answer, send_error_page, send_nothing

FORBIDDEN: Final = SandboxAnswer(403, {"message": "Forbidden"})


async def play(faults: Faults, scope: Scope, send: Send, answer: Callable[[], SandboxAnswer]) -> None:
    """Answer one request, or fail it as scripted: before or after it is applied."""
    step = faults.step(time.monotonic())
    failed = SandboxAnswer(step.status, {"message": "Internal error"})
    await play_step(step, scope, send, answer, failed=failed, forbidden=FORBIDDEN)


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
