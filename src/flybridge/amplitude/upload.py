"""Amplitude HTTP V2 and Batch Event Upload: requests, and verdicts of their answers.

https://amplitude.com/docs/apis/analytics/http-v2 and https://amplitude.com/docs/apis/analytics/batch-event-upload,
both read 2026-11-24. The whole table, with what the operator sees, is `docs/reference/verdicts.md`.

Amplitude ignores an event whose `insert_id` it has seen on the same `device_id` within seven days, so sending again
after an uncertain answer is safe. Compressed requests are an option, off by default: Amplitude's own mobile and browser
SDKs have sent gzip since 2026 (github.com/amplitude/Amplitude-Swift/pull/364), and the newest text of the page says
that events of such a body are counted once it is decompressed (read 2026-11-29). It also has a limit for each project:
a 429 that names no user and no device is taken to be about the rate of all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from flybridge.amplitude.event import PAST, as_past, with_identity
from flybridge.delivery.exchange import (
    Accepted,
    Halt,
    HttpRequest,
    HttpResponse,
    Limits,
    Reject,
    Retry,
    Split,
    Verdict,
    json_object,
    retry_after_s,
    verdict_of_status,
)
from flybridge.records import Delivery

ORIGINS: Final = {"us": "https://api2.amplitude.com", "eu": "https://api.eu.amplitude.com"}

THROTTLED_S: Final = 30.0  # "pause ... for a period of 30 seconds"
QUOTA_S: Final = 3600.0  # the daily quota is a rolling window that moves by the hour
DETAIL_CHARS: Final = 200

KEY_REMEDY: Final = (
    "Check `amplitude.api_key` of the app: it must be the project's API key, and the project must be in the "
    "configured `region`. Nothing is lost meanwhile."
)
ADDRESS_REMEDY: Final = (
    "Check `amplitude.base_url` and `region` of the app, and any proxy on the way: what answered is not "
    "Amplitude's upload API. Nothing is lost meanwhile."
)
REQUEST_REMEDY: Final = (
    "Amplitude can't read the request as a whole: something on the way changes it. Set `delivery.gzip = false`, and "
    "check any proxy on the way for compression, content type and cut bodies. Nothing is lost meanwhile."
)
FIREWALL_REMEDY: Final = (
    "Amplitude's firewall refuses this sender (a sanctioned region, or values it takes for an attack). "
    "Check from which country requests leave, then ask Amplitude's support."
)


def origin(region: str, base_url: str = "") -> str:
    """Return the origin of requests: `base_url` if set, else the region's host."""
    return base_url.rstrip("/") or ORIGINS[region]


class HttpV2:
    """POST /2/httpapi: under 1 MB and fewer than 2,000 events per request.

    `min_id_length` overrides Amplitude's minimum of five characters for user and device ids.
    """

    name = "http_v2"
    deduplicates = True
    path = "/2/httpapi"
    most_items = 999  # fewer than 2,000 events, and an item may be two
    most_bytes = 990_000
    concurrency = 4

    def __init__(
        self,
        api_key: str,
        origin: str = ORIGINS["us"],
        *,
        min_id_length: int = 5,
        gzip: bool = False,
        current_ms: int = 3_600_000,
    ) -> None:
        head: dict[str, Any] = {"api_key": api_key, "options": {"min_id_length": min_id_length}}
        self._head = msgspec.json.encode(head)[:-1] + b',"events":['
        self._secret = api_key
        self._url = origin.rstrip("/") + self.path
        self._gzip = gzip
        self.current_ms = current_ms
        self.limits = Limits(self.most_items, self.most_bytes - len(self._head) - 2, self.concurrency)

    def request(self, batch: Sequence[Delivery]) -> HttpRequest:
        """Build the upload of a batch. Bodies are joined as bytes, without decoding."""
        events = b",".join([self._events(delivery) for delivery in batch])
        return HttpRequest("POST", self._url, _JSON, b"".join((self._head, events, b"]}")), self._gzip)

    def _events(self, delivery: Delivery) -> bytes:
        body = as_past(delivery.body) if delivery.age_ms > self.current_ms else delivery.body
        user_id, device_id = delivery.user_id or None, delivery.device_id or None
        return b",".join([with_identity(line, user_id, device_id) for line in body.split(b"\n")])

    def size(self, delivery: Delivery) -> int:
        """Return an upper bound of the bytes that this item adds: its body, and for each event the two ids escaped."""
        ids = sum(_escaped_bytes(i) for i in (delivery.user_id, delivery.device_id) if i)
        return len(delivery.body) + len(PAST) + _events_in(delivery) * (ids + _IDENTITY_BYTES)

    def verdicts(self, batch: Sequence[Delivery], response: HttpResponse) -> list[Verdict]:
        """Return one verdict per event. Never raises."""
        answer = json_object(response.body)
        match response.status:
            case 200:
                return [_ingested(answer, sum(map(_events_in, batch)))] * len(batch)
            case 400:
                return self._invalid(batch, response, answer)
            case 429 if waits := _waits(batch, answer or {}, response):
                return [waits.get(index, _AT_ONCE) for index in range(len(batch))]
            case _:
                return [status_verdict(response, alone=len(batch) == 1)] * len(batch)

    def _invalid(
        self, batch: Sequence[Delivery], response: HttpResponse, answer: Mapping[str, Any] | None
    ) -> list[Verdict]:
        alone = len(batch) == 1
        if answer is None:  # a proxy's page, which is not about the events
            return [Retry("http_400") if alone else Split("http_400")] * len(batch)
        error = clip(answer.get("error"), self._secret)
        if "invalid api key" in error.casefold():
            return [Halt("invalid_api_key", KEY_REMEDY)] * len(batch)
        if "invalid request path" in error.casefold():
            return [Halt("wrong_address", ADDRESS_REMEDY)] * len(batch)
        named = _refused(batch, answer, response)
        if named:
            return named
        missing = clip(answer.get("missing_field"), self._secret)
        if missing == "api_key":
            return [Halt("missing_api_key", KEY_REMEDY)] * len(batch)
        if any(text in error.casefold() for text in _OF_REQUEST) or (missing and missing not in _EVENT_FIELDS):
            return [Halt("unreadable_request", REQUEST_REMEDY)] * len(batch)
        if not alone:
            return [Split("invalid_request")] * len(batch)
        field = f" (field {missing})" if missing else ""
        return [Reject("invalid_event", f"Amplitude refuses the event: {error or 'no reason given'}{field}.", _MAPPING)]


class Batch(HttpV2):
    """POST /batch: 20 MB and 2,000 events per request, for users with more than 30 events a second.

    Its lane is that of HTTP V2: the same events, and the same answers.
    """

    path = "/batch"
    most_items = 1_000
    most_bytes = 19_800_000
    concurrency = 2


class History(Batch):
    """The Batch API for imported files: a lane of its own, so that history does not delay what is new.

    Amplitude advises one sender for each device and at most 300 of its events a second
    (https://amplitude.com/docs/data/data-backfill, read 2026-11-27), so that requests follow one another.
    """

    name = "batch"
    concurrency = 1


def status_verdict(response: HttpResponse, *, alone: bool) -> Verdict:
    """Return the verdict of a status whose body names no event. Shared with the Attribution API."""
    match response.status:
        case 401:
            return Halt("unauthorized", KEY_REMEDY)
        case 403:
            # The firewall inspects content too: one hostile campaign name must not stop all other events.
            return Halt("forbidden", FIREWALL_REMEDY) if alone else Split("forbidden")
        case status:
            if (verdict := verdict_of_status(response, ADDRESS_REMEDY, THROTTLED_S)) is not None:
                return verdict
            return Retry(f"http_{status}", retry_after_s(response)) if alone else Split(f"http_{status}")


def _ingested(answer: Mapping[str, Any] | None, sent: int) -> Verdict:
    """Return the verdict of a 200. Fewer `events_ingested` than sent means that some were dropped, unnamed.

    Repeats are safe, so the dropped ones are found by halving. If none was ingested the request is retried later.
    """
    answer = answer or {}
    ingested = answer.get("events_ingested")
    if not isinstance(ingested, int) or isinstance(ingested, bool):
        # An empty object, or one that tells an error, is one of a gateway on the way.
        return Accepted() if answer.get("code") == 200 else Halt("wrong_address", ADDRESS_REMEDY)
    if ingested >= sent:
        return Accepted()
    return Split("partly_ingested") if ingested > 0 else Retry("not_ingested")


def _refused(batch: Sequence[Delivery], answer: Mapping[str, Any], response: HttpResponse) -> list[Verdict] | None:
    """Return the verdicts of a 400 that names events; None if it names none of this batch.

    Only named events die or wait; the others are sent again at once. Each answer ends at least one event, so this
    terminates.
    """
    items = _items(batch)
    faults: dict[int, list[str]] = {}
    for key, word in (("events_with_invalid_fields", "invalid"), ("events_with_missing_fields", "missing")):
        for field, indexes in _mapping(answer.get(key)).items():
            for index in _indexes(indexes, items):
                faults.setdefault(index, []).append(f"the field {clip(field)} is {word}")
    silenced = set(_indexes(answer.get("silenced_events"), items))
    devices = _names(answer.get("silenced_devices"))
    silenced.update(i for i, d in enumerate(batch) if d.device_id in devices)
    waits = _waits(batch, answer, response)
    if not (faults or silenced or waits):
        return None
    verdicts: list[Verdict] = []
    for index in range(len(batch)):
        if index in faults:
            detail = f"Amplitude refuses the event: {', '.join(dict.fromkeys(faults[index]))}."
            verdicts.append(Reject("invalid_fields", detail, _MAPPING, named=True))
        elif index in silenced:
            verdicts.append(Reject("silenced", "Amplitude has silenced this event's device.", _SILENCED, named=True))
        else:
            verdicts.append(waits.get(index, _AT_ONCE))
    return verdicts


def _waits(batch: Sequence[Delivery], answer: Mapping[str, Any], response: HttpResponse) -> dict[int, Verdict]:
    """Return the waits by index: 30 seconds for a rate, an hour for a daily quota, Retry-After if longer."""
    asked = retry_after_s(response) or 0.0
    slow_s, spent_s = max(THROTTLED_S, asked), max(QUOTA_S, asked)
    slow = Retry("throttled", slow_s, counts=False)
    waits: dict[int, Verdict] = dict.fromkeys(_indexes(answer.get("throttled_events"), _items(batch)), slow)
    slow_devices, slow_users = _names(answer.get("throttled_devices")), _names(answer.get("throttled_users"))
    spent_devices = _names(answer.get("exceeded_daily_quota_devices"))
    spent_users = _names(answer.get("exceeded_daily_quota_users"))
    if slow_devices or slow_users or spent_devices or spent_users:
        for index, delivery in enumerate(batch):
            # "pause sending events for that user or device": also its events that are filed meanwhile.
            if delivery.device_id in spent_devices:
                waits[index] = Retry("daily_quota", spent_s, counts=False, pauses="device")
            elif delivery.user_id in spent_users:
                waits[index] = Retry("daily_quota", spent_s, counts=False, pauses="user")
            elif delivery.device_id in slow_devices:
                waits[index] = Retry("throttled", slow_s, counts=False, pauses="device")
            elif delivery.user_id in slow_users:
                waits[index] = Retry("throttled", slow_s, counts=False, pauses="user")
    return waits


def _events_in(delivery: Delivery) -> int:
    return delivery.body.count(b"\n") + 1


def _items(batch: Sequence[Delivery]) -> list[int]:
    """Return for each event of the request, in order, the position of its item in the batch."""
    return [index for index, delivery in enumerate(batch) for _ in range(_events_in(delivery))]


def _indexes(value: Any, items: Sequence[int]) -> list[int]:
    """Return the items that a list of event indexes means."""
    if not isinstance(value, list):
        return []
    return [items[i] for i in value if isinstance(i, int) and not isinstance(i, bool) and 0 <= i < len(items)]


def _names(value: Any) -> Collection[str]:
    return {name for name in value if isinstance(name, str)} if isinstance(value, dict | list) else ()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def clip(value: Any, secret: str = "") -> str:
    """Return the beginning of a vendor's text, with the API key masked."""
    if not isinstance(value, str):
        return ""
    return (value.replace(secret, "***") if secret else value)[:DETAIL_CHARS]


def _escaped_bytes(text: str) -> int:
    return len(text) if text.isascii() and text.isalnum() else 6 * len(text)


_OF_REQUEST: Final = ("invalid json request body", "missing request body")
_EVENT_FIELDS: Final = frozenset({"event_type", "user_id", "device_id", "time", "insert_id"})
_JSON: Final = {"Content-Type": "application/json", "Accept": "*/*"}
_IDENTITY_BYTES: Final = len('"user_id":"","device_id":"",,')
_AT_ONCE: Final = Retry("not_tried", 0.0, counts=False)
_MAPPING: Final = "Correct the mapping of that field (see `flybridge explain`), then replay the dead letter."
_SILENCED: Final = "Ask Amplitude why the device is silenced (usually a flood of events), then replay the dead letter."
