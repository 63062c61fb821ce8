"""Scripted faults: what goes wrong between a sender and Amplitude, by name and by seed.

| name | what it does |
| --- | --- |
| `none` | nothing |
| `flaky` | 5xx before and after the events are applied, connections cut before and after, half answers, slowness |
| `throttle` | 429 for some devices or users, the first time each is seen |
| `reject` | some events have an invalid field, some devices are silenced: for ever, so that a retry changes nothing |
| `outage` | at first 503 for everything, later a while of 403 |
| `all` | all of the above |
| `poison` | some events make the server fail, always: 500, or the connection is cut, for the whole request |
| `size` | a gateway cuts uploads of more than 64 KB |
| `html` | a gateway answers with error pages: 502, 503 and 504, at times also 400 |
| `proxy` | at first, a proxy breaks bodies that are compressed with gzip |

What happens to a request is drawn in the order of requests from the seed; what happens to an event depends on its
`insert_id` or device alone, so that it is the same event in every run. Nothing here waits, sends or reads a clock.
"""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import Final
from zlib import crc32

from msgspec import Struct

from flybridge.sandbox.vendors.validation import UploadedEvent


class FaultKind(StrEnum):
    """What happens to one request. `before` and `after`: before or after its events are applied."""

    PASS = "pass"  # noqa: S105 - no password
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    UNAVAILABLE = "unavailable"
    FORBIDDEN = "forbidden"
    CUT_BEFORE = "cut_before"
    CUT_AFTER = "cut_after"
    HALF_ANSWER = "half_answer"
    SLOW = "slow"
    PAGE = "page"
    GARBLED = "garbled"


class Fault(Struct, frozen=True):
    """What happens to one request, with the status of an error or the wait of a slow answer in real seconds."""

    kind: FaultKind
    status: int = 200
    wait_s: float = 0.0


class Window(Struct, frozen=True):
    """A period in which every request meets one fault.

    It begins with request number `first` (from 0) and ends after `requests` requests or `seconds` real seconds,
    whichever comes first, so that a sender that backs off is not refused for ever.
    """

    kind: FaultKind
    status: int
    first: int
    requests: int
    seconds: float


class FaultScript(Struct, frozen=True):
    """How often what happens. `requests` are shares of requests by fault; the others shares of devices or events."""

    requests: tuple[tuple[FaultKind, float], ...] = ()
    windows: tuple[Window, ...] = ()
    throttled_devices: float = 0.0
    throttle_times: int = 1
    silenced_devices: float = 0.0
    invalid_events: float = 0.0
    poison_events: float = 0.0
    cut_above_bytes: int = 0
    garbled: Window | None = None  # of requests that are compressed with gzip; its `first` does not matter
    slow_s: tuple[float, float] = (0.05, 0.6)


_FLAKY: Final = (
    (FaultKind.ERROR_BEFORE, 0.03),
    (FaultKind.ERROR_AFTER, 0.03),
    (FaultKind.UNAVAILABLE, 0.02),
    (FaultKind.CUT_BEFORE, 0.02),
    (FaultKind.CUT_AFTER, 0.02),
    (FaultKind.HALF_ANSWER, 0.01),
    (FaultKind.SLOW, 0.03),
)
_OUTAGE: Final = (
    Window(FaultKind.UNAVAILABLE, 503, first=0, requests=20, seconds=3.0),
    Window(FaultKind.FORBIDDEN, 403, first=60, requests=3, seconds=2.0),
)

_PAGES: Final = (502, 503, 504, 400)

SCRIPTS: Final = {
    "none": FaultScript(),
    "flaky": FaultScript(requests=_FLAKY),
    "throttle": FaultScript(throttled_devices=0.02),
    "reject": FaultScript(silenced_devices=0.005, invalid_events=0.01),
    "outage": FaultScript(windows=_OUTAGE),
    "all": FaultScript(
        requests=_FLAKY,
        windows=_OUTAGE,
        throttled_devices=0.02,
        silenced_devices=0.005,
        invalid_events=0.01,
    ),
    "poison": FaultScript(poison_events=0.01),
    "size": FaultScript(cut_above_bytes=64_000),
    "html": FaultScript(requests=((FaultKind.PAGE, 0.06),)),
    "proxy": FaultScript(garbled=Window(FaultKind.GARBLED, 400, first=0, requests=40, seconds=3.0)),
}
"""Faults by name."""

INVALID_FIELDS: Final = ("time", "event_properties", "price", "session_id")
"""The fields that a rejected event is said to have wrong."""

MAYBE_APPLIED: Final = (500, 502, 504)
"""The statuses after which, by the documentation, events may have been taken all the same."""


class Faults:
    """The faults of one run. `counts` says how often each kind occurred."""

    def __init__(self, script: FaultScript, seed: int = 0) -> None:
        self._script = script
        self._random = Random(f"faults {seed}")  # noqa: S311 - repeatable on purpose
        self._salt = crc32(f"faults {seed}".encode())
        self._requests = self._garbled = 0
        self._began: dict[int, float] = {}
        self._throttled: dict[str, int] = {}
        self.counts = dict.fromkeys(FaultKind, 0)

    @classmethod
    def named(cls, name: str, seed: int = 0) -> Faults:
        """Return the faults of that name. Raises `ValueError` with the names there are."""
        if name not in SCRIPTS:
            raise ValueError(f"there are no faults named {name!r}; there are {', '.join(SCRIPTS)}")
        return cls(SCRIPTS[name], seed)

    def step(self, now_s: float) -> Fault:
        """Decide about the next request. `now_s` is a steady clock in real seconds."""
        step = self._window(now_s) or self._drawn()
        self._requests += 1
        self.counts[step.kind] += 1
        return step

    def _window(self, now_s: float) -> Fault | None:
        for number, window in enumerate(self._script.windows):
            if not window.first <= self._requests < window.first + window.requests:
                continue
            if now_s - self._began.setdefault(number, now_s) < window.seconds:
                return Fault(window.kind, window.status)
        return None

    def _drawn(self) -> Fault:
        # Three draws per request, used or not: what a request meets doesn't depend on what others met.
        point, status, wait = self._random.random(), self._random.choice(MAYBE_APPLIED), self._random.random()
        for kind, share in self._script.requests:
            if point >= share:
                point -= share
                continue
            match kind:
                case FaultKind.ERROR_BEFORE | FaultKind.ERROR_AFTER:
                    return Fault(kind, status)
                case FaultKind.UNAVAILABLE:
                    return Fault(kind, 503)
                case FaultKind.PAGE:
                    return Fault(kind, _PAGES[int(wait * len(_PAGES))])
                case FaultKind.SLOW:
                    shortest, longest = self._script.slow_s
                    return Fault(kind, wait_s=shortest + (longest - shortest) * wait)
                case _:
                    return Fault(kind)
        return Fault(FaultKind.PASS)

    def on_the_way(self, body: bytes, *, packed: bool, now_s: float) -> Fault | None:
        """Return what a gateway or proxy does to a request with this body; None if it lets it pass."""
        script, kind = self._script, None
        if script.cut_above_bytes and len(body) > script.cut_above_bytes:
            kind = FaultKind.CUT_BEFORE
        elif script.garbled is not None and packed and self._garbles(script.garbled, now_s):
            kind = FaultKind.GARBLED
        if kind is None:
            return None
        self.counts[kind] += 1
        return Fault(kind, 400)

    def _garbles(self, window: Window, now_s: float) -> bool:
        self._garbled += 1
        return self._garbled <= window.requests and now_s - self._began.setdefault(-1, now_s) < window.seconds

    def poison(self, name: str) -> Fault | None:
        """Return what the server does with a request that holds the event of this name; None if it can take it."""
        point = self._point("poison", name)
        if point >= self._script.poison_events:
            return None
        cuts = int(point * 1e9) % 2 == 0
        return Fault(FaultKind.CUT_BEFORE) if cuts else Fault(FaultKind.ERROR_BEFORE, 500)

    @property
    def poisons(self) -> bool:
        """Whether any event makes the server fail."""
        return self._script.poison_events > 0

    @property
    def looks_at_events(self) -> bool:
        """Whether any event can be refused."""
        script = self._script
        return bool(script.throttled_devices or script.silenced_devices or script.invalid_events)

    def invalid_field(self, event: UploadedEvent) -> str | None:
        """Return the field that this event is said to have wrong, always the same for the same `insert_id`."""
        point = self._point("event", event.insert_id or f"{event.device_id}/{event.event_type}/{event.time}")
        if point >= self._script.invalid_events:
            return None
        return INVALID_FIELDS[int(point * 1e6) % len(INVALID_FIELDS)]

    def is_silenced(self, device_id: str | None) -> bool:
        """Whether a device is silenced, now and always."""
        return device_id is not None and self._point("silenced", device_id) < self._script.silenced_devices

    def throttle(self, who: str) -> bool:
        """Whether this device or user is throttled in the request at hand, and count that it was."""
        if self._point("throttled", who) >= self._script.throttled_devices:
            return False
        times = self._throttled.get(who, 0)
        self._throttled[who] = times + 1
        return times < self._script.throttle_times

    def _point(self, what: str, name: str) -> float:
        return crc32(f"{what} {name}".encode("utf-8", "surrogatepass"), self._salt) / 2**32
