"""AppsFlyer's OpenDSR API: asking that a data subject be erased, and what every answer means.

https://dev.appsflyer.com/hc/reference/create-opendsr-request and
https://support.appsflyer.com/hc/en-us/articles/11332840660625-OpenDSR-API, read 2026-11-24. `POST
/api/gdpr/v1/opendsr_requests` with the API token V2 as bearer, 350 requests a minute. A request names one app
(`property_id`) and has a random id of ours; the same id again is answered `e213`. Documented are 201, and 400 with a
code; other statuses are read as usual. That a request may hold several identities is not said, so each has its own.

A customer user id is found only if the app sent it with a device id in a login or registration event, and people
who limit ad tracking can't be erased over this API (`e321`): both are AppsFlyer's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.delivery.exchange import Erasure, HttpRequest, HttpResponse, json_object
from flybridge.identity import IdKind
from flybridge.records import utc_time

PATH: Final = "/api/gdpr/v1/opendsr_requests"

AMAZON: Final = "amazon_aid"
"""Amazon's advertising id, which elsewhere is of the same kind as Google's."""
FIRE: Final = "fire_advertising_id"

IDENTITIES: Final[Mapping[str, Mapping[str, str]]] = {
    "android": {
        IdKind.APPSFLYER_ID: "appsflyer_id",
        IdKind.CUSTOMER_USER_ID: "customer_user_id",
        IdKind.ADID: "android_advertising_id",
        AMAZON: FIRE,
    },
    "ios": {
        IdKind.APPSFLYER_ID: "appsflyer_id",
        IdKind.CUSTOMER_USER_ID: "customer_user_id",
        IdKind.IDFA: "ios_advertising_id",
        IdKind.IDFV: "idfv",
    },
    "other": {IdKind.APPSFLYER_ID: "appsflyer_id", IdKind.CUSTOMER_USER_ID: "customer_user_id"},
}
"""What AppsFlyer calls the kinds of identifier, by platform."""

WRITTEN: Final[Mapping[str, Callable[[str], str]]] = {
    "ios_advertising_id": str.upper, "idfv": str.upper, "android_advertising_id": str.lower,
    FIRE: str.lower,
}  # fmt: skip
"""How AppsFlyer writes identifiers that others write in either case
(https://dev.appsflyer.com/hc/reference/s2s-events-api3-post, read 2026-11-28)."""

THERE_ALREADY: Final = frozenset({"e213", "e215"})
"""The same request, or another open one about the same identity."""

NOT_OF_THE_PLATFORM: Final = frozenset({"e318", "e319"})

CODES: Final = {
    "e212": "AppsFlyer does not permit the request: check the token's permissions.",
    "e317": "AppsFlyer does not take the app's id: check appsflyer_app_id.",
    "e318": "AppsFlyer does not know this kind of identifier for the app.",
    "e319": "AppsFlyer does not take this kind of identifier on the app's platform.",
    "e321": "AppsFlyer does not erase people who limit ad tracking over this API: write to privacy@appsflyer.com.",
    "e325": "AppsFlyer does not take the identifier: check how it is written.",
    "e411": "The app is not one of the token's account: check appsflyer_app_id and api_token.",
    "e511": "AppsFlyer has a problem of its own: run the command again in an hour.",
}


def request(account: AppsFlyerAccount, *, request_id: str, identity: str, value: str, now_ms: int) -> HttpRequest:
    """Build the request for the erasure of one identity.

    `request_id` is a UUID v4, `identity` one of the names in `IDENTITIES`.
    """
    value = WRITTEN.get(identity, str)(value)
    body = {
        "subject_request_id": request_id,
        "subject_request_type": "erasure",
        "submitted_time": utc_time(now_ms),
        "subject_identities": [{"identity_type": identity, "identity_value": value, "identity_format": "raw"}],
        "property_id": account.app_id,
    }
    return account.call("POST", PATH, body)


def read(response: HttpResponse, identity: str = "") -> Erasure:
    """Return the result that an answer reports to a request for this `identity`.

    Never raises, and never quotes the answer, which repeats ids.
    """
    match response.status:
        case 200 | 201 | 202:
            return _created(response.body)
        case 400:
            return _refused(response.body, identity)
        case 401 | 403:
            return Erasure(False, "AppsFlyer does not accept the token: check api_token of the app.")
        case 404:
            return Erasure(False, "What answered is not AppsFlyer's OpenDSR API: check base_url.")
        case 429:
            return Erasure(False, "AppsFlyer takes 350 requests a minute: run the command again.")
        case status:
            return Erasure(False, f"AppsFlyer answered {status}: run the command again later.")


_OF_REQUEST: Final = frozenset({"subject_request_id", "expected_completion_time", "received_time", "encoded_request"})
"""Fields of the answer to a request that was taken, which has at least one of them."""


def _created(body: bytes) -> Erasure:
    answer = json_object(body)
    # An object without any of these is that of a gateway: nobody is deleted.
    if answer is None or _OF_REQUEST.isdisjoint(answer):
        return Erasure(False, "AppsFlyer's answer can't be read: check base_url and any proxy, then run it again.")
    until = str(answer.get("expected_completion_time", ""))[:10]
    if until.replace("-", "").isdecimal():
        return Erasure(True, f"AppsFlyer has taken the request and expects to be done by {until}.")
    return Erasure(True, "AppsFlyer has taken the request.")


def _refused(body: bytes, identity: str) -> Erasure:
    answer = json_object(body) or {}
    error = answer.get("error")  # this operation wraps it
    code = str((error.get("af_gdpr_code") if isinstance(error, dict) else None) or answer.get("af_gdpr_code", ""))
    if code in THERE_ALREADY:
        return Erasure(True, f"AppsFlyer has this request already ({code}).")
    if identity == FIRE and code in NOT_OF_THE_PLATFORM:
        return Erasure(True, f"The app has no Amazon ids at AppsFlyer, so that it finds no person by one ({code}).")
    if code in CODES:
        return Erasure(False, f"{CODES[code]} ({code})")
    named = f" with {code}" if len(code) == 4 and code[1:].isdigit() else ""
    return Erasure(False, f"AppsFlyer refuses the request (400{named}).")
