"""Amplitude as its documentation describes it: HTTP V2, Batch, Attribution and Identify, as an ASGI application.

Order within a request: a scripted fault of the request, what is wrong with the request as a whole, what is wrong with
its events, silenced devices, throttling; only then the events are applied, all of them.

https://amplitude.com/docs/apis/analytics/http-v2, .../batch-event-upload, .../attribution, .../identify
(read 2026-11-29).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

from msgspec import Struct, field

from flybridge.delivery.exchange import json_of
from flybridge.sandbox.faults import Fault, FaultKind
from flybridge.sandbox.http import Receive, SandboxAnswer, Scope, Send, media_type_of, read_body
from flybridge.sandbox.played import VendorApi
from flybridge.sandbox.vendors.ledger import ProjectLedger
from flybridge.sandbox.vendors.rates import DAILY_LIMIT, Rates
from flybridge.sandbox.vendors.validation import (
    BATCH,
    FORBIDDEN,
    HTTP_V2,
    TOO_LARGE,
    Bounds,
    ErrorAnswer,
    UploadedEvent,
    bad_request,
    field_errors,
    read_attribution,
    read_upload,
)

Handler = Callable[[Scope, bytes | None], SandboxAnswer]
Form = Callable[[Mapping[str, str]], SandboxAnswer]

HTTP_V2_PATH: Final = "/2/httpapi"
MAX_FORM_BYTES: Final = 1_000_000
NO_SUCH_PATH: Final = SandboxAnswer(400, {"code": 400, "error": "Invalid request path"})


class Identification(Struct):
    """One object of the Identify API's `identification` argument."""

    user_id: str | None = None
    device_id: str | None = None
    user_properties: dict[str, object] | None = None


class AmplitudeServer(VendorApi, kw_only=True):
    """Answers for every project. `projects` holds what was saved, by API key.

    `api_keys` None: every key that does not begin with `invalid` opens a project of its own.
    """

    forbidden = FORBIDDEN

    api_keys: Collection[str] | None = None
    keep_bodies: bool = False
    daily_limit: int = DAILY_LIMIT
    projects: dict[str, ProjectLedger] = field(default_factory=dict)
    _devices: dict[Bounds, Rates] = field(default_factory=dict)
    _users: dict[Bounds, Rates] = field(default_factory=dict)
    _routes: dict[tuple[str, str], tuple[Handler, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._devices, self._users = (
            {bounds: Rates(bounds.eps, self.daily_limit) for bounds in (HTTP_V2, BATCH)} for _ in range(2)
        )
        self._routes = {
            ("POST", HTTP_V2_PATH): (partial(self._upload, bounds=HTTP_V2), HTTP_V2.max_bytes),
            ("POST", "/batch"): (partial(self._upload, bounds=BATCH), BATCH.max_bytes),
            ("POST", "/attribution"): (partial(self._form, self._attribution), MAX_FORM_BYTES),
            ("POST", "/identify"): (partial(self._form, self._identify), MAX_FORM_BYTES),
            ("GET", "/identify"): (partial(self._form, self._identify), MAX_FORM_BYTES),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request to Amplitude, or fail it as scripted."""
        _, max_bytes = self._route(scope)
        await self.play(scope, send, await read_body(scope, receive, max_bytes))

    def answer(self, scope: Scope, body: bytes | None) -> SandboxAnswer:
        handler, _ = self._route(scope)
        return handler(scope, body)

    def failed(self, status: int) -> SandboxAnswer:
        return SandboxAnswer(status, {"code": status, "error": "Server Error"})

    def _route(self, scope: Scope) -> tuple[Handler, int]:
        return self._routes.get((scope["method"], scope["path"]), (lambda *_: NO_SUCH_PATH, 0))

    def step(self, scope: Scope, body: bytes | None) -> Fault:
        """Return what happens to a request: on its way, for what it holds, or as drawn."""
        now_s = time.monotonic()
        packed = (b"content-encoding", b"gzip") in scope["headers"]
        step = self.faults.on_the_way(body or b"", packed=packed, now_s=now_s) or self.faults.step(now_s)
        if step.kind is FaultKind.PASS and self.faults.poisons and scope["path"] == HTTP_V2_PATH:
            step = self._poisoned(body) or step
        return step

    def _poisoned(self, body: bytes | None) -> Fault | None:
        """Return how the server fails at an upload, and note the events that make it fail."""
        upload = None if body is None else read_upload(body, HTTP_V2, self.knows)
        if upload is None or isinstance(upload, ErrorAnswer):
            return None
        found = [(event, fault) for event in upload.events if (fault := self.faults.poison(event.insert_id or ""))]
        self.ledger(upload.api_key).reject((event, "poison") for event, _ in found)
        return found[0][1] if found else None

    def ledger(self, api_key: str) -> ProjectLedger:
        """Return a project's record, an empty one for a key that is new."""
        if api_key not in self.projects:
            self.projects[api_key] = ProjectLedger(api_key, keep_bodies=self.keep_bodies)
        return self.projects[api_key]

    def knows(self, api_key: str) -> bool:
        """Whether an API key is one."""
        if self.api_keys is not None:
            return api_key in self.api_keys
        return bool(api_key) and not api_key.startswith("invalid")

    def _upload(self, scope: Scope, body: bytes | None, *, bounds: Bounds) -> SandboxAnswer:
        if media_type_of(scope) != "application/json":
            return bad_request("Invalid JSON request body")
        upload = TOO_LARGE if body is None else read_upload(body, bounds, self.knows)
        if isinstance(upload, ErrorAnswer):
            self._note(upload.api_key, upload.events, upload)
            return upload
        ledger, now_ms = self.ledger(upload.api_key), self.clock.now_ms()
        devices = Counter([event.device_id for event in upload.events if event.device_id is not None])
        users = Counter([event.user_id for event in upload.events if event.user_id is not None])
        refusal = self._scripted(upload.events, bounds) or self._throttled(
            upload.events, devices, users, bounds, now_ms=now_ms
        )
        if refusal is not None:
            self._note(upload.api_key, upload.events, refusal)
            return refusal
        self._devices[bounds].count(devices, now_ms)
        self._users[bounds].count(users, now_ms)
        ledger.apply(upload.events, now_ms)
        taken = {
            "code": 200,
            "events_ingested": len(upload.events),
            "payload_size_bytes": 0 if body is None else len(body),
            "server_upload_time": now_ms,
        }
        return SandboxAnswer(200, taken)

    def _note(self, api_key: str, events: Sequence[UploadedEvent], refusal: ErrorAnswer) -> None:
        if refusal.bad:
            self.ledger(api_key).reject((events[index], reason) for index, reason in refusal.bad.items())

    def _scripted(self, events: list[UploadedEvent], bounds: Bounds) -> ErrorAnswer | None:
        if not self.faults.looks_at_events:
            return None
        invalid: dict[str, list[int]] = {}
        for index, event in enumerate(events):
            if (name := self.faults.invalid_field(event)) is not None:
                invalid.setdefault(name, []).append(index)
        if invalid:
            return field_errors({}, invalid, bounds, events)
        silenced = {index: "silenced" for index, event in enumerate(events) if self.faults.is_silenced(event.device_id)}
        if not silenced:
            return None
        devices = sorted({device for index in silenced if (device := events[index].device_id)})
        body = {
            "code": 400,
            "error": "Events silenced for device_id",
            "eps_threshold": bounds.eps,
            "exceeded_daily_quota_devices": {},
            "silenced_devices": devices,
            "silenced_events": list(silenced),
            "throttled_devices": {},
            "throttled_events": [],
        }
        return ErrorAnswer(400, body, bad=silenced)

    def _throttled(
        self,
        events: list[UploadedEvent],
        devices: Mapping[str, int],
        users: Mapping[str, int],
        bounds: Bounds,
        *,
        now_ms: int,
    ) -> ErrorAnswer | None:
        of_devices, of_users = self._devices[bounds], self._users[bounds]
        slow_devices, slow_users = of_devices.over(devices, now_ms), of_users.over(users, now_ms)
        if self.faults.looks_at_events:
            for event in events:
                slow = slow_devices if event.device_id is not None else slow_users
                name = event.device_id or event.user_id or ""
                if name not in slow and self.faults.throttle(name):
                    slow[name] = bounds.eps + 1
        spent_devices, spent_users = of_devices.spent(devices, now_ms), of_users.spent(users, now_ms)
        if not (slow_devices or slow_users or spent_devices or spent_users):
            return None
        of_devices.pause(slow_devices, now_ms)
        of_users.pause(slow_users, now_ms)
        body = {
            "code": 429,
            "error": "Too many requests for some devices and users",
            "eps_threshold": bounds.eps,
            "throttled_devices": slow_devices,
            "throttled_users": slow_users,
            "exceeded_daily_quota_users": spent_users,
            "exceeded_daily_quota_devices": spent_devices,
            "throttled_events": [
                index
                for index, event in enumerate(events)
                if event.device_id in slow_devices
                or event.device_id in spent_devices
                or event.user_id in slow_users
                or event.user_id in spent_users
            ],
        }
        return ErrorAnswer(429, body)

    def _form(self, take: Form, scope: Scope, body: bytes | None) -> SandboxAnswer:
        """Take the fields of a form that names a project's key."""
        if body is None:
            return TOO_LARGE
        # In the URL or as form fields; where both have one, the body's counts.
        given = (scope["query_string"].decode("latin-1"), body.decode("utf-8", "replace"))
        fields = dict(pair for text in given for pair in parse_qsl(text, keep_blank_values=True))
        key = fields.get("api_key")
        if not key:
            return bad_request("Request missing required field", missing_field="api_key")
        return take(fields) if self.knows(key) else bad_request("Invalid API key")

    def _attribution(self, fields: Mapping[str, str]) -> SandboxAnswer:
        attribution = read_attribution(fields.get("event"))
        if isinstance(attribution, ErrorAnswer):
            return attribution
        self.ledger(fields["api_key"]).attribute(attribution, self.clock.now_ms())
        return SandboxAnswer(200, "success")

    def _identify(self, fields: Mapping[str, str]) -> SandboxAnswer:
        people = _identifications(fields.get("identification"))
        if people is None:
            return SandboxAnswer(400, "missing_event")
        ledger, now_ms = self.ledger(fields["api_key"]), self.clock.now_ms()
        ledger.tally.identified += len(people)
        for one in people:
            ledger.users.identify(one.user_id, one.device_id, one.user_properties, now_ms)
        return SandboxAnswer(200, "success")


def _identifications(text: str | None) -> list[Identification] | None:
    given = json_of((text or "").encode(), list[Identification] | Identification)  # type: ignore[arg-type]
    people = given if isinstance(given, list) else [] if given is None else [given]
    return people if people and all(one.user_id or one.device_id for one in people) else None
