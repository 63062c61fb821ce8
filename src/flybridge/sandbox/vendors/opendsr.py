"""AppsFlyer's OpenDSR API: its checks of a request to erase somebody. Requests are taken, and nothing is erased.

An account may send 350 requests a minute. What is answered to more is not documented (here 429), nor how long a request
about an identity is open (here 15 days). An app id of digits after `id` is of iOS, one with a platform in front is of a
PC, console or TV, and any other of Android, which has Amazon's ids only if it ends with `-amazon` (*unverified*). A
token that begins with `invalid` is unknown, an app that begins with `unknown` is not the account's.

https://dev.appsflyer.com/hc/reference/create-opendsr-request and its OpenAPI definition, and
https://support.appsflyer.com/hc/en-us/articles/11332840660625-OpenDSR-API (read 2026-11-29).
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct, field

from flybridge.records import DAY_MS, day_of
from flybridge.sandbox.http import SandboxAnswer, Scope, bearer_of, media_type_of
from flybridge.sandbox.played import VendorApi
from flybridge.sandbox.vendors.rates import has_room

PATH: Final = "/api/gdpr/v1/opendsr_requests"
A_MINUTE: Final = 350
MINUTE_MS: Final = 60_000
OPEN_MS: Final = 15 * DAY_MS
EVERYWHERE: Final = frozenset({"appsflyer_id", "customer_user_id"})
OF_APPLE: Final = EVERYWHERE | {"ios_advertising_id", "idfv"}
OF_GOOGLE: Final = EVERYWHERE | {"android_advertising_id"}
OF_AMAZON: Final = OF_GOOGLE | {"fire_advertising_id"}
IDENTITIES: Final = OF_APPLE | OF_AMAZON | {"microsoft_advertising_id"}

_APPLE: Final = re.compile(r"id[0-9]+")
_APP: Final = re.compile(r"[\w.-]+", re.ASCII)
_ELSEWHERE: Final = re.compile(
    r"(?:nativepc|steam|playstation|roku|epic|xbox|tizen|smartcast|webos|quest|vidaa|switch|battlenet|chatgpt)-.+"
)
"""Apps of PCs, consoles and TVs (https://dev.appsflyer.com/hc/reference/raw_data_pull_api_tokenv2-overview, read
2026-11-29)."""


class SubjectIdentity(Struct):
    """By what AppsFlyer is to find a data subject."""

    identity_type: str
    identity_value: str
    identity_format: str


class Subject(Struct):
    """What AppsFlyer is asked to do."""

    subject_request_id: str
    subject_request_type: str
    submitted_time: str
    subject_identities: list[SubjectIdentity]
    property_id: str


class Subjects(VendorApi):
    """The API, for every account."""

    pages = (PATH,)

    _requests: set[str] = field(default_factory=set)
    _open_ms: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _asked_ms: defaultdict[str, deque[int]] = field(default_factory=lambda: defaultdict(deque))

    def answer(self, scope: Scope, body: bytes | None) -> SandboxAnswer:
        if scope["method"] != "POST":
            return SandboxAnswer(405, "Method Not Allowed")
        token, now_ms = bearer_of(scope), self.clock.now_ms()
        if not token or token.startswith("invalid"):
            return SandboxAnswer(401, "Unauthorized")
        if not has_room(self._asked_ms[token], A_MINUTE, MINUTE_MS, now_ms):
            return SandboxAnswer(429, "Too Many Requests")
        if media_type_of(scope) != "application/json":
            return _refused("e311")
        try:
            asked = msgspec.json.decode(body or b"", type=Subject)
        except msgspec.ValidationError:
            return _refused("e323")
        except msgspec.DecodeError:
            return _refused("e326")
        if (code := _fault(asked)) is not None:
            return _refused(code)
        if asked.subject_request_id in self._requests:
            return _refused("e213")
        names = [(asked.property_id, one.identity_type, one.identity_value) for one in asked.subject_identities]
        if any(name in self._open_ms and now_ms - self._open_ms[name] < OPEN_MS for name in names):
            return _refused("e215")
        self._open_ms |= dict.fromkeys(names, now_ms)
        self._requests.add(asked.subject_request_id)
        taken = {
            "subject_request_id": asked.subject_request_id,
            "expected_completion_time": f"{day_of(now_ms + OPEN_MS)}T00:00:00Z",
            "received_time": asked.submitted_time,
            "encoded_request": "",
        }
        return SandboxAnswer(201, taken)


def _fault(asked: Subject) -> str | None:
    """Return AppsFlyer's code for what is wrong with a request; None if nothing is."""
    try:
        if UUID(asked.subject_request_id).version != 4:
            return "e313"
    except ValueError:
        return "e313"
    try:
        datetime.fromisoformat(asked.submitted_time)
    except ValueError:
        return "e314"
    kinds = {one.identity_type for one in asked.subject_identities}
    faults = (
        ("e322", asked.subject_request_type != "erasure"),
        ("e324", not kinds),
        ("e317", not _APP.fullmatch(asked.property_id)),
        ("e318", not kinds <= IDENTITIES),
        ("e319", not kinds <= _identities_of(asked.property_id)),
        ("e325", not all(one.identity_value and one.identity_format == "raw" for one in asked.subject_identities)),
        ("e411", asked.property_id.startswith("unknown")),
    )
    return next((code for code, is_wrong in faults if is_wrong), None)


def _identities_of(app_id: str) -> frozenset[str]:
    """Return the kinds of identity that an app's platform has."""
    if _APPLE.fullmatch(app_id):
        return OF_APPLE
    if _ELSEWHERE.fullmatch(app_id):
        return EVERYWHERE
    return OF_AMAZON if app_id.lower().endswith("-amazon") else OF_GOOGLE


def _refused(code: str) -> SandboxAnswer:
    return SandboxAnswer(400, {"error": {"code": 400, "af_gdpr_code": code, "message": "refused"}})
