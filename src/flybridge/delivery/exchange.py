"""One HTTP exchange as values, and the meaning of an answer for each item that was sent.

An endpoint is a vendor API as two pure functions and its limits. It opens no socket, reads no clock and
never retries: `delivery.worker` does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Struct

from flybridge.records import Delivery

T = TypeVar("T")

MAX_WAIT_S: Final = 24 * 3600.0
"""No vendor may ask for a longer wait."""


class HttpRequest(Struct, frozen=True):
    """An HTTP request. `gzip` asks the transport to compress the body."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    gzip: bool = False


class HttpResponse(Struct, frozen=True):
    """An HTTP response. Names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def retry_after_s(response: HttpResponse) -> float | None:
    """Read Retry-After, in seconds or as a date measured against the answer's own Date; None if unusable."""
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            until = parsedate_to_datetime(text)
            seconds = (until - parsedate_to_datetime(response.headers.get("date", ""))).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), MAX_WAIT_S) if isfinite(seconds) else None


def is_page(body: bytes) -> bool:
    """Whether a body is a web page, as those of proxies, firewalls and captive portals are."""
    return body.lstrip(_BLANKS)[:1] == b"<"


def is_success(body: bytes) -> bool:
    """Whether the body of a 200 may be that of a vendor who answers with a short text such as `OK`.

    A web page is not, an object that tells an error is not, and bytes that are no text are not.
    """
    if is_page(body):
        return False
    try:
        body.decode()
        given = body.lstrip(_BLANKS)
        return given[:1] != b"{" or _ERRORS.isdisjoint(_object(given))
    except UnicodeDecodeError:
        return False
    except (msgspec.DecodeError, RecursionError):
        return True


def json_of(body: bytes, kind: type[T]) -> T | None:
    """Return the JSON of an answer as `kind`; None if it is anything else."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object of an answer; None if it is anything else."""
    return json_of(body, dict[str, Any])


_BLANKS: Final = b"\xef\xbb\xbf \t\r\n"
_ERRORS: Final = frozenset({"error", "errors", "error_code", "error_message"})
_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Accepted(Struct, frozen=True, tag=True):
    """The vendor has taken the item."""


class Retry(Struct, frozen=True, tag=True):
    """To be sent again. `after_s` is the vendor's own wait in seconds, None leaves it to the backoff.

    `counts` is False where the vendor has not looked at the item (throttled). `pauses` is `device` or `user` where
    the vendor asks that nothing of the item's device or user is sent in that time. With `most_tries` the item is
    refused after so many counted tries. With `alone` it is sent in a request of its own from now on.
    """

    reason: str
    after_s: float | None = None
    counts: bool = True
    pauses: str = ""
    most_tries: int = 0
    alone: bool = False


class Reject(Struct, frozen=True, tag=True):
    """The vendor will never take this item as it is: a dead letter.

    `named` says that the answer names the item or its field, as only the vendor itself can.
    """

    reason: str
    detail: str
    remedy: str
    named: bool = False


class Split(Struct, frozen=True, tag=True):
    """The request was too large: its items go into smaller requests. An item alone in its request dies.

    `words` is what the vendor said, where that is not at hand any more when the item is settled.
    """

    reason: str
    words: str = ""


class Halt(Struct, frozen=True, tag=True):
    """The endpoint as a whole does not work (key, firewall, wrong address). Costs no try; an operator must act."""

    reason: str
    remedy: str
    after_s: float = 60.0


Verdict = Accepted | Retry | Reject | Split | Halt


def verdict_of_status(response: HttpResponse, address_remedy: str, throttled_s: float) -> Verdict | None:
    """Return the verdict for statuses that concern the whole request, or None for another 4xx.

    `throttled_s` is the least wait at 429; `address_remedy` is the remedy where another server answers than was meant.
    """
    after_s = retry_after_s(response)
    match response.status:
        case 413:
            return Split("too_large")
        case 429:
            return Retry("rate_limited", max(throttled_s, after_s or 0.0))
        case 408 | 425:
            return Retry(f"http_{response.status}", after_s)
        case status if status >= 500:
            return Retry(f"server_error_{status}", after_s)
        case status if status < 400 or status in {404, 405, 407, 410, 421, 426, 451}:
            return Halt("wrong_address", address_remedy)
        case _:
            return None


class Limits(Struct, frozen=True):
    """What one request may hold, and how fast requests may follow each other.

    `max_bytes` is the size of the uncompressed body; `requests_per_s` and `items_per_s` 0 means no limit.
    """

    max_items: int
    max_bytes: int
    concurrency: int
    requests_per_s: float = 0.0
    items_per_s: float = 0.0


class Endpoint(Protocol):
    """A vendor API as values.

    `deduplicates` says whether the vendor ignores a repeated item. Where it does not, a process that dies
    in flight leaves its items uncertain.
    """

    name: str
    limits: Limits
    deduplicates: bool

    def request(self, batch: Sequence[Delivery]) -> HttpRequest:
        """Build one request that holds every item of the batch, in order."""
        ...

    def size(self, delivery: Delivery) -> int:
        """Return the bytes this item adds to a request's uncompressed body (an upper bound)."""
        ...

    def verdicts(self, batch: Sequence[Delivery], response: HttpResponse) -> list[Verdict]:
        """Read an answer: one verdict per item, in the batch's order. Never raises, whatever the body."""
        ...


class Transport(Protocol):
    """Sends HTTP requests."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request and read the whole answer. Raises `errors.TransportError` when there is none."""
        ...

    async def close(self) -> None:
        """Close pooled connections."""
        ...


class StreamedResponse(Protocol):
    """An answer whose body is read in pieces. Header names are lower case."""

    status: int
    headers: Mapping[str, str]

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces. Raises `errors.TransportError` if it breaks off."""
        ...


class Download(Protocol):
    """Opens answers that are too large to be held in memory. Redirects are not followed."""

    def open(self, request: HttpRequest, *, public: bool = False) -> AbstractAsyncContextManager[StreamedResponse]:
        """Return the answer once its headers are there. Raises `errors.TransportError` if there is none.

        With `public` the request is sent to a public address only; raises `errors.ForbiddenAddress` for another.
        """
        ...

    async def close(self) -> None:
        """Close pooled connections."""
        ...


class Erasure(Struct, frozen=True):
    """The result of a deletion request: `done`, or to be asked again. `detail` holds no identifier."""

    done: bool
    detail: str
