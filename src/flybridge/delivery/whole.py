"""Read an answer that is judged as a whole and may be larger than those of a delivery, within a bound on memory."""

from __future__ import annotations

from flybridge.delivery.exchange import Download, HttpRequest, HttpResponse


async def whole_answer(download: Download, request: HttpRequest, most_bytes: int) -> HttpResponse | None:
    """Return a whole answer; None if it has more bytes. Raises `TransportError` if there is none."""
    async with download.open(request) as answer:
        parts: list[bytes] = []
        size = 0
        async for piece in answer.pieces():
            parts.append(piece)
            size += len(piece)
            if size > most_bytes:
                return None
    return HttpResponse(answer.status, answer.headers, b"".join(parts))
