"""Read a report of AppsFlyer that is judged as a whole, within a bound on memory."""

from __future__ import annotations

from typing import Final

from flybridge.appsflyer.report import ReportRefusal
from flybridge.delivery.exchange import Download, HttpRequest, HttpResponse

MAX_BYTES: Final = 256 * 2**20


TOO_LARGE: Final = ReportRefusal("AppsFlyer's report is larger than 256 MB: ask for fewer days.")


async def whole_report(download: Download, request: HttpRequest) -> HttpResponse | ReportRefusal:
    """Return the answer to a request with its body; a refusal if that is longer than `MAX_BYTES`.

    Raises `errors.TransportError` if there is no answer.
    """
    async with download.open(request) as answer:
        parts: list[bytes] = []
        size = 0
        async for piece in answer.pieces():
            parts.append(piece)
            size += len(piece)
            if size > MAX_BYTES:
                return TOO_LARGE
        return HttpResponse(answer.status, answer.headers, b"".join(parts))
