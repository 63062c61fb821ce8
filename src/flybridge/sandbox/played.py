"""Answers of vendors' smaller APIs, with the scripted faults in front of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, assert_never

import msgspec
from msgspec import Struct

from flybridge.sandbox.faults import FaultKind, Faults
from flybridge.sandbox.http import Scope, Send, send_error_page, send_nothing


class SandboxAnswer(Struct, frozen=True):
    """An answer with headers of its own. `content` is bytes, a text, or what becomes JSON."""

    status: int
    content: Mapping[str, Any] | str | bytes = ""
    headers: Mapping[str, str] = {}


async def send_page(send: Send, page: SandboxAnswer, *, half: bool = False) -> None:
    """Send an answer. `half` announces all of it, sends half, and breaks off."""
    match page.content:
        case bytes():
            kind, body = "text/csv; charset=utf-8", page.content
        case str():
            kind, body = "text/plain; charset=utf-8", page.content.encode()
        case content:
            kind, body = "application/json", msgspec.json.encode(content)
    named = {"content-type": kind, "content-length": str(len(body)), **page.headers}
    headers = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": page.status, "headers": headers})
    await send({"type": "http.response.body", "body": body[: len(body) // 2] if half else body, "more_body": half})


async def play(faults: Faults, scope: Scope, send: Send, answer: Callable[[], SandboxAnswer]) -> None:
    """Answer one request, or fail it as scripted: before or after it is applied."""
    step = faults.step(time.monotonic())
    page = SandboxAnswer(step.status, {"message": "Internal error"})
    match step.kind:
        case FaultKind.CUT_BEFORE:
            return await send_nothing(scope, send)
        case FaultKind.ERROR_BEFORE | FaultKind.UNAVAILABLE:
            pass
        case FaultKind.FORBIDDEN:
            page = SandboxAnswer(403, {"message": "Forbidden"})
        case FaultKind.ERROR_AFTER:
            answer()
        case FaultKind.CUT_AFTER:
            answer()
            return await send_nothing(scope, send)
        case FaultKind.SLOW:
            await asyncio.sleep(step.wait_s)
            page = answer()
        case FaultKind.HALF_ANSWER | FaultKind.PASS:
            page = answer()
        case FaultKind.PAGE | FaultKind.GARBLED:
            return await send_error_page(send, step.status)
        case _:
            assert_never(step.kind)
    return await send_page(send, page, half=step.kind is FaultKind.HALF_ANSWER)
