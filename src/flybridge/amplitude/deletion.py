"""Amplitude's User Privacy API: deletion requests, and the meaning of its answers.

https://amplitude.com/docs/apis/analytics/user-privacy, read 2026-11-24. `POST /api/2/deletions/users`, basic
authentication with API key and secret key, at most 100 users and one request per second. It takes user ids and
Amplitude's own numeric ids; there is none for device ids. Deletion runs in a job within 30 days and takes everything
that was added until then; it does not stop new events.

The page documents 200, 400 and 401. It spells the switch that tolerates unknown users `ignore_invalid_id` in its table
and `ignore_invalid_ids` in most examples; which of them the server reads could not be tried, so both are sent.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

import msgspec

from flybridge.delivery.exchange import Erasure, HttpRequest, HttpResponse

ORIGINS: Final = {"us": "https://amplitude.com", "eu": "https://analytics.eu.amplitude.com"}
PATH: Final = "/api/2/deletions/users"
INTERVAL_S: Final = 1.0
"""The shortest interval between two requests."""


def request(origin: str, api_key: str, secret_key: str, user_id: str, requester: str = "") -> HttpRequest:
    """Build the request that deletes one user. `requester` is recorded by Amplitude."""
    body: dict[str, Any] = {"user_ids": [user_id], "ignore_invalid_id": True, "ignore_invalid_ids": True}
    if requester:
        body["requester"] = requester
    credentials = b64encode(f"{api_key}:{secret_key}".encode()).decode()
    headers = {
        "Authorization": f"Basic {credentials}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    return HttpRequest("POST", origin.rstrip("/") + PATH, headers, msgspec.json.encode(body))


def read(response: HttpResponse) -> Erasure:
    """Return the result of a request. Never raises, and never quotes the answer, which repeats ids."""
    match response.status:
        case 200:
            return _accepted(response.body)
        case 400:
            return Erasure(False, "Amplitude refuses the request (400): the user id may be unknown to the project.")
        case 401:
            return Erasure(False, "Amplitude does not accept the credentials: check api_key and secret_key of the app.")
        case 403:
            return Erasure(False, "Amplitude refuses this sender (403): check the app's region and any proxy.")
        case 404:
            return Erasure(False, "What answered is not Amplitude's User Privacy API: check base_url and region.")
        case 429:
            return Erasure(False, "Amplitude takes one deletion request a second: run the command again.")
        case status:
            return Erasure(False, f"Amplitude answered {status}: run the command again later.")


def _accepted(body: bytes) -> Erasure:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return Erasure(False, "Amplitude's answer can't be read: check base_url and any proxy, then run it again.")
    jobs = [job for job in (answer if isinstance(answer, list) else [answer]) if isinstance(job, dict)]
    days = sorted({str(job["day"]) for job in jobs if _is_day(job.get("day"))})
    if days:
        return Erasure(True, f"Amplitude deletes the user in its job of {', '.join(days)}.")
    if any(job.get("invalid_ids") for job in jobs):
        return Erasure(True, "Amplitude has no such user in this project.")
    return Erasure(True, "Amplitude has accepted the request.")


def _is_day(value: object) -> bool:
    return isinstance(value, str) and len(value) == 10 and value.replace("-", "").isdecimal()
