"""AppsFlyer's additional identifiers: hashed e-mail addresses and phone numbers of a device, for partners that match
by them.

https://dev.appsflyer.com/hc/reference/audience-put-additional-identifier, read 2026-11-24. `PUT
/api/audience-bulk-api/v1/additional-identifiers/app/{app-id}`, bearer token V2, `{key_type, action, data}` with at
most 4,000 rows, answers 202 `{message, received, invalid, trace-id}`. A row is a device's identifier and its hashes
(`appsflyer.contacts`): up to two e-mail addresses, the phone number as digits and in E.164. Removing names the kinds
only. Rows AppsFlyer counts as invalid are not named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from flybridge.appsflyer.audience import common as common_verdict
from flybridge.appsflyer.audience import is_taken, message_of
from flybridge.appsflyer.contacts import PhoneHashes, hash_email, hash_phone
from flybridge.appsflyer.report import AppsFlyerAccount
from flybridge.delivery.exchange import Accepted, Halt, HttpRequest, HttpResponse, Reject, Split, Verdict

PATH: Final = "/api/audience-bulk-api/v1/additional-identifiers/app/{app}"
MAX_ROWS: Final = 4000
KEY_TYPES: Final = {
    "gaid": "gaid",
    "oaid": "oaid",
    "imei": "imei",
    "idfa": "idfa",
    "idfv": "idfv",
    "cuid": "customer_user_id",
}
"""The identifiers a row may be about, by their name in the Audience Import API."""
KINDS: Final = ("hashed_emails", "phone_number_sha256", "phone_number_e164_sha256")


def extra_of(email: str, phone: str) -> bytes:
    """Return the hashes of an address and a number as JSON; nothing if neither can be hashed."""
    found: dict[str, Any] = {}
    if isinstance(address := hash_email(email), str):
        found["hashed_emails"] = [address]
    if isinstance(hashes := hash_phone(phone), PhoneHashes):
        found["phone_number_sha256"], found["phone_number_e164_sha256"] = hashes.digits, hashes.e164
    return msgspec.json.encode(found, order="sorted") if found else b""


def request(
    account: AppsFlyerAccount, kind: str, rows: Sequence[tuple[str, bytes]], *, remove: bool = False
) -> HttpRequest:
    """Build the request that adds hashes to devices, as (identifier, JSON of `extra_of`), or removes all of them."""
    data = [{"key_value": value, "identifiers": list(KINDS) if remove else msgspec.Raw(extra)} for value, extra in rows]
    body = {"key_type": KEY_TYPES[kind], "action": "remove" if remove else "add", "data": data}
    return account.call("PUT", PATH, body)


def verdict(response: HttpResponse, rows: int) -> Verdict:
    """Return the one verdict of an answer, which applies to all `rows` of the request. Never raises."""
    message = message_of(response)
    match response.status:
        case 200 | 202 if is_taken(response.body, "message"):
            return Accepted()
        case 200 | 202:
            return Halt("wrong_address", "What answers is not AppsFlyer's API: see base_url and proxies.")
        case 400 if "too many invalid" in (message or "").lower() or "exceed" in (message or "").lower():
            invalid = Reject(
                "invalid_device", "AppsFlyer does not take this row.", "See apps.audiences.identifier.", named=True
            )
            return Split("invalid_rows") if rows > 1 else invalid
        case 413:
            return Split("too_large")
        case status:
            return common_verdict(response, status)
