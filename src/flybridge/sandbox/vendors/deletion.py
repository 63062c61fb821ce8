"""The vendors' deletion APIs: Amplitude's User Privacy API, with its search for users, and AppsFlyer's OpenDSR.

Requests are taken and remembered, nothing is deleted: in reality that happens days later. A project may send one
request a second, and look 360 times an hour for users and their activity together; more is answered 429, which the page
says of the looks and not of the deletions. `trouble` is answered before anything else, a status per request, so that a
test can let the vendors fail.

https://amplitude.com/docs/apis/analytics/user-privacy,
https://amplitude.com/docs/apis/analytics/dashboard-rest (user search and user activity),
https://dev.appsflyer.com/hc/reference/create-opendsr-request (read 2026-11-24).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Struct, field

from flybridge.delivery.exchange import json_of
from flybridge.records import DAY_MS, HOUR_MS, day_of
from flybridge.sandbox.http import SandboxAnswer, Scope, bearer_of, query_of
from flybridge.sandbox.played import VendorApi
from flybridge.sandbox.vendors.cohorts import account
from flybridge.sandbox.vendors.users import User, amplitude_id

AMPLITUDE: Final = "/api/2/deletions/users"
SEARCH: Final = "/api/2/usersearch"
ACTIVITY: Final = "/api/2/useractivity"
LOOKS: Final = {SEARCH, ACTIVITY}
APPSFLYER: Final = "/api/gdpr/v1/opendsr_requests"
MAX_USERS: Final = 100
SECOND_MS: Final = 1_000
LOOKS_AN_HOUR: Final = 360
IDENTITIES: Final = frozenset(
    {
        "ios_advertising_id", "android_advertising_id", "fire_advertising_id", "microsoft_advertising_id",
        "appsflyer_id", "customer_user_id", "idfv",
    }
)  # fmt: skip


class DeletionRequest(Struct):
    """What Amplitude is asked to delete."""

    user_ids: list[str | int] = []
    amplitude_ids: list[int] = []
    requester: str = ""
    ignore_invalid_id: bool | Literal["true", "false"] = False
    ignore_invalid_ids: bool | Literal["true", "false"] = False

    @property
    def ignores_invalid(self) -> bool:
        """Whether unknown users are passed over; the page's examples write the switch as text, too."""
        return bool({self.ignore_invalid_id, self.ignore_invalid_ids} & {True, "true"})


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


class Deletions(VendorApi, kw_only=True):
    """Both APIs as one ASGI application. `asked` are the requests that were taken: vendor, account or app, id."""

    pages = (AMPLITUDE, APPSFLYER, *LOOKS)

    users_of: Callable[[str], Iterable[User]]
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    trouble: list[int] = field(default_factory=list)
    _requests: set[str] = field(default_factory=set)
    _deleted_ms: dict[str, int] = field(default_factory=dict)
    _looked_ms: defaultdict[str, deque[int]] = field(default_factory=lambda: defaultdict(deque))

    def answer(self, scope: Scope, body: bytes | None) -> SandboxAnswer:
        if self.trouble:
            return SandboxAnswer(self.trouble.pop(0), "scripted")
        if scope["method"] != ("GET" if scope["path"] in LOOKS else "POST"):
            return SandboxAnswer(405, "Method Not Allowed")
        known = bearer_of(scope) if scope["path"] == APPSFLYER else account(scope)
        if not known:
            return SandboxAnswer(401, "Unauthorized")
        if scope["path"] == APPSFLYER:
            return self._subject(body or b"")
        now_ms = self.clock.now_ms()
        if scope["path"] == AMPLITUDE:
            if now_ms - self._deleted_ms.get(known, -SECOND_MS) < SECOND_MS:
                return SandboxAnswer(429, {"error": "Too many requests"})
            self._deleted_ms[known] = now_ms
            return self._users(known, body or b"")
        looked = self._looked_ms[known]
        while looked and now_ms - looked[0] >= HOUR_MS:
            looked.popleft()
        if len(looked) >= LOOKS_AN_HOUR:
            return SandboxAnswer(429, {"error": f"Exceeded {LOOKS_AN_HOUR} queries per hour"})
        looked.append(now_ms)
        look = self._search if scope["path"] == SEARCH else self._activity
        return look(known, query_of(scope).get("user", ""))

    def _users(self, key: str, body: bytes) -> SandboxAnswer:
        if (asked := json_of(body, DeletionRequest)) is None:
            return SandboxAnswer(400, {"error": "invalid request"})
        if not 0 < len(asked.user_ids) + len(asked.amplitude_ids) <= MAX_USERS:
            return SandboxAnswer(400, {"error": "between 1 and 100 users"})
        numbers = {number_of(key, user): user for user in self.users_of(key)}
        by_user_id = {user.user_id: number for number, user in numbers.items() if user.user_id}
        found = {str(user): by_user_id[str(user)] for user in asked.user_ids if str(user) in by_user_id}
        found |= {str(number): number for number in asked.amplitude_ids if number in numbers}
        invalid = [user for user in (*asked.user_ids, *asked.amplitude_ids) if str(user) not in found]
        if invalid and not asked.ignores_invalid:
            return SandboxAnswer(400, {"error": "invalid ids", "invalid_ids": invalid})
        self.asked += [("amplitude", key, str(user)) for user in (*asked.user_ids, *asked.amplitude_ids)]
        today = self._day(0)
        ids = [
            {"amplitude_id": number, "requester": asked.requester, "requested_on_day": today}
            for number in dict.fromkeys(found.values())
        ]
        job: dict[str, Any] = {"day": self._day(14), "status": "staging", "amplitude_ids": ids}
        if asked.ignores_invalid:
            job["invalid_ids"] = invalid
        return SandboxAnswer(200, job)

    def _search(self, key: str, text: str) -> SandboxAnswer:
        if not text:
            return SandboxAnswer(400, {"error": "user is required"})
        users = [(number_of(key, user), user) for user in self.users_of(key)]
        tries: tuple[tuple[str, Callable[[int, User], bool]], ...] = (
            ("match_amplitude_id", lambda number, _: str(number) == text),
            ("match_user_or_device_id", lambda _, user: text in {user.user_id, *user.devices}),
            ("match_user_id_prefix", lambda _, user: (user.user_id or "").startswith(text)),
        )
        for kind, fits in tries:
            if found := [(number, user) for number, user in users if fits(number, user)]:
                matches = [{"user_id": user.user_id, "amplitude_id": number} for number, user in found]
                return SandboxAnswer(200, {"matches": matches, "type": kind})
        return SandboxAnswer(200, {"matches": [], "type": "match_none"})

    def _activity(self, key: str, text: str) -> SandboxAnswer:
        """Answer who a user is; their events are left out."""
        for user in self.users_of(key):
            if str(number_of(key, user)) == text:
                data = {
                    "user_id": user.user_id,
                    "canonical_amplitude_id": int(text),
                    "device_ids": sorted(user.devices),
                }
                return SandboxAnswer(200, {"userData": {**data, "num_events": user.events}, "events": []})
        return SandboxAnswer(400, {"error": "unknown user"})

    def _subject(self, body: bytes) -> SandboxAnswer:
        try:
            asked = msgspec.json.decode(body, type=Subject)
        except msgspec.ValidationError:
            return _refused("e323")
        except msgspec.DecodeError:
            return _refused("e326")
        if (code := _fault(asked)) is not None:
            return _refused(code)
        if asked.subject_request_id in self._requests:
            return _refused("e213")
        self._requests.add(asked.subject_request_id)
        self.asked += [("appsflyer", asked.property_id, one.identity_value) for one in asked.subject_identities]
        taken = {
            "subject_request_id": asked.subject_request_id,
            "expected_completion_time": f"{self._day(15)}T00:00:00Z",
            "received_time": asked.submitted_time,
            "encoded_request": "",
        }
        return SandboxAnswer(201, taken)

    def _day(self, ahead: int) -> str:
        return day_of(self.clock.now_ms() + ahead * DAY_MS)


def number_of(project: str, user: User) -> int:
    """Return the Amplitude id of a user of the sandbox."""
    return amplitude_id(project, user.user_id or next(iter(sorted(user.devices)), ""))


def _fault(asked: Subject) -> str | None:
    try:
        if UUID(asked.subject_request_id).version != 4:
            return "e313"
    except ValueError:
        return "e313"
    try:
        datetime.fromisoformat(asked.submitted_time)
    except ValueError:
        return "e314"
    if asked.subject_request_type != "erasure":
        return "e322"
    if not asked.subject_identities:
        return "e324"
    if not asked.property_id:
        return "e317"
    if any(one.identity_type not in IDENTITIES for one in asked.subject_identities):
        return "e318"
    if any(not one.identity_value or one.identity_format != "raw" for one in asked.subject_identities):
        return "e325"
    return None


def _refused(code: str) -> SandboxAnswer:
    return SandboxAnswer(400, {"error": {"code": 400, "af_gdpr_code": code, "message": "refused"}})
