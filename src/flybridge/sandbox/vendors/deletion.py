"""Amplitude's User Privacy API, with its search for users and their activity.

Requests are taken, and nothing is deleted: in reality that happens days later. A project may send one request a second,
and look 360 times an hour for users and their activity together; more is answered 429, which the page says of the looks
and not of the deletions.

https://amplitude.com/docs/apis/analytics/user-privacy,
https://amplitude.com/docs/apis/analytics/dashboard-rest (user search and user activity; read 2026-11-24).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

from msgspec import Struct, field

from flybridge.delivery.exchange import json_of
from flybridge.records import DAY_MS, HOUR_MS, day_of
from flybridge.sandbox.http import SandboxAnswer, Scope, query_of
from flybridge.sandbox.played import VendorApi
from flybridge.sandbox.vendors.cohorts import account
from flybridge.sandbox.vendors.rates import has_room
from flybridge.sandbox.vendors.users import User, amplitude_id

AMPLITUDE: Final = "/api/2/deletions/users"
SEARCH: Final = "/api/2/usersearch"
ACTIVITY: Final = "/api/2/useractivity"
LOOKS: Final = {SEARCH, ACTIVITY}
MAX_USERS: Final = 100
SECOND_MS: Final = 1_000
LOOKS_AN_HOUR: Final = 360


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


class Deletions(VendorApi, kw_only=True):
    """The API, for every project."""

    pages = (AMPLITUDE, *LOOKS)

    users_of: Callable[[str], Iterable[User]]
    _deleted_ms: dict[str, int] = field(default_factory=dict)
    _looked_ms: defaultdict[str, deque[int]] = field(default_factory=lambda: defaultdict(deque))

    def answer(self, scope: Scope, body: bytes | None) -> SandboxAnswer:
        if scope["method"] != ("GET" if scope["path"] in LOOKS else "POST"):
            return SandboxAnswer(405, "Method Not Allowed")
        if not (known := account(scope)):
            return SandboxAnswer(401, "Unauthorized")
        now_ms = self.clock.now_ms()
        if scope["path"] == AMPLITUDE:
            if now_ms - self._deleted_ms.get(known, -SECOND_MS) < SECOND_MS:
                return SandboxAnswer(429, {"error": "Too many requests"})
            self._deleted_ms[known] = now_ms
            return self._users(known, body or b"")
        if not has_room(self._looked_ms[known], LOOKS_AN_HOUR, HOUR_MS, now_ms):
            return SandboxAnswer(429, {"error": f"Exceeded {LOOKS_AN_HOUR} queries per hour"})
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

    def _day(self, ahead: int) -> str:
        return day_of(self.clock.now_ms() + ahead * DAY_MS)


def number_of(project: str, user: User) -> int:
    """Return the Amplitude id of a user of the sandbox."""
    return amplitude_id(project, user.user_id or next(iter(sorted(user.devices)), ""))
