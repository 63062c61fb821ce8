"""Amplitude's Behavioral Cohorts API as its documentation describes it: list, usage, request, status, and the file by
redirect.

Cohorts are what a test, or `POST /sandbox/cohorts`, has put there. A request copies the members as they are then; its
job takes `job_s` of the sandbox's clock. A file of more than `small_rows` is answered by a 302 to an address that is
valid for a minute. Limits: 60 requests in 10 minutes, 4 jobs at a time, 500 a month (of 30 days), per project; the page
does not show the bodies of errors.

https://amplitude.com/docs/apis/analytics/behavioral-cohorts (read 2026-11-24).
"""

from __future__ import annotations

import csv
import io
from base64 import b64decode
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct, field

from flybridge.sandbox.http import SandboxAnswer, Scope, authorization_of, query_of
from flybridge.sandbox.played import VendorApi
from flybridge.sandbox.vendors.rates import has_room

API: Final = "/api/3/cohorts"
USAGE: Final = "/api/3/cohorts/usage"
REQUEST: Final = "/api/5/cohorts/request/"
STATUS: Final = "/api/5/cohorts/request-status/"
STORAGE: Final = "/sandbox/storage/"
CONTROL: Final = "/sandbox/cohorts"
WINDOW_MS: Final = 600_000
REQUESTS: Final = 60
PARALLEL: Final = 4
MONTHLY: Final = 500
MONTH_MS: Final = 30 * 86_400_000
LINK_MS: Final = 60_000
VALID_MS: Final = 7 * 86_400_000


class CohortMember(Struct, frozen=True):
    """A member, with the properties a download may ask for."""

    user_id: str = ""
    amplitude_id: int = 0
    properties: dict[str, str] = {}


class SandboxCohort(Struct):
    """A cohort."""

    id: str
    name: str = "Cohort"
    members: list[CohortMember] = []
    computed_ms: int = 0


class _Job(Struct):
    """One request of a cohort."""

    project: str
    cohort: str
    ready_ms: int
    asked_ms: int
    file: bytes
    rows: int


class CohortServer(VendorApi):
    """The API, for every project. `groups` are the cohorts by project (API key) and id."""

    pages = (API, CONTROL)
    below = (f"{API}/", "/api/5/cohorts/", STORAGE)
    own = CONTROL
    max_bytes = 256 * 2**20

    job_s: float = 3.0
    small_rows: int = 100
    groups: defaultdict[str, dict[str, SandboxCohort]] = field(default_factory=lambda: defaultdict(dict))
    asked: int = 0
    _jobs: dict[str, _Job] = field(default_factory=dict)
    _asked_ms: defaultdict[str, deque[int]] = field(default_factory=lambda: defaultdict(deque))
    _used: defaultdict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))  # by project and month
    _links: dict[str, tuple[str, int]] = field(default_factory=dict)

    def put(self, project: str, group: SandboxCohort) -> None:
        """Store a cohort, or replace it."""
        group.computed_ms = self.clock.now_ms()
        self.groups[project][group.id] = group

    def own_page(self, scope: Scope, body: bytes) -> SandboxAnswer:
        """Return the cohorts of a project, or store one."""
        project = query_of(scope).get("project", "")
        if scope["method"] == "GET":
            return SandboxAnswer(200, {"cohorts": [_listed(group) for group in self.groups[project].values()]})
        try:
            self.put(project, msgspec.json.decode(body, type=SandboxCohort))
        except msgspec.DecodeError as problem:
            return SandboxAnswer(
                400, {"error": f"The body is no cohort: {problem}.", "remedy": "Send id, name and members."}
            )
        return SandboxAnswer(200, {"stored": True})

    def answer(self, scope: Scope, _: bytes | None) -> SandboxAnswer:
        path, now_ms = scope["path"], self.clock.now_ms()
        if scope["method"] != "GET":
            return SandboxAnswer(405, {"error": "method not allowed"})
        if path.startswith(STORAGE):
            return self._stored(path.removeprefix(STORAGE), now_ms)
        project = account(scope)
        if project is None:
            return SandboxAnswer(401, {"error": "Unauthorized"})
        if path == API:
            return SandboxAnswer(200, {"cohorts": [_listed(group) for group in self.groups[project].values()]})
        if path == USAGE:
            used = self._used[project, now_ms // MONTH_MS]
            resets_ms = (now_ms // MONTH_MS + 1) * MONTH_MS
            return SandboxAnswer(
                200, {"rest_download": {"limit": MONTHLY, "usage": used, "resets_at": resets_ms // 1000}}
            )
        if path.startswith(STATUS):
            return self._status(project, path.removeprefix(STATUS), now_ms)
        name, _, file = path.removeprefix(REQUEST).partition("/")
        if file == "file":
            return self._file(project, name, scope, now_ms)
        query = parse_qs(scope["query_string"].decode())
        return self._request(project, name, query, now_ms)

    def _request(self, project: str, cohort: str, query: dict[str, list[str]], now_ms: int) -> SandboxAnswer:
        group = self.groups[project].get(cohort)
        if group is None:
            return SandboxAnswer(404, {"error": "cohort not found"})
        running = sum(job.project == project and job.ready_ms > now_ms for job in self._jobs.values())
        month = (project, now_ms // MONTH_MS)
        is_free = running < PARALLEL and self._used[month] < MONTHLY
        if not is_free or not has_room(self._asked_ms[project], REQUESTS, WINDOW_MS, now_ms):
            return SandboxAnswer(429, {"error": "Too many requests"})
        self.asked += 1
        self._used[month] += 1
        names = query.get("propKeys", []) if query.get("props") == ["1"] else []
        if query.get("props") == ["1"] and not names:
            names = sorted({name for one in group.members for name in one.properties})
        job = _Job(
            project,
            cohort,
            now_ms + round(self.job_s * 1000),
            now_ms,
            written(group.members, names),
            len(group.members),
        )
        request_id = f"r{self.asked}"
        self._jobs[request_id] = job
        return SandboxAnswer(202, {"request_id": request_id, "cohort_id": cohort})

    def _job(self, project: str, request_id: str, now_ms: int) -> _Job | None:
        job = self._jobs.get(request_id)
        return job if job is not None and job.project == project and now_ms - job.asked_ms < VALID_MS else None

    def _status(self, project: str, request_id: str, now_ms: int) -> SandboxAnswer:
        job = self._job(project, request_id, now_ms)
        if job is None:
            return SandboxAnswer(404, {"error": "request not found"})
        ready = job.ready_ms <= now_ms
        status = "JOB COMPLETED" if ready else "JOB INPROGRESS"
        answer = {"request_id": request_id, "cohort_id": job.cohort, "async_status": status}
        return SandboxAnswer(200 if ready else 202, answer)

    def _file(self, project: str, request_id: str, scope: Scope, now_ms: int) -> SandboxAnswer:
        job = self._job(project, request_id, now_ms)
        if job is None or job.ready_ms > now_ms:
            return SandboxAnswer(404, {"error": "file not found"})
        if job.rows <= self.small_rows:
            return SandboxAnswer(200, job.file)
        link = f"{request_id}-{len(self._links)}"
        self._links[link] = (request_id, now_ms + LINK_MS)
        host = next((value.decode() for name, value in scope["headers"] if name == b"host"), "")
        return SandboxAnswer(302, "", {"location": f"http://{host}{STORAGE}{link}"})

    def _stored(self, link: str, now_ms: int) -> SandboxAnswer:
        request_id, until_ms = self._links.get(link, ("", 0))
        if now_ms > until_ms:
            return SandboxAnswer(403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
        return SandboxAnswer(200, self._jobs[request_id].file)


def written(members: Sequence[CohortMember], names: Sequence[str]) -> bytes:
    """Write members as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("amplitude_id", "user_id", *names))
    writer.writerows(
        (one.amplitude_id or "", one.user_id, *(one.properties.get(name, "") for name in names)) for one in members
    )
    return text.getvalue().encode()


def _listed(group: SandboxCohort) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "size": len(group.members),
        "lastComputed": group.computed_ms // 1000,
        "archived": False,
        "published": True,
        "type": "redshift",
    }


def account(scope: Scope) -> str | None:
    """Return the API key of a request with basic authentication; None if it has none that is known.

    A key or a secret key that begins with `invalid` is not known.
    """
    kind, _, credentials = authorization_of(scope).partition(" ")
    try:
        key, _, secret = b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return None
    known = kind == "Basic" and key and secret and not any(word.startswith("invalid") for word in (key, secret))
    return key if known else None


def project_of(scope: Scope) -> str | SandboxAnswer:
    """Return the API key of a GET with basic authentication; the refusal of any other request."""
    project = account(scope)
    if project is None:
        return SandboxAnswer(401, {"error": "Unauthorized"})
    return project if scope["method"] == "GET" else SandboxAnswer(405, {"error": "Method not allowed"})
