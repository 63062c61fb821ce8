"""Amplitude's Behavioral Cohorts API: requests, and verdicts of its answers. Pure.

https://amplitude.com/docs/apis/analytics/behavioral-cohorts, read 2026-11-24. A download takes three steps: request
(202 and a `request_id`), status (202 while it runs, 200 when it is done), file (200 with the rows, or 302 to an
address of Amazon S3 that is valid for a minute; the request stays valid for seven days). Limits: 60 requests of a
cohort in 10 minutes and 4 at a time per project, 5 at a time over downloads and the Dashboard API, 2 million users,
and on Growth and Enterprise plans 500 requests of a cohort a month, which `GET /api/3/cohorts/usage` counts.

The page documents neither error bodies nor a failed job. Other answers are therefore judged by their status, and an
`async_status` that contains "FAIL" or "ERROR" ends the download.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from msgspec import Struct

from flybridge.delivery.exchange import (
    Accepted,
    Halt,
    HttpRequest,
    HttpResponse,
    Retry,
    Verdict,
    json_object,
    retry_after_s,
)

ORIGINS: Final = {"us": "https://amplitude.com", "eu": "https://analytics.eu.amplitude.com"}
REQUESTS_PER_S: Final = 30 / 600
BURST_S: Final = 600.0
"""A bucket of 30, refilled with 30 in 10 minutes, never exceeds 60 within 10 minutes."""
PARALLEL: Final = 4
LIST_BYTES: Final = 64 * 2**20
"""How much of a list of cohorts is read. It has the definition of each."""

_RUNS: Final = frozenset({"JOB INPROGRESS", "JOB IN PROGRESS", "JOB_INPROGRESS", "JOB QUEUED", "JOB PENDING"})


class Credentials(Struct, frozen=True):
    """Credentials of an Amplitude project. `origin` is the host without a trailing slash."""

    origin: str
    api_key: str
    secret_key: str

    def headers(self) -> dict[str, str]:
        """Return the headers of a request, with basic authentication."""
        credentials = b64encode(f"{self.api_key}:{self.secret_key}".encode()).decode()
        return {"Authorization": f"Basic {credentials}", "Accept": "application/json, text/csv"}

    def get(self, path: str) -> HttpRequest:
        """Return a request of the project's data at a path."""
        return HttpRequest("GET", self.origin.rstrip("/") + path, self.headers(), b"")


class Cohort(Struct, frozen=True):
    """A cohort as Amplitude lists it. `computed_s` is when it was last computed, in Unix seconds."""

    id: str
    name: str
    size: int = 0
    computed_s: int = 0
    archived: bool = False


class Usage(Struct, frozen=True):
    """Cohort downloads of this month. `limit` is 0 where the plan has none."""

    used: int
    limit: int

    @property
    def left(self) -> int | None:
        """The downloads that remain; None without a limit."""
        return max(0, self.limit - self.used) if self.limit else None

    def __str__(self) -> str:
        of = f" of {self.limit:,}" if self.limit else ""
        return f"{self.used:,}{of} cohort downloads of this month are used."


class Asked(Struct, frozen=True):
    """The answer to a request for a cohort or for its status.

    `verdict` is Accepted when the request was taken, or for the status when the file is ready; Retry while the job
    runs (reason `job_running`, costs no try) or Amplitude can't answer; Halt where an operator has to act.
    """

    verdict: Verdict
    request_id: str = ""


def list_request(credentials: Credentials) -> HttpRequest:
    """Build the request for the list of discoverable cohorts."""
    return credentials.get("/api/3/cohorts")


def usage_request(credentials: Credentials) -> HttpRequest:
    """Build the request for the count of downloads, which does not count itself."""
    return credentials.get("/api/3/cohorts/usage")


def ask_request(credentials: Credentials, cohort: str, properties: Sequence[str]) -> HttpRequest:
    """Build the request that starts a download. `properties` are the user properties to include."""
    query = urlencode([("props", "1"), *(("propKeys", name) for name in properties)]) if properties else "props=0"
    return credentials.get(f"/api/5/cohorts/request/{quote(cohort, safe='')}?{query}")


def status_request(credentials: Credentials, request_id: str) -> HttpRequest:
    """Build the request for the status of a download."""
    return credentials.get(f"/api/5/cohorts/request-status/{quote(request_id, safe='')}")


def file_request(credentials: Credentials, request_id: str) -> HttpRequest:
    """Build the request for the file."""
    return credentials.get(f"/api/5/cohorts/request/{quote(request_id, safe='')}/file")


def redirected(location: str) -> HttpRequest:
    """Build the request for the address of a redirect. It carries its own signature and gets no credentials."""
    return HttpRequest("GET", location, {"Accept": "text/csv, application/octet-stream"}, b"")


def read_list(response: HttpResponse) -> list[Cohort] | None:
    """Return the listed cohorts; unreadable entries are left out. None if the answer is no list. Never raises."""
    listed = (json_object(response.body) or {}).get("cohorts")
    if not isinstance(listed, list):
        return None
    found = []
    for one in listed:
        if isinstance(one, dict) and (name := _text(one.get("id"))):
            size, computed = one.get("size"), one.get("lastComputed")
            found.append(
                Cohort(
                    name,
                    _text(one.get("name")),
                    size if isinstance(size, int) else 0,
                    computed if isinstance(computed, int) else 0,
                    one.get("archived") is True,
                )
            )
    return found


def read_usage(response: HttpResponse) -> Usage | None:
    """Return the count of downloads, `rest_download` of the answer; None where it can't be read. Never raises."""
    answer = (json_object(response.body) if response.status == 200 else None) or {}
    count = answer.get("rest_download", answer)
    if not isinstance(count, dict):
        return None
    used, limit = (_number(count.get(name)) for name in ("usage", "limit"))
    return None if used is None else Usage(used, limit or 0)


def read_asked(response: HttpResponse) -> Asked:
    """Return the answer to a request for a cohort. Never raises."""
    request_id = _text((json_object(response.body) or {}).get("request_id"))
    if response.status in {200, 202} and request_id:
        return Asked(Accepted(), request_id)
    if response.status in {200, 202}:
        return Asked(Retry("unreadable_answer"))
    return Asked(refusal(response, "the cohort"))


def read_status(response: HttpResponse) -> Asked:
    """Return the status of a request. Never raises."""
    answer = json_object(response.body) or {}
    status = _text(answer.get("async_status")).upper()
    if response.status in {200, 202} and not status and not _text(answer.get("request_id")):
        return Asked(Retry("unreadable_answer"))
    if response.status == 202 or (response.status == 200 and status in _RUNS):
        return Asked(Retry("job_running", counts=False), _text(answer.get("request_id")))
    if response.status == 200 and ("FAIL" in status or "ERROR" in status):
        return Asked(Retry("job_failed"))
    if response.status == 200:
        return Asked(Accepted(), _text(answer.get("request_id")))
    return Asked(refusal(response, "the request"))


def refusal(response: HttpResponse, what: str) -> Verdict:
    """Return the verdict of a status other than success. `what` names the object requested."""
    match response.status:
        case 400 | 404 | 410:
            remedy = f"Amplitude does not know {what}: compare apps.audiences.cohort with the address of the cohort in "
            return Halt("unknown_cohort", remedy + "Amplitude, and see that it is discoverable.", 3600.0)
        case 401:
            return Halt("unauthorized", "Correct apps.amplitude.api_key and secret_key; is the region right?")
        case 403:
            return Halt("forbidden", "See apps.amplitude.region, the plan's access to cohort downloads, and any proxy.")
        case 413:
            return Halt(
                "cohort_too_large", "Amplitude gives out 2 million users at most: use its cohort webhook.", 3600.0
            )
        case 429:
            return Retry("rate_limited", retry_after_s(response) or 60.0, counts=False)
        case status if status >= 500:
            return Retry(f"server_error_{status}", retry_after_s(response))
        case 408 | 425:
            return Retry(f"http_{response.status}", retry_after_s(response))
        case _:
            return Halt(
                "wrong_address", "What answers is not Amplitude's Cohorts API: see base_url, region and proxies."
            )


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
