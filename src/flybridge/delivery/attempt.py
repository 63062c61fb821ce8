"""Send one request and read its answer as exactly one verdict per item, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Final

from msgspec import Struct

from flybridge.delivery.exchange import (
    Accepted,
    Endpoint,
    HttpRequest,
    HttpResponse,
    Reject,
    Retry,
    Split,
    Transport,
    Verdict,
)
from flybridge.delivery.words import host_of, words_of
from flybridge.errors import TransportError
from flybridge.records import Delivery

NOT_APPLIED: Final = frozenset({501, 503, 505})  # server errors that say the request was not processed


class Attempt(Struct, frozen=True):
    """The result of one request.

    `status` 0 means no answer. `maybe_applied` is true where the vendor may have taken items that will be tried
    again. `failed` is true where the request as a whole failed. `error` is a bug of ours, to be reported. `words` is
    what the vendor said, or why there was no answer; empty if all items were accepted.
    """

    verdicts: Sequence[Verdict]
    status: int = 0
    seconds: float = 0.0
    maybe_applied: bool = False
    failed: bool = False
    error: Exception | None = None
    words: str = ""


async def attempt(endpoint: Endpoint, transport: Transport, items: Sequence[Delivery]) -> Attempt:
    """Send the items as one request and read the answer. Raises nothing but `CancelledError`."""
    count = len(items)
    try:
        request = endpoint.request(items)
    except Exception as error:
        unfit = Reject(
            "unfit", f"The request can't be built: {type(error).__name__}", "Report this, then replay.", named=True
        )
        return Attempt([unfit] if count == 1 else [Split("unfit")] * count, error=error)
    started = perf_counter()
    try:
        response = await transport.send(request)
    except TransportError as error:
        maybe = error.maybe_applied
        retry = Retry("no_answer" if maybe else "unreachable", counts=maybe)
        return Attempt([retry] * count, 0, perf_counter() - started, maybe, failed=True, words=f"{error}")
    except Exception as error:
        words = f"{host_of(request.url)}: {type(error).__name__}"
        return Attempt([Retry("transport_failed")] * count, 0, perf_counter() - started, True, True, error, words)
    return _read(endpoint, items, request, response, perf_counter() - started)


def _read(
    endpoint: Endpoint, items: Sequence[Delivery], request: HttpRequest, response: HttpResponse, seconds: float
) -> Attempt:
    status = response.status
    maybe = status >= 500 and status not in NOT_APPLIED
    try:
        verdicts: Sequence[Verdict] = endpoint.verdicts(items, response)
        if len(verdicts) != len(items):
            raise ValueError(f"{endpoint.name} gave {len(verdicts)} verdicts for {len(items)} items")
    except Exception as error:
        words = words_of(request, response, items)
        return Attempt([Retry("unreadable_answer")] * len(items), status, seconds, True, True, error, words)
    if all(type(verdict) is Accepted for verdict in verdicts):
        return Attempt(verdicts, status, seconds)
    failed = all(isinstance(verdict, Retry) and verdict.counts for verdict in verdicts)
    return Attempt(verdicts, status, seconds, maybe, failed, words=words_of(request, response, items))
