"""The sandbox's own pages, which no vendor has: what it holds, as counts and as records, and its clock.

    GET  /sandbox/counts                       counts, per project and in sum
    GET  /sandbox/record?kind=&project=        records as NDJSON: saved (default), waiting, dropped, rejected
    GET  /sandbox/export?project=              saved events in the shape of Amplitude's Export API, as NDJSON
    GET  /sandbox/users?project=               users: ids, properties, place, and revenue as it was added up
    GET  /sandbox/clock, POST ?advance_s=      tell the time, move it forward

Records are streamed, so that reading a million of them costs no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from flybridge.sandbox.clock import MovableClock
from flybridge.sandbox.vendors.amplitude import AmplitudeServer
from flybridge.sandbox.vendors.ledger import ProjectCounts, ProjectLedger, Saved, WaitingAttribution
from flybridge.sandbox.vendors.users import LOCATION, User, amplitude_id

CHUNK: Final = 500
"""Records per piece of a stream; between pieces other requests are answered."""


def records_app(amplitude: AmplitudeServer, clock: MovableClock) -> Starlette:
    """Return the application that serves `/sandbox/` and `/healthz`."""
    pages = _Pages(amplitude, clock)
    return Starlette(
        routes=[
            Route("/healthz", pages.health),
            Route("/sandbox/counts", pages.counts),
            Route("/sandbox/record", pages.record),
            Route("/sandbox/export", pages.export),
            Route("/sandbox/users", pages.users),
            Route("/sandbox/clock", pages.tell_time, methods=["GET"]),
            Route("/sandbox/clock", pages.move_clock, methods=["POST"]),
        ]
    )


class _Pages:
    def __init__(self, amplitude: AmplitudeServer, clock: MovableClock) -> None:
        self._amplitude = amplitude
        self._clock = clock

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def counts(self, _: Request) -> Response:
        return JSONResponse(counts(self._amplitude))

    async def record(self, request: Request) -> Response:
        kind = request.query_params.get("kind", "saved")
        if kind not in KINDS:
            problem = f"There are no records of the kind {kind!r}."
            return JSONResponse({"error": problem, "remedy": f"Ask for one of {', '.join(KINDS)}."}, 400)
        return self._stream(request, KINDS[kind])

    async def export(self, request: Request) -> Response:
        return self._stream(request, lambda ledger: (export_row(event, ledger.project) for event in _saved(ledger)))

    async def users(self, request: Request) -> Response:
        return self._stream(request, lambda ledger: map(_user, ledger.users))

    async def tell_time(self, _: Request) -> Response:
        return JSONResponse({"now_ms": self._clock.now_ms()})

    async def move_clock(self, request: Request) -> Response:
        try:
            self._clock.advance(float(request.query_params.get("advance_s", "")))
        except ValueError:
            problem = "The query has no `advance_s` that is a number of seconds, 0 or more."
            return JSONResponse({"error": problem, "remedy": "Post to /sandbox/clock?advance_s=3600."}, 400)
        self._expire()
        return JSONResponse({"now_ms": self._clock.now_ms()})

    def _stream(self, request: Request, rows: Callable[[ProjectLedger], Iterable[Any]]) -> Response:
        self._expire()
        wanted = request.query_params.get("project")
        ledgers = [ledger for ledger in self._amplitude.projects.values() if wanted in {None, ledger.project}]
        return StreamingResponse(_lines(ledgers, rows), media_type="application/x-ndjson")

    def _expire(self) -> None:
        for ledger in self._amplitude.projects.values():
            ledger.expire(self._clock.now_ms())


async def _lines(
    ledgers: Sequence[ProjectLedger], rows: Callable[[ProjectLedger], Iterable[Any]]
) -> AsyncIterator[bytes]:
    encoder = msgspec.json.Encoder()
    for ledger in ledgers:
        left = iter(rows(ledger))
        while piece := list(islice(left, CHUNK)):
            yield encoder.encode_lines([{"project": ledger.project, **row} for row in piece])
            await asyncio.sleep(0)


def counts(amplitude: AmplitudeServer) -> dict[str, Any]:
    """Return what was counted: events by what became of them, answers by path and status, faults by act.

    `saved + repeated == received`, and `attributions == matched + waiting + dropped`.
    """
    now_ms = amplitude.clock.now_ms()
    for ledger in amplitude.projects.values():
        ledger.expire(now_ms)
    projects = {ledger.project: _project(ledger) for ledger in amplitude.projects.values()}
    names = [*ProjectCounts.__struct_fields__, "users", "waiting", "rejected"]
    return {
        "now_ms": now_ms,
        **{name: sum(project[name] for project in projects.values()) for name in names},
        "projects": projects,
        "answers": {f"{path} {status}": count for (path, status), count in sorted(amplitude.answers.items())},
        "faults": {act.value: count for act, count in amplitude.faults.counts.items() if count},
    }


def _project(ledger: ProjectLedger) -> dict[str, int]:
    tally: dict[str, int] = msgspec.to_builtins(ledger.tally)
    return {**tally, "users": len(ledger.users), "waiting": len(ledger.waiting()), "rejected": len(ledger.rejected)}


def _user(user: User) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(user)
    return row | {"devices": sorted(user.devices), "location": dict(zip(LOCATION, user.location, strict=True))}


def _saved(ledger: ProjectLedger) -> Iterator[Saved]:
    """Return what is saved now; more may be while it is read."""
    return islice(ledger.saved, len(ledger.saved))


def _row(event: Saved) -> dict[str, Any]:
    row = {name: getattr(event, name) for name in Saved.__struct_fields__ if name != "body"}
    if event.body is not None:
        row["body"] = msgspec.Raw(event.body)
    return row


def _waited(waiting: WaitingAttribution) -> dict[str, Any]:
    return _row(waiting.event) | {"expires_ms": waiting.expires_ms}


KINDS: Final[dict[str, Callable[[ProjectLedger], Iterable[dict[str, Any]]]]] = {
    "saved": lambda ledger: map(_row, _saved(ledger)),
    "attributed": lambda ledger: (_row(event) for event in _saved(ledger) if event.is_attribution_event),
    "waiting": lambda ledger: (_waited(waiting) for waiting in ledger.waiting()),
    "dropped": lambda ledger: (_waited(waiting) for waiting in list(ledger.dropped)),
    "rejected": lambda ledger: (msgspec.to_builtins(one) for one in list(ledger.rejected.values())),
}
"""The kinds of record."""


def export_row(event: Saved, project: str) -> dict[str, Any]:
    """Return a saved event as the Export API writes it, with all fields of its schema but `uuid`
    (https://amplitude.com/docs/apis/analytics/export, read 2026-11-29).

    `adid` and `idfa` are always null, because Amplitude wipes them
    (https://amplitude.com/docs/analytics/charts/other-charts/other-charts-amplitude-sql-schema, read 2026-11-27). An
    event without a device id has one that is a hash of its user id (https://amplitude.com/docs/apis/analytics/http-v2,
    read 2026-11-29). Properties, device and place are there only if the sandbox keeps everything.
    """
    body = msgspec.json.decode(event.body) if event.body is not None else {}
    received = _written(event.received_ms)
    device_id = event.device_id or _hashed_device(event.user_id or "")
    return {
        **_SCHEMA,
        **{name: body.get(name) for name in _EXPORTED if body.get(name) is not None},
        "$insert_id": event.insert_id,
        "event_type": event.event_type,
        "user_id": event.user_id,
        "device_id": device_id,
        "amplitude_id": amplitude_id(project, event.user_id or device_id),
        "app": amplitude_id(project, "") % 1_000_000,
        "event_time": _written(event.time_ms),
        "client_event_time": _written(event.time_ms),
        "client_upload_time": received,
        "server_received_time": received,
        "server_upload_time": received,
        "processed_time": received,
        "is_attribution_event": event.is_attribution_event,
        "amplitude_attribution_ids": event.attribution_ids,
        "adid": None,
        "idfa": None,
        "event_properties": body.get("event_properties") or {},
        "user_properties": body.get("user_properties") or {},
        "ip_address": body.get("ip"),
        "version_name": body.get("app_version"),
        "device_carrier": body.get("carrier"),
        "device_type": body.get("device_model"),
    }


_EXPORTED: Final = (
    "platform", "os_name", "os_version", "device_brand", "device_manufacturer", "device_model", "country", "region",
    "city", "dma", "language", "session_id", "event_id", "groups", "group_properties", "location_lat", "location_lng",
)  # fmt: skip
_SCHEMA: Final[dict[str, Any]] = {
    **dict.fromkeys((*_EXPORTED, "paying", "start_version", "device_family", "library", "sample_rate")),
    "groups": {},
    "group_properties": {},
    "data": {},
}


def _hashed_device(user_id: str) -> str:
    return blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _written(time_ms: int) -> str:
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    except (ValueError, OverflowError, OSError):
        return ""
