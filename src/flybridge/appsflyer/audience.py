"""AppsFlyer's Audience Import API: adding, removing and overwriting devices, and what every answer means.

https://dev.appsflyer.com/hc/reference/audience-import-post, read 2026-11-24. `POST
/api/audiences-import-api/v2/{add|remove|overwrite}`, bearer token V2. A device is `app_id` and one identifier;
Android knows `gaid oaid imei cuid braze_id amplitude_id`, iOS `idfv cuid braze_id amplitude_id` (and `idfa` in the
schema). An answer is for the whole request: 200 means that all of it was taken. The page documents no limit of
devices and no rate: the limit is learnt from the text of a 400, the rate is held down here and given way at 429.
Texts are compared by their telling words, because the page spells some of them in two ways.

Adding what is there and removing what is not has no effect, so a request whose answer was lost is sent again.
`overwrite` makes the audience exactly what stands in the request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.delivery.exchange import (
    Accepted,
    Halt,
    HttpRequest,
    HttpResponse,
    Limits,
    Reject,
    Retry,
    Split,
    Verdict,
    is_success,
    json_object,
    retry_after_s,
)

PATH: Final = "/api/audiences-import-api/v2/"
LIMITS: Final = Limits(max_items=10_000, max_bytes=5_000_000, concurrency=1, requests_per_s=2.0)

REVOKED: Final = (
    "Correct apps.appsflyer.api_token. AppsFlyer has revoked every API token V2 that was made before "
    "2026-03-10 19:00 UTC: make a new one if yours is older."
)

_TOO_MANY: Final = re.compile(r"cannot process more than\s+([\d,. ]*\d)\s+devices", re.IGNORECASE)
_OF_DEVICES: Final = ("valid unique identifier", "understand one or more", "more than one identifier")


class ImportTarget(Struct, frozen=True):
    """The audience that devices are sent to. `platform` is `ios` or `android`."""

    account: AppsFlyerAccount
    platform: str
    import_key: str


def request(audience: ImportTarget, action: str, devices: Sequence[tuple[str, str]]) -> HttpRequest:
    """Build the request that adds or removes devices, given as (kind, value), or makes them the whole audience."""
    body = {
        "import_key": audience.import_key,
        "platform": audience.platform,
        "devices": [{"app_id": audience.account.app_id, kind: value} for kind, value in devices],
    }
    return audience.account.call("POST", PATH + action, body)


def verdict(response: HttpResponse, devices: int) -> Verdict:
    """Return the one verdict of an answer, which applies to all `devices` of the request. Never raises."""
    message = message_of(response)
    match response.status:
        case 200 | 202 if not is_taken(response.body, "message"):
            return Halt("wrong_address", "What answers is not AppsFlyer's Audiences API: see base_url and proxies.")
        case 200 | 202:
            return Accepted()
        case 400:
            return _refused((message or "").lower(), devices)
        case 413:
            return Split("too_large") if devices > 1 else Halt("too_large", "A proxy takes no request at all.")
        case status:
            return common(response, status)


def common(response: HttpResponse, status: int) -> Verdict:
    """Return the verdict of a status that means the same at every endpoint of AppsFlyer's audiences."""
    match status:
        case 401:
            return Halt("unauthorized", REVOKED)
        case 403:
            return Halt(
                "forbidden", f"{REVOKED} The account needs Audiences, and the token's user access to the app.", 900.0
            )
        case 404 | 405 | 410:
            return Halt(
                "wrong_address", "What answers is not AppsFlyer's Audiences API: see base_url and proxies.", 900.0
            )
        case 408 | 425:
            return Retry(f"http_{status}", retry_after_s(response))
        case 429:
            return Retry("rate_limited", retry_after_s(response), counts=False)
        case _ if status >= 500:
            return Retry(f"server_error_{status}", retry_after_s(response))
        case _:
            return Halt("refused", f"AppsFlyer answers {status}, which its page does not know: see the log.")


def is_taken(body: bytes, field: str) -> bool:
    """Whether the body of a success is the vendor's: an object with this field, which tells no error."""
    answer = json_object(body)
    return answer is not None and field in answer and is_success(body)


def limit_of(response: HttpResponse) -> int:
    """Return the number of devices that a refusal says a request may hold; 0 if it says none."""
    found = _TOO_MANY.search(message_of(response) or "") if response.status == 400 else None
    digits = re.sub(r"\D", "", found.group(1)) if found else ""
    return int(digits) if 0 < len(digits) < 8 else 0


def message_of(response: HttpResponse) -> str | None:
    """Return the message of an answer; None if it is no JSON object. The page writes `messege` once."""
    if (answer := json_object(response.body)) is None:
        return None
    for name in ("message", "messege", "error"):
        if isinstance(answer.get(name), str):
            return str(answer[name])
    return ""


def _refused(message: str, devices: int) -> Verdict:
    if "cannot process more than" in message:
        return Split("too_many_devices") if devices > 1 else Halt("too_many_devices", "Lower max_devices.")
    if "audience platform" in message:
        remedy = "The audience is another platform's: make one for this app in AppsFlyer, and use its import key."
        return Halt("wrong_platform", remedy, 3600.0)
    if "app id" in message:
        return Halt("no_app_id", "Correct appsflyer_app_id; iOS ids begin with id.", 3600.0)
    if any(words in message for words in _OF_DEVICES):
        if devices > 1:
            return Split("invalid_devices")
        return Reject(
            "invalid_device", "AppsFlyer does not take this identifier.", "See apps.audiences.identifier.", named=True
        )
    # An unknown text is more likely about the request than about one of its devices.
    return Halt("refused", "AppsFlyer refuses the request: see the import key and the log.")
