"""Amplitude's Attribution API: requests, and verdicts of its answers.

https://amplitude.com/docs/apis/analytics/attribution, read 2026-11-24. One event per request, as the form fields
`api_key` and `event`; the page also allows them in the URL, where the key would end up in access logs.

Its newest text names `api.amplitude.com` as the host, where it named `api2.amplitude.com` before; its examples had both
(read 2026-11-29). `amplitude.base_url` sets another one.

Only 200 and 400 are documented. Nothing says that a repeated event is recognised, so `deduplicates` is False:
an event whose answer is missing, or is a server error, may have been applied and is counted as uncertain.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from flybridge.amplitude.upload import ADDRESS_REMEDY, KEY_REMEDY, ORIGINS, clip, status_verdict
from flybridge.delivery.exchange import (
    Accepted,
    Halt,
    HttpRequest,
    HttpResponse,
    Limits,
    Reject,
    Verdict,
    is_page,
    is_success,
    json_of,
)
from flybridge.records import Delivery, Shown

NAME: Final = "attribution"


class AttributionApi:
    """POST /attribution. Amplitude matches by advertising or vendor id; user and device ids are not sent."""

    name = NAME
    deduplicates = False

    def __init__(self, api_key: str, origin: str = ORIGINS["us"]) -> None:
        self._head = b"api_key=" + quoted(api_key.encode()) + b"&event="
        self._secret = api_key
        self._url = origin.rstrip("/") + "/attribution"
        self.limits = Limits(1, max_bytes=990_000, concurrency=16)

    def request(self, batch: Sequence[Delivery]) -> HttpRequest:
        """Build the request for one event."""
        (delivery,) = batch
        return HttpRequest("POST", self._url, _FORM, self._head + quoted(delivery.body))

    def size(self, delivery: Delivery) -> int:
        """Return an upper bound of the request's bytes: every byte of the event may need an escape."""
        return len(self._head) + 3 * len(delivery.body)

    def verdicts(self, batch: Sequence[Delivery], response: HttpResponse) -> list[Verdict]:
        """Return the verdicts of an answer. The text of a 200 is undocumented, see `is_success`."""
        return [self._verdict(response, alone=len(batch) == 1)] * len(batch)

    def _verdict(self, response: HttpResponse, *, alone: bool) -> Verdict:
        page = is_page(response.body)
        match response.status:
            case 200 | 400 if page:
                return Halt("wrong_address", ADDRESS_REMEDY)
            case 200:
                return Accepted() if is_success(response.body) else Halt("wrong_address", ADDRESS_REMEDY)
            case 400:
                text = clip(response.body.decode("utf-8", "replace"), self._secret)
                if "api key" in text.casefold() or "api_key" in text.casefold():
                    return Halt("invalid_api_key", KEY_REMEDY)
                return Reject("invalid_event", f"Amplitude refuses the attribution event: {text or 'no text'}", _REMEDY)
            case _:
                return status_verdict(response, alone=alone)


class _Sent(Struct):
    event_type: str = ""
    time: int = 0
    idfa: str = ""
    idfv: str = ""
    adid: str = ""
    android_app_set_id: str = ""


def is_shown(body: bytes, shown: Shown) -> bool:
    """Whether an event that Amplitude shows is the one that was sent with this body.

    It is if the name, the millisecond and an id are the same. Amplitude wipes advertising and vendor ids from what it
    shows, so that the id is usually that of the device: where it is none of the sent ones nothing can be said.
    """
    sent = json_of(body, _Sent)
    if sent is None or sent.event_type != shown.event_type or sent.time != shown.time_ms:
        return False
    return any(one.lower() in shown.ids for one in (sent.idfa, sent.idfv, sent.adid, sent.android_app_set_id) if one)


def quoted(value: bytes) -> bytes:
    """Escape bytes for a form field, as `urllib.parse.quote_from_bytes(value, "")` but faster.

    That function looks at each byte in Python and takes longer than the rest of sending an event.
    """
    for byte, escape in _USUAL:
        value = value.replace(byte, escape)
    return _RARE.sub(lambda found: b"%%%02X" % found[0][0], value)


_USUAL: Final = [(bytes([byte]), b"%%%02X" % byte) for byte in b'%"{}[]:, /\\']  # frequent in JSON; % must be first
_RARE: Final = re.compile(rb"[^A-Za-z0-9_.~%-]")
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
_REMEDY: Final = (
    "See with `flybridge explain` whether the event has a platform and an advertising or vendor id, correct the "
    "mapping, then replay the dead letter."
)
