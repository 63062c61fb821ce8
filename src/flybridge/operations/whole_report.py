"""Read a report of AppsFlyer that is judged as a whole, within a bound on memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from flybridge.appsflyer.report import ReportRefusal
from flybridge.delivery.exchange import Download, HttpRequest, HttpResponse
from flybridge.errors import FlybridgeError

T = TypeVar("T")

MAX_BYTES: Final = 256 * 2**20


class ReportRefused(FlybridgeError):
    """There is no report. `again_s` is when to ask again; None: not before something is mended."""

    def __init__(self, sentence: str, again_s: float | None = None, *, quota: bool = False) -> None:
        super().__init__(sentence)
        self.again_s = again_s
        self.quota = quota


async def whole_report(
    download: Download, request: HttpRequest, read: Callable[[HttpResponse], T | ReportRefusal]
) -> T:
    """Return what is read of a whole answer. Raises `ReportRefused`, and `TransportError` if there is no answer."""
    async with download.open(request) as answer:
        parts: list[bytes] = []
        size = 0
        async for piece in answer.pieces():
            parts.append(piece)
            size += len(piece)
            if size > MAX_BYTES:
                raise ReportRefused("AppsFlyer's report is larger than 256 MB: ask for fewer days.")
        found = read(HttpResponse(answer.status, answer.headers, b"".join(parts)))
    if isinstance(found, ReportRefusal):
        raise ReportRefused(found.sentence, found.again_s, quota=found.quota)
    return found
