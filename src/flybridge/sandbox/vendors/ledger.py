"""What the sandbox's Amplitude holds: saved events, users, attributions that wait, and what it rejected.

One `ProjectLedger` is one project (one API key). Its rules:

- `insert_id` is deduplicated per device for 7 days of the sandbox's clock; where an event has no device id, per
  user id, as Amplitude derives a device id from it. A repeat is counted on the event that is kept.
- An attribution waits 72 hours from receipt for a user whose events carry one of its ids, compared with case;
  then it is dropped. A user known before matches at once; of several, the last whose event carried one of the ids.
- Advertising ids, vendor ids and App Set ids are wiped from what is saved; an opaque hash of them stays.

https://amplitude.com/docs/apis/analytics/http-v2 and .../attribution (read 2026-11-24).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from hashlib import sha256
from operator import itemgetter
from sys import intern
from typing import Final

from msgspec import Struct, structs

from flybridge.records import DAY_MS, HOUR_MS
from flybridge.sandbox.vendors.kept import kept_body
from flybridge.sandbox.vendors.properties import described
from flybridge.sandbox.vendors.users import ProjectUsers
from flybridge.sandbox.vendors.validation import ATTRIBUTION_IDS, Attribution, UploadedEvent, names_device

IDENTIFY: Final = "$identify"
DEDUP_MS: Final = 7 * DAY_MS
HOLD_MS: Final = 72 * HOUR_MS


class Saved(Struct, gc=False):
    """One event as it was saved. `times` counts how often it came within the dedup window, the first included.

    `body` is the event's JSON as `kept_body` makes it when the sandbox keeps everything, else None.
    `attribution_ids` is a hash of its identifiers.
    """

    insert_id: str
    event_type: str
    user_id: str | None
    device_id: str | None
    time_ms: int
    received_ms: int
    times: int = 1
    revenue: float | None = None
    currency: str | None = None
    appsflyer_id: str | None = None
    media_source: str | None = None
    campaign: str | None = None
    order_id: str | None = None
    is_attribution_event: bool = False
    attribution_ids: str | None = None
    body: bytes | None = None


class WaitingAttribution(Struct, gc=False):
    """An attribution that waits for its user, or was dropped. `ids` are `field=value`."""

    event: Saved
    ids: tuple[str, ...]
    expires_ms: int
    done: bool = False


class Rejected(Struct, gc=False):
    """An event that was rejected for what it is: an invalid field or a silenced device. `times` counts the tries."""

    insert_id: str
    event_type: str
    user_id: str | None
    device_id: str | None
    time_ms: int
    appsflyer_id: str | None
    reason: str
    times: int = 1


class ProjectCounts(Struct):
    """Counts of a project. `received = saved + repeated` holds for events that were applied."""

    received: int = 0
    saved: int = 0
    repeated: int = 0
    identified: int = 0
    attributions: int = 0
    matched: int = 0
    dropped: int = 0


class ProjectLedger:
    """One project's record. Not to be shared between threads."""

    def __init__(self, project: str, *, keep_bodies: bool = False) -> None:
        self.project = project
        self.saved: list[Saved] = []
        self.dropped: list[WaitingAttribution] = []
        self.rejected: dict[str, Rejected] = {}
        self.tally = ProjectCounts()
        self.users = ProjectUsers()
        self._keep_bodies = keep_bodies
        self._by_insert_id: dict[str, Saved] = {}
        self._by_device: dict[tuple[str, str], Saved] = {}
        self._waiting: deque[WaitingAttribution] = deque()
        self._waiting_for: dict[str, list[WaitingAttribution]] = {}
        self._seen: dict[str, tuple[int, str | None, str | None]] = {}  # when, and with which user and device id

    def apply(self, events: Iterable[UploadedEvent], now_ms: int) -> None:
        """Save valid events, ignore repeats, and let attributions find the users that the events name."""
        self.expire(now_ms)
        for event in events:
            if event.event_type == IDENTIFY:
                self.users.identify(event.user_id, event.device_id, event.user_properties, now_ms)
                self.tally.identified += 1
                self._sight(event, now_ms)
                continue
            self.tally.received += 1
            # What a repeat says about the user was said by the first.
            if not self._is_repeat(event, now_ms):
                self._save(event, now_ms)

    def attribute(self, attribution: Attribution, now_ms: int) -> None:
        """Take an attribution: saved at once for a known user, else waiting. Repeats are not recognised."""
        self.expire(now_ms)
        self.tally.attributions += 1
        ids = tuple(f"{name}={value}" for name, value in attribution.ids().items())
        event = Saved(
            insert_id=attribution.insert_id or "",
            event_type=intern(attribution.event_type),
            user_id=None,
            device_id=None,
            time_ms=attribution.time or now_ms,
            received_ms=now_ms,
            is_attribution_event=True,
            attribution_ids=_hashed(ids),
            body=kept_body(attribution) if self._keep_bodies else None,
            **structs.asdict(described(attribution.user_properties)),
        )
        waiting = WaitingAttribution(event, ids, now_ms + HOLD_MS)
        if not self._match(waiting):
            self._waiting.append(waiting)
            for part in ids:
                self._waiting_for.setdefault(part, []).append(waiting)

    def reject(self, events: Iterable[tuple[UploadedEvent, str]]) -> None:
        """Note events that were rejected for what they are, once each; a retry counts on the first."""
        for event, reason in events:
            known = described(event.event_properties, event.user_properties)
            key = event.insert_id or f"{known.appsflyer_id}/{event.event_type}/{event.time}"
            noted = self.rejected.get(key)
            if noted is not None:
                noted.times += 1
                continue
            self.rejected[key] = Rejected(
                insert_id=event.insert_id or "",
                event_type=event.event_type or "",
                user_id=event.user_id,
                device_id=event.device_id,
                time_ms=event.time or 0,
                appsflyer_id=known.appsflyer_id,
                reason=reason,
            )

    def expire(self, now_ms: int) -> None:
        """Drop the attributions whose 72 hours are over."""
        while self._waiting and (self._waiting[0].done or self._waiting[0].expires_ms <= now_ms):
            waiting = self._waiting.popleft()
            if waiting.done:
                continue
            waiting.done = True
            self.tally.dropped += 1
            self.dropped.append(waiting)
            self._forget(waiting)

    def waiting(self) -> list[WaitingAttribution]:
        """Return the attributions that wait, in the order of receipt."""
        return [waiting for waiting in self._waiting if not waiting.done]

    def _is_repeat(self, event: UploadedEvent, now_ms: int) -> bool:
        if not event.insert_id:
            return False
        owner = event.device_id or f"user:{event.user_id}"
        first = self._by_insert_id.get(event.insert_id)
        if first is not None and (first.device_id or f"user:{first.user_id}") != owner:
            first = self._by_device.get((event.insert_id, owner))
        if first is None or now_ms - first.received_ms >= DEDUP_MS:
            return False
        first.times += 1
        self.tally.repeated += 1
        return True

    def _save(self, event: UploadedEvent, now_ms: int) -> None:
        revenue = _revenue(event)
        self.users.record(event, revenue, now_ms)
        saved = Saved(
            insert_id=event.insert_id or "",
            event_type=intern(event.event_type or ""),
            user_id=event.user_id,
            device_id=event.device_id,
            time_ms=now_ms if event.time is None else event.time,
            received_ms=now_ms,
            revenue=revenue,
            currency=event.currency and intern(event.currency),
            attribution_ids=_hashed(ids) if (ids := _ids(event)) else None,
            body=kept_body(event) if self._keep_bodies else None,
            **structs.asdict(described(event.event_properties, event.user_properties)),
        )
        self.tally.saved += 1
        self.saved.append(saved)
        if saved.insert_id:
            # The index by insert_id alone serves nearly all; only an id used on several devices needs the pair.
            other = self._by_insert_id.get(saved.insert_id)
            if other is not None:
                for each in (other, saved):
                    self._by_device[each.insert_id, each.device_id or f"user:{each.user_id}"] = each
            self._by_insert_id[saved.insert_id] = saved
        self._sight(event, now_ms)

    def _sight(self, event: UploadedEvent, now_ms: int) -> None:
        for part in _ids(event):
            self._seen[part] = (now_ms, event.user_id, event.device_id)
            if part in self._waiting_for:
                self._found(part)

    def _found(self, part: str) -> None:
        for waiting in self._waiting_for[part][:]:
            if self._match(waiting):
                self._forget(waiting)

    def _match(self, waiting: WaitingAttribution) -> bool:
        seen = max((self._seen[part] for part in waiting.ids if part in self._seen), key=itemgetter(0), default=None)
        if seen is None:
            return False
        waiting.done = True
        _, user_id, waiting.event.device_id = seen
        waiting.event.user_id = self.users.find(user_id, waiting.event.device_id).user_id
        self.saved.append(waiting.event)
        self.tally.matched += 1
        return True

    def _forget(self, waiting: WaitingAttribution) -> None:
        for part in waiting.ids:
            left = [other for other in self._waiting_for.get(part, ()) if other is not waiting]
            if left:
                self._waiting_for[part] = left
            else:
                self._waiting_for.pop(part, None)


def _revenue(event: UploadedEvent) -> float | None:
    # Of all three, price and quantity count (https://amplitude.com/docs/apis/analytics/http-v2).
    if event.price is None or (event.revenue is not None and event.quantity is None):
        return event.revenue
    return event.price * (1 if event.quantity is None else event.quantity)


def _ids(event: UploadedEvent) -> list[str]:
    found = ((name, getattr(event, name)) for name in ATTRIBUTION_IDS)
    return [f"{name}={value}" for name, value in found if names_device(value)]


def _hashed(ids: Iterable[str]) -> str:
    """Return the opaque form of identifiers that an export shows as `amplitude_attribution_ids`."""
    return sha256(",".join(ids).encode("utf-8", "surrogatepass")).hexdigest()[:32]
