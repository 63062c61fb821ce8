"""Read a report of AppsFlyer that is judged as a whole, within a bound on memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from flybridge.appsflyer.report import ReportTooLarge
from flybridge.delivery.exchange import Download, HttpRequest, HttpResponse
from flybridge.delivery.whole import whole_answer

T = TypeVar("T")

MAX_BYTES: Final = 256 * 2**20


async def whole_report(download: Download, request: HttpRequest, read: Callable[[HttpResponse], T]) -> T:
    """Return what is read of a whole answer. Raises `ReportRefused`, and `TransportError` if there is no answer."""
    answer = await whole_answer(download, request, MAX_BYTES)
    if answer is None:
        raise ReportTooLarge("AppsFlyer's report is larger than 256 MB: ask for fewer days.")
    return read(answer)
