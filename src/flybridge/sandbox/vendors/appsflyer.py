"""AppsFlyer's server-to-server API for in-app events as its documentation describes it, traps included.

Order within a request: a scripted fault of the request, the key, the body, scripted faults of the event; only then the
event is taken. Nothing is deduplicated: what comes twice is there twice. As with AppsFlyer, 200 does not mean that an
event is recorded: with an iOS app id without `id`, or a malformed AppsFlyer id, it is recorded nowhere.

    GET /sandbox/appsflyer/record?app=      what was taken, as NDJSON; `recorded` false: answered 200, and lost
    GET /sandbox/appsflyer/counts           counts, answers by status, faults by act

Keys: one that begins with `invalid` is unknown (401), one with `zero` is of a package that takes no events (403), one
with `other` is another app's (400).

https://dev.appsflyer.com/hc/reference/s2s-events-api3-post (read 2026-11-29). The page says "up to 1KB" and not what
becomes of more: here it is refused; nor what becomes of another content type than `application/json`: it is not parsed.
The limit of 60,000 requests a minute for an app is that of https://support.appsflyer.com/hc/en-us/articles/207034486
(older versions), and that it is answered 429 is *unverified*.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from msgspec import Struct, field

from flybridge.delivery.exchange import json_object
from flybridge.sandbox.http import SandboxAnswer, Scope, media_type_of, no_such_page, query_of
from flybridge.sandbox.played import VendorApi
from flybridge.sandbox.vendors.inapp_schema import fits_schema
from flybridge.sandbox.vendors.validation import UploadedEvent

PATH: Final = "/inappevent/"
OWN: Final = "/sandbox/appsflyer/"
MAX_BYTES: Final = 1024
PER_MINUTE: Final = 60_000
MINUTE_MS: Final = 60_000

OK: Final = SandboxAnswer(200, "OK")
NOT_AUTHENTICATED: Final = SandboxAnswer(400, "Failed to Authenticate")
UNAUTHORIZED: Final = SandboxAnswer(401, "Unauthorized")
FORBIDDEN: Final = SandboxAnswer(403, "Forbidden")
NO_ID: Final = SandboxAnswer(400, "appsflyer_id is a mandatory field")
OTHER_APP: Final = SandboxAnswer(400, "app_id doesn't match the authentication token")
BAD: Final = SandboxAnswer(400, "Bad request")
UNPARSED: Final = SandboxAnswer(400, "Payload is missing or failed to parse")
FAILED: Final = "The server failed"
"""The text of a server that fails. "Internal Server Error" is what the page has for JSON that can't be used."""
NOT_STRINGIFIED: Final = SandboxAnswer(500, "Internal Server Error")
THROTTLED: Final = SandboxAnswer(429, "Too Many Requests")

_ID: Final = re.compile(r"[0-9]{13}-[0-9]{7,19}")


class TakenEvent(Struct, frozen=True, gc=False):
    """One event that was answered 200. `recorded` false: it was not kept, which AppsFlyer does not say either."""

    app: str
    appsflyer_id: str
    event_name: str
    event_time: str
    received_ms: int
    recorded: bool
    customer_user_id: str | None = None
    currency: str | None = None
    revenue: float | None = None
    value: str = ""
    body: str = ""


class AppsFlyerServer(VendorApi):
    """Answers for every app. `taken` holds what came, in order; `rejected` what a script refuses for ever.

    `per_minute` is how many requests an app may send in a minute of the sandbox's clock.
    """

    below = (PATH, OWN)
    max_bytes = 64 * MAX_BYTES
    forbidden = FORBIDDEN

    taken: list[TakenEvent] = field(default_factory=list)
    rejected: dict[str, TakenEvent] = field(default_factory=dict)
    per_minute: int = PER_MINUTE
    _minutes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def failed(self, status: int) -> SandboxAnswer:
        return SandboxAnswer(status, FAILED)

    def answer(self, scope: Scope, body: bytes | None) -> SandboxAnswer:
        key = dict(scope["headers"]).get(b"authentication", b"").decode("latin-1")
        app = unquote(scope["path"].removeprefix(PATH))
        if scope["method"] != "POST" or not app or "/" in app:
            return BAD
        if not key:
            return NOT_AUTHENTICATED
        if key.startswith("invalid"):
            return UNAUTHORIZED
        if key.startswith("zero"):
            return FORBIDDEN
        if key.startswith("other"):
            return OTHER_APP
        now_ms = self.clock.now_ms()
        if self._is_too_fast(app, now_ms):
            return THROTTLED
        if media_type_of(scope) != "application/json":
            return UNPARSED
        event = read_event(app, body, now_ms)
        return self._take(event) if isinstance(event, TakenEvent) else event

    def _is_too_fast(self, app: str, now_ms: int) -> bool:
        minute = now_ms // MINUTE_MS
        before, count = self._minutes.get(app, (minute, 0))
        self._minutes[app] = (minute, count + 1 if before == minute else 1)
        return self._minutes[app][1] > self.per_minute

    def _take(self, event: TakenEvent) -> SandboxAnswer:
        name = f"{event.app}/{event.appsflyer_id}/{event.event_name}/{event.event_time}"
        if self.faults.poisons and self.faults.poison(name) is not None:
            self.rejected.setdefault(name, event)
            return NOT_STRINGIFIED
        if self.faults.looks_at_events:
            if self.faults.invalid_field(UploadedEvent(insert_id=name)) is not None:
                self.rejected.setdefault(name, event)
                return BAD
            if self.faults.throttle(f"{event.app}/{event.appsflyer_id}"):
                return THROTTLED
        self.taken.append(event)
        return OK

    def own_page(self, scope: Scope, _: bytes) -> SandboxAnswer:
        """Return what was taken or rejected, or counts."""
        wanted = query_of(scope).get("app")
        match scope["path"].removeprefix(OWN):
            case "record":
                return _lines([event for event in self.taken if wanted in {None, event.app}])
            case "rejected":
                return _lines([event for event in self.rejected.values() if wanted in {None, event.app}])
            case "counts":
                return SandboxAnswer(200, self.counts())
        return no_such_page(f"Ask for {OWN}record, rejected or counts.")

    def counts(self) -> dict[str, Any]:
        """Return what was counted."""
        answers: Counter[str] = Counter()
        for (_, status), n in self.answers.items():
            answers[str(status)] += n
        return {
            "taken": len(self.taken),
            "recorded": sum(event.recorded for event in self.taken),
            "rejected": len(self.rejected),
            "answers": dict(sorted(answers.items())),
            "faults": {act.value: n for act, n in self.faults.counts.items() if n},
        }


def read_event(app: str, body: bytes | None, now_ms: int) -> TakenEvent | SandboxAnswer:
    """Read an event, or say what is wrong with it."""
    if body is None or len(body) > MAX_BYTES:
        return BAD
    if (message := json_object(body)) is None:
        return UNPARSED
    appsflyer_id, name, value = message.get("appsflyer_id"), message.get("eventName"), message.get("eventValue")
    if not isinstance(appsflyer_id, str) or not appsflyer_id:
        return NO_ID
    if not isinstance(name, str) or not name.strip():
        return BAD
    if not isinstance(value, str):
        return NOT_STRINGIFIED
    values = json_object(value.encode()) if value.strip() else {}
    if values is None or not fits_schema(message):
        return BAD
    return TakenEvent(
        app=app,
        appsflyer_id=appsflyer_id,
        event_name=name,
        event_time=message.get("eventTime") or "",
        received_ms=now_ms,
        recorded=bool(_ID.fullmatch(appsflyer_id)) and not app.isdigit(),
        customer_user_id=message.get("customer_user_id"),
        currency=message.get("eventCurrency"),
        revenue=_revenue(values.get("af_revenue")),
        value=value,
        body=body.decode(),
    )


def _revenue(said: Any) -> float | None:
    try:
        return float(said)
    except (TypeError, ValueError):
        return None


def _lines(rows: list[TakenEvent]) -> SandboxAnswer:
    return SandboxAnswer(200, msgspec.json.Encoder().encode_lines(rows), {"content-type": "application/x-ndjson"})
