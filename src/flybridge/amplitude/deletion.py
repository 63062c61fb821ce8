"""Amplitude's User Privacy API: deletion requests, and the meaning of its answers.

https://amplitude.com/docs/apis/analytics/user-privacy, read 2026-11-24. `POST /api/2/deletions/users`, basic
authentication with API key and secret key, at most 100 users and one request per second. It takes user ids and
Amplitude's own numeric ids. For a device the Dashboard REST API names the id: `GET /api/2/usersearch?user=`
(https://amplitude.com/docs/apis/analytics/dashboard-rest, read 2026-11-26), with the same credentials.
Deletion runs in a job within 30 days and takes everything that was added until then; it does not stop new events.

The page documents 200, 400 and 401. It spells the switch that tolerates unknown users `ignore_invalid_id` in its table
and `ignore_invalid_ids` in most examples; which of them the server reads could not be tried, so both are sent.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from flybridge.amplitude.cohort import Credentials
from flybridge.delivery.exchange import Erasure, HttpRequest, HttpResponse, json_of

PATH: Final = "/api/2/deletions/users"
SEARCH: Final = "/api/2/usersearch"
BY_ID: Final = "match_user_or_device_id"
"""The type of a search whose text is the whole of a user id or device id."""
INTERVAL_S: Final = 1.0
"""The shortest interval between two requests."""


def search_request(credentials: Credentials, device_id: str) -> HttpRequest:
    """Build the request that finds the user of a device."""
    return credentials.get(f"{SEARCH}?{urlencode({'user': device_id})}")


def read_search(response: HttpResponse) -> int | Erasure:
    """Return the Amplitude id of the device's user, or why no deletion can be asked for. Never raises."""
    if response.status == 429:
        return Erasure(False, SEARCHES)
    if response.status != 200:
        found = read(response)
        return found if not found.done else Erasure(False, f"Amplitude answered {response.status}: run it again later.")
    answer = json_of(response.body, _Found)
    if answer is None or answer.matches is None:
        return Erasure(False, UNREADABLE)
    # A prefix of a user id, or an Amplitude id, would be another user's.
    ids = {one.amplitude_id for one in answer.matches} if answer.type == BY_ID else set()
    if not ids:
        return Erasure(True, "Amplitude knows no user of this device in this project.")
    if len(ids) > 1:
        detail = f"{len(ids)} users of Amplitude have used this device: name the person by --customer-user-id."
        return Erasure(False, detail)
    return ids.pop()


def request(credentials: Credentials, user: str | int, requester: str = "") -> HttpRequest:
    """Build the request that deletes one user, by user id or by Amplitude's number. Amplitude records `requester`."""
    named = {"amplitude_ids": [user]} if isinstance(user, int) else {"user_ids": [user]}
    body: dict[str, Any] = {**named, "ignore_invalid_id": True, "ignore_invalid_ids": True}
    if requester:
        body["requester"] = requester
    headers = {**credentials.headers(), "Content-Type": "application/json"}
    return HttpRequest("POST", credentials.origin.rstrip("/") + PATH, headers, msgspec.json.encode(body))


UNREADABLE: Final = "Amplitude's answer can't be read: check base_url and any proxy, then run it again."
SEARCHES: Final = (
    "Amplitude's 360 searches of this hour are used up, or too many run at once: run the command again later."
)
"""Of searches and of looks at a user's activity together."""
REFUSALS: Final = {
    400: "Amplitude refuses the request (400): the user id may be unknown to the project.",
    401: "Amplitude does not accept the credentials: check api_key and secret_key of the app.",
    403: "Amplitude refuses this sender (403): check the app's region and any proxy.",
    404: "What answered is not Amplitude's User Privacy API: check base_url and region.",
    429: "Amplitude takes one deletion request a second: run the command again.",
}


def read(response: HttpResponse) -> Erasure:
    """Return the result of a request. Never raises, and never quotes the answer, which repeats ids."""
    if response.status == 200:
        return _accepted(response.body)
    again = f"Amplitude answered {response.status}: run the command again later."
    return Erasure(False, REFUSALS.get(response.status, again))


class _Match(msgspec.Struct):
    amplitude_id: int


class _Found(msgspec.Struct):
    matches: list[_Match] | None = None
    type: str = ""


def _accepted(body: bytes) -> Erasure:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Erasure(False, UNREADABLE)
    found = [job for job in (answer if isinstance(answer, list) else [answer]) if isinstance(job, dict)]
    # An object without any of these is that of a gateway: nobody is deleted.
    if not (jobs := [job for job in found if not _OF_JOB.isdisjoint(job)]):
        return Erasure(False, UNREADABLE)
    # One user is asked for. An answer has the day of the job also where it is not that user's.
    if any(job.get("invalid_ids") for job in jobs):
        return Erasure(True, "Amplitude has no such user in this project.")
    days = sorted({str(job["day"]) for job in jobs if _is_day(job.get("day"))})
    if days:
        return Erasure(True, f"Amplitude deletes the user in its job of {', '.join(days)}.")
    return Erasure(True, "Amplitude has accepted the request.")


_OF_JOB: Final = frozenset({"day", "amplitude_ids", "user_ids", "invalid_ids"})
"""Fields of a deletion job, of which an answer has at least one."""


def _is_day(value: object) -> bool:
    return isinstance(value, str) and len(value) == 10 and value.replace("-", "").isdecimal()
