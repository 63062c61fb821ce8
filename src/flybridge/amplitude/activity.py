"""Amplitude's User Activity API: the ids of a user by Amplitude's own number. Pure.

https://amplitude.com/docs/apis/analytics/dashboard-rest, read 2026-11-27: `GET /api/2/useractivity?user=`, basic
authentication with API key and secret key, 360 queries an hour and 10 at once together with the user search. `userData`
has the user id and all device ids. Events are counted from 0, so that `limit=0` gives the newest alone; they are not
read. The page documents no answer for an unknown user: 400, 404, an empty object and an answer without ids are taken as
one.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from msgspec import Struct, field

from flybridge.amplitude.cohort import Credentials
from flybridge.delivery.exchange import HttpRequest, HttpResponse, json_object, json_of

PATH: Final = "/api/2/useractivity"


class AmplitudeUser(Struct, frozen=True):
    """The ids of a user in a project. `problem` says why they are not known; empty where there is no such user."""

    user_id: str = ""
    device_ids: tuple[str, ...] = ()
    problem: str = ""


def request(credentials: Credentials, amplitude_id: str) -> HttpRequest:
    """Build the request for a user's ids."""
    return credentials.get(f"{PATH}?{urlencode({'user': amplitude_id, 'limit': 0})}")


def read(response: HttpResponse) -> AmplitudeUser:
    """Read an answer. Never raises, and quotes nothing of it."""
    match response.status:
        case 200:
            pass
        case 400 | 404:
            return AmplitudeUser()
        case 401 | 403:
            return AmplitudeUser(problem="Amplitude does not accept the app's api_key and secret_key.")
        case 429:
            return AmplitudeUser(problem="Amplitude's 360 queries of this hour are used up.")
        case status:
            return AmplitudeUser(problem=f"Amplitude answered {status}.")
    given, answer = json_object(response.body), json_of(response.body, _Activity)
    if answer is None or (given and "userData" not in given):
        return AmplitudeUser(problem="Amplitude's answer can't be read.")
    data = answer.userData
    return AmplitudeUser(data.user_id or "", tuple(one for one in data.device_ids or () if isinstance(one, str)))


class _UserData(Struct):
    user_id: str | None = None
    device_ids: list[object] | None = None


class _Activity(Struct):
    userData: _UserData = field(default_factory=_UserData)  # noqa: N815 - Amplitude's name
