"""AppsFlyer's server-to-server API for in-app events of mobile apps, v3: requests, and what every answer means.

https://dev.appsflyer.com/hc/reference/s2s-events-api3-post, read 2026-11-24. One event per request, of one kilobyte at
most, with the S2S key in the header `authentication`. Documented are 200, 400 with a text, 401, 403 and 500; other
statuses are read as usual. 200 says that the request could be read, not that the event is recorded: an iOS app id
without `id`, or a malformed AppsFlyer id, is answered 200 and recorded nowhere, so both are caught before sending.

No page says that a repeated event is recognised, so `deduplicates` is False: an event whose answer is missing, or is
a server error, may have been applied and is counted as uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from flybridge.delivery.exchange import (
    Accepted,
    Halt,
    HttpRequest,
    HttpResponse,
    Limits,
    Reject,
    Retry,
    Verdict,
    is_page,
    is_success,
    retry_after_s,
    verdict_of_status,
)
from flybridge.records import Delivery

ORIGIN: Final = "https://api3.appsflyer.com"
NAME: Final = "inapp_event"
MAX_BYTES: Final = 1024
DETAIL_CHARS: Final = 200
THROTTLED_S: Final = 30.0

KEY_REMEDY: Final = (
    "Check `appsflyer.s2s_key` and `appsflyer_app_id` of the app: the key must be the app's server-to-server key, not "
    "its dev key. Nothing is lost meanwhile."
)
APP_REMEDY: Final = (
    "Check `appsflyer_app_id` of the app: it must be written as in AppsFlyer (`id` and digits on iOS), and the S2S key "
    "must be this app's. Nothing is lost meanwhile."
)
PACKAGE_REMEDY: Final = (
    "AppsFlyer says that the account's package takes no such events. Ask AppsFlyer, or remove `apps.streams`. Nothing "
    "is lost meanwhile."
)
UNKNOWN_APP_REMEDY: Final = (
    "AppsFlyer knows no app at this address. Check `appsflyer_app_id` of the app: it must be written as in AppsFlyer "
    "(`id` and digits on iOS, the package name on Android); then `appsflyer.base_url`. Nothing is lost meanwhile."
)
ADDRESS_REMEDY: Final = (
    "Check `appsflyer.base_url` of the app, and any proxy on the way: what answered is not AppsFlyer's "
    "server-to-server API. Nothing is lost meanwhile."
)
EVENT_REMEDY: Final = "See with `flybridge explain` what is sent, correct the stream's mapping, then replay."

_encode: Final = msgspec.json.Encoder().encode


class InAppEvent:
    """POST /inappevent/{app_id}. A delivery's `device_id` is its AppsFlyer id."""

    name = NAME
    deduplicates = False

    def __init__(
        self,
        s2s_key: str,
        app_id: str,
        origin: str = ORIGIN,
        *,
        concurrency: int = 1_000,
        requests_per_s: float = 0.0,
    ) -> None:
        self._secret = s2s_key
        self._headers = {"Content-Type": "application/json", "Accept": "*/*", "authentication": s2s_key}
        self._url = f"{origin.rstrip('/')}/inappevent/{quote(app_id, safe='')}"
        self.limits = Limits(1, MAX_BYTES, concurrency, requests_per_s)

    def request(self, batch: Sequence[Delivery]) -> HttpRequest:
        (delivery,) = batch
        if not delivery.device_id:
            raise ValueError("the event has no AppsFlyer id")
        head = b'{"appsflyer_id":' + _encode(delivery.device_id)
        return HttpRequest("POST", self._url, self._headers, head + b"," + delivery.body[1:])

    def size(self, delivery: Delivery) -> int:
        """The size of the request in bytes."""
        return len(delivery.body) + len(_encode(delivery.device_id or "")) + len(b'"appsflyer_id":,')

    def verdicts(self, batch: Sequence[Delivery], response: HttpResponse) -> list[Verdict]:
        """Return the verdict of an answer. The text of a 200 is `OK`; others may be, see `is_success`."""
        return [self._verdict(response)] * len(batch)

    def _verdict(self, response: HttpResponse) -> Verdict:
        page = is_page(response.body)
        match response.status:
            case 200 | 400 if page:
                return Halt("wrong_address", ADDRESS_REMEDY)
            case 200:
                return Accepted() if is_success(response.body) else Halt("wrong_address", ADDRESS_REMEDY)
            case 400:
                return self._bad_request(response)
            case 401:
                return Halt("unauthorized", KEY_REMEDY)
            case 403:
                return Halt("forbidden", PACKAGE_REMEDY)
            case 404 if not page:
                return Halt("unknown_app", UNKNOWN_APP_REMEDY)
            case 500 if not page and b"internal server error" in response.body[:200].lower():
                # For this text the page asks to verify the JSON: it is the event, if it is answered so again.
                return Retry("server_error_500", retry_after_s(response), most_tries=2)
            case status:
                known = verdict_of_status(response, ADDRESS_REMEDY, THROTTLED_S)
                return known or Retry(f"http_{status}", retry_after_s(response))

    def _bad_request(self, response: HttpResponse) -> Verdict:
        text = self._clip(response.body)
        said = text.casefold()
        if "appsflyer_id" in said:
            return Reject(
                "invalid_appsflyer_id", f"AppsFlyer refuses the event's id: {text}.", EVENT_REMEDY, named=True
            )
        # Of this the page says that it "doesn't match" the authentication.
        if "app_id" in said or "app id" in said:
            return Halt("app_id_mismatch", APP_REMEDY)
        if "authenticate" in said or "authentication" in said:
            return Halt("invalid_s2s_key", KEY_REMEDY)
        return Reject("invalid_event", f"AppsFlyer refuses the event: {text or 'no text'}.", EVENT_REMEDY)

    def _clip(self, body: bytes) -> str:
        text = body[: 4 * DETAIL_CHARS].decode("utf-8", "replace").strip().strip('"').rstrip(".")
        return (text.replace(self._secret, "***") if self._secret else text)[:DETAIL_CHARS]
